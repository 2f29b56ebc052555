"""Blobs as objects below one prefix of an object store; a blob is one object, and a log a chain of them (`chains`)."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from io import BufferedReader

from obstore.exceptions import BaseError
from zlib_ng.zlib_ng import crc32

from slackwater.adapters.object_store.calls import Calls
from slackwater.adapters.object_store.chains import Chains, object_of
from slackwater.adapters.object_store.errors import translated
from slackwater.adapters.object_store.log import ObjectLog
from slackwater.adapters.object_store.place import Place
from slackwater.adapters.object_store.reading import reader_of
from slackwater.adapters.object_store.writer import ObjectWriter
from slackwater.ports import BlobRange, BlobStat

# Most bytes of a piece of a stream, and about as many as one look at a body brings.
STREAM_PIECE = (1 << 20) - (1 << 12)
# How often a body that broke off is asked for again from there, without a byte in between.
TRIES = 5
# Checksums that are remembered, and how long one need not be compared again.
CHECKSUMS_MAX = 10_000
FRESH_SECONDS = 3600.0
# Objects that are moved at once.
MOVED_AT_ONCE = 8
# Rounds of a removal in which others remove, too.
ROUNDS_MAX = 5
# As much as a small batch of results: where this fits, work can go on.
PROBE_BYTES = 1 << 12
PROBE = "probe"
PROBES = "probes"
# What says to which ledger they belong.
MARK = "slackwater.mark"
# Where what no ledger names lies, and where logs do.
LOST, LOGS = "lost", "logs"
# How names end that are in nobody's list.
PART = ".part"


class ObjectBlobs:
    """The BlobStore of an object store. A blob that is not there is a FileNotFoundError; no store, FilesUnavailable."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._calls = Calls(place)
        self._chains = Chains(self._calls)
        # By key: what the store calls these bytes, or None where it was not asked yet; size, checksum, and since when.
        self._checksums: dict[str, tuple[str | None, int, int, float]] = {}

    def __reduce__(self) -> tuple[type["ObjectBlobs"], tuple[Place]]:
        # Another process gets connections of its own.
        return ObjectBlobs, (self._place,)

    @property
    def shown(self) -> str:
        """How people know the store."""
        return self._place.shown

    @property
    def refuses_writes(self) -> bool:
        """Whether the last write failed, or takes very long."""
        return self._calls.refuses_writes

    async def try_write(self) -> None:
        """Writes an object that means nothing. Raises what a write raises; else the store refuses no more."""
        await self._calls.put(PROBE, bytes(PROBE_BYTES))

    # Of `try_out`.
    REQUESTS = 7

    async def try_out(self, name: str) -> float:
        """Does everything once that a server does, with an object of this name below `probes/`, and removes it.

        Returns by how many seconds our clock is ahead. Raises OSError where bytes are not what they were, and FilesUnavailable.
        """
        key, data = f"{PROBES}/{name}", secrets.token_bytes(PROBE_BYTES)
        await self._calls.put(key, data, create=True)
        try:
            apart = time.time() - (await self._calls.head(key))["last_modified"].timestamp()
            try:
                await self._calls.put(key, b"other bytes", create=True)
            except FileExistsError:
                pass
            else:
                raise OSError(f"{self.shown}: it has replaced an object that was to be new; it is no store for results")
            there = await self.read(BlobRange(key=key, offset=0, length=PROBE_BYTES))
            some = await self.read(BlobRange(key=key, offset=7, length=9))
            if (there, some) != (data, data[7:16]) or name not in await self.names(f"{PROBES}/"):
                raise OSError(f"{self.shown}: what was written is not what is read")
        finally:
            await self.delete(key)
        return apart

    async def create(self, key: str) -> ObjectWriter:
        """Starts a blob. Nothing is asked of the store before there is a part of it."""
        return ObjectWriter(self._calls, self, _checked(key))

    def wrote(self, key: str, size: int, checksum: int) -> None:
        """A blob has been published here, and this is what it is."""
        self._remember(key, None, size, checksum)

    async def open_log(self, key: str) -> ObjectLog:
        """Starts a log. Nothing is asked of the store before the first append."""
        return ObjectLog(self._calls, self._chains, _checked(key))

    async def restore(self, place: BlobRange, data: bytes) -> bool:
        """Writes bytes of a log again that are not there; returns whether they were not."""
        with contextlib.suppress(FileNotFoundError):
            there = await self.read(place)
            if len(there) == place.length:
                # They are those, or others; what others are for is said by whoever compares them with their checksums.
                return False
        try:
            await self._calls.put(object_of(_checked(place.key), place.offset), data, create=True)
        except FileExistsError:
            return False
        finally:
            self._chains.forget(place.key + "/")
        return True

    async def read(self, source: BlobRange) -> bytes:
        """The bytes of a range; fewer only where the blob ends."""
        key, end = _checked(source.key), source.offset + source.length
        if _may_be_log(key) and source.length:
            chain = await self._chains.chain(key, end)
            if chain is not None:
                pieces = [
                    await self._chains.read(key, chain, *piece) for piece in list(chain.pieces(source.offset, end))
                ]
                return b"".join(pieces)
        if not source.length:
            return b""
        return await self._calls.bytes_of(key, start=source.offset, end=end)

    async def stream(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of a blob in pieces of at most STREAM_PIECE."""
        end = None if length is None else offset + length
        if length == 0:
            return
        chain = await self._chains.chain(key, end) if _may_be_log(_checked(key)) else None
        if chain is None:
            async with aclosing(self._object(key, offset, end)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        for number, start, upto in list(chain.pieces(offset, chain.end if end is None else end)):
            while start < upto:
                stop = min(upto, start + STREAM_PIECE)
                yield await self._chains.read(key, chain, number, start, stop)
                start = stop

    async def _object(self, key: str, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        """The bytes of an object. What breaks off is asked for again from there, as long as it is the same object."""
        tag, failures = None, 0
        while end is None or start < end:
            try:
                answer = await self._calls.get(key, start=start, end=end, tag=tag)
            except EOFError:
                return
            tag, upto = answer.meta["e_tag"], answer.range[1]
            try:
                async for body in answer.stream(min_chunk_size=STREAM_PIECE // 2):
                    view = memoryview(body)
                    for at in range(0, len(view), STREAM_PIECE):
                        piece = bytes(view[at : at + STREAM_PIECE])
                        start, failures = start + len(piece), 0
                        yield piece
            except (BaseError, OSError) as error:
                failures += 1
                if failures == TRIES:
                    raise translated(error, self.shown, key) from None
            else:
                if start >= upto:
                    return
                failures += 1
                if failures == TRIES:
                    raise OSError(f"{key} ends at byte {start}, and byte {upto} was promised")

    async def stream_whole(self, key: str, *, size: int, checksum: int) -> AsyncIterator[bytes]:
        """A whole blob in such pieces.

        Raises OSError instead of giving the last one out where they are not `size` bytes with that checksum.
        """
        left, found = size, 0
        if not left:
            return
        pieces = self._object(_checked(key), 0, size)
        async with aclosing(pieces):
            async for piece in pieces:
                left, found = left - len(piece), crc32(piece, found)
                if not left:
                    break
                yield piece
        if left or found != checksum:
            raise OSError(f"{key} is not what was written")
        self._remember(key, None, size, found)
        yield piece

    def reader(self, key: str) -> BufferedReader:
        """A blocking reader from the start of a blob."""
        return reader_of(self._place, _checked(key))

    async def stat(self, key: str) -> BlobStat:
        """How many bytes a blob has, and their checksum where it is known."""
        meta = await self._calls.head(_checked(key))
        tag, size, checksum, at = self._checksums.get(key, (None, -1, 0, 0.0))
        if size != meta["size"] or tag not in (None, meta["e_tag"]):
            return BlobStat(meta["size"], None)
        if tag is None:
            self._checksums[key] = (meta["e_tag"], size, checksum, at)
        return BlobStat(size, checksum, time.monotonic() - at < FRESH_SECONDS)

    def _remember(self, key: str, tag: str | None, size: int, checksum: int) -> None:
        self._checksums.pop(key, None)
        if len(self._checksums) >= CHECKSUMS_MAX:
            del self._checksums[next(iter(self._checksums))]
        self._checksums[key] = (tag, size, checksum, time.monotonic())

    async def checksum(self, key: str) -> int:
        """Reads a whole blob. Known from then on."""
        checksum = size = 0
        async for piece in self._object(_checked(key), 0, None):
            checksum, size = crc32(piece, checksum), size + len(piece)
        self._remember(key, None, size, checksum)
        return checksum

    async def names(self, prefix: str, *, untouched_seconds: float = 0.0) -> list[str]:
        """The next parts of the keys below `prefix`, sorted.

        With `untouched_seconds`, of those alone that were last written to so long ago, by the clock of the store.
        """
        found = await self._calls.names(_checked(prefix))
        folders = [each.rstrip("/") for each in found["common_prefixes"]]
        touched = {each["path"]: each["last_modified"].timestamp() for each in found["objects"]}
        if untouched_seconds:
            before = await self._now() - untouched_seconds
            for folder in folders:
                inside = await self._calls.below(folder + "/")
                touched[folder] = max((each["last_modified"].timestamp() for each in inside), default=float("inf"))
            paths = [path for path, at in touched.items() if at < before]
        else:
            paths = [*folders, *touched]
        return sorted({path.rpartition("/")[2] for path in paths if not path.endswith(PART)})

    async def _now(self) -> float:
        """What time it is for the store."""
        asked = f"now.{secrets.token_hex(4)}{PART}"
        await self._calls.put(asked, b"now")
        try:
            return (await self._calls.head(asked))["last_modified"].timestamp()
        finally:
            await self.delete(asked)

    async def delete(self, key: str) -> None:
        """Removes a blob, or every blob below a key that ends in `/`. Missing ones are fine."""
        if not _checked(key).endswith("/"):
            self._checksums.pop(key, None)
            with contextlib.suppress(FileNotFoundError):
                await self._calls.delete([key])
            return
        self._chains.forget(key)
        for _ in range(ROUNDS_MAX):
            there = await self._calls.below(key)
            if not there:
                return
            try:
                await self._calls.delete([each["path"] for each in there])
                return
            except FileNotFoundError:
                # Somebody else removes the same, and the store has stopped at what had gone.
                continue

    async def set_aside(self, key: str, *, under: str) -> None:
        """Moves a blob, or every blob below a key that ends in `/`, to `lost/{under}/{key}`. A missing one is fine."""
        target, name = f"{LOST}/{under}/{_checked(key)}".removesuffix("/"), key.removesuffix("/")
        while await self._taken(target):
            target += "+"
        sources = [each["path"] for each in await self._calls.below(key)] if key.endswith("/") else [key]
        at_once = asyncio.Semaphore(MOVED_AT_ONCE)

        async def move(source: str) -> None:
            async with at_once:
                with contextlib.suppress(FileNotFoundError):
                    await self._calls.copy(source, target + source.removeprefix(name))
                    await self._calls.delete([source])

        await asyncio.gather(*map(move, sources))
        self._chains.forget(key)

    async def _taken(self, target: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            await self._calls.head(target)
            return True
        found = await self._calls.names(target + "/")
        return bool(found["objects"] or found["common_prefixes"])

    async def mark(self) -> bytes | None:
        """What `write_mark` wrote last; None where nothing was."""
        try:
            return await self._calls.bytes_of(MARK)
        except FileNotFoundError:
            return None

    async def write_mark(self, data: bytes) -> None:
        """Says durably to which ledger the blobs belong."""
        await self._calls.put(MARK, data)

    async def has_blobs(self) -> bool:
        """Whether there are any, but for what was set aside."""
        found = await self._calls.names("")
        return any(each.rstrip("/") not in (LOST, PROBES) for each in found["common_prefixes"])

    async def contents(self) -> dict[str, int]:
        """The size of every blob, by its key; a log is all of its objects. The mark is none, nor is what trials leave."""
        found: dict[str, int] = {}
        for path, size in (await self._calls.sizes()).items():
            if path in (MARK, PROBE) or path.startswith(PROBES + "/") or _asks(path):
                continue
            key = path.rpartition("/")[0] if _may_be_log(path) else path
            found[key] = found.get(key, 0) + size
        return found

    async def sweep_parts(self, *, untouched_seconds: float) -> int:
        """Removes what asks for the time have left (`now.*.part`) that long ago; returns how many."""
        found = await self._calls.names("")
        old = [each for each in found["objects"] if each["path"].endswith(PART)]
        if not old:
            return 0
        before = await self._now() - untouched_seconds
        for each in (gone := [each for each in old if each["last_modified"].timestamp() < before]):
            await self.delete(each["path"])
        return len(gone)


def _may_be_log(key: str) -> bool:
    return key.startswith(LOGS + "/")


def _checked(key: str) -> str:
    """Keys are made by us; this is the second lock on the door. Raises ValueError."""
    parts = key.removesuffix("/").split("/")
    if any(part in ("", ".", "..") or "\0" in part or part.endswith(PART) for part in parts) and not _asks(key):
        raise ValueError(f"not a key: {key!r}")
    return key


def _asks(key: str) -> bool:
    return key.startswith("now.") and "/" not in key
