"""The directory below which blobs lie, as both growing and finished blobs need it: paths, threads, and what a full disk means."""

import os
import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from slackwater.adapters.disk.disk import Disk, Threads, storage_full

T = TypeVar("T")

# Checksums that are remembered, some two hundred bytes each.
CHECKSUMS_MAX = 10_000
# So long nobody asks the disk again what a file is that this process has written or read from its first byte to its last.
FRESH_SECONDS = 3600.0

# How the name of a blob ends that is not published yet.
PART = ".part"
# Where what no ledger names lies: a key that begins so is in a directory beside the blobs, out of their way.
LOST = "lost"


class Checksums:
    """Those of whole blobs, as this process has written or read them. One counts until somebody touches the file."""

    def __init__(self) -> None:
        self.fresh_seconds = FRESH_SECONDS
        self._kept: dict[Path, tuple[tuple[int, int, int], int, float]] = {}
        # Threads of the disk write here.
        self._one_at_a_time = threading.Lock()

    def keep(self, path: Path, stat: os.stat_result, checksum: int) -> None:
        """Remembers one; the oldest goes where there are very many."""
        with self._one_at_a_time:
            self._kept.pop(path, None)
            if len(self._kept) >= CHECKSUMS_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[path] = (_stamp(stat), checksum, time.monotonic())

    def of(self, path: Path, stat: os.stat_result) -> tuple[int | None, bool]:
        """That of a blob, None where it is not known of these bytes; and whether it was seen a short while ago."""
        stamp, checksum, at = self._kept.get(path, (None, 0, 0.0))
        if stamp != _stamp(stat):
            return None, False
        return checksum, time.monotonic() - at < self.fresh_seconds


def _stamp(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


class Place:
    """A directory, the disk that it is on, and whoever waits for that disk."""

    def __init__(
        self, root: Path, *, run: Callable[..., Awaitable[object]] | None = None, disk: Disk | None = None
    ) -> None:
        """`run(function, *arguments)` runs what waits for the disk; the default is a thread.

        It may not raise while the function is still running.
        """
        self.root = root
        self.disk = disk or Disk()
        # Directories at the top whose names are durable.
        self._lasting: set[Path] = set()
        self.refuses_writes = False
        """Whether there was no room for the last bytes that should have become durable."""
        self.checksums = Checksums()
        self._run: Callable[..., Awaitable[object]] = run or Threads()
        if not root.is_dir():
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.disk.sync_directory(root.parent)
        # A move must stay on one disk. Where the blobs are on another one than the data directory, it lies among them.
        beside = root.stat().st_dev == root.parent.stat().st_dev
        self.lost = root.with_name(LOST) if beside else root / LOST

    def path(self, key: str) -> Path:
        """Where a key lies. Keys are made by us; this is the second lock on the door. Raises ValueError."""
        parts = key.removesuffix("/").split("/")
        if any(part in ("", ".", "..") or "\0" in part or part.endswith(PART) for part in parts):
            raise ValueError(f"not a key: {key!r}")
        if parts[0] == LOST:
            return self.lost.joinpath(*parts[1:])
        return self.root.joinpath(*parts)

    def now(self) -> float:
        """What time it is for the disk, which may be another machine's. Runs where waiting is allowed."""
        asked = self.root / f"now.{secrets.token_hex(4)}{PART}"
        fd = self.disk.open(asked, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            return os.fstat(fd).st_mtime
        finally:
            os.close(fd)
            self.disk.remove(asked)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Runs what waits for the disk; a full disk becomes StorageFull."""
        try:
            return await self._run(function, *arguments)  # type: ignore[return-value]
        except OSError as error:
            full = storage_full(error, self.root)
            if full is None:
                raise
            self.refuses_writes = True
            raise full from error

    def sync_name(self, path: Path) -> None:
        """Makes the name of a blob durable. Its directories may be as new as it is.

        Those at the top stay for good, so their own names need that only once.
        """
        while path not in (self.root, self.lost.parent):
            below, path = path, path.parent
            if path == self.root and below in self._lasting:
                return
            self.disk.sync_directory(path)
            if path == self.root and below.is_dir():
                self._lasting.add(below)
