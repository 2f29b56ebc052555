"""A blob that grows, as a chain of objects: one append is one object, which nobody may write a second time."""

import asyncio
from collections.abc import Sequence

from slackwater.adapters.object_store.calls import Calls
from slackwater.adapters.object_store.chains import Chains, object_of
from slackwater.ports import BlobRange


class ObjectLog:
    """A growing log. Nothing is ever only readable: whatever an append returned is durable."""

    def __init__(self, calls: Calls, chains: Chains, key: str) -> None:
        self._calls = calls
        self._chains = chains
        self._key = key
        self._end = 0
        self._one_at_a_time = asyncio.Lock()

    async def append(self, data: Sequence[bytes], *, durable: bool = True) -> BlobRange:
        """Writes the parts as one object. One that is cancelled goes on, and the next one waits for it."""
        body = b"".join(data)
        if not body:
            return BlobRange(key=self._key, offset=self._end, length=0)
        writing = asyncio.ensure_future(self._append(body))
        # Whoever was cancelled does not hear how it went.
        writing.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(writing)

    async def _append(self, body: bytes) -> BlobRange:
        async with self._one_at_a_time:
            while not await self._put(body):
                pass
            written = BlobRange(key=self._key, offset=self._end, length=len(body))
            self._step(len(body))
            return written

    async def _put(self, body: bytes) -> bool:
        """Writes an object at the end; False where an earlier append is there that was taken for failed."""
        name = object_of(self._key, self._end)
        try:
            await self._calls.put(name, body, create=True)
        except FileExistsError:
            # The answer to a request was lost, and it had been done. Or it was that of an earlier append, which came to nothing:
            # then its bytes are nobody's, and the log goes on behind them.
            there = await self._calls.bytes_of(name)
            if not there:
                raise OSError(f"{name} is empty, and was not written so") from None
            if there != body:
                self._step(len(there))
                return False
        return True

    def _step(self, length: int) -> None:
        self._chains.added(self._key, self._end, length)
        self._end += length

    async def close(self) -> None:
        """Waits for an append that is under way. May be repeated."""
        async with self._one_at_a_time:
            return
