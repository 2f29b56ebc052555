"""A new blob as a file with a temporary name, until it is published under its own."""

import os
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from io import FileIO
from pathlib import Path

from zlib_ng.zlib_ng import crc32

from slackwater.adapters.disk.disk import BUFFERS_MAX, write_all
from slackwater.adapters.disk.place import PART, Place
from slackwater.core.files.checksum import joined
from slackwater.ports import BlobRange

# Bytes that a writer collects before it goes to a thread.
PIECE = 1 << 20
# Bytes that one thread copies before a cancelled caller is heard: some ten milliseconds.
COPY_PIECE = 32 << 20
# Bytes of a new blob that wait in the page cache before the disk is asked to begin. The sync in `publish` then has at
# most these left: an upload takes as long as its bytes or the disk, not as long as both.
SYNC_AHEAD = 8 << 20


class DiskWriter:
    """A new blob under its temporary name. Small writes are collected, so that a thread is asked once a mebibyte.

    The disk begins to work while the bytes still come.

    After a failure the file's content is unknown, and a second sync may claim what the first one lost: it can then only
    be discarded.
    """

    def __init__(self, place: Place, path: Path) -> None:
        self._place = place
        self._path = path
        # A name of its own: two who make the same blob at once must not write into one file.
        self._part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}")
        self._fd: int | None = None
        self._ended = False
        self._sound = True
        self._collected: list[bytes] = []
        self._collected_bytes = 0
        self._written = 0
        self._sync_begun = 0
        self.size = 0
        self.checksum = 0
        """CRC-32 of what has reached the file; of all of it after `publish`."""

    async def _step(self, function: Callable[[int], None]) -> None:
        """Runs one step of the file's life with its descriptor. The first one makes the file."""
        assert not self._ended, "a blob that has ended takes nothing more"
        assert self._sound, "a blob that has failed can only be discarded"
        self._sound = False
        await self._place.run(self._on_file, function)
        self._sound = True

    def _on_file(self, function: Callable[[int], None]) -> None:
        if self._fd is None:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._fd = self._place.disk.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        function(self._fd)

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
        write_all(self._place.disk, fd, data)
        for piece in data:
            self.checksum = crc32(piece, self.checksum)
        self._sync_ahead(fd, sum(map(len, data)))

    def _sync_ahead(self, fd: int, written: int) -> None:
        self._written += written
        if self._written - self._sync_begun >= SYNC_AHEAD:
            self._place.disk.begin_sync(fd, self._sync_begun, self._written - self._sync_begun)
            self._sync_begun = self._written

    async def copy(self, source: BlobRange) -> int:
        """Adds a range of another blob and returns its checksum. Raises OSError where that blob ends too soon."""
        await self._flush()
        end = source.offset + source.length
        copied = _Sum()
        for start in range(source.offset, end, COPY_PIECE):
            await self._step(partial(self._copy, source.key, start, min(start + COPY_PIECE, end), copied))
        self.size += source.length
        self.checksum = joined(self.checksum, copied.value, source.length)
        return copied.value

    def _copy(self, key: str, offset: int, end: int, added: "_Sum", target: int) -> None:
        with FileIO(self._place.path(key)) as file:
            while offset < end:
                copied = self._place.disk.copy(file.fileno(), offset, target, end - offset)
                if not copied:
                    raise OSError(f"{key} ends at byte {offset}, and byte {end} was asked for")
                # The kernel has just had them in its hands, so this asks no disk.
                added.read(file.fileno(), offset, copied)
                offset += copied
                self._sync_ahead(target, copied)

    async def sync(self) -> None:
        """Makes the bytes durable, without a name yet."""
        await self._flush()
        await self._step(self._place.disk.sync)

    async def publish(self, *, named: bool = True) -> None:
        """Data first, then the name, then the directories that lead to it, unless somebody else's name comes at once."""
        collected, self._collected, self._collected_bytes = self._collected, [], 0

        def work(fd: int) -> None:
            # What is small costs one turn of a thread in all.
            if collected:
                self._write(collected, fd)
            if self.size:
                self._place.disk.sync(fd)
            self._place.disk.rename(self._part, self._path)
            if named:
                self._place.sync_name(self._path)
            self._place.checksums.keep(self._path, os.fstat(fd), self.checksum)
            self._fd = None
            os.close(fd)

        await self._step(work)
        self._ended = True
        self._place.refuses_writes = False

    async def discard(self) -> None:
        """Removes the temporary file. Harmless after `publish`, and when repeated."""
        self._collected.clear()
        self._ended = True
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
            await self._place.run(self._place.disk.remove, self._part)


class _Sum:
    """The checksum of what was copied."""

    def __init__(self) -> None:
        self.value = 0

    def read(self, fd: int, offset: int, length: int) -> None:
        """Adds these bytes of a file."""
        end = offset + length
        while offset < end and (piece := os.pread(fd, min(PIECE, end - offset), offset)):
            self.value = crc32(piece, self.value)
            offset += len(piece)
