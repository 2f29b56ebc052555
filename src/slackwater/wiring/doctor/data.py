"""The data directory: whether it can be written to and kept, how much room there is, and who has it."""

import contextlib
import fcntl
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path

from slackwater.adapters.disk.data_directory import RESTORING
from slackwater.adapters.disk.place import LOST
from slackwater.adapters.disk.promises import broken, mount_of
from slackwater.config import Config
from slackwater.core.errors import DataDirectoryError, StorageTrouble
from slackwater.core.files.shared_directory import doubts_of
from slackwater.wiring.doctor.finding import Finding, fault, note, ok, warning

ABOUT = "data directory"
INODES_MIN = 1_000
# Whoever may read everything may make files there that the service may not write.
RUN_AS = "run the doctor as the user of the service, with its environment: sudo -E -u {name} slackwater doctor ..."


def holder_of(path: Path) -> int | None:
    """The process that has the data directory; 0 where somebody has it whose number cannot be read; None: nobody."""
    try:
        lock = os.open(path / "slackwater.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        return int(owner) if owner.isdigit() else 0
    finally:
        os.close(lock)
    return None


def closed(path: Path) -> Finding | None:
    """What is to be said, instead of all else, of a directory that this user may not look into; None where it may."""
    try:
        try:
            owner = path.stat().st_uid
        except FileNotFoundError:
            return None
        if os.access(path, os.R_OK | os.X_OK) and (os.access(path, os.W_OK) or owner in (0, os.geteuid())):
            return None
    except PermissionError:
        return fault(ABOUT, f"{path} is in a folder that this user may not look into", RUN_AS.format(name="USER"))
    except NotADirectoryError:
        return None
    return fault(
        ABOUT, f"{path} is closed to this user: it belongs to {_name_of(owner)}", RUN_AS.format(name=_name_of(owner))
    )


def _name_of(owner: int) -> str:
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return f"#{owner}"


def guarded(about: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """What a look finds; where it meets a file that this user may not read, or that goes meanwhile, that is the finding."""
    try:
        return look()
    except OSError as error:
        message = f"{error.filename or 'a file'} cannot be looked at: {error.strerror or error}"
        return [fault(about, message, RUN_AS.format(name="USER"))]
    except (DataDirectoryError, StorageTrouble) as error:
        return [fault(about, str(error), RUN_AS.format(name="USER"))]


def data_findings(path: Path, config: Config, holder: int | None) -> list[Finding]:
    """What is to be said of the directory and its disk."""
    if not path.exists():
        parent = next(each for each in path.absolute().parents if each.exists())
        if not os.access(parent, os.W_OK | os.X_OK):
            return [
                fault(ABOUT, f"{path} is not there and cannot be made", f"make it, or let this user write to {parent}")
            ]
        return [note(ABOUT, f"{path} is not there; the first start makes it"), *_room(parent, config)]
    found = []
    if holder is not None:
        found.append(note(ABOUT, f"{path} is in use by a server (pid {holder or 'unknown'})"))
    if (path / RESTORING).exists():
        found.append(fault(ABOUT, f"a restore into {path} has not ended", "repeat it: slackwater restore"))
    try:
        _try_disk(path)
    except OSError as error:
        found.append(
            fault(
                ABOUT,
                f"{path} cannot be written to durably: {error.strerror}",
                "let the user of the service write there, on a file system with fdatasync and locks",
            )
        )
    else:
        found.append(ok(ABOUT, f"{path} can be written to, with fdatasync and locks"))
    if path.is_dir() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        found.append(warning(ABOUT, f"{path} can be read by others on this machine", f"chmod 700 {path}"))
    shared = bool(config.database)
    for doubt in doubts_of(mount_of(path), shared=shared):
        found.append((fault if doubt.refused else warning)(ABOUT, f"{path} {doubt.message}", doubt.fix))
    if shared:
        found += _promises(path)
    return [*found, *_lost(path, config), *_room(path, config)]


def _lost(path: Path, config: Config) -> list[Finding]:
    """What sweeps have put aside, where there is any."""
    sizes = [
        Path(folder, name).stat().st_size
        for place in (path / LOST, path / "blobs" / LOST)
        for folder, _, names in os.walk(place)
        for name in names
    ]
    if not sizes:
        return []
    days = config.server.lost_keep_days
    message = (
        f"{len(sizes)} files ({sum(sizes) >> 20:,} MiB) that no ledger named are in {path / LOST}, each for {days} days"
    )
    return [note("lost", message, "if somebody misses one, take it from there; see docs/operating.md")]


def _try_disk(path: Path) -> None:
    """Does once what a server does all the time. Raises OSError. Leaves nothing."""
    probe = path / f"doctor.{os.getpid()}"
    descriptor = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, b"slackwater doctor")
        os.fdatasync(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # What SQLite locks with.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.replace(probe, renamed := probe.with_suffix(".renamed"))
        probe = renamed
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            probe.unlink()


def _promises(path: Path) -> list[Finding]:
    """What several servers need of the file system that they have the directory on."""
    about = "shared directory"
    try:
        missing = broken(path)
    except OSError as error:
        missing = [f"files and folders can be made ({error.strerror})"]
    if not missing:
        return [ok(about, f"{path} has locks, renames in one step and fsync, seen from this machine")]
    fix = "use NFS 4 or a cluster file system; see docs/shared-directory.md"
    return [fault(about, f"{path} does not keep what several servers need: {each}", fix) for each in missing]


def _room(path: Path, config: Config) -> list[Finding]:
    disk = os.statvfs(path)
    free, floor, upload = disk.f_bavail * disk.f_frsize, config.server.free_bytes_min, config.limits.upload_bytes
    about = "disk space"
    if free < floor:
        return [fault(about, f"{free >> 20:,} MiB are free, less than [server] free_bytes_min", "make room")]
    # An input, its results in the logs, and the files that are made of them.
    if free < 3 * upload:
        return [
            warning(
                about,
                f"{free >> 20:,} MiB are free, which one batch of the largest size ({upload >> 20:,} MiB) may fill",
                "make room, or lower [limits] upload_bytes",
            )
        ]
    if disk.f_files and disk.f_favail < INODES_MIN:
        return [warning(about, f"only {disk.f_favail:,} more files can be made (inodes)", "remove small files there")]
    return [ok(about, f"{free >> 20:,} MiB are free")]
