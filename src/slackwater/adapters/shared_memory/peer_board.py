"""Servers of ours on one host, by what they write into files of its memory: one small file for each server and engine.

It is written whenever something changes, because a word that is half a second old is as good as none: whatever has been sent
since would be taken for online users. Nobody waits for anybody: who reads a file while it is written gets some old numbers
with some new ones, and the next look is right. The lock of a file is the kernel's: it is gone with its process, and the next
who comes by removes the file.
"""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import stat
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from slackwater.core.sending.engine_names import one_name
from slackwater.core.sending.peers import Word
from slackwater.ports import Clock
from slackwater.telemetry import event

# A word so old was said by somebody who is not there any more.
SILENT_SECONDS = 3.0
# More servers than that at one engine are not heard.
PEERS_MAX = 32
MEMORY = Path("/dev/shm")  # noqa: S108
FORM = struct.Struct("<8sqq?7xqdddddd")
MARK = b"slackw01"


def usual_directory() -> Path:
    """That of this user on this host, where nobody has named another one."""
    return (MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())) / f"slackwater-{os.getuid()}"


def _network() -> int:
    try:
        return os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return 0


class HostBoard:
    """All engines of this process (the PeerBoard of ports)."""

    def __init__(self, directory: Path, clock: Clock, *, name: str) -> None:
        """`name` is this process's, and no other's."""
        self._directory = directory
        self._clock = clock
        self._name = name
        self._seats: list[HostSeat] = []
        self._told = False

    def seat(self, engine: str) -> "HostSeat":
        """A place where one user of an engine speaks and listens."""
        name = one_name(engine)
        if "://localhost" in name:
            # Each container may have a localhost of its own.
            name += f" of {_network()}"
        digest = hashlib.blake2b(name.encode(), digest_size=12).hexdigest()
        seat = HostSeat(self, self._directory, self._clock, digest, f"{self._name}-{len(self._seats)}")
        self._seats.append(seat)
        return seat

    def try_out(self) -> None:
        """Whether the directory can be used, which is said where it cannot: before anybody relies on being heard there."""
        path = self._directory / f"try-{self._name}"
        try:
            file = self.take(path)
        except OSError as error:
            self.unheard(error)
        else:
            _give_up(file, path)

    def take(self, path: Path) -> int:
        """Makes a file in the directory, and the directory; nobody else may have it. Raises OSError where it cannot be used."""
        with contextlib.suppress(FileExistsError):
            self._directory.mkdir(mode=0o700)
        _look_at(self._directory)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file

    def unheard(self, error: OSError) -> None:
        """It does not work here. Other servers of ours are online users then; said once."""
        if not self._told:
            self._told = True
            event("peers_unheard", level=logging.WARNING, directory=str(self._directory), reason=str(error.strerror))

    def close(self) -> None:
        """Says goodbye."""
        for seat in self._seats:
            seat.close()


class HostSeat:
    """One engine, for one who uses it."""

    def __init__(self, board: HostBoard, directory: Path, clock: Clock, engine: str, name: str) -> None:
        self._board = board
        self._directory = directory
        self._clock = clock
        self._engine = f"{engine}-"
        self._path = directory / f"{engine}-{name}"
        self._file: int | None = None
        self._broken = False
        self._said = 0
        # The number of each one's last word, and when it was new: their clock may not be ours.
        self._heard: dict[str, tuple[int, float]] = {}

    def say(self, word: Word) -> None:
        """What others are to know from now on."""
        if self._broken:
            return
        self._said += 1
        counts = word.reading, word.reading_tokens, word.window, word.seconds, word.sent, word.looked_up, word.found
        try:
            if self._file is None:
                self._file = self._board.take(self._path)
            os.pwrite(self._file, FORM.pack(MARK, self._said, word.out, word.wants, *counts), 0)
        except OSError as error:
            self._broken = True
            self._board.unheard(error)
            self.close()

    def hear(self) -> Mapping[str, Word]:
        """What others at the engine say now, by name."""
        now = self._clock.monotonic()
        words: dict[str, Word] = {}
        before, self._heard = self._heard, {}
        for name in self._names():
            number, word = _read(self._directory / name)
            if word is None:
                continue
            last, since = before.get(name, (None, -SILENT_SECONDS))
            if number != last:
                # Whoever is seen for the first time may have died long ago: the second word counts.
                since = now if last is not None else now - SILENT_SECONDS
            self._heard[name] = number, since
            if now - since < SILENT_SECONDS:
                words[name] = word
            elif last is not None:
                _sweep(self._directory / name)
        return words

    def _names(self) -> list[str]:
        try:
            found = os.listdir(self._directory)
        except OSError:
            return []
        return sorted(name for name in found if name.startswith(self._engine) and name != self._path.name)[:PEERS_MAX]

    def close(self) -> None:
        """Its last word is taken back."""
        if self._file is not None:
            _give_up(self._file, self._path)
            self._file = None


def why_unusable(directory: Path) -> str:
    """Why nobody is heard there, as far as that shows without making anything; empty where nothing speaks against it."""
    try:
        if os.path.lexists(directory):
            _look_at(directory)
        elif not directory.parent.is_dir():
            return f"there is no folder {directory.parent} in which it could be made"
        else:
            _look_into(directory.parent)
    except OSError as error:
        return str(error.strerror)
    return ""


def _look_at(directory: Path) -> None:
    """Raises OSError where it cannot be used, or is somebody else's."""
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, os.getuid()):
        raise PermissionError(errno.EPERM, "it is no directory of this user")
    _look_into(directory)


def _look_into(directory: Path) -> None:
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"this user cannot write to {directory}")


def _give_up(file: int, path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(file)


def _read(path: Path) -> tuple[int, Word | None]:
    with _opened(path) as file:
        if file is not None:
            try:
                data = os.pread(file, FORM.size, 0)
            except OSError:
                # A pipe, or a directory.
                return 0, None
            if len(data) == FORM.size:
                mark, number, out, wants, *counts = FORM.unpack(data)
                reading, reading_tokens, window, seconds, *prompts = counts
                if mark == MARK:
                    return number, Word(out, window, seconds, wants, reading, reading_tokens, *prompts)
    return 0, None


def _sweep(path: Path) -> None:
    """Removes the file of a process that is dead. One that only says nothing has its lock."""
    with _opened(path) as file:
        if file is None:
            return
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield None
        return
    try:
        yield file
    finally:
        os.close(file)
