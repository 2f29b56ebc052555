"""Words of the servers that have a data directory together, by which each sees whether it is one and the same for all of them.

Each has a file in the folder `members`, and a lock on it for as long as it lives. Who sees the file has the same folder, or a
copy of it; who sees that the file is locked has the same one, on a file system whose locks hold over machines. In the file is a
nonce: another server gives it back in a file of its own, and so each knows that others see what it writes. A version before this
one leaves an empty file, of which nothing is expected.
"""

import asyncio
import contextlib
import os
import secrets
from pathlib import Path

from slackwater.adapters.disk.disk import Disk, write_all

# Words are short; whatever else is in such a file is none.
WORD_BYTES_MAX = 200


class Announcements:
    """Those in one data directory, as one member of those who have it sees them."""

    def __init__(self, data: Path, disk: Disk | None = None) -> None:
        self._folder = data / "members"
        self._disk = disk or Disk()
        self._lock = -1
        self._nonce = ""

    @property
    def folder(self) -> Path:
        """Where they are, made if it is missing. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return self._folder

    def announce(self, member: str) -> bool:
        """Leaves word of a member, before it is one. False where its lock is somebody else's. Raises OSError."""
        self._nonce = secrets.token_hex(16)
        self._lock = self._disk.open(self.folder / member, os.O_RDWR | os.O_CREAT)
        # Before anything is in it: who reads a word expects the lock.
        if not self._disk.lock(self._lock):
            return False
        write_all(self._disk, self._lock, [self._nonce.encode()])
        self._disk.sync(self._lock)
        return True

    def announced(self) -> set[str]:
        """Who has left word."""
        return {name for name in self._names() if "." not in name}

    def locked(self, member: str) -> bool | None:
        """Whether the lock of a member's word is held, by whom it may be. None: it has left none, or one without a lock."""
        with contextlib.suppress(FileNotFoundError):
            word = self._disk.open(self._folder / member, os.O_RDONLY)
            try:
                return not self._disk.lock(word, shared=True) if os.pread(word, WORD_BYTES_MAX, 0) else None
            finally:
                os.close(word)
        return None

    def lives(self, member: str) -> bool | None:
        """Whether the process of a member is known to live, or to have ended: a kernel has its lock, or has let go of it.

        None: nobody knows.
        """
        try:
            return self.locked(member)
        except OSError:
            return None

    async def alive(self, member: str) -> bool | None:
        """The same, for whoever may not wait for a file system."""
        return await asyncio.to_thread(self.lives, member)

    def answer(self, me: str, member: str) -> bool | None:
        """Gives a member's nonce back. None where its word is not seen; False where it does not ask for that. Raises OSError."""
        nonce = self._read(member)
        if nonce:
            answer = self._disk.open(self._folder / f"{member}.{me}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                write_all(self._disk, answer, [nonce])
            finally:
                os.close(answer)
        return None if nonce is None else bool(nonce)

    def answered(self, me: str, member: str) -> bool:
        """Whether a member has given back this one's nonce."""
        name = f"{me}.{member}"
        # Looked for among all names: what has been asked for before it is there, NFS believes to be missing for a minute.
        return name in self._names() and self._read(name) == self._nonce.encode()

    def forget(self, member: str) -> None:
        """Removes the word of one that is none any more, or none here, and all answers to it and of it."""
        for name in self._names():
            if member in name.split("."):
                self.remove(name)

    def close(self) -> None:
        """Lets go of this one's lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def left_at(self, name: str) -> float:
        """When that was. Raises OSError."""
        return (self._folder / name).stat().st_mtime

    def strays(self, members: set[str]) -> set[str]:
        """Everything there that is of none of those."""
        return {name for name in self._names() if not members.intersection(name.split("."))}

    def remove(self, name: str) -> None:
        """Removes one of those, or what is left of a try. Whoever cannot leaves it."""
        path = self._folder / name
        with contextlib.suppress(OSError):
            if path.is_dir():
                self._disk.remove_tree(path)
            else:
                path.unlink(missing_ok=True)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._folder)
        except FileNotFoundError:
            return []

    def _read(self, name: str) -> bytes | None:
        try:
            word = self._disk.open(self._folder / name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return os.pread(word, WORD_BYTES_MAX, 0)
        finally:
            os.close(word)
