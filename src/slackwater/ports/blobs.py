"""Where bytes live: blobs that are written once, and logs that grow."""

from collections.abc import AsyncIterator, Sequence
from io import BufferedReader
from typing import Protocol

from msgspec import Struct


class BlobRange(Struct, frozen=True, kw_only=True):
    """Some bytes of a blob."""

    key: str
    offset: int
    length: int


class BlobStat(Struct, frozen=True):
    """A blob as it is now."""

    size: int
    checksum: int | None
    """CRC-32 of all of it; None where nobody has read it since it was last touched."""
    fresh: bool = False
    """Somebody has, or has written it, so short a while ago that it need not be compared again."""


class BlobLog(Protocol):
    """A blob that grows. What `append` returned survives a crash; what it did not return may or may not be there."""

    async def append(self, data: Sequence[bytes], *, durable: bool = True) -> BlobRange:
        """Writes the parts one after another and returns where they lie, once they are durable.

        Where they are not to be `durable`, they are only readable: a power cut may take them, and the caller knows how to
        `restore` them. The next durable append makes all before it durable, too.

        Raises StorageFull where there is no room; nothing of `data` counts then, and append may be called again.
        """
        ...

    async def close(self) -> None:
        """Lets go of the blob. It stays readable."""
        ...


class BlobWriter(Protocol):
    """A new blob being written. Nobody sees it before `publish`; `discard` leaves nothing behind."""

    size: int
    checksum: int
    """CRC-32 of all bytes, once they are published."""

    async def write(self, data: bytes) -> None:
        """Adds bytes. Raises StorageFull."""
        ...

    async def copy(self, source: BlobRange) -> int:
        """Adds a range of another blob without carrying it through memory, and returns its CRC-32.

        Raises StorageFull, and OSError where that blob is gone or ends too soon.
        """
        ...

    async def publish(self, *, named: bool = True) -> None:
        """Makes the blob durable, then visible under its key.

        Where it is not `named`, its name is durable with the next one that is published in the same folder.
        """
        ...

    async def discard(self) -> None:
        """Removes what was written. Harmless after `publish`."""
        ...


class BlobStore(Protocol):
    """Bytes under keys (`files/...`, `logs/...`; what was set aside, `lost/...`). Keys are ours, never a user's text."""

    async def create(self, key: str) -> BlobWriter:
        """Starts a new blob, replacing one of the same key when it is published."""
        ...

    async def open_log(self, key: str) -> BlobLog:
        """Starts a new growing blob. The key must not have been used before."""
        ...

    async def restore(self, place: BlobRange, data: bytes) -> bool:
        """Writes bytes of a log again that a power cut has taken, and makes them durable; returns whether it had."""
        ...

    async def read(self, source: BlobRange) -> bytes:
        """The bytes of a range; fewer only where the blob ends."""
        ...

    def stream(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of a blob in pieces of bounded size."""
        ...

    def stream_whole(self, key: str, *, size: int, checksum: int) -> AsyncIterator[bytes]:
        """All bytes of a blob in such pieces.

        Raises OSError instead of giving the last one out where they are not `size` bytes with that checksum.
        """
        ...

    def reader(self, key: str) -> BufferedReader:
        """A blocking reader from the start of a blob, for work that runs in an Offload. The store itself is picklable."""
        ...

    async def stat(self, key: str) -> BlobStat:
        """How a blob is. Raises OSError; one that is not there is a FileNotFoundError."""
        ...

    async def checksum(self, key: str) -> int:
        """CRC-32 of a whole blob, which is read for it. Raises OSError."""
        ...

    async def names(self, prefix: str, *, untouched_seconds: float = 0.0) -> list[str]:
        """The next parts of the keys below a prefix that ends in `/`, like a directory listing.

        With `untouched_seconds`, of those alone that were last written to so long ago, by the store's own clock.
        """
        ...

    async def delete(self, key: str) -> None:
        """Removes a blob, or every blob below a key that ends in `/`. Missing ones are fine."""
        ...

    async def set_aside(self, key: str, *, under: str) -> None:
        """Moves the same to `lost/{under}/{key}` instead, out of everybody's way. Missing ones are fine."""
        ...
