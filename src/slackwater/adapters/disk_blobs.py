"""Blobs as files below one directory. A new blob has a temporary name until its bytes are on disk; a log only grows.

Waiting for the disk happens on threads. What `publish` and `append` returned survives a power cut: data is synced before
the rename, and the directories that lead to the name after it.
"""

import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from io import FileIO
from pathlib import Path
from typing import BinaryIO, TypeVar

from slackwater.adapters.disk import BUFFERS_MAX, Threads, storage_full, write_all
from slackwater.adapters.disk import Disk as Disk
from slackwater.adapters.disk_log import DiskLog
from slackwater.ports import BlobRange

T = TypeVar("T")

# Bytes that a writer collects before it goes to a thread, and the size of the pieces of a stream.
PIECE = 1 << 20
# Bytes that one thread copies before a cancelled caller is heard: some ten milliseconds.
COPY_PIECE = 32 << 20
# Bytes of a new blob that wait in the page cache before the disk is asked to begin. The sync in `publish` then has at
# most these left: an upload takes as long as its bytes or the disk, not as long as both.
SYNC_AHEAD = 8 << 20
PART = ".part"
# As much as a small batch of results: where this fits, work can go on.
PROBE_BYTES = 1 << 16


class DiskBlobs:
    """The BlobStore of one machine. A blob that is not there is a FileNotFoundError."""

    def __init__(
        self, root: Path, *, run: Callable[..., Awaitable[object]] | None = None, disk: Disk | None = None
    ) -> None:
        """`run(function, *arguments)` runs what waits for the disk; the default is a thread.

        It may not raise while the function is still running.
        """
        self.root = root
        self._run: Callable[..., Awaitable[object]] = run or Threads()
        self.disk = disk or Disk()
        self.refuses_writes = False
        """Whether there was no room for the last bytes that should have become durable."""
        if not root.is_dir():
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.disk.sync_directory(root.parent)

    def __reduce__(self) -> tuple[type["DiskBlobs"], tuple[Path]]:
        # Another process gets its own threads and the real disk.
        return DiskBlobs, (self.root,)

    def path(self, key: str) -> Path:
        """Where a key lies. Keys are made by us; this is the second lock on the door. Raises ValueError."""
        parts = key.removesuffix("/").split("/")
        if any(part in ("", ".", "..") or "\0" in part or part.endswith(PART) for part in parts):
            raise ValueError(f"not a key: {key!r}")
        return self.root.joinpath(*parts)

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

    async def try_write(self) -> None:
        """Writes a blob that nobody sees. Raises StorageFull; else the store refuses no more."""
        writer = await self.create("probe")
        try:
            await writer.write(bytes(PROBE_BYTES))
            await writer.sync()
        finally:
            await writer.discard()
        self.refuses_writes = False

    async def free_bytes(self) -> int:
        """How many bytes this process may still write to the disk."""
        disk = await self.run(os.statvfs, self.root)
        return disk.f_bavail * disk.f_frsize

    def sync_name(self, path: Path) -> None:
        """Makes the name of a blob durable. Its directories may be as new as it is."""
        while path != self.root:
            path = path.parent
            self.disk.sync_directory(path)

    async def create(self, key: str) -> "DiskWriter":
        """Starts a blob under a temporary name. Raises StorageFull."""
        writer = DiskWriter(self, self.path(key))
        try:
            await self.run(writer.start)
        except BaseException:
            await writer.discard()
            raise
        return writer

    async def open_log(self, key: str) -> "DiskLog":
        """Starts a log. Raises StorageFull, and FileExistsError where the key has been used."""
        log = DiskLog(self, key)
        try:
            await self.run(log.start)
        except BaseException:
            await log.close()
            raise
        return log

    async def read(self, source: BlobRange) -> bytes:
        """The bytes of a range; fewer only where the blob ends."""

        def work() -> bytes:
            # Buffered, because only that reads on after a short read; large reads bypass the buffer.
            with open(self.path(source.key), "rb") as file:
                file.seek(source.offset)
                return file.read(source.length)

        return await self.run(work)

    async def stream(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of a blob in pieces of at most PIECE; what is deleted meanwhile is still read to its end."""
        path = self.path(key)

        def start() -> FileIO:
            file = FileIO(path)
            file.seek(offset)
            return file

        file = await self.run(start)
        try:
            left = length
            while left is None or left > 0:
                piece = await self.run(file.read, PIECE if left is None else min(PIECE, left))
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece
        finally:
            file.close()

    def reader(self, key: str) -> BinaryIO:
        """A blocking reader from the start of a blob, with a small buffer."""
        return open(self.path(key), "rb", buffering=1 << 18)

    async def size(self, key: str) -> int:
        """How many bytes a blob has."""
        return (await self.run(os.stat, self.path(key))).st_size

    async def names(self, prefix: str) -> list[str]:
        """The next parts of the keys below `prefix`, sorted; what is not published is not there."""

        def work() -> list[str]:
            try:
                return sorted(name for name in os.listdir(self.path(prefix)) if not name.endswith(PART))
            except (FileNotFoundError, NotADirectoryError):
                return []

        return await self.run(work)

    async def delete(self, key: str) -> None:
        """Removes a blob, or every blob below a key that ends in `/`. Missing ones are fine."""
        remove = self.disk.remove_tree if key.endswith("/") else self.disk.remove
        await self.run(remove, self.path(key))

    async def sweep_parts(self) -> int:
        """Removes what a crash left half written; returns how many. Only for a store that nobody writes to yet."""

        def work() -> int:
            parts = list(self.root.rglob("*" + PART))
            for part in parts:
                self.disk.remove(part)
            return len(parts)

        return await self.run(work)


class DiskWriter:
    """A new blob under its temporary name. Small writes are collected, so that a thread is asked once a mebibyte.

    The disk begins to work while the bytes still come.

    After a failure the file's content is unknown, and a second sync may claim what the first one lost: it can then only
    be discarded.
    """

    def __init__(self, blobs: DiskBlobs, path: Path) -> None:
        self._blobs = blobs
        self._path = path
        # A name of its own: two who make the same blob at once must not write into one file.
        self._part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}")
        self._fd: int | None = None
        self._sound = True
        self._collected: list[bytes] = []
        self._collected_bytes = 0
        self._written = 0
        self._sync_begun = 0
        self.size = 0

    def start(self) -> None:
        """Makes the file. Runs where waiting is allowed."""
        self._part.parent.mkdir(parents=True, exist_ok=True)
        self._fd = self._blobs.disk.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)

    async def _step(self, function: Callable[[int], None]) -> None:
        """Runs one step of the file's life with its descriptor."""
        assert self._fd is not None, "a blob that has ended takes nothing more"
        assert self._sound, "a blob that has failed can only be discarded"
        self._sound = False
        await self._blobs.run(function, self._fd)
        self._sound = True

    async def write(self, data: bytes) -> None:
        """Adds bytes; they reach the file a mebibyte at a time, or earlier where they come in crumbs."""
        self._collected.append(bytes(data))
        self._collected_bytes += len(data)
        self.size += len(data)
        if self._collected_bytes >= PIECE or len(self._collected) >= BUFFERS_MAX:
            await self._flush()

    async def _flush(self) -> None:
        collected, self._collected, self._collected_bytes = self._collected, [], 0
        if collected:
            await self._step(partial(self._write, collected))

    def _write(self, data: Sequence[bytes], fd: int) -> None:
        write_all(self._blobs.disk, fd, data)
        self._sync_ahead(fd, sum(map(len, data)))

    def _sync_ahead(self, fd: int, written: int) -> None:
        self._written += written
        if self._written - self._sync_begun >= SYNC_AHEAD:
            self._blobs.disk.begin_sync(fd, self._sync_begun, self._written - self._sync_begun)
            self._sync_begun = self._written

    async def copy(self, source: BlobRange) -> None:
        """Adds a range of another blob. Raises OSError where that blob ends too soon."""
        await self._flush()
        end = source.offset + source.length
        for start in range(source.offset, end, COPY_PIECE):
            await self._step(partial(self._copy, source.key, start, min(start + COPY_PIECE, end)))
        self.size += source.length

    def _copy(self, key: str, offset: int, end: int, target: int) -> None:
        with FileIO(self._blobs.path(key)) as file:
            while offset < end:
                copied = self._blobs.disk.copy(file.fileno(), offset, target, end - offset)
                if not copied:
                    raise OSError(f"{key} ends at byte {offset}, and byte {end} was asked for")
                offset += copied
                self._sync_ahead(target, copied)

    async def sync(self) -> None:
        """Makes the bytes durable, without a name yet."""
        await self._flush()
        await self._step(self._blobs.disk.sync)

    async def publish(self) -> None:
        """Data first, then the name, then the directories that lead to it."""
        await self._flush()

        def work(fd: int) -> None:
            self._blobs.disk.sync(fd)
            self._blobs.disk.rename(self._part, self._path)
            self._blobs.sync_name(self._path)
            self._fd = None
            os.close(fd)

        await self._step(work)
        self._blobs.refuses_writes = False

    async def discard(self) -> None:
        """Removes the temporary file. Harmless after `publish`, and when repeated."""
        self._collected.clear()
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
            await self._blobs.run(self._blobs.disk.remove, self._part)
