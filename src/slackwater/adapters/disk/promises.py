"""What a data directory has to do, done once each: a file system that does not keep one of these loses or doubles results.

What only another machine can see is in `announcements`. Costs some tens of milliseconds, most of it for fsync.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from slackwater.adapters.disk.disk import Disk, write_all
from slackwater.core.files.shared_directory import Mount

OLD, NEW = b"what was there\n", b"what is there now\n"
MOUNTS = Path("/proc/self/mounts")


def mount_of(path: Path, mounts: Path = MOUNTS) -> Mount:
    """The file system that a path is on, as Linux tells it; elsewhere nothing can be told."""
    try:
        lines = [line.split(b" ") for line in mounts.read_bytes().splitlines()]
    except OSError:
        return Mount()
    real, found, kind, options = os.fsencode(path.resolve()), b"", b"", b""
    for _, point, its_kind, its_options, *_ in lines:
        # Spaces in a path are written as their number.
        place = point.decode("latin-1").encode().decode("unicode_escape").encode("latin-1")
        above = place if place.endswith(b"/") else place + b"/"
        # Of two on one place the later one is seen.
        if (real + b"/").startswith(above) and len(above) >= len(found):
            found, kind, options = above, its_kind, its_options
    return Mount(kind=kind.decode("utf-8", "replace"), options=frozenset(options.decode("utf-8", "replace").split(",")))


def broken(folder: Path, disk: Disk | None = None) -> list[str]:
    """Which promises a file system does not keep, in words; any folder on it will do. Raises OSError where none can be made."""
    disk = disk or Disk()
    place = folder / f"try.{secrets.token_hex(8)}"
    place.mkdir(mode=0o700)
    try:
        found = []
        for what, kept in PROMISES.items():
            try:
                if not kept(disk, place):
                    found.append(what)
            except OSError as error:
                found.append(f"{what} ({error.strerror})")
        return found
    finally:
        disk.remove_tree(place)


def _written(disk: Disk, path: Path, data: bytes) -> None:
    descriptor = disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(disk, descriptor, [data])
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


def _makes_once(disk: Disk, place: Path) -> bool:
    made = disk.open(place / "once", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.close(made)
    try:
        os.close(disk.open(place / "once", os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return True
    return False


def _locks(disk: Disk, place: Path) -> bool:
    one, other = (disk.open(place / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    try:
        if not disk.lock(one) or disk.lock(other) or disk.lock(other, shared=True):
            return False
        os.close(one)
        one = -1
        return disk.lock(other)
    finally:
        for each in (one, other):
            if each >= 0:
                os.close(each)


def _is_read(disk: Disk, place: Path) -> bool:
    before = disk.open(place / "read", os.O_RDWR | os.O_CREAT)
    try:
        _written(disk, place / "read", NEW)
        return os.pread(before, len(NEW), 0) == NEW and (place / "read").read_bytes() == NEW
    finally:
        os.close(before)


def _renames(disk: Disk, place: Path) -> bool:
    _written(disk, place / "name", OLD)
    _written(disk, place / "name.part", NEW)
    before = disk.open(place / "name", os.O_RDONLY)
    try:
        disk.rename(place / "name.part", place / "name")
        # Who has the old one open reads it to its end.
        whole = os.pread(before, len(OLD), 0) == OLD
        return whole and (place / "name").read_bytes() == NEW and not (place / "name.part").exists()
    finally:
        os.close(before)


def _syncs(disk: Disk, place: Path) -> bool:
    _written(disk, place / "synced", NEW)
    disk.sync_directory(place)
    return True


PROMISES: dict[str, Callable[[Disk, Path], bool]] = {
    "of two who make one file at once, one is told that it is there": _makes_once,
    "a lock (flock) that one has keeps another one out": _locks,
    "what has been written and closed is read by whoever opens it": _is_read,
    "a rename puts a file in the place of another one in one step": _renames,
    "fsync of files and folders": _syncs,
}
