"""Reads answers that are too large for the event loop: a JSON parser holds the interpreter from the first byte to the last.

Before: a reply whose body is large. After: the dispatcher, with what it would have read itself. What must hold: nothing here
takes longer than a few milliseconds at a time, and the body is not copied in this process.
"""

import asyncio
from collections.abc import Callable
from pickle import PickleBuffer
from typing import TypeVar, cast

from slackwater.core.sending import lines
from slackwater.ports import Offload

T = TypeVar("T")

# A parser needs some 5 to 8 ms for so much, floats and text beyond ASCII being the slowest; handing it over costs about as much.
LARGE_BYTES = 4 << 20


class LargeAnswers:
    """Has them read elsewhere."""

    def __init__(self, offload: Offload) -> None:
        self._offload = offload

    async def read(self, function: Callable[[bytes], T], body: bytes) -> T:
        """What `function`, of a module, says of the body. Only the answer comes back, so it should be small."""
        return await self._offload.run(_called, function, PickleBuffer(body))

    async def one_line(self, body: bytes) -> bytes:
        """The body without line breaks: itself, where it has none or can be changed where it is."""
        whatever: object = body
        if isinstance(whatever, bytearray):
            await asyncio.to_thread(lines.flatten, whatever)
            return body
        return await asyncio.to_thread(lines.one_line, body)


def _called(function: Callable[[bytes], T], body: "bytes | PickleBuffer") -> T:
    """Runs where the work is done. In a worker process the bytes have arrived as such."""
    return function(cast(bytes, body.raw().obj) if isinstance(body, PickleBuffer) else body)
