"""Unpacks large compressed answers on a thread, step by step, within the memory budget.

Before: the pool, with an answer that is whole. After: its reply. What must hold: the event loop only starts steps and counts
their bytes, and an answer that is refused or dropped on the way gives back what it held.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from slackwater.adapters.upstream.http_reply import Packed
from slackwater.core.sending.request import Reply

# One for the process: unpacking takes one core at most, and answers take turns in it.
_thread = ThreadPoolExecutor(1, thread_name_prefix="unpacking")


async def unpacked(packed: Packed) -> Reply:
    """The reply with its plain body. Raises BackendReplyBroken."""
    share, unpacker = packed.share, packed.unpacker
    if share is None:
        while not await _step(packed):
            pass
    else:
        room = asyncio.Event()
        share.wake = room.set
        try:
            while not await _counted_step(packed, room):
                pass
        except BaseException:
            share.close()
            raise
        share.seal()
    # Not copied: what is large stays what it was collected in, and is read like any bytes.
    return Reply(
        packed.status,
        cast(bytes, unpacker.plain),
        packed.retry_after,
        packed.content_type,
        packed.location,
        packed.held,
        limits=packed.limits,
    )


async def _step(packed: Packed) -> bool:
    return await asyncio.get_running_loop().run_in_executor(_thread, packed.unpacker.step)


async def _counted_step(packed: Packed, room: asyncio.Event) -> bool:
    """One step. Returns when the next one may be made."""
    share, unpacker = packed.share, packed.unpacker
    assert share is not None, "only what has a share is counted"
    plain, left = len(unpacker.plain), unpacker.left
    ended = await _step(packed)
    room.clear()
    goes_on = share.grow(len(unpacker.plain) - plain)
    share.shrink(left - unpacker.left)
    if not ended and not goes_on:
        await room.wait()
    return ended
