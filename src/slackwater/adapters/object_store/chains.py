"""Logs as chains of objects: each durable append is one object below the key of its log, named by the byte at which it begins.

So a range is found by its offset alone, and an object says where the next one begins. What is known of a chain is kept, and a
listing is asked for only what came after it. The objects of one chain are small and read one after another when a batch ends:
some are fetched ahead of that.
"""

import asyncio
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator

from slackwater.adapters.object_store.calls import Calls

# Digits of an offset in a name: names are then in the order of offsets.
DIGITS = 15
# Chains that are remembered, with 16 bytes for each of their objects.
CHAINS_MAX = 256
# Objects up to this size are read whole, and kept for a while: the ranges in them are asked for one by one.
WHOLE_BYTES = 1 << 20
# Bytes of those that are kept.
KEPT_BYTES = 8 << 20
# Objects that are fetched at once where somebody reads a chain from its beginning on.
AHEAD = 8


def object_of(log: str, start: int) -> str:
    """The key of the object of a log that begins at this byte."""
    return f"{log}/{start:0{DIGITS}d}"


class Chain:
    """Where the objects of one log begin, in order, and where each one ends."""

    __slots__ = ("ends", "starts")

    def __init__(self) -> None:
        self.starts = array("Q")
        self.ends = array("Q")

    @property
    def end(self) -> int:
        """Where the last one ends that is known."""
        return self.ends[-1] if self.ends else 0

    def add(self, start: int, length: int) -> None:
        """One more, behind all that are known; one that is known is not taken twice."""
        if not self.starts or start > self.starts[-1]:
            self.starts.append(start)
            self.ends.append(start + length)

    def pieces(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Which objects have the bytes from `start` to before `end`, and which of theirs; as far as there is no gap."""
        number = max(0, bisect_right(self.starts, start) - 1)
        while start < end and number < len(self.starts) and self.starts[number] <= start < self.ends[number]:
            upto = min(end, self.ends[number])
            yield number, start, upto
            start, number = upto, number + 1


class Chains:
    """The chains of a store, and what has been read of them a moment ago."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._chains: OrderedDict[str, Chain] = OrderedDict()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0

    def added(self, log: str, start: int, length: int) -> None:
        """An object has been written here. What is not known from its beginning is left to a listing."""
        chain = self._chains.get(log)
        if chain is None and start == 0:
            chain = self._keep(log, Chain())
        if chain is not None and chain.end == start:
            chain.add(start, length)

    def forget(self, prefix: str) -> None:
        """What lies below a prefix, or at it, has changed otherwise."""
        for log in [log for log in self._chains if f"{log}/".startswith(prefix)]:
            del self._chains[log]
        for key in [key for key in self._kept if key.startswith(prefix)]:
            self._kept_bytes -= len(self._kept.pop(key))

    def _keep(self, log: str, chain: Chain) -> Chain:
        self._chains[log] = chain
        while len(self._chains) > CHAINS_MAX:
            self._chains.popitem(last=False)
        return chain

    async def chain(self, log: str, upto: int | None) -> Chain | None:
        """The chain of a log, known up to that byte where it goes so far; None where there is no object of it."""
        chain = self._chains.get(log)
        if chain is not None:
            self._chains.move_to_end(log)
            if upto is not None and chain.end >= upto:
                return chain
        found = await self._calls.below(
            log + "/", after=object_of(log, chain.starts[-1]) if chain is not None and chain.starts else None
        )
        chain = self._chains.get(log) or Chain()
        for each in found:
            chain.add(int(each["path"].rpartition("/")[2]), each["size"])
        return self._keep(log, chain) if chain.starts else None

    async def read(self, log: str, chain: Chain, number: int, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end` of a log, which lie in one object of its chain."""
        first, last = chain.starts[number], chain.ends[number]
        key = object_of(log, first)
        if last - first > WHOLE_BYTES:
            return await self._calls.bytes_of(key, start=start - first, end=end - first)
        whole = self._kept.get(key)
        if whole is None:
            whole = await self._fetch(log, chain, number)
        else:
            self._kept.move_to_end(key)
        return whole[start - first : end - first]

    async def _fetch(self, log: str, chain: Chain, number: int) -> bytes:
        """Reads an object, and those that come next with it where the one before has been read."""
        numbers = [number]
        if number == 0 or object_of(log, chain.starts[number - 1]) in self._kept:
            total = chain.ends[number] - chain.starts[number]
            for each in range(number + 1, min(number + AHEAD, len(chain.starts))):
                total += chain.ends[each] - chain.starts[each]
                if total > WHOLE_BYTES:
                    break
                numbers.append(each)
        keys = [object_of(log, chain.starts[each]) for each in numbers]
        read = await asyncio.gather(*(self._calls.bytes_of(key) for key in keys), return_exceptions=True)
        first = read[0]
        if isinstance(first, BaseException):
            raise first
        for key, data in zip(keys, read, strict=True):
            # Whoever needs one that was fetched ahead asks for it again, and hears why it is not there.
            if not isinstance(data, BaseException) and key not in self._kept:
                self._kept[key] = data
                self._kept_bytes += len(data)
        while self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])
        return first
