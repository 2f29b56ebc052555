"""What kinds of file systems, and how they are mounted, say of a data directory."""

import pytest

from slackwater.core.files.shared_directory import CLUSTERED, NETWORK, Mount, doubts_of


def said(kind: str, options: str = "", *, shared: bool = True) -> list[bool]:
    """For each doubt, whether it is a reason to refuse."""
    found = doubts_of(Mount(kind=kind, options=frozenset(options.split(","))), shared=shared)
    assert all(each.message and each.fix for each in found)
    return [each.refused for each in found]


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "apfs", ""])
@pytest.mark.parametrize("shared", [True, False])
def test_disks_are_fine(kind: str, shared: bool) -> None:
    """And so is what cannot be told."""
    assert said(kind, "rw,relatime", shared=shared) == []


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("nfs", "rw,hard,vers=3,nolock"),
        ("nfs", "rw,hard,vers=3,local_lock=all"),
        ("nfs4", "rw,hard,vers=4.2,local_lock=flock"),
        ("nfs4", "rw,hard,vers=4.2,local_lock=none,nocto"),
        ("cifs", "rw,nobrl"),
        ("smb3", "rw,cache=loose"),
        ("lustre", "rw,localflock"),
        ("gfs2", "rw,localflocks"),
        ("fuse.s3fs", "rw"),
        ("fuse.sshfs", "rw"),
        ("fuse.mount-s3", "rw"),
    ],
)
def test_where_locks_are_each_machines_own_it_is_refused(kind: str, options: str) -> None:
    """Two servers would both write what one of them is to write."""
    assert said(kind, options)[0] is True


@pytest.mark.parametrize(
    ("kind", "options", "times"),
    [
        ("nfs", "rw,hard,vers=3,local_lock=none", 1),
        ("nfs4", "rw,soft,vers=4.1,local_lock=none", 1),
        ("nfs", "rw,softerr,vers=3,local_lock=none", 2),
        ("cifs", "rw,cache=strict", 1),
        ("9p", "rw,trans=virtio", 1),
        ("fuse.something", "rw", 1),
        ("fuseblk", "rw", 1),
        ("tmpfs", "rw", 1),
        ("overlay", "rw,lowerdir=/a", 1),
        ("vfat", "rw", 1),
    ],
)
def test_doubts_are_said(kind: str, options: str, times: int) -> None:
    """And nobody is refused for them."""
    assert said(kind, options) == [False] * times


@pytest.mark.parametrize("options", ["rw,hard,vers=4.2,local_lock=none", "rw,vers=4.0,actimeo=3,noac,sync"])
def test_nfs_4_is_fine(options: str) -> None:
    """However long attributes are kept: a file is asked for anew when it is opened."""
    assert said("nfs4", options) == []


def test_what_is_made_for_many_is_fine() -> None:
    """Cluster file systems, as they are usually mounted."""
    assert [said(kind) for kind in CLUSTERED] == [[]] * len(CLUSTERED)
    assert said("lustre", "rw,flock") == said("gfs2", "rw") == said("ceph", "rw") == []


def test_a_ledger_of_its_own_is_on_no_network() -> None:
    """Whatever is right for several servers: SQLite's locks do not hold there."""
    assert [said(kind, "hard,vers=4.2", shared=False) for kind in NETWORK] == [[True]] * len(NETWORK)
    assert said("tmpfs", shared=False) == [False]
