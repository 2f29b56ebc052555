"""Blobs as files below one directory. A new blob has a temporary name until its bytes are on disk; a log only grows.

Waiting for the disk happens on threads. What `publish` and `append` returned survives a power cut: data is synced before
the rename, and the directories that lead to the name after it.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from io import BufferedReader, FileIO
from pathlib import Path

from zlib_ng.zlib_ng import crc32

from slackwater.adapters.disk.disk import Disk as Disk
from slackwater.adapters.disk.disk import write_all
from slackwater.adapters.disk.log import DiskLog
from slackwater.adapters.disk.place import LOST, PART, Place
from slackwater.adapters.disk.writer import DiskWriter
from slackwater.ports import BlobRange, BlobStat

# As much as a small batch of results: where this fits, work can go on.
PROBE_BYTES = 1 << 16
# A piece of a stream: with its head it is less than what the memory of this process gives pages of their own, which would
# have to be fetched and given back for every piece (`adapters/work/allocator`).
STREAM_PIECE = (1 << 20) - (1 << 12)
# Pieces that a thread reads before it asks whether it is still wanted: some ten milliseconds.
PIECES_AT_ONCE = 16


class DiskBlobs:
    """The BlobStore of one machine. A blob that is not there is a FileNotFoundError."""

    def __init__(
        self, root: Path, *, run: Callable[..., Awaitable[object]] | None = None, disk: Disk | None = None
    ) -> None:
        """`run(function, *arguments)` runs what waits for the disk; the default is a thread.

        It may not raise while the function is still running.
        """
        self._place = Place(root, run=run, disk=disk)

    def __reduce__(self) -> tuple[type["DiskBlobs"], tuple[Path]]:
        # Another process gets its own threads and the real disk.
        return DiskBlobs, (self._place.root,)

    @property
    def root(self) -> Path:
        """The directory below which everything lies."""
        return self._place.root

    def path(self, key: str) -> Path:
        """Where a key lies. Raises ValueError for what is no key of ours."""
        return self._place.path(key)

    @property
    def refuses_writes(self) -> bool:
        """Whether there was no room for the last bytes that should have become durable."""
        return self._place.refuses_writes

    async def try_write(self) -> None:
        """Writes a blob that nobody sees. Raises StorageFull; else the store refuses no more."""
        writer = await self.create("probe")
        try:
            await writer.write(bytes(PROBE_BYTES))
            await writer.sync()
        finally:
            await writer.discard()
        self._place.refuses_writes = False

    async def free_bytes(self) -> int:
        """How many bytes this process may still write to the disk."""
        disk = await self._place.run(os.statvfs, self._place.root)
        return disk.f_bavail * disk.f_frsize

    async def create(self, key: str) -> DiskWriter:
        """Starts a blob under a temporary name; its file is made with the first bytes that go to the disk."""
        return DiskWriter(self._place, self._place.path(key))

    async def open_log(self, key: str) -> DiskLog:
        """Starts a log. Raises StorageFull, and FileExistsError where the key has been used."""
        log = DiskLog(self._place, key)
        try:
            await self._place.run(log.start)
        except BaseException:
            await log.close()
            raise
        return log

    async def restore(self, place: BlobRange, data: bytes) -> bool:
        """Writes bytes of a log again that a power cut has taken; returns whether it had. What lies around them stays."""
        path, disk = self._place.path(place.key), self._place.disk

        def is_there() -> bool:
            # What cannot be read is written again.
            with contextlib.suppress(OSError), FileIO(path) as file:
                return os.pread(file.fileno(), place.length, place.offset) == data
            return False

        def work() -> bool:
            if is_there():
                return False
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = disk.open(path, os.O_WRONLY | os.O_CREAT)
            try:
                os.lseek(fd, place.offset, os.SEEK_SET)
                write_all(disk, fd, [data])
                disk.sync(fd)
            finally:
                os.close(fd)
            self._place.sync_name(path)
            return True

        return await self._place.run(work)

    async def read(self, source: BlobRange) -> bytes:
        """The bytes of a range; fewer only where the blob ends."""

        def work() -> bytes:
            # Buffered, because only that reads on after a short read; large reads bypass the buffer.
            with open(self._place.path(source.key), "rb") as file:
                file.seek(source.offset)
                return file.read(source.length)

        return await self._place.run(work)

    async def stream(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of a blob in pieces of at most STREAM_PIECE; what is deleted meanwhile is still read to its end."""
        path = self._place.path(key)

        def start() -> FileIO:
            file = FileIO(path)
            file.seek(offset)
            return file

        file = await self._place.run(start)
        try:
            left = length
            while left is None or left > 0:
                piece = await self._place.run(file.read, STREAM_PIECE if left is None else min(STREAM_PIECE, left))
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece
        finally:
            file.close()

    async def stream_whole(self, key: str, *, size: int, checksum: int) -> AsyncIterator[bytes]:
        """A whole blob in such pieces. A piece is read and summed up while the one before it is on its way to whoever waits.

        Raises OSError instead of giving the last one out where they are not `size` bytes with that checksum.
        """
        path = self._place.path(key)
        file = await self._place.run(FileIO, path)

        def read(most: int, so_far: int) -> tuple[bytes, int]:
            piece = file.read(most)
            return piece, crc32(piece, so_far)

        left, found = size, 0
        reading = asyncio.ensure_future(self._place.run(read, min(STREAM_PIECE, left), found))
        try:
            while left > 0:
                piece, found = await reading
                left -= len(piece)
                if (not piece or left == 0) and (left or found != checksum):
                    raise OSError(f"{key} is not what was written")
                if not left:
                    self._place.checksums.keep(path, os.fstat(file.fileno()), found)
                if left:
                    reading = asyncio.ensure_future(self._place.run(read, min(STREAM_PIECE, left), found))
                yield piece
        finally:
            # Whoever closes a file that a thread reads gives its number to somebody else's.
            await asyncio.wait((reading,))
            reading.cancelled() or reading.exception()
            file.close()

    def reader(self, key: str) -> BufferedReader:
        """A blocking reader from the start of a blob, with a small buffer."""
        return BufferedReader(FileIO(self._place.path(key)), 1 << 18)

    async def stat(self, key: str) -> BlobStat:
        """How many bytes a blob has, and their checksum where it is known."""
        path = self._place.path(key)
        stat = await self._place.run(os.stat, path)
        return BlobStat(stat.st_size, *self._place.checksums.of(path, stat))

    async def checksum(self, key: str) -> int:
        """Reads a whole blob on a thread, in turns that others can come between. Known from then on."""
        path = self._place.path(key)
        checksum = 0

        def work(file: FileIO) -> bool:
            nonlocal checksum
            for _ in range(PIECES_AT_ONCE):
                piece = file.read(STREAM_PIECE)
                if not piece:
                    return False
                checksum = crc32(piece, checksum)
            return True

        file = await self._place.run(FileIO, path)
        try:
            before = os.fstat(file.fileno())
            while await self._place.run(work, file):
                pass
            self._place.checksums.keep(path, before, checksum)
        finally:
            file.close()
        return checksum

    async def names(self, prefix: str, *, untouched_seconds: float = 0.0) -> list[str]:
        """The next parts of the keys below `prefix`, sorted; what is not published is not there.

        With `untouched_seconds`, of those alone that were last written to so long ago.
        """

        def work() -> list[str]:
            folder = self._place.path(prefix)
            try:
                names = sorted(name for name in os.listdir(folder) if not name.endswith(PART))
            except (FileNotFoundError, NotADirectoryError):
                return []
            if not untouched_seconds:
                return names
            before = self._place.now() - untouched_seconds
            return [name for name in names if _touched_at(folder / name) < before]

        return await self._place.run(work)

    async def delete(self, key: str) -> None:
        """Removes a blob, or every blob below a key that ends in `/`. Missing ones are fine."""
        remove = self._place.disk.remove_tree if key.endswith("/") else self._place.disk.remove
        await self._place.run(remove, self._place.path(key))

    async def set_aside(self, key: str, *, under: str) -> None:
        """Moves a blob, or every blob below a key that ends in `/`, to `lost/{under}/{key}`. A missing one is fine."""

        def work() -> None:
            source, target = self._place.path(key), self._place.path(f"{LOST}/{under}/{key}")
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            while target.exists():
                target = target.with_name(target.name + "+")
            # Nothing is synced: whether a power cut leaves it here or there is the same to everybody.
            with contextlib.suppress(FileNotFoundError):
                self._place.disk.rename(source, target)

        await self._place.run(work)

    async def contents(self) -> dict[str, int]:
        """The size of every blob that is published, by its key, but for what was put aside."""

        def work() -> dict[str, int]:
            root, found = self._place.root, dict[str, int]()
            for directory, folders, names in os.walk(root):
                if Path(directory) == root and LOST in folders:
                    folders.remove(LOST)
                for name in names:
                    if not name.endswith(PART):
                        path = Path(directory, name)
                        found[path.relative_to(root).as_posix()] = path.stat().st_size
            return found

        return await self._place.run(work)

    async def sync_folders(self) -> None:
        """Makes all names durable: those of blobs that were published without."""

        def work() -> None:
            for directory, _, _ in os.walk(self._place.root, topdown=False):
                self._place.disk.sync_directory(Path(directory))

        await self._place.run(work)

    async def parts(self) -> list[Path]:
        """What is being written, or was when somebody ended."""
        return await self._place.run(lambda: list(self._place.root.rglob("*" + PART)))

    async def sweep_parts(self, *, found: Sequence[Path] | None = None, untouched_seconds: float = 0.0) -> int:
        """Removes what a crash left half written; returns how many. Only for a store that nobody writes to yet.

        Where others do, only those of `found` that were last written to so long ago.
        """

        def work() -> int:
            parts = list(self._place.root.rglob("*" + PART)) if found is None else found
            if untouched_seconds:
                before = self._place.now() - untouched_seconds
                parts = [part for part in parts if _touched_at(part) < before]
            for part in parts:
                self._place.disk.remove(part)
            return len(parts)

        return await self._place.run(work)


def _touched_at(path: Path) -> float:
    """When something was last written to; what is gone meanwhile counts as new."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
