"""How one connection reads answers, byte by byte, without a network: the transport is a record of what was done to it."""

import asyncio
import gzip
import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.adapters.upstream.http_connection import OVERHEAD_BYTES_MAX, Connection, Outcome
from slackwater.core.errors import BackendReplyBroken
from slackwater.core.sending.request import Reply

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = (
    b"HTTP/1.1 429 Slow\r\nRetry-After: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'6\r\n{"a":1\r\n7;x=y\r\n,"b":2}\r\n0\r\nRetry-After: 9\r\n\r\n'
)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n" + PLAIN
ZIPPED_BODY = gzip.compress(b"slack water", mtime=0)
ZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED_BODY) + ZIPPED_BODY
NO_BODY = b"HTTP/1.1 204 No Content\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nall there is"

# Answers whose end is in their bytes, and what they mean.
FRAMED = [
    (PLAIN, Reply(200, b"{}")),
    (CHUNKED, Reply(429, b'{"a":1,"b":2}', 2.0)),
    (INTERIM, Reply(200, b"{}")),
    (ZIPPED, Reply(200, b"slack water")),
    (NO_BODY, Reply(204, b"")),
]


class Wire(asyncio.Transport):
    """Takes bytes and never sends any."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class Caller:
    """A connection with a wire, and the calls that go over it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, reply_bytes_max: int = 1 << 20) -> None:
        self._loop = loop
        self.idle: list[Connection] = []
        self.wire = Wire()
        self.connection = Connection(
            reply_bytes_max=reply_bytes_max, idle=self.idle.append, gone=lambda connection: None
        )
        self.connection.connection_made(self.wire)

    def call(self, pieces: Sequence[bytes]) -> Outcome | str:
        """Sends a request and feeds the pieces of its answer. `pending` where the answer is not whole yet."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self.connection.send(b"POST ", b"{}", future, 0.0)
        for piece in pieces:
            # A transport that was aborted delivers nothing more.
            if not self.wire.aborted:
                self.connection.data_received(piece)
        return future.result() if future.done() else "pending"


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop to make futures with; it never runs."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    """The data in pieces, none of them empty."""
    edges = sorted({0, len(data), *at})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@pytest.mark.parametrize(("answer", "reply"), FRAMED)
def test_an_answer_cut_anywhere(loop: asyncio.AbstractEventLoop, answer: bytes, reply: Reply) -> None:
    """At whatever byte the network cuts an answer, and also byte by byte, the reply and the connection are the same."""
    for at in [[], *([index] for index in range(1, len(answer))), range(len(answer))]:
        caller = Caller(loop)
        assert caller.call(cut(answer, at)) == reply
        assert caller.idle == [caller.connection]


@pytest.mark.parametrize(
    ("status", "headers", "body", "content_type", "location"),
    [
        ("200 OK", b"", b"{}", None, None),
        ("200 OK", b"Location: /x\r\n", b"{}", None, None),
        ("200 OK", b"", b"<html>", "text/html; charset=x", None),
        ("200 OK", b"", b"", "text/html; charset=x", None),
        ("400 Bad", b"", b"{}", "text/html; charset=x", None),
        ("307 Moved", b"location: /elsewhere\r\n", b"", "text/html; charset=x", "/elsewhere"),
    ],
)
def test_what_a_person_wants_to_know(
    loop: asyncio.AbstractEventLoop,
    status: str,
    headers: bytes,
    body: bytes,
    content_type: str | None,
    location: str | None,
) -> None:
    """The content type of what is no answer, and where a redirect points to; an answer pays for neither."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=x\r\nContent-Length: {len(body)}\r\n".encode()
    outcome = Caller(loop).call([head + headers + b"\r\n" + body])
    assert isinstance(outcome, Reply)
    assert (outcome.content_type, outcome.location) == (content_type, location)


@pytest.mark.parametrize("status", ["000", "099"])
def test_a_status_that_is_none_ends_the_call(loop: asyncio.AbstractEventLoop, status: str) -> None:
    """It is no interim answer after which another one comes: nobody waits for that."""
    outcome = Caller(loop).call([f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n{{}}".encode()])
    assert isinstance(outcome, BackendReplyBroken)


def test_a_router_says_that_it_let_a_request_fall(loop: asyncio.AbstractEventLoop) -> None:
    """That is no fault of the engine's, nor of the request's."""
    for header, dropped in ((b"X-LLM-D-Request-Dropped-Reason: queue is full\r\n", True), (b"X-Other: 1\r\n", False)):
        outcome = Caller(loop).call([b"HTTP/1.1 503 Full\r\n" + header + b"Content-Length: 2\r\n\r\n{}"])
        assert isinstance(outcome, Reply)
        assert outcome.dropped is dropped


@given(data=st.data())
def test_many_answers_cut_in_any_way(loop: asyncio.AbstractEventLoop, data: st.DataObject) -> None:
    """Answers in a row over one connection do not see each other, however each of them is cut."""
    caller = Caller(loop)
    for answer, reply in data.draw(st.lists(st.sampled_from(FRAMED), min_size=1, max_size=4)):
        at = data.draw(st.lists(st.integers(1, len(answer) - 1), max_size=6))
        assert caller.call(cut(answer, at)) == reply
    assert not caller.wire.aborted


@pytest.mark.parametrize(("answer", "reply"), FRAMED)
@given(surplus=st.sampled_from([b"x", b"H", PLAIN, PLAIN[:20], CHUNKED, b"\x00" * 50]), data=st.data())
def test_surplus_never_reaches_the_next_call(
    loop: asyncio.AbstractEventLoop, answer: bytes, reply: Reply, surplus: bytes, data: st.DataObject
) -> None:
    """Bytes after an answer leave the answer alone and end the connection, in whatever piece they come."""
    caller = Caller(loop)
    both = answer + surplus
    at = data.draw(st.lists(st.integers(1, len(both) - 1), max_size=4))
    assert caller.call(cut(both, at)) == reply
    assert caller.wire.aborted


@given(st.lists(st.integers(1, len(UNTIL_CLOSE) - 1), max_size=6))
def test_an_answer_without_a_length_ends_with_its_connection(loop: asyncio.AbstractEventLoop, at: list[int]) -> None:
    """HTTP/1.0 style: what came until the end of the connection is the body. An error is not such an end."""
    for error, expected in ((None, Reply(200, b"all there is")), (ConnectionResetError(), BackendReplyBroken)):
        caller = Caller(loop)
        future: asyncio.Future[Outcome] = loop.create_future()
        caller.connection.send(b"POST ", b"{}", future, 0.0)
        for piece in cut(UNTIL_CLOSE, at):
            caller.connection.data_received(piece)
        assert not future.done()
        caller.connection.connection_lost(error)
        outcome = future.result()
        assert outcome == expected or type(outcome) is expected
        assert caller.idle == []


@pytest.mark.parametrize(("answer", "reply"), FRAMED)
def test_the_end_of_a_kept_connection_is_not_an_answer(
    loop: asyncio.AbstractEventLoop, answer: bytes, reply: Reply
) -> None:
    """Whatever was answered before, also without a length: a connection that ends now has not answered this call."""

    async def work() -> Outcome:
        caller = Caller(loop)
        assert caller.call([answer]) == reply
        future: asyncio.Future[Outcome] = loop.create_future()
        caller.connection.send(b"POST ", b"{}", future, asyncio.get_running_loop().time())
        caller.connection.connection_lost(None)
        return future.result()

    # None: stale, the call may go over another connection.
    assert asyncio.run(work()) is None


def test_an_interim_answer_is_not_the_answer(loop: asyncio.AbstractEventLoop) -> None:
    """A connection that ends after `100 Continue` has not answered, although nothing of a body is missing."""
    caller = Caller(loop)
    future: asyncio.Future[Outcome] = loop.create_future()
    caller.connection.send(b"POST ", b"{}", future, 0.0)
    caller.connection.data_received(b"HTTP/1.1 100 Continue\r\n\r\n")
    caller.connection.connection_lost(None)
    assert isinstance(future.result(), BackendReplyBroken)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer encoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer encoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not HTTP"),
        (b"<html>no head at all</html>", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"x" * 101, "larger than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101, "larger than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 101, "larger than 100 bytes"),
        (PLAIN.replace(b"Content-Type", b"Content-Encoding"), "not asked for"),
    ],
)
def test_answers_that_are_refused(loop: asyncio.AbstractEventLoop, answer: bytes, text: str) -> None:
    """What frames or encodes a body in a way that we did not ask for, or is too large, is an error that says so."""
    caller = Caller(loop, reply_bytes_max=100)
    outcome = caller.call([answer])
    assert isinstance(outcome, BackendReplyBroken)
    assert text in str(outcome)
    assert caller.wire.aborted


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Filler: " + b"x" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Endless: ", b"x" * 1000),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: ", b"x" * 1000),
    ],
)
def test_endless_overhead_is_bounded(loop: asyncio.AbstractEventLoop, start: bytes, again: bytes) -> None:
    """Heads, interim answers, chunk extensions and trailers that never end are given up after a bounded number of bytes."""
    caller = Caller(loop)
    outcome = caller.call([start, *[again] * (OVERHEAD_BYTES_MAX // len(again) + 2)])
    assert isinstance(outcome, BackendReplyBroken)
    assert "bytes of head" in str(outcome)
    assert caller.wire.aborted


@given(data=st.data())
def test_damaged_answers_never_raise(loop: asyncio.AbstractEventLoop, data: st.DataObject) -> None:
    """Whatever happens to the bytes, the call ends with a reply or an error, or waits; nothing escapes into the loop."""
    damaged = bytearray(data.draw(st.sampled_from(FRAMED))[0])
    for _ in range(data.draw(st.integers(0, 4))):
        index = data.draw(st.integers(0, len(damaged) - 1))
        damaged[index : index + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        damaged += b"." * (not damaged)
    caller = Caller(loop)
    outcome = caller.call(cut(bytes(damaged), data.draw(st.lists(st.integers(1, len(damaged)), max_size=3))))
    assert outcome == "pending" or isinstance(outcome, Reply | BackendReplyBroken)
    # Only a whole answer leaves a connection behind that another call may use.
    assert caller.wire.aborted or outcome == "pending" or isinstance(outcome, Reply)


def test_small_requests_are_one_write_and_large_ones_are_whole(loop: asyncio.AbstractEventLoop) -> None:
    """Head and body leave together, whether they were glued or handed over side by side."""
    for body in (b"", b"{}", b"x" * 3_000_000):
        caller = Caller(loop)
        caller.connection.send(b"POST / HTTP/1.1\r\n\r\n", body, loop.create_future(), 0.0)
        assert caller.wire.written == b"POST / HTTP/1.1\r\n\r\n" + body
