"""A new blob as an object. It comes into being whole, with the last request: nobody sees it before."""

import asyncio
from typing import TYPE_CHECKING, Protocol

import obstore
from zlib_ng.zlib_ng import crc32

from slackwater.adapters.object_store.calls import Calls
from slackwater.core.errors import FilesUnavailable
from slackwater.ports import BlobRange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from obstore import AsyncWritableFile

# Bytes that are collected before they are handed over.
PIECE = 1 << 20
# A part of an upload. What is smaller is one request in all. 10,000 parts, as S3 has them at most, are 78 GiB.
PART_BYTES = 8 << 20
# Parts on their way at once.
PARTS_AT_ONCE = 2


class _Source(Protocol):
    """Whoever can read blobs."""

    def stream(self, key: str, *, offset: int = 0, length: int | None = None) -> "AsyncIterator[bytes]": ...

    def wrote(self, key: str, size: int, checksum: int) -> None: ...


class ObjectWriter:
    """A new object, in parts where it is large. After a failure it can only be discarded.

    Two that are written under one key at once are never mixed: the one that is published last is there; with Azure, whose parts
    belong to a name, a large one may have to be written again. Every attempt has a key of its own, so that is for the others who
    use this.
    """

    def __init__(self, calls: Calls, source: _Source, key: str) -> None:
        self._calls = calls
        self._source = source
        self._key = key
        self._file: AsyncWritableFile | None = None
        self._collected: list[bytes] = []
        self._collected_bytes = 0
        self._ended = False
        self._sound = True
        self.size = 0
        self.checksum = 0

    async def write(self, data: bytes) -> None:
        """Adds bytes; they are handed over a mebibyte at a time."""
        assert not self._ended, "a blob that has ended takes nothing more"
        self._collected.append(bytes(data))
        self._collected_bytes += len(data)
        self.size += len(data)
        if self._collected_bytes >= PIECE:
            await self._flush()

    async def _flush(self) -> None:
        assert self._sound, "a blob that has failed can only be discarded"
        piece = b"".join(self._collected)
        self._collected, self._collected_bytes = [], 0
        if not piece:
            return
        if self._file is None:
            self._file = obstore.open_writer_async(
                self._calls.store, self._key, buffer_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )
        file = self._file
        self._sound = False
        self.checksum = crc32(piece, self.checksum)
        await self._calls.ask(self._key, lambda: file.write(piece), again=False, writes=self.size > PART_BYTES)
        self._sound = True

    async def copy(self, source: BlobRange) -> int:
        """Adds a range of another blob, which comes by way of this process a piece at a time, and returns its checksum."""
        checksum = copied = 0
        if source.length:
            async for piece in self._source.stream(source.key, offset=source.offset, length=source.length):
                checksum = crc32(piece, checksum)
                copied += len(piece)
                await self.write(piece)
        if copied < source.length:
            end = source.offset + source.length
            raise OSError(f"{source.key} ends at byte {source.offset + copied}, and byte {end} was asked for")
        return checksum

    async def publish(self, *, named: bool = True) -> None:
        """The last request: all of a small blob, or the word that the parts are one."""
        assert not self._ended, "a blob that has ended is not published again"
        if self._file is None:
            await self._publish_small()
        else:
            await self._flush()
            file = self._file
            self._sound = False
            try:
                await self._calls.ask(self._key, file.close, again=False, writes=True)
            except (OSError, FilesUnavailable) as error:
                # The answer may have been lost and not the request; sent again, that one is refused.
                if not await self._is_there():
                    if isinstance(error, FilesUnavailable):
                        raise
                    # Not that a blob is missing: the parts are.
                    raise FilesUnavailable(f"{self._key} could not be made of its parts: {error}") from None
        self._file, self._ended = None, True
        self._source.wrote(self._key, self.size, self.checksum)

    async def _publish_small(self) -> None:
        body = b"".join(self._collected)
        self._collected, self._collected_bytes = [], 0
        self.checksum = crc32(body, self.checksum)
        await self._calls.put(self._key, body)

    async def _is_there(self) -> bool:
        """Whether the store has what was to be published."""
        try:
            if (await self._calls.head(self._key))["size"] != self.size:
                return False
            checksum = 0
            async for piece in self._source.stream(self._key):
                checksum = crc32(piece, checksum)
        except (OSError, FilesUnavailable):
            return False
        return checksum == self.checksum

    async def discard(self) -> None:
        """Gives up the parts. Harmless after `publish`, and when repeated.

        What cannot be given up now costs room until the bucket's own rule takes it; see docs/object-stores.md.
        """
        self._collected, self._collected_bytes = [], 0
        self._ended = True
        file, self._file = self._file, None
        if file is not None and self.size > PART_BYTES:
            gone = asyncio.ensure_future(_abort(file))
            await asyncio.wait((gone,), timeout=1.0)


async def _abort(file: "AsyncWritableFile") -> None:
    try:
        await file.__aexit__(InterruptedError, InterruptedError(), None)
    except Exception:
        # It was not needed, and nobody waits for it.
        return
