"""What the kind of a file system says of a data directory that is on it, for one server and for several that have it together.

What can be tried out is tried out (`adapters/disk/promises.py`); here is what only a power cut, or another machine, would show.
"""

from msgspec import Struct

NFS = frozenset({"nfs", "nfs4"})
CIFS = frozenset({"cifs", "smb3", "smbfs"})
# Locks and shared memory of SQLite's are not reliable between machines.
NETWORK = NFS | CIFS | {"9p", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse"}
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
LAYERS = frozenset({"overlay", "aufs"})
WITHOUT_RIGHTS = frozenset({"vfat", "msdos", "exfat"})
# Object stores and the like that look like folders. Locks are each machine's own, or none; a rename is a copy.
NOT_SHARED = frozenset(
    {
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.goofys",
        "fuse.rclone",
        "fuse.mount-s3",
        "fuse.blobfuse",
        "fuse.blobfuse2",
        "fuse.davfs",
        "davfs",
    }
)
# Of those that go over FUSE, what is known to have locks over machines.
CLUSTERED = frozenset({"fuse.ceph", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.juicefs", "fuse.mfs", "fuse.lizardfs"})
ON_NFS = "mount it with vers=4.1 or later, hard, and none of nolock, local_lock, nocto and soft"


class Mount(Struct, frozen=True, kw_only=True):
    """The file system that a path is on: its kind, as the system names it, and how it is mounted. Empty: that cannot be told."""

    kind: str = ""
    options: frozenset[str] = frozenset()


class Doubt(Struct, frozen=True, kw_only=True):
    """Something that a data directory may not do, and what to do about it. `refused`: several servers cannot have it together."""

    message: str
    fix: str
    refused: bool = False


def doubts_of(mount: Mount, *, shared: bool) -> list[Doubt]:
    """What is to be said of a data directory there; `shared`: several servers have it together. The worst comes first."""
    kind, found = mount.kind, []
    if kind in IN_MEMORY:
        found.append(
            Doubt(message=f"is in memory ({kind}): all of it is gone when this machine starts again", fix="use a disk")
        )
    elif kind in LAYERS:
        message = f"is in a container's own layer ({kind}), and goes with the container"
        found.append(Doubt(message=message, fix="mount a volume there"))
    elif kind in WITHOUT_RIGHTS:
        message = (
            f"is on {kind}, which has no rights and no journal: a power cut may take it, and anybody here may read it"
        )
        found.append(Doubt(message=message, fix="use another file system, such as ext4 or xfs"))
    elif shared:
        found += _shared(mount)
    elif kind in NETWORK:
        message = f"is on {kind}, where the ledger's locks do not hold"
        found.append(Doubt(message=message, fix="use a disk of this machine's own", refused=True))
    return sorted(found, key=lambda each: not each.refused)


def _shared(mount: Mount) -> list[Doubt]:
    kind, options = mount.kind, mount.options
    if kind in NFS:
        return _nfs(options)
    if kind in CIFS:
        broken = sorted(options & {"nobrl", "nolock", "cache=loose"})
        if broken:
            message = f"is on {kind} with {', '.join(broken)}: others see neither locks nor what is written"
            return [Doubt(message=message, fix="use NFS 4, or mount it without", refused=True)]
        return [Doubt(message=f"is on {kind}, which nobody has tried with several servers", fix="use NFS 4")]
    if kind == "9p":
        message = "is on 9p, where locks mostly are each machine's own"
        return [Doubt(message=message, fix="use NFS 4 where servers are on several machines")]
    if kind in NOT_SHARED:
        message = f"is on {kind}, which has no locks over machines and no rename in one step"
        return [Doubt(message=message, fix="use NFS 4, or a cluster file system", refused=True)]
    if kind == "lustre" and "flock" not in options:
        message = "is on lustre without flock: servers on other machines do not see its locks"
        return [Doubt(message=message, fix="mount it with flock", refused=True)]
    if kind in ("gfs2", "ocfs2") and "localflocks" in options:
        message = f"is on {kind} with localflocks: servers on other machines do not see its locks"
        return [Doubt(message=message, fix="mount it without localflocks", refused=True)]
    if kind.startswith("fuse") and kind not in CLUSTERED:
        return [Doubt(message=f"is on {kind}, which nobody has tried with several servers", fix="use NFS 4")]
    return []


def _nfs(options: frozenset[str]) -> list[Doubt]:
    found = []
    local = sorted(options & {"nolock", "local_lock=all", "local_lock=flock"})
    if local:
        message = f"is on NFS with {', '.join(local)}: servers on other machines do not see its locks"
        found.append(Doubt(message=message, fix=ON_NFS, refused=True))
    if "nocto" in options:
        message = "is on NFS with nocto: servers on other machines do not see what is written"
        found.append(Doubt(message=message, fix=ON_NFS, refused=True))
    if options & {"vers=2", "vers=3"} and not local:
        message = "is on NFS 3, whose locks are another service's and are lost with it"
        found.append(Doubt(message=message, fix=ON_NFS))
    if soft := sorted(options & {"soft", "softerr"}):
        message = f"is on NFS with {soft[0]}: a file server that is slow for a moment becomes errors"
        found.append(Doubt(message=message, fix=ON_NFS))
    return found
