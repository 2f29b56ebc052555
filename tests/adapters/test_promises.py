"""What a data directory has to do is tried: on this disk, and on disks that break one promise each."""

import errno
import os
from pathlib import Path

import pytest

from slackwater.adapters.disk.disk import Disk
from slackwater.adapters.disk.promises import PROMISES, broken, mount_of
from slackwater.core.files.shared_directory import Mount


def test_this_disk_keeps_them(tmp_path: Path) -> None:
    """And nothing is left of the try."""
    assert broken(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


class LocksOfOnesOwn(Disk):
    """Every process has a lock that it asks for, as on NFS with nolock."""

    def lock(self, fd: int, *, shared: bool = False) -> bool:
        return True


class NoLocks(Disk):
    def lock(self, fd: int, *, shared: bool = False) -> bool:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


class LocksThatStay(Disk):
    """They outlive whoever has closed the file."""

    def __init__(self) -> None:
        self._locked: set[int] = set()

    def lock(self, fd: int, *, shared: bool = False) -> bool:
        inode = os.fstat(fd).st_ino
        if inode in self._locked:
            return False
        self._locked.add(inode)
        return True


class MakesTwice(Disk):
    """It does not look whether there is one."""

    def open(self, path: Path, flags: int) -> int:
        return super().open(path, flags & ~os.O_EXCL)


class LateWrites(Disk):
    """What is written is there later, as where others' writes are not looked for when a file is opened."""

    def write(self, fd: int, buffers: object) -> int:
        return sum(map(len, buffers))  # type: ignore[arg-type, call-overload]


class RenamesByCopying(Disk):
    """As object stores do it: who has the old file open sees the new one under its hands."""

    def rename(self, source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())
        source.unlink()


class LeavesTheOldName(Disk):
    def rename(self, source: Path, target: Path) -> None:
        os.unlink(target)
        os.link(source, target)


class SyncsNoFolders(Disk):
    def sync_directory(self, path: Path) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


MAKES, LOCKS, READS, RENAMES, SYNCS = PROMISES


@pytest.mark.parametrize(
    ("disk", "missing"),
    [
        (LocksOfOnesOwn, LOCKS),
        (NoLocks, f"{LOCKS} (No locks available)"),
        (LocksThatStay, LOCKS),
        (MakesTwice, MAKES),
        (LateWrites, READS),
        (RenamesByCopying, RENAMES),
        (LeavesTheOldName, RENAMES),
        (SyncsNoFolders, f"{SYNCS} (Invalid argument)"),
    ],
)
def test_a_promise_that_is_not_kept_is_named(tmp_path: Path, disk: type[Disk], missing: str) -> None:
    """In words; and what was made for the try is gone."""
    assert missing in broken(tmp_path, disk())
    assert list(tmp_path.iterdir()) == []
    if disk is not LateWrites:
        assert broken(tmp_path, disk()) == [missing]


def test_where_nothing_can_be_made(tmp_path: Path) -> None:
    """That is another trouble than a promise that is not kept."""
    with pytest.raises(FileNotFoundError):
        broken(tmp_path / "nowhere")


def test_the_file_system_of_a_path(tmp_path: Path) -> None:
    """The innermost one, and the last that was mounted there; a name that only begins alike is another place."""
    mounts = tmp_path / "mounts"
    real = os.fspath(tmp_path.resolve())
    escaped = real.replace(" ", "\\040")
    mounts.write_text(
        "/dev/a / ext4 rw,relatime 0 0\n"
        f"/dev/b {escaped}/data vfat rw 0 0\n"
        f"server:/e {escaped}/data nfs4 rw,hard,vers=4.2 0 0\n"
        f"/dev/c {escaped}/data2 xfs rw 0 0\n"
        f"/dev/d {escaped}/with\\040a\\040space btrfs rw 0 0\n"
    )
    for name, kind in {
        "data": "nfs4",
        "data/blobs": "nfs4",
        "data2": "xfs",
        "data22": "ext4",
        "with a space/x": "btrfs",
        "": "ext4",
    }.items():
        assert mount_of(tmp_path / name, mounts).kind == kind, name
    assert mount_of(tmp_path / "data", mounts).options == {"rw", "hard", "vers=4.2"}
    (tmp_path / "link").symlink_to(tmp_path / "data2")
    assert mount_of(tmp_path / "link", mounts).kind == "xfs"
    assert mount_of(tmp_path, tmp_path / "no-such-file") == Mount()
