"""The lock of a data directory: the kernel's, on an open file, so that a process that is killed lets go of it.

The file stays where there is something to lock. Whoever has made it, and leaves nothing else there, takes it away again, and the
directory too where that was made for it: a start that is refused on a place that is not mounted changes nothing in that place.
"""

import contextlib
import fcntl
import os
from pathlib import Path

NAME = "slackwater.lock"
# The folder of those who share a directory, which has nothing in it when they have gone (adapters/disk/announcements).
MEMBERS = "members"


class Held(Exception):
    """Somebody has it: a process, by its number."""


class DirectoryLock:
    """The lock, held until it is let go or the process ends."""

    def __init__(self, path: Path, *, shared: bool) -> None:
        """Makes the directory if it is missing. Raises Held where somebody has it, and OSError."""
        self._path = path
        self._made = [each for each in (path, *path.parents) if not os.path.lexists(each)]
        self._before = frozenset(os.listdir(path) if path.is_dir() and os.access(path, os.R_OK) else ())
        self._file = -1
        while self._file < 0:
            self._file = self._open(shared=shared)

    def _open(self, *, shared: bool) -> int:
        """The open file with its lock; -1 where somebody has taken it away in between."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = self._path / NAME
        try:
            opened = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            if self._path.is_dir():
                raise
            return -1
        try:
            fcntl.flock(opened, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(opened), name.stat()):
                    return opened
        except BlockingIOError as error:
            owner = os.pread(opened, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(opened)
            raise Held(owner) from error
        except BaseException:
            # Where there are no locks, nobody has one.
            self._take_away()
            os.close(opened)
            raise
        os.close(opened)
        return -1

    def sign(self) -> None:
        """Leaves the number of the process for whoever is refused. The lock is what counts, and a full disk may have no room."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets go of it. May be repeated."""
        if self._file < 0:
            return
        if NAME not in self._before:
            with contextlib.suppress(OSError):
                # Nobody else has the directory then, and who has opened the file meanwhile sees that it has gone.
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._take_away()
        os.close(self._file)
        self._file = -1

    def _take_away(self) -> None:
        with contextlib.suppress(OSError):
            if NAME in self._before:
                return
            if MEMBERS not in self._before:
                with contextlib.suppress(OSError):
                    (self._path / MEMBERS).rmdir()
            if frozenset(os.listdir(self._path)) - {NAME} == self._before:
                (self._path / NAME).unlink()
                for each in self._made:
                    each.rmdir()
