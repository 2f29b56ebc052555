"""One HTTP/1.1 connection that carries one call at a time. Parsing is httptools' work; this module judges what it finds.

There is no task and no stream object per call: bytes go out in one write, callbacks collect the answer, a future wakes the
caller once. That is what a call costs.
"""

import asyncio
import zlib
from typing import Protocol, cast

import httptools
from msgspec import Struct

from slackwater.core.errors import BackendError, BackendReplyBroken

# Bodies from here on are handed to the transport beside the head instead of glued to it.
GLUE_MAX = 1 << 16


class Answer(Struct):
    """What came over the wire: status, whole body, and the two headers that say when to come again."""

    status: int
    body: bytes
    retry_after: bytes | None
    retry_after_ms: bytes | None


class Stale(Exception):
    """The peer closed a kept connection before it answered anything: the call may go over another one."""


class Owner(Protocol):
    """What a connection needs of its pool."""

    reply_bytes_max: int

    def idle(self, connection: "Connection") -> None: ...
    def gone(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """Busy while `future` is set. After each answer it offers itself to the pool, or closes."""

    __slots__ = (
        "_answer_begun",
        "_bounded",
        "_bytes",
        "_chunks",
        "_encoding",
        "_head_complete",
        "_owner",
        "_parser",
        "_retry_after",
        "_retry_after_ms",
        "_surplus",
        "future",
        "idle_since",
        "started",
        "transport",
        "used",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport | None = None
        self.future: asyncio.Future[Answer] | None = None
        self.started = self.idle_since = 0.0
        self.used = False
        self._surplus = False
        self._reset()

    def _reset(self) -> None:
        self._chunks: list[bytes] = []
        self._bytes = 0
        self._answer_begun = self._head_complete = self._bounded = False
        self._encoding: bytes | None = None
        self._retry_after: bytes | None = None
        self._retry_after_ms: bytes | None = None

    # The call

    def call(self, head: bytes, body: bytes, future: asyncio.Future[Answer], now: float) -> None:
        """Sends one request. The future gets its Answer, a BackendError, or Stale."""
        self.future = future
        self.started = now
        self._reset()
        transport = self.transport
        assert transport is not None, "calls go over connections that are made"
        if len(body) < GLUE_MAX:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)

    @property
    def answer_begun(self) -> bool:
        """Whether the first byte of the answer is there."""
        return self._answer_begun

    def fail(self, error: Exception) -> None:
        """Ends the call with an error, and the connection with it."""
        future, self.future = self.future, None
        if self.transport is not None:
            self.transport.abort()
        if future is not None and not future.done():
            future.set_exception(error)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are transports without the base class.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.future is None:
            # Bytes that nobody asked for: whatever this peer means, it is not HTTP as we know it.
            if self.transport is not None:
                self.transport.abort()
            return
        self._answer_begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            # What a callback of ours raised arrives wrapped.
            inner = error.__context__
            if isinstance(inner, BackendError):
                self.fail(inner)
            else:
                self.fail(BackendReplyBroken(f"the answer is not HTTP: {error}"))

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        future = self.future
        if future is not None and not future.done():
            if self._head_complete and not self._bounded and error is None:
                # HTTP/1.0 style: the end of the connection is the end of the body.
                self._complete()
            elif not self._answer_begun and self.used:
                future.set_exception(Stale())
            elif not self._answer_begun:
                future.set_exception(BackendReplyBroken("the connection was closed before an answer came"))
            else:
                future.set_exception(BackendReplyBroken("the connection was closed inside the answer"))
        self.future = None
        self._owner.gone(self)

    # httptools' side

    def on_message_begin(self) -> None:
        if self.future is None:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        length = len(name)
        if length == 14:
            lowered = name.lower()
            if lowered == b"content-length":
                self._bounded = True
            elif lowered == b"retry-after-ms":
                self._retry_after_ms = value
        elif length == 11:
            if name.lower() == b"retry-after":
                self._retry_after = value
        elif length == 17:
            if name.lower() == b"transfer-encoding":
                self._bounded = True
        elif length == 16 and name.lower() == b"content-encoding":
            self._encoding = value.strip().lower()

    def on_headers_complete(self) -> None:
        self._head_complete = True

    def on_body(self, body: bytes) -> None:
        self._bytes += len(body)
        if self._bytes > self._owner.reply_bytes_max:
            raise BackendReplyBroken(f"the answer is larger than {self._owner.reply_bytes_max} bytes")
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        if self.future is None:
            return
        if self._parser.get_status_code() < 200:
            # An interim answer (100, 103): the real one follows.
            self._reset()
            self._answer_begun = True
            return
        self._complete()

    def _complete(self) -> None:
        future, self.future = self.future, None
        assert future is not None
        chunks = self._chunks
        try:
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if self._encoding is not None and self._encoding != b"identity":
                body = _decoded(body, self._encoding, self._owner.reply_bytes_max)
        except BackendReplyBroken as error:
            if not future.done():
                future.set_exception(error)
            if self.transport is not None:
                self.transport.abort()
            return
        if not future.done():
            future.set_result(Answer(self._parser.get_status_code(), body, self._retry_after, self._retry_after_ms))
        self._chunks = []
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self._parser.should_keep_alive() and not self._surplus and not transport.get_write_buffer_size():
            self.used = True
            self._owner.idle(self)
        else:
            transport.abort()


def _decoded(body: bytes, encoding: bytes, size_max: int) -> bytes:
    """The body of a server that compresses although it was asked not to; never more than `size_max` bytes."""
    if encoding not in (b"gzip", b"deflate", b"x-gzip"):
        raise BackendReplyBroken(f"the answer has an encoding that was not asked for: {encoding.decode('latin-1')}")
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = decompressor.decompress(body, size_max)
    except zlib.error as error:
        raise BackendReplyBroken(f"the answer is not {encoding.decode('latin-1')}: {error}") from error
    if decompressor.unconsumed_tail or not decompressor.eof:
        raise BackendReplyBroken(f"the answer is cut, or larger than {size_max} bytes when decompressed")
    return plain
