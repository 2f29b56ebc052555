"""Moves the bytes that a ledger names from one store of blobs to another: many at once, and each is read back before it counts.

Nothing is changed where they come from. To do it again after an interruption is to read what has arrived, and to copy the rest.
What the caller does next makes the new place the one that counts.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

from msgspec import Struct
from zlib_ng.zlib_ng import crc32

from slackwater.core.errors import FilesUnavailable, MoveError
from slackwater.ports import BlobRange, BlobStore

# Blobs that are on their way at once, and how many bytes of memory they may take together.
AT_ONCE, MEMORY_BYTES = 32, 64 << 20
# What one takes at least and at most: a large one has two parts on their way.
COST_MIN, COST_MAX = 1 << 20, 24 << 20
# A log is read and written a piece at a time, with a few of them read ahead.
LOG_COST = 4 << 20
# A log is written in pieces of this size, each an object of a store: so large it is read whole, and the ranges in it are at hand.
LOG_PIECE = 1 << 20
# How often one is begun anew whose store does not answer, or gives back other bytes. Each request is made again for a while, too.
TRIES = 4
# So many that cannot go are named.
NAMED_MAX = 10

Show = Callable[[int, int], None]
"""Takes the bytes that are done, and those that there are."""
KeptTexts = Callable[[str], Sequence[tuple[int, bytes]]]
"""The pieces of a log that the ledger has, by its key: where each begins, and what it is."""


class Wanted(Struct, frozen=True):
    """A blob that is to be moved. No `size`: somebody may still read it, if it is there. No `checksum`: nobody knows it."""

    key: str
    size: int | None
    checksum: int | None
    grows: bool
    """It is a log, and `size` bytes of it count."""
    given_up: bool = False
    """An operator knows that it is gone, or cut off: what is there of it goes, and nobody waits for the rest."""


class Movable(BlobStore, Protocol):
    """A store that can say what is in it."""

    async def contents(self) -> dict[str, int]:
        """The size of every blob, by its key."""
        ...


class Arrived(Struct, frozen=True):
    """What is in the new place: all that is wanted. `copied` bytes were not there before."""

    blobs: int
    size: int
    copied: int
    given_up: tuple[str, ...] = ()
    """Keys of what is not there, or not whole, as an operator knows."""


class _Unsound(Exception):
    """A blob is not what the ledger says, where it comes from."""


class _Gone(Exception):
    """There is nothing of one that was given up."""


class _Differs(Exception):
    """It is not in the new place what it was when it was sent."""


async def move_blobs(
    source: BlobStore, target: Movable, wanted: Sequence[Wanted], *, kept: KeptTexts, show: Show
) -> Arrived:
    """Copies what is wanted and reads it back; what else is in the target goes. Raises MoveError, StorageTrouble, OSError."""
    return await _Move(source, target, wanted, kept, show).done()


class _Memory:
    """Bytes that may be had together; who wants more waits for the others."""

    def __init__(self) -> None:
        self._left = MEMORY_BYTES
        self._news = asyncio.Condition()

    async def take(self, cost: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self._left >= cost)
            self._left -= cost

    async def give(self, cost: int) -> None:
        async with self._news:
            self._left += cost
            self._news.notify_all()


class _Move:
    def __init__(
        self, source: BlobStore, target: Movable, wanted: Sequence[Wanted], kept: KeptTexts, show: Show
    ) -> None:
        self._source = source
        self._target = target
        self._wanted = wanted
        self._kept = kept
        self._show = show
        self._memory = _Memory()
        self._done, self._total = 0, sum(each.size or 0 for each in wanted)
        self._copied = 0
        self._there: Mapping[str, int] = {}
        # How large each is that has arrived; and what is wrong with the others.
        self._sizes: dict[str, int] = {}
        self._faults: list[str] = []
        self._given_up: set[str] = set()

    async def done(self) -> Arrived:
        self._there = await self._target.contents()
        left = iter(self._wanted)

        async def work() -> None:
            for each in left:
                await self._patiently(each)
                if len(self._faults) > NAMED_MAX:
                    return

        workers = [asyncio.create_task(work()) for _ in range(min(AT_ONCE, len(self._wanted)))]
        try:
            await asyncio.gather(*workers)
        finally:
            # A thread may still be in one of them.
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if self._faults:
            raise MoveError(_unsound(self._faults))
        await self._compare()
        given_up = tuple(sorted(self._given_up))
        return Arrived(len(self._sizes), sum(self._sizes.values()), self._copied, given_up)

    async def _compare(self) -> None:
        """The last look: exactly what is wanted is there."""
        there = await self._target.contents()
        apart = [key for key, size in self._sizes.items() if there.get(key) != size]
        if apart:
            raise MoveError(f"{apart[0]} was written, and is not in the new place now: repeat this")
        for key in there.keys() - self._sizes.keys():
            # What an earlier try had brought, and the ledger does not name any more.
            await self._remove(key)

    async def _remove(self, key: str) -> None:
        if key.startswith("logs/"):
            # In a store it is what lies below its key.
            await self._target.delete(key + "/")
        await self._target.delete(key)

    async def _patiently(self, wanted: Wanted) -> None:
        for left in reversed(range(TRIES)):
            try:
                await self._one(wanted)
                return
            except _Gone:
                self._given_up.add(wanted.key)
                return
            except _Unsound as fault:
                self._faults.append(str(fault))
                return
            except _Differs:
                if not left:
                    raise MoveError(
                        f"{wanted.key} is not in the new place what was sent there, {TRIES} times: look at that place, and "
                        "repeat this"
                    ) from None
            except FilesUnavailable as error:
                if not (left and error.passes):
                    raise

    async def _one(self, wanted: Wanted) -> None:
        size = wanted.size
        if size is None:
            try:
                size = (await self._source.stat(wanted.key)).size
            except FileNotFoundError:
                return
        if wanted.grows and not size:
            return
        cost = LOG_COST if wanted.grows else min(max(size, COST_MIN), COST_MAX)
        await self._memory.take(cost)
        try:
            if not await self._is_there(wanted, size):
                copy = self._copy_log if wanted.grows else self._copy
                checksum, there = await copy(wanted, size)
                if there < size:
                    self._given_up.add(wanted.key)
                    size = there
                if await self._checksum(self._target, wanted, size) != checksum:
                    raise _Differs
                self._copied += size
            self._sizes[wanted.key] = size
        finally:
            await self._memory.give(cost)

    async def _is_there(self, wanted: Wanted, size: int) -> bool:
        """Whether an earlier try has brought it, and it is what it should be."""
        if wanted.grows or self._there.get(wanted.key) != size:
            return False
        expected = wanted.checksum
        try:
            if expected is None:
                expected = await self._checksum(self._source, wanted, size)
            same = expected is not None and await self._checksum(self._target, wanted, size) == expected
        except FileNotFoundError:
            return False
        if same:
            self._told(size)
        return same

    async def _copy(self, wanted: Wanted, size: int) -> tuple[int, int]:
        """Copies a blob and returns its checksum, and how many bytes there were: fewer only where it was given up."""
        writer = await self._target.create(wanted.key)
        checksum = read = 0
        try:
            try:
                pieces = self._source.stream(wanted.key)
                async with aclosing(pieces):  # type: ignore[type-var]
                    async for piece in pieces:
                        checksum, read = crc32(piece, checksum), read + len(piece)
                        await writer.write(piece)
                        self._told(len(piece))
            except FileNotFoundError:
                if wanted.given_up:
                    raise _Gone from None
                raise _Unsound(f"{wanted.key} is missing") from None
            cut_off = wanted.given_up and read < size
            if read != size and not cut_off:
                raise _Unsound(f"{wanted.key} has {read:,} bytes instead of {size:,}")
            if wanted.checksum not in (None, checksum) and not cut_off:
                raise _Unsound(f"{wanted.key} is not what was written (its checksum differs)")
            await writer.publish(named=False)
        finally:
            await writer.discard()
        return checksum, read

    async def _copy_log(self, wanted: Wanted, size: int) -> tuple[int, int]:
        """Copies what counts of a log, to the same places, and returns the same of it.

        What a power cut has taken of it the ledger has, as for a start.
        """
        await self._remove(wanted.key)
        texts, checksum, read = self._kept(wanted.key), 0, 0
        log = await self._target.open_log(wanted.key)
        try:
            for start in range(0, size, LOG_PIECE):
                end = min(start + LOG_PIECE, size)
                try:
                    there = await self._source.read(BlobRange(key=wanted.key, offset=start, length=end - start))
                except FileNotFoundError:
                    there = b""
                piece = _with_texts(there, start, end, texts)
                cut_off = len(piece) < end - start
                if cut_off and wanted.given_up:
                    if not start and not piece:
                        raise _Gone
                elif cut_off:
                    raise _Unsound(f"{wanted.key} ends at byte {start + len(piece):,} instead of {size:,}")
                if piece:
                    checksum, read = crc32(piece, checksum), read + len(piece)
                    place = await log.append([piece], durable=cut_off or end == size)
                    if place.offset != start:
                        raise _Differs
                    self._told(len(piece))
                if cut_off:
                    break
        finally:
            await log.close()
        return checksum, read

    async def _checksum(self, store: BlobStore, wanted: Wanted, size: int) -> int | None:
        """That of the bytes that a store has; None where they are not as many."""
        checksum = read = 0
        pieces = store.stream(wanted.key, length=size if wanted.grows else None)
        async with aclosing(pieces):  # type: ignore[type-var]
            async for piece in pieces:
                checksum, read = crc32(piece, checksum), read + len(piece)
        return checksum if read == size else None

    def _told(self, count: int) -> None:
        self._done += count
        self._show(min(self._done, self._total), self._total)


def _with_texts(there: bytes, start: int, end: int, texts: Sequence[tuple[int, bytes]]) -> bytes:
    """The bytes of a log from `start` to `end`, with what the ledger has of them in its place."""
    piece = bytearray(there)
    for offset, text in texts:
        first, last = max(offset, start), min(offset + len(text), end)
        # Behind a gap there is nothing to go on from.
        if first < last and first - start <= len(piece):
            piece[first - start : last - start] = text[first - offset : last - offset]
    return bytes(piece)


def _unsound(faults: Sequence[str]) -> str:
    more = ", and so on" if len(faults) > NAMED_MAX else ""
    return (
        f"the files stay where they are, because {', '.join(faults[:NAMED_MAX])}{more}: put the bytes back, or start the "
        "server there, delete such files (DELETE /files/ID) and let such batches end, and repeat this"
    )
