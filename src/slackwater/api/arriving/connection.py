"""One connection: bytes become requests, one after the other, and nothing that comes is kept without a limit.

The end of a head is looked for here, so that the parser sees one whole head at a time, within its limit; after it, as much is
read as its body has. While a request is answered, what comes behind it (a pipelined one) is kept, at most one read of it, and
then nothing more is read. In this way a connection holds two heads at most, whatever is sent on it.
"""

import asyncio
from typing import Any, cast

import msgspec
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from slackwater.api.arriving.exchange import STATUS_LINES, Exchange
from slackwater.api.arriving.front_door import UNSENT_BYTES_FRIEND, FrontDoor, keep_unsent
from slackwater.api.arriving.requests import CHUNKED, RequestReader
from slackwater.core.arriving.heads import ANSWERS, Refusal, empty_lines, unfinished_fault
from slackwater.core.arriving.patience import Phase, overdue

VISITOR = "slackwater.visitor"
"""Where the application finds the connection that a request came on."""
# The rest of a body that nobody wants is read to its end where it is no more than this, so that the connection can be kept.
LITTLE_BYTES = 64 << 10
# What is thrown away behind a last answer, so that the peer reads it before it hears that nobody listens any more.
THROWN_AWAY_BYTES = 1 << 20


def _answer_of(refusal: Refusal) -> bytes:
    """The whole answer, as it goes over the wire."""
    status, message = ANSWERS[refusal]
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": refusal.value}
    body = msgspec.json.encode({"error": error})
    head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return STATUS_LINES[status] + head.encode() + body


REFUSALS = {refusal: _answer_of(refusal) for refusal in ANSWERS}


CR = b"\r"[0]


class Connection(asyncio.BufferedProtocol):
    """A peer, its requests, and the exchange that is going on."""

    __slots__ = (
        "_addresses",
        "_app",
        "_blocked_since",
        "_blocked_size",
        "_door",
        "_exchange",
        "_held",
        "_leaving",
        "_loop",
        "_mark",
        "_reader",
        "_reading_paused",
        "_received",
        "_server",
        "_since",
        "_transport",
        "_writable",
        "known_at",
        "phase",
        "writing_paused",
    )

    def __init__(self, door: FrontDoor, app: ASGIApp, server: ServerState) -> None:
        self.phase = Phase.FRESH
        self.known_at: float | None = None
        """When a good key came on it last, in the front door's time."""
        self.writing_paused = False
        self._door = door
        self._app = app
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._reader = RequestReader(self, door.limits)
        self._exchange: Exchange | None = None
        self._addresses: tuple[Any, Any] = (None, None)
        self._leaving = False
        """Whether this is the last request, because the server stops."""
        self._reading_paused = False
        self._writable: asyncio.Future[None] | None = None
        # Since when the peer is waited for, and how much it had sent, or not yet taken, then.
        self._since = 0.0
        self._mark = 0
        self._blocked_since = 0.0
        self._blocked_size = 0
        # What has come of the next head, or of pipelined requests.
        self._held = b""
        # How much has come of the body that is being read.
        self._received = 0

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Uvloop's is one in all but name.
        self._transport = cast(asyncio.Transport, transport)
        self._addresses = (get_local_addr(self._transport), get_remote_addr(self._transport))
        self._since = self._loop.time()
        self._server.connections.add(self)  # type: ignore[arg-type]
        if self._door.came(self):
            self._door.waits(self)
        else:
            self._refuse(Refusal.FULL)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.discard(self)
        self._door.went(self)
        self._reader.close()
        if self._exchange is not None:
            self._exchange.lost()
        self.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:
        left = self._reader.left
        if left == 0 and self.phase is not Phase.CLOSING:
            return self._door.head_buffer
        buffer = self._door.body_buffer
        # Not a byte of what comes behind a body whose length is known.
        return buffer[:left] if 0 < left < len(buffer) else buffer

    def buffer_updated(self, count: int) -> None:
        if self.phase is Phase.CLOSING:
            self._received += count
            if self._received > THROWN_AWAY_BYTES:
                self.abort()
        elif self._reader.left:
            self._read_body(self._door.body_buffer[:count])
        elif self._exchange is not None:
            # Pipelined: its turn comes, and until then nobody needs to hear more.
            self._held += bytes(self._door.head_buffer[:count])
            self.pause_reading()
        else:
            self._read_head(self._held + bytes(self._door.head_buffer[:count]), before=len(self._held))

    def eof_received(self) -> None:
        """The transport closes itself then, and what is being answered hears that its peer is gone."""

    def pause_writing(self) -> None:
        self.writing_paused = True
        if not self._door.is_friend(self):
            self._door.waits(self)

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self._exchange is not None:
            self._door.crowd.works(self)

    # What uvicorn calls when it stops.

    def shutdown(self) -> None:
        """Ends the connection once what is going on has been answered."""
        self._leaving = True
        if self._exchange is None:
            self._transport.close()
        else:
            self._exchange.keep_alive = False

    # What an exchange calls.

    def write(self, data: bytes) -> None:
        """Sends bytes, or keeps them until the peer takes them; `writing_paused` says that there are enough."""
        self._transport.write(data)

    def common_lines(self) -> bytes:
        """The header lines of every answer: the date."""
        return self._door.lines(self._server.default_headers)

    async def writable(self) -> None:
        """Returns when the peer has taken enough, or is gone."""
        while self.writing_paused:
            self._writable = self._loop.create_future()
            try:
                await self._writable
            finally:
                self._writable = None

    def pause_reading(self) -> None:
        """Nothing more is read for now."""
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Goes on reading, unless there is a request waiting already."""
        if not self._reading_paused:
            return
        if not (self._held and self._exchange is not None) and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    def known(self) -> None:
        """A good key has come: this connection is a friend's for a while, and what is sent on it is waited for."""
        if self.known_at is None:
            # Only now: most connections of strangers never get here.
            keep_unsent(self._transport.get_extra_info("socket"), UNSENT_BYTES_FRIEND)
        self.known_at = self._door.now
        self._door.crowd.works(self)

    def can_go_on(self, exchange: Exchange) -> bool:
        """Whether another request can come behind this one: its body is here, or the little that is left comes."""
        if self._leaving:
            return False
        return exchange.body_over or 0 < self._reader.left <= LITTLE_BYTES

    def answered(self, exchange: Exchange) -> None:
        """The answer is complete. The connection takes the next request, or ends."""
        self._server.total_requests += 1
        if self._transport.is_closing():
            return
        if not exchange.keep_alive:
            self._end()
        elif exchange.body_over:
            self._next()
        else:
            # The rest of the body comes, and nobody reads it.
            self.resume_reading()

    def broke_off(self, exchange: Exchange) -> None:
        """The application has ended without an answer, or inside of it. Neither is anything to go on from."""
        if exchange.started:
            # Not a regular end: the peer must not take what it has for the whole.
            self.abort()
        else:
            body = b'{"error":{"message":"Something went wrong here.","type":"server_error","param":null,"code":null}}'
            head = b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            self.write(head % len(body) + b"connection: close\r\n\r\n" + body)
            self._end()

    # Ends.

    def abort(self) -> None:
        """Ends at once; what is being answered hears it."""
        self._door.went(self)
        self._transport.abort()

    def _end(self) -> None:
        """Ends once the answer is out. What the peer is still sending is thrown away, so that it can read the answer."""
        if self._exchange is not None and self._exchange.body_over and not self._held:
            self.phase = Phase.CLOSING
            self._since = self._loop.time()
            self._door.waits(self)
            self._transport.close()
            return
        self.phase = Phase.CLOSING
        self._since = self._loop.time()
        self._received = self._reader.left = 0
        self._held = b""
        self._door.waits(self)
        self.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _refuse(self, refusal: Refusal) -> None:
        """Answers what is no request, or too much of one, without the application, and ends."""
        self._door.turned_away(refusal)
        exchange = self._exchange
        if refusal is Refusal.IDLE:
            self._transport.close()
            return
        if exchange is not None and exchange.started:
            self.abort()
            return
        self.write(REFUSALS[refusal])
        if exchange is not None:
            exchange.lost()
        self._end()

    def look(self, now: float) -> None:
        """Gives up a peer that has been waited for too long. Called about once a second."""
        patience = self._door.patience
        if self._takes_nothing(now):
            self._door.turned_away(Refusal.READER_SLOW)
            self.abort()
            return
        if self.phase is Phase.BODY:
            exchange = self._exchange
            # Where it is us who do not read on, nobody else is late.
            reading = exchange is not None and (exchange.waiting or exchange.over)
            if not reading or self._received - self._mark >= patience.bytes_min:
                self._since, self._mark = now, self._received
        refusal = overdue(self.phase, waited=now - self._since, patience=patience)
        if refusal is None:
            return
        if self.phase is Phase.CLOSING:
            self.abort()
        else:
            self._refuse(refusal)

    def _takes_nothing(self, now: float) -> bool:
        """Whether there is something for the peer, and it has taken next to nothing of it for too long."""
        size = self._transport.get_write_buffer_size()
        if size == 0:
            self._blocked_size = 0
            return False
        if self.phase is Phase.CLOSING:
            self._since = now
        patience = self._door.patience
        if self._blocked_size == 0 or not 0 <= self._blocked_size - size < patience.bytes_min:
            self._blocked_since, self._blocked_size = now, size
        return now - self._blocked_since >= patience.reader

    # Heads.

    def _next(self) -> None:
        """Nothing is being answered: the next request has come already, or is waited for."""
        self._exchange = None
        if self._leaving:
            self._transport.close()
            return
        self.phase = Phase.IDLE
        self._since = self._loop.time()
        self._door.waits(self)
        if not self._held:
            self.resume_reading()
        elif self._door.is_friend(self):
            self.take_turn()
        else:
            self._door.takes_turns(self)

    def take_turn(self) -> None:
        """Reads on: first what has come already."""
        if self.phase is not Phase.IDLE or self._transport.is_closing():
            return
        held, self._held = self._held, b""
        self._read_head(held, before=0)
        self.resume_reading()

    def _read_head(self, data: bytes, *, before: int) -> None:
        """Begins the request whose head is whole. `before`: so much has been looked through already."""
        if data[0] == CR:
            # There may be as many as come in the time for a head.
            data, before = data[empty_lines(data) :], 0
        end = data.find(b"\r\n\r\n", max(0, before - 3)) + 4
        if end < 4:
            refusal = unfinished_fault(data, self._door.limits) if data else None
            if refusal is not None:
                self._refuse(refusal)
                return
            self._held = data
            if self.phase is not Phase.HEAD:
                if self.phase is Phase.IDLE:
                    self._since = self._loop.time()
                self.phase = Phase.HEAD
            return
        rest = data[end:]
        self._held = b""
        refusal = self._reader.head(data[:end])
        if refusal is not None:
            self._refuse(refusal)
            return
        if rest and self._reader.left:
            of_body = len(rest) if self._reader.left == CHUNKED else self._reader.left
            self._read_body(rest[:of_body])
            rest = rest[of_body:]
        if rest and self.phase is not Phase.CLOSING:
            self._held = rest
            self.pause_reading()

    def _read_body(self, data: bytes | memoryview) -> None:
        """Hands on what has come of a body."""
        self._received += len(data)
        refusal = self._reader.body(data)
        if refusal is not None:
            self._refuse(refusal)
            return
        if self._reader.behind:
            # Whoever sent it may send it again: this connection ends with the answer.
            self._leaving = True
        if self._reader.over and self._exchange is not None and self._exchange.over:
            self._next()

    # What the reader calls.

    def request_began(self, scope: Scope, *, expects: bool, keep_alive: bool) -> None:
        scope["server"], scope["client"] = self._addresses
        scope[VISITOR] = self
        self._received = self._mark = 0
        exchange = self._exchange = Exchange(self, scope, expects=expects, keep_alive=keep_alive and not self._leaving)
        if self._reader.left:
            self.phase = Phase.BODY
            self._since = self._loop.time()
            if self._door.is_friend(self):
                self._door.crowd.works(self)
        else:
            self.phase = Phase.ANSWER
            self._door.crowd.works(self)
        task = self._loop.create_task(exchange.run(self._app))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    def body_came(self, piece: bytes) -> None:
        if self._exchange is not None:
            self._exchange.body(piece)

    def request_ended(self) -> None:
        if self._exchange is not None:
            self._exchange.body_ended()
        if self.phase is Phase.BODY:
            self.phase = Phase.ANSWER
            self._door.crowd.works(self)
