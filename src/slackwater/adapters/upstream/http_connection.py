"""One HTTP/1.1 connection that carries one call at a time. Parsing is httptools' work; this module judges what it finds.

There is no task, timer or stream object per call: bytes go out in one write, callbacks collect the answer, a future wakes
the caller once. Before: the pool, which owns the connection. What must hold: bytes of one answer never reach another call.
"""

import asyncio
import fcntl
import os
import select
import socket
import sys
import termios
import time
from collections.abc import Callable
from typing import cast

import httptools
import msgspec

from slackwater.adapters.upstream.http_reply import Packed, ReplyTooLarge, Unpacker, decoded, retry_after_seconds
from slackwater.adapters.upstream.http_stream import EVENT_STREAM, Stream
from slackwater.core.errors import BackendError, BackendReplyBroken, BackendTimeout
from slackwater.core.sending.budget import SMALL_BYTES, Budget, Share
from slackwater.core.sending.rate_limit_headers import RATE_LIMIT_HEADERS, read_rate_limits
from slackwater.core.sending.request import Reply

# Bodies from here on are handed to the transport beside the head; below, one copy is cheaper than a second buffer.
GLUE_BYTES_MAX = 1 << 15
# Bytes that may come without bringing a byte of body: heads, interim answers, chunk extensions and trailers are all held
# in memory until they end. Servers allow 8 to 64 KiB of head.
OVERHEAD_BYTES_MAX = 1 << 18
# A compressed body up to here is unpacked on the spot, if no more than this comes out. The others go to a thread.
INLINE_BYTES = 1 << 20
# After so much of one large answer everybody else has a turn: a fast peer can fill the socket as fast as we empty it, and the
# loop would go on with it.
TURN_BYTES = 1 << 18
# A kept connection that the peer closes this soon after our request was closed before the peer saw it, or while it did
# nothing yet. Later than that, the server had the request and died over it: that is told, not silently tried again.
STALE_SECONDS = 5.0

# The only headers that are looked at, found by their length first: most headers cost one look-up.
# Routers of the llm-d project say with it that they let a request fall, and why.
DROPPED = b"x-llm-d-request-dropped-reason"
NOTED = frozenset(
    {
        b"transfer-encoding",
        b"content-encoding",
        b"retry-after",
        b"retry-after-ms",
        b"location",
        DROPPED,
        *RATE_LIMIT_HEADERS,
    }
)
# Every answer has it, and hardly any is asked for it: it is kept beside the others, as it came.
CONTENT_TYPE = b"content-type"
JSON_TYPE = b"application/json"
# Of answers that may begin like a JSON object by chance, it is told.
MEDIA_TYPES = (b"audio/", b"video/", b"image/", b"application/octet-stream")
CONTENT_LENGTH = b"content-length"
NOTED_LENGTHS = frozenset(map(len, {*NOTED, CONTENT_TYPE, CONTENT_LENGTH}))
# The usual ways to write that one.
BOUNDING = frozenset({CONTENT_LENGTH, b"Content-Length"})
# What is kept of a header that is shown to a person. An address may have a long query, which is not shown.
CONTENT_TYPE_BYTES_MAX = 200
LOCATION_BYTES_MAX = 8192

# A connection waits long for its answer, and balancers forget silent ones after some minutes (Azure: four).
KEEPALIVE = tuple(
    (socket.IPPROTO_TCP, getattr(socket, name), seconds)
    for name, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
)

# What the system says of a peer that sends no more. Where it has no word for that, only a broken connection is seen.
HUNG_UP: int = getattr(select, "POLLRDHUP", 0)

# How a call ends: with a reply, perhaps still to be unpacked, with an error to raise, or with None: stale, nothing was
# answered, try another connection. Errors travel as values, because a future whose exception nobody fetches (the caller was
# cancelled meanwhile) complains.
Outcome = Reply | Packed | BackendError | None


class Connection(asyncio.Protocol):
    """Carries a call while `future` is set. After each answer it is `idle` or `gone`, and says so to the pool."""

    __slots__ = (
        "_body",
        "_bounded",
        "_budget",
        "_complete",
        "_content_type",
        "_fault",
        "_gone",
        "_head_complete",
        "_idle",
        "_left",
        "_noted",
        "_overhead",
        "_parser",
        "_reply_bytes_max",
        "_resting",
        "_reusable",
        "_share",
        "_status",
        "_streaming",
        "_turn_ends",
        "answering",
        "future",
        "idle_since",
        "lost",
        "paused_at",
        "paused_seconds",
        "started",
        "stream",
        "transport",
        "used",
    )

    def __init__(
        self,
        *,
        reply_bytes_max: int,
        idle: Callable[["Connection"], None],
        gone: Callable[["Connection"], None],
        budget: Budget | None = None,
    ) -> None:
        """`idle` is told that another call may go over the connection, `gone` that none will; the latter perhaps twice.

        Answers that do not come all at once are counted in the `budget`, and not read on while it has no room for them.
        """
        self._reply_bytes_max = reply_bytes_max
        self._budget = budget
        self._idle = idle
        self._gone = gone
        self._parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport
        self.future: asyncio.Future[Outcome] | None = None
        # Set by whoever wants to know when the socket is closed.
        self.lost: asyncio.Future[None] | None = None
        self.started = self.idle_since = 0.0
        # While we do not read: since when. And for how long we did not, in all, during this call.
        self.paused_at: float | None = None
        self.paused_seconds = 0.0
        self._share: Share | None = None
        # Until the others have had their turn. And at which length of the answer that is next.
        self._resting = False
        self._turn_ends = 0
        self.used = self.answering = self._left = False
        self._fault: BackendReplyBroken | None = None
        self._overhead = self._status = 0
        self.stream: Stream | None = None
        """Set for a call whose answer may come as a stream, until it is over."""
        self._reset()

    def _reset(self) -> None:
        """Forgets the message before."""
        self._body: bytes | bytearray | None = None
        self._noted: dict[bytes, bytes] | None = None
        self._content_type = b""
        self._bounded = self._head_complete = self._complete = self._reusable = self._streaming = False

    # The call

    def send(
        self, head: bytes, body: bytes, future: asyncio.Future[Outcome], now: float, stream: Stream | None = None
    ) -> None:
        """Sends one request. `now` is the loop's time; `stream` takes an answer that comes as one."""
        self.future = future
        self.stream = stream
        self.started = now
        self.answering = False
        if len(body) < GLUE_BYTES_MAX:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))

    def fail(self, error: BackendError | None) -> None:
        """Ends the call, and the connection with it."""
        future, self.future = self.future, None
        self.abort()
        self._let_go()
        if future is not None and not future.done():
            future.set_result(error)

    def expire(self, why: str) -> None:
        """The time of the call is over. Whoever waits for it hears that, and ends it (`hang_up`, `fail`)."""
        if self.future is not None and not self.future.done():
            self.future.set_result(BackendTimeout(why))

    def hang_up(self) -> bool:
        """Says to the peer that nobody waits for its answer, of which no more is heard; `lost` is told when it has hung up, too.

        False where that cannot be said, or not before the rest of the request: then there is nothing to wait for.
        """
        self._let_go()
        raw = self.transport.get_extra_info("socket")
        if raw is None or self.transport.is_closing() or self.transport.get_write_buffer_size():
            return False
        try:
            # Below TLS, too. Of their own sockets, transports let nobody else close one half.
            with socket.socket(fileno=os.dup(raw.fileno())) as half:
                half.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        self._left = True
        self._read_on()
        return True

    def _let_go(self) -> None:
        """What has come of the answer is nobody's, and takes no memory from others."""
        self._body = self.stream = None
        share, self._share = self._share, None
        _close(share)

    def abort(self) -> None:
        """Closes the socket at once; what was not written yet is dropped."""
        self.transport.abort()
        self._gone(self)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are transports without the base class.
        self.transport = cast(asyncio.Transport, transport)
        raw = transport.get_extra_info("socket")
        if raw is None:
            return
        try:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option in KEEPALIVE:
                raw.setsockopt(*option)
        except OSError:
            # The peer was faster than we are, and has closed it already.
            pass

    def data_received(self, data: bytes) -> None:
        if self._left:
            return
        if self.future is None:
            # Bytes that nobody asked for. Whatever they mean, the next answer must not begin with them.
            self.abort()
            return
        self.answering = True
        # A piece of body sets this back to 0.
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                upgrade = isinstance(error, httptools.HttpParserUpgrade)
                text = "the server changes to another protocol" if upgrade else f"the answer is not HTTP: {error}"
                self.fail(self._fault or BackendReplyBroken(text))
                return
            # The answer is whole, and what follows it is garbage.
            self._reusable = False
        if self._streaming and self.stream is not None:
            self._heard(self.stream)
        elif self._complete:
            self._finish()
        elif self._overhead > OVERHEAD_BYTES_MAX:
            self.fail(BackendReplyBroken(f"the answer has more than {OVERHEAD_BYTES_MAX} bytes of head"))
        elif self._body is not None and self._budget is not None:
            self._count(self._budget, len(self._body), len(self._body))

    def _heard(self, stream: Stream) -> None:
        """More of a stream has come."""
        stream.tell(asyncio.get_running_loop().time())
        if self._complete:
            self._finish()
        elif self._overhead > OVERHEAD_BYTES_MAX:
            self.fail(BackendReplyBroken(f"the answer has more than {OVERHEAD_BYTES_MAX} bytes of head"))
        elif self._budget is not None:
            held = stream.held if self._share is None else max(stream.held, self._share.held)
            self._count(self._budget, held, stream.came)

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._ended(error)
        self._gone(self)
        if self.lost is not None and not self.lost.done():
            self.lost.set_result(None)

    def _ended(self, error: Exception | None) -> None:
        """The peer says no more. For some answers that is the end of the body; for all others it is a fault."""
        if self._left:
            # As was asked of it.
            return
        if self.future is None:
            self._gone(self)
        elif self._head_complete and not self._bounded and error is None:
            # HTTP/1.0 style: the end of the connection is the end of the body.
            self._status = self._parser.get_status_code()
            self._finish()
        elif self.answering:
            length = 0 if self._body is None else len(self._body)
            what = f"after {length} bytes of body" if self._head_complete else "inside the head"
            self.fail(BackendReplyBroken(f"the connection was closed inside the answer, {what}", lost=True))
        elif self.used and asyncio.get_running_loop().time() - self.started < STALE_SECONDS:
            self.fail(None)
        else:
            self.fail(BackendReplyBroken("the connection was closed before an answer came", lost=True))

    # The budget's side

    def _count(self, budget: Budget, length: int, came: int) -> None:
        """More of the answer is still to come: `length` is kept of what `came`.

        Without room the rest stays where it is, with the network and the peer.
        """
        share = self._share
        if share is None:
            share = self._share = budget.share(self._read_on)
            self._turn_ends = TURN_BYTES
        if not share.grow(length - share.held):
            if self.paused_at is None:
                self.paused_at = asyncio.get_running_loop().time()
                if not self._resting:
                    self.transport.pause_reading()
        elif came >= self._turn_ends:
            self._turn_ends = came + TURN_BYTES
            if not self._resting:
                self._resting = True
                self.transport.pause_reading()
                asyncio.get_running_loop().call_soon(self._rested)

    def _rested(self) -> None:
        self._resting = False
        if self.paused_at is None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _read_on(self) -> None:
        """There is room. The time that we did not read is not the peer's."""
        if self.paused_at is not None:
            now = asyncio.get_running_loop().time()
            self.paused_seconds += now - self.paused_at
            self.paused_at = None
            if self.stream is not None:
                self.stream.at = now
            if not self._resting and not self.transport.is_closing():
                self.transport.resume_reading()

    def look_for_end(self) -> None:
        """While we do not read, nobody tells us that the peer has gone. If it has, and left nothing to be read, go and see.

        What lies in the socket's buffer keeps its turn: the answer may be whole.
        """
        raw = self.transport.get_extra_info("socket")
        if raw is None or raw.fileno() < 0:
            return
        poll = select.poll()
        poll.register(raw.fileno(), HUNG_UP)
        events = sum(event for _, event in poll.poll(0))
        if events & (select.POLLERR | select.POLLHUP) or (events & HUNG_UP and not _unread_bytes(raw.fileno())):
            self._read_on()

    # httptools' side

    def on_message_begin(self) -> None:
        if self._complete:
            raise _Surplus
        self._reset()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name in BOUNDING:
            self._bounded = True
            return
        if len(name) not in NOTED_LENGTHS:
            return
        name = name.lower()
        if name == CONTENT_TYPE:
            if not self._head_complete:
                self._content_type = value
        elif name == CONTENT_LENGTH:
            self._bounded = True
        elif name in NOTED and not self._head_complete:
            noted = self._noted
            if noted is None:
                noted = self._noted = {}
            noted[name] = value if name not in noted else noted[name] + b", " + value

    def on_headers_complete(self) -> None:
        self._head_complete = True
        if self._noted is not None and (coding := self._noted.get(b"transfer-encoding")) is not None:
            self._bounded = True
            if coding.strip().lower() != b"chunked":
                text = f"the answer has a transfer encoding that was not asked for: {coding[:40]!r}"
                self._fault = BackendReplyBroken(text)
                raise self._fault
        if self.stream is not None:
            self._look_for_stream(self.stream)

    def _look_for_stream(self, stream: Stream) -> None:
        """A stream was asked for. An answer that says it is one is read as one; any other is read like any other."""
        if not self._content_type.lstrip().lower().startswith(EVENT_STREAM):
            return
        if 200 <= self._parser.get_status_code() < 300:
            encoding = b"" if self._noted is None else self._noted.pop(b"content-encoding", b"")
            try:
                stream.begin(encoding, asyncio.get_running_loop().time())
            except BackendReplyBroken as error:
                self._fault = error
                raise
            self._streaming = True

    def on_body(self, data: bytes) -> None:
        self._overhead = 0
        if self._streaming:
            assert self.stream is not None, "a stream has somebody who listens"
            try:
                self.stream.feed(data)
            except BackendReplyBroken as error:
                self._fault = error
                raise
            return
        body = self._body
        if body is None:
            # Most answers come in one piece, which is then the body, without a copy.
            self._body = body = data
        elif type(body) is bytearray:
            body += data
        else:
            self._body = body = bytearray(body)
            body += data
        if len(body) > self._reply_bytes_max:
            self._fault = ReplyTooLarge(self._reply_bytes_max)
            raise self._fault

    def on_message_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if self._status < 100:
            self._fault = BackendReplyBroken(f"the answer has the status {self._status}, which is none")
            raise self._fault
        if self._status < 200:
            # An interim answer (100, 103): the real one follows.
            self._head_complete = False
            return
        self._complete = True
        self._reusable = self._parser.should_keep_alive()

    def _finish(self) -> None:
        """The answer is whole: lets go of the connection, then wakes the caller."""
        future = self.future
        assert future is not None, "only an answer that somebody waits for is finished"
        status, noted = self._status, self._noted
        body, self._body = self._body, None
        stream, self.stream = self.stream, None
        # Else the end of this connection would look like the end of the next answer.
        self._complete = self._head_complete = False
        outcome: Outcome
        if (
            status == 200
            and noted is None
            and type(body) is bytes
            and body[:1] == b"{"
            and self._content_type[:16] == JSON_TYPE
            and self._share is None
        ):
            outcome = Reply(status, body)
        else:
            if self._streaming and stream is not None:
                outcome = self._assembled(status, stream, noted or {})
            else:
                outcome = self._outcome(status, body or b"", noted or {})
            if isinstance(outcome, BackendError):
                # Who sends what we must refuse is not trusted with another call on this connection.
                self._reusable = False
        self.future = None
        # What the peer did not want to read (an early 413) must not be taken for the start of the next request.
        if self._reusable and not self.transport.get_write_buffer_size():
            self.used = True
            self._overhead = 0
            self._idle(self)
        else:
            self.abort()
        if not future.done():
            future.set_result(outcome)

    def _assembled(self, status: int, stream: Stream, noted: dict[bytes, bytes]) -> Reply | Packed | BackendError:
        """The reply of a stream that has ended, which must not look as if there had been one."""
        share = self._share
        try:
            body = stream.whole()
        except BackendReplyBroken as error:
            if not self._bounded:
                # It ended because the connection did, which is what a dying engine does, too.
                error = BackendReplyBroken(str(error), final=error.final, lost=True)
            _close(share)
            self._share = None
            self._read_on()
            self.paused_seconds = 0.0
            return error
        if share is not None and share.held > len(body):
            share.shrink(share.held - len(body))
        outcome = self._outcome(status, body, noted)
        return msgspec.structs.replace(outcome, streamed=True) if isinstance(outcome, Reply) else outcome

    def _outcome(
        self, status: int, body: bytes | bytearray, noted: dict[bytes, bytes]
    ) -> Reply | Packed | BackendError:
        """The reply of an answer that came in pieces or with some of the rarer headers."""
        share, self._share = self._share, None
        self._read_on()
        self.paused_seconds = 0.0
        if len(body) <= SMALL_BYTES:
            body = bytes(body)
        if share is not None:
            share.grow(len(body) - share.held)
        wall = time.time()
        retry_after, limits = retry_after_seconds(noted, now=wall), read_rate_limits(noted, now=wall)
        encoding = noted.get(b"content-encoding", b"")
        if encoding:
            try:
                if len(body) <= INLINE_BYTES:
                    body = decoded(body, encoding, bytes_max=min(INLINE_BYTES, self._reply_bytes_max))
                elif encoding.strip().lower() != b"identity":
                    return self._packed(status, body, noted, share)
            except ReplyTooLarge as error:
                if self._reply_bytes_max > INLINE_BYTES:
                    return self._packed(status, body, noted, share)
                _close(share)
                return error
            except BackendReplyBroken as error:
                _close(share)
                return error
        # Not copied: what is large stays what it was collected in, and is read like any bytes.
        plain = cast(bytes, body)
        shown = None
        if not 200 <= status < 300 or body[:1] != b"{" or self._content_type.lower().startswith(MEDIA_TYPES):
            shown = self._shown_type()
        location, dropped = _location(status, noted), DROPPED in noted
        if share is None or len(body) <= SMALL_BYTES:
            _close(share)
            return Reply(status, plain, retry_after, shown, location, dropped=dropped, limits=limits)
        share.seal()
        return Reply(status, plain, retry_after, shown, location, share.hold(), dropped, limits=limits)

    def _packed(
        self, status: int, body: bytes | bytearray, noted: dict[bytes, bytes], share: Share | None
    ) -> Packed | BackendError:
        """What is to be unpacked elsewhere."""
        wall = time.time()
        retry_after, limits = retry_after_seconds(noted, now=wall), read_rate_limits(noted, now=wall)
        encoding = noted[b"content-encoding"]
        if share is None and self._budget is not None:
            share = self._budget.share(lambda: None)
            share.grow(len(body))
        try:
            unpacker = Unpacker(body, encoding, bytes_max=self._reply_bytes_max)
        except BackendReplyBroken as error:
            _close(share)
            return error
        held = None if share is None else share.hold()
        return Packed(status, unpacker, retry_after, self._shown_type(), _location(status, noted), share, held, limits)

    def _shown_type(self) -> str | None:
        return self._content_type[:CONTENT_TYPE_BYTES_MAX].decode("latin-1") or None


def _location(status: int, noted: dict[bytes, bytes]) -> str | None:
    if not 300 <= status < 400 or b"location" not in noted:
        return None
    return noted[b"location"][:LOCATION_BYTES_MAX].decode("latin-1")


def _close(share: Share | None) -> None:
    if share is not None:
        share.close()


def _unread_bytes(fd: int) -> int:
    """What has come and was not read yet."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


class _Surplus(Exception):
    """Bytes follow an answer that was not followed by a request. Stops the parser; never leaves this module."""
