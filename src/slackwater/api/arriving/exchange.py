"""One request and its answer, as the application sees them (ASGI 3, version 2.4): `receive` and `send`.

Both wait for the connection where it is slower than the application. Whoever sends to somebody who has gone hears of it.
"""

import asyncio
import http
import logging
from typing import Protocol

from starlette.types import ASGIApp, Message, Scope

log = logging.getLogger("slackwater")

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
# As much of a body may lie here before no more is read.
BODY_WAITING_BYTES = 128 << 10
NO_BODY = frozenset({204, 304})


class Wire(Protocol):
    """The connection that an exchange is on."""

    writing_paused: bool
    """Whether the peer is to take what it has before there is more."""

    async def writable(self) -> None:
        """Returns when it has, or is gone."""
        ...

    def write(self, data: bytes) -> None:
        """Sends bytes."""
        ...

    def pause_reading(self) -> None:
        """Enough of a body is here."""
        ...

    def resume_reading(self) -> None:
        """More of it is wanted."""
        ...

    def common_lines(self) -> bytes:
        """Header lines that every answer has."""
        ...

    def can_go_on(self, exchange: "Exchange") -> bool:
        """Whether another request may come behind this one."""
        ...

    def answered(self, exchange: "Exchange") -> None:
        """The answer is complete."""
        ...

    def broke_off(self, exchange: "Exchange") -> None:
        """The application ended without a whole answer."""
        ...


class PeerGone(OSError):
    """Whoever asked does not listen any more."""


class Exchange:
    """A request on its way through the application."""

    __slots__ = (
        "_chunked",
        "_connection",
        "_ended_told",
        "_endless",
        "_expects",
        "_left",
        "_pieces",
        "_silent",
        "_size",
        "_waiter",
        "body_over",
        "gone",
        "keep_alive",
        "over",
        "scope",
        "started",
    )

    def __init__(self, connection: Wire, scope: Scope, *, expects: bool, keep_alive: bool) -> None:
        """`expects`: whether the peer sends its body only once it is told to go on (100)."""
        self.scope = scope
        self.keep_alive = keep_alive
        self.body_over = False
        self.started = False
        """Whether the answer has begun."""
        self.over = False
        """Whether the answer is complete."""
        self.gone = False
        self._connection = connection
        self._expects = expects
        self._ended_told = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        # How the body of the answer goes out: not at all, in chunks, until the connection ends, or so many bytes more.
        self._silent = self._chunked = self._endless = False
        self._left = 0

    @property
    def waiting(self) -> bool:
        """Whether the application waits for more of the body."""
        return self._waiter is not None

    def body(self, piece: bytes) -> None:
        """Some of the body has come."""
        if self.over:
            # Nobody reads it any more; the little that is left of it is read to its end.
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= BODY_WAITING_BYTES:
            self._connection.pause_reading()
        self._wake()

    def body_ended(self) -> None:
        """All of the body has come."""
        self.body_over = True
        self._wake()

    def lost(self) -> None:
        """The connection is gone."""
        self.gone = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def run(self, app: ASGIApp) -> None:
        """Lets the application answer. Whatever becomes of it, the connection goes on, or is closed."""
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            if not self.gone:
                log.exception("request_failed %s %s", self.scope["method"], self.scope["path"])
        finally:
            if not self.over and not self.gone:
                self._connection.broke_off(self)

    async def receive(self) -> Message:
        """The next piece of the body, as it has come; after the last one, that the peer has gone, once it has."""
        if self._expects:
            # Only an application that wants the body makes the peer send it.
            self._expects = False
            if not self._pieces and not self.started:
                self._connection.write(CONTINUE)
        while not (self.gone or self.over):
            if self._pieces or (self.body_over and not self._ended_told):
                body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
                self._pieces.clear()
                self._size = 0
                self._ended_told = self.body_over
                return {"type": "http.request", "body": body, "more_body": not self.body_over}
            self._connection.resume_reading()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Sends the beginning of the answer, or a piece of it. Raises PeerGone."""
        connection = self._connection
        if connection.writing_paused:
            await connection.writable()
        if self.gone:
            raise PeerGone("the peer does not listen any more")
        if self.over:
            raise RuntimeError(f"{message['type']} after the end of an answer")
        if not self.started:
            self._begin(message)
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._silent:
            self._left = 0
        elif self._chunked:
            end = b"" if more else b"0\r\n\r\n"
            framed = b"%x\r\n%b\r\n%b" % (len(body), body, end) if body else end
            if framed:
                connection.write(framed)
        elif body:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the answer is longer than its Content-Length")
            connection.write(body)
        if not more:
            if self._left and not self._endless:
                raise RuntimeError("the answer is shorter than its Content-Length")
            self.over = True
            self._wake()
            connection.answered(self)

    def _begin(self, message: Message) -> None:
        """Writes the status and the header lines, and decides how the body is framed."""
        status: int = message["status"]
        headers = message.get("headers", ())
        lines: list[bytes] = []
        length: int | None = None
        closes = False
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
            name = name.lower()
            if name == b"content-length":
                length = int(value)
            elif name == b"connection":
                closes = b"close" in value.lower()
        block = b"".join(lines)
        if block.count(b"\n") != len(headers) or block.count(b"\r") != len(headers):
            raise RuntimeError("a header of the answer has a line break")
        self._silent = self.scope["method"] == "HEAD" or status in NO_BODY
        framing = b""
        if length is not None:
            self._left = length
        elif self._silent:
            pass
        elif self.scope["http_version"] == "1.1":
            self._chunked, framing = True, b"transfer-encoding: chunked\r\n"
        else:
            # HTTP/1.0 has no chunks: the answer ends where the connection does.
            self._endless, self._left, self.keep_alive = True, 1 << 62, False
        # Who was not told to send a body may send it or not: then nobody knows where the next request begins.
        unknown = self._expects and not self.body_over
        if closes or unknown or not self._connection.can_go_on(self):
            self.keep_alive = False
        if not self.keep_alive and not closes:
            framing += b"connection: close\r\n"
        self.started = True
        first = STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n".encode()
        self._connection.write(b"".join((first, self._connection.common_lines(), block, framing, b"\r\n")))
