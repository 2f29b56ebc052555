"""An answer that comes as an event stream: put together while it comes, so that its reply is like any other.

Before: the connection, with pieces of the body. After: its reply. What must hold: memory in proportion to the answer, and no
more of it than an answer may have.
"""

import zlib
from collections.abc import Callable

from slackwater.adapters.upstream.http_reply import (
    STEP_OUT_BYTES,
    WHEN_UNPACKED,
    WINDOWS,
    ReplyTooLarge,
)
from slackwater.core.errors import BackendReplyBroken, StreamBroken
from slackwater.core.sending.assembling import Assembling

EVENT_STREAM = b"text/event-stream"
# What is around the texts of a stream is many times as long as they are. Whoever sends more than this sends no answer.
WIRE_TIMES = 100

Heard = Callable[[int], None]


class Stream:
    """What one call listens to. `at` is when something came last, in the loop's time."""

    __slots__ = ("_answer", "_bytes_max", "_came", "_heard", "_path", "_told", "_unpacked", "at")

    def __init__(self, path: str, heard: Heard, *, bytes_max: int) -> None:
        """`heard` is told how many tokens have been written so far, whenever more of the answer has come."""
        self._path = path
        self._heard = heard
        self._bytes_max = bytes_max
        self.at = 0.0

    def begin(self, encoding: bytes, now: float) -> None:
        """It is a stream. Raises BackendReplyBroken for an encoding that nobody asked for."""
        encoding = encoding.strip().lower()
        self._answer = Assembling(self._path)
        self._came = self._told = 0
        self.at = now
        self._unpacked = None
        if encoding not in (b"", b"identity"):
            if encoding not in WINDOWS:
                raise BackendReplyBroken("the stream has an encoding that was not asked for")
            self._unpacked = zlib.decompressobj(WINDOWS[encoding][0])

    @property
    def held(self) -> int:
        """About how many bytes of it are kept."""
        return self._answer.held

    @property
    def came(self) -> int:
        """How many bytes have come, without compression."""
        return self._came

    def feed(self, data: bytes) -> None:
        """A piece of the body. Raises BackendReplyBroken."""
        unpacked = self._unpacked
        if unpacked is None:
            self._take(data, "")
            return
        if unpacked.eof:
            raise StreamBroken("the stream goes on behind the end of its compression")
        while data:
            try:
                self._take(unpacked.decompress(data, STEP_OUT_BYTES), WHEN_UNPACKED)
            except zlib.error as error:
                raise StreamBroken("the stream says it is compressed, and is not") from error
            data = unpacked.unconsumed_tail

    def _take(self, data: bytes, when: str) -> None:
        self._came += len(data)
        answer = self._answer
        answer.feed(data)
        if answer.held > self._bytes_max or self._came > WIRE_TIMES * self._bytes_max:
            raise ReplyTooLarge(self._bytes_max, when=when)

    def tell(self, now: float) -> None:
        """All that was there has been fed: whoever listens hears of it, once, however many chunks it was."""
        self.at = now
        if self._answer.chunks > self._told:
            self._told = self._answer.chunks
            self._heard(self._answer.tokens)

    def whole(self) -> bytes:
        """The body of the reply. Raises BackendReplyBroken."""
        if self._unpacked is not None and not self._unpacked.eof:
            raise StreamBroken("the stream ended inside its compression")
        body = self._answer.whole()
        if len(body) > self._bytes_max:
            raise ReplyTooLarge(self._bytes_max)
        return body
