"""The directory that one Slackwater owns at a time: a lock, the ledger's file, the blobs, and the mark of their ledger.

The lock is the kernel's, on an open file: a process that is killed lets go of it, and nothing has to be cleaned up.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import msgspec

from slackwater.adapters.disk.disk import Disk, write_all
from slackwater.adapters.disk.place import LOST, PART
from slackwater.core.errors import DataDirectoryError
from slackwater.core.files.belonging import Mark

# Its name in a directory says that a restore has begun there and not ended.
RESTORING = "restore.unfinished"
# The mark of the ledger that the blobs were last served with.
MARK = "slackwater.mark"
# Word from whoever may write here that the clock is right, although it has jumped.
CONFIRMED = "clock.confirmed"


def _unusable(path: Path, error: OSError) -> DataDirectoryError:
    return DataDirectoryError(
        f"data directory {path} cannot be used: {error.strerror}; correct its permissions, or name another one"
    )


def mark_in(path: Path) -> Mark | None:
    """The mark of a data directory; None where it has none that can be told. Raises DataDirectoryError where it is not given."""
    try:
        return msgspec.json.decode((path / MARK).read_bytes(), type=Mark)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    except OSError as error:
        raise _unusable(path, error) from error


def confirm_clock(path: Path) -> None:
    """Leaves word for the server that uses this directory. Raises OSError."""
    (path / CONFIRMED).touch(mode=0o600)


def keys_in(path: Path) -> Iterator[str]:
    """The blobs of a data directory, by their keys; what was never finished, or was put aside, is none."""
    root = path / "blobs"
    for directory, folders, names in os.walk(root):
        if Path(directory) == root and LOST in folders:
            folders.remove(LOST)
        for name in names:
            if not name.endswith(PART):
                yield Path(directory, name).relative_to(root).as_posix()


def bytes_in(path: Path) -> bool:
    """Whether a data directory has blobs."""
    return next(keys_in(path), None) is not None


class DataDirectory:
    """An opened data directory; ours until it is closed or the process ends."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, path: Path, *, restoring: bool = False) -> "DataDirectory":
        """Makes the directory if it is missing and takes the lock. Raises DataDirectoryError with the way out.

        Half a restore is refused, except to the one who is `restoring`: what is missing would count as deleted.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / "slackwater.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (FileExistsError, NotADirectoryError) as error:
            raise DataDirectoryError(f"{path} is not a directory; name another one for the data") from error
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.access(path, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except BlockingIOError as error:
            owner = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise DataDirectoryError(
                f"data directory {path} is in use by another slackwater (pid {owner}): stop it first, "
                "or give this one its own --data directory"
            ) from error
        except OSError as error:
            os.close(lock)
            raise _unusable(path, error) from error
        if not restoring and (path / RESTORING).exists():
            os.close(lock)
            raise DataDirectoryError(
                f"a restore into {path} has not ended: repeat it with 'slackwater restore BACKUP --data {path}'"
            )
        # The lock is what counts. The pid is for the reader of the message above, and a full disk may have no room for it.
        with contextlib.suppress(OSError):
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        return cls(path, lock)

    @staticmethod
    def ledger_in(path: Path) -> Path:
        """Where the SQLite database of a data directory is."""
        return path / "ledger.sqlite"

    @property
    def ledger_path(self) -> Path:
        """The SQLite database."""
        return self.ledger_in(self.path)

    @property
    def blobs_path(self) -> Path:
        """The root of the blobs."""
        return self.path / "blobs"

    def write_mark(self, mark: Mark) -> None:
        """Says durably which ledger the blobs belong to. Raises OSError; then the mark is what it was."""
        disk, part = Disk(), self.path / (MARK + PART)
        written = disk.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_all(disk, written, [msgspec.json.encode(mark) + b"\n"])
            disk.sync(written)
        finally:
            os.close(written)
        disk.rename(part, self.path / MARK)
        disk.sync_directory(self.path)

    def clock_confirmed(self) -> bool:
        """Whether somebody has left word that the clock is right (`confirm_clock`); it counts once."""
        try:
            (self.path / CONFIRMED).unlink()
        except OSError:
            return False
        return True

    def remove_mark(self) -> None:
        """Says nothing of a ledger any more, as a directory that is new."""
        disk = Disk()
        disk.remove(self.path / MARK)
        disk.sync_directory(self.path)

    def close(self) -> None:
        """Lets go of the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> "DataDirectory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
