"""Reads answers that are too large for the event loop: a JSON parser holds the interpreter from the first byte to the last.

Before: a reply whose body is large. After: the dispatcher, with what it would have read itself. What must hold: nothing here
takes longer than a few milliseconds at a time, and the body is not copied in this process.
"""

import asyncio
from pickle import PickleBuffer
from typing import cast

import msgspec

from slackwater.core.sending import lines
from slackwater.core.sending.answer_kinds import Answer, ErrorInside, Unreadable
from slackwater.core.sending.answers import read_answer
from slackwater.core.sending.binary_answers import BINARY, head_of, media_type, wrap_in_place, wrapped_size
from slackwater.core.sending.request import Reply
from slackwater.ports import Offload

# A parser needs some 5 to 8 ms for so much, floats and text beyond ASCII being the slowest; handing it over costs about as much.
LARGE_BYTES = 4 << 20


class LargeAnswers:
    """Has them read elsewhere."""

    def __init__(self, offload: Offload) -> None:
        self._offload = offload

    async def read(self, body: bytes, *, path: str) -> Answer | ErrorInside | Unreadable:
        """What `read_answer` says. Only a body that had to be mended comes back from there; the others stay where they are."""
        read, changed = await self._offload.run(_read, PickleBuffer(body), path)
        if isinstance(read, Unreadable):
            return read
        return msgspec.structs.replace(read, body=await _one_line(body) if changed is None else _bytes(changed))

    async def read_reply(self, reply: Reply, *, path: str) -> Answer | ErrorInside | Unreadable:
        """What `read_reply` of core says. Bytes that are no JSON become the body of a line where they lie."""
        kind = media_type(reply.body, reply.content_type) if path in BINARY else None
        if kind is None:
            return await self.read(reply.body, path=path)
        whatever: object = reply.body
        # In one piece only where they were unpacked in one.
        body = whatever if isinstance(whatever, bytearray) else bytearray(reply.body)
        size = len(body)
        if reply.held is not None:
            reply.held.grow(wrapped_size(size, len(head_of(kind, size))) - size)
        await asyncio.to_thread(wrap_in_place, body, kind)
        return Answer(None, None, cast(bytes, body))

    async def refusal_body(self, reply: Reply) -> bytes:
        """What `refusal_body` makes of an answer with a status of 4xx."""
        if await self._offload.run(_is_object, PickleBuffer(reply.body)):
            return await _one_line(reply.body)
        return lines.wrapped_error(reply.body, reply.status)


async def _one_line(body: bytes) -> bytes:
    """The body on one line, for Unicode too: itself, where it is so or can be changed where it is."""
    whatever: object = body
    if isinstance(whatever, bytearray):
        await asyncio.to_thread(lines.flatten, whatever)
        return body
    return await asyncio.to_thread(_whole_line, body)


def _whole_line(body: bytes) -> bytes:
    return lines.escape_line_ends(lines.one_line(body))


# What runs elsewhere


def _read(
    body: "bytes | PickleBuffer", path: str
) -> tuple[Answer | ErrorInside | Unreadable, "bytes | PickleBuffer | None"]:
    """The verdict without its body, and that where it is another one than came."""
    read = read_answer(_bytes(body), path=path)
    if isinstance(read, Unreadable):
        return read, None
    return msgspec.structs.replace(read, body=b""), PickleBuffer(
        lines.escape_line_ends(read.body)
    ) if read.mended else None


def _is_object(body: "bytes | PickleBuffer") -> bool:
    return lines.is_object(_bytes(body))


def _bytes(body: "bytes | PickleBuffer") -> bytes:
    """In another process the bytes have arrived as such."""
    return cast(bytes, body.raw().obj) if isinstance(body, PickleBuffer) else body
