"""Answers that come as event streams: whole, told as they come, and ended like any other answer where they break."""

import asyncio
import gzip
import json
import zlib

import pytest

from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.adapters.upstream.http_pool import Timeouts
from slackwater.adapters.upstream.http_reply import ReplyTooLarge
from slackwater.core.errors import BackendError, BackendReplyBroken, BackendTimeout, StreamBroken
from slackwater.core.sending.budget import SMALL_BYTES, Budget
from tests.adapters.conftest import Run
from tests.adapters.scripted_server import Peer, ScriptedServer, with_server
from tests.core.streams import HEAD, USAGE, delta, events

CHAT = "/chat/completions"
HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
CHUNKED = HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"
LIMIT = 4 << 20


def words(*said: str) -> list[object]:
    """The chunks of an answer that says so."""
    begin = [delta({"role": "assistant", "content": ""}), *(delta({"content": word}) for word in said)]
    return [*begin, delta({}, finish="stop"), HEAD | {"choices": [], "usage": USAGE}]


async def piece(peer: Peer, data: bytes) -> None:
    await peer.send(b"%x\r\n%b\r\n" % (len(data), data))


async def stream(peer: Peer, data: bytes, *, head: bytes = CHUNKED, size: int = 4096) -> None:
    """An answer that comes as a stream, in pieces of a size."""
    await peer.send(head)
    for begin in range(0, len(data), size):
        await piece(peer, data[begin : begin + size])
    await peer.send(b"0\r\n\r\n")


def content_of(body: bytes) -> str:
    (choice,) = json.loads(body)["choices"]
    said = choice["message"]["content"]
    assert isinstance(said, str)
    return said


def test_a_stream_is_told_as_it_comes_and_becomes_one_body(run: Run[None]) -> None:
    """Each part is heard when it is there; the reply has all of them, and the connection is used again."""
    heard: list[int] = []
    parts = [asyncio.Event() for _ in range(3)]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await piece(peer, events(words()[:1], done=False))
        for number, word in enumerate(("Hello", " you")):
            await parts[number].wait()
            await piece(peer, events([delta({"content": word})], done=False))
        await parts[2].wait()
        await piece(peer, events(words()[1:]))
        await peer.send(b"0\r\n\r\n")
        await peer.request()
        await peer.answer(b'{"next":1}')

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        def hear(tokens: int) -> None:
            heard.append(tokens)
            if len(heard) <= len(parts):
                parts[len(heard) - 1].set()

        reply = await backend.send(CHAT, b"{}", heard=hear)
        assert heard == [0, 1, 2, 2]
        assert (reply.status, reply.streamed, reply.content_type) == (200, True, None)
        assert content_of(reply.body) == "Hello you"
        assert json.loads(reply.body)["usage"] == USAGE
        assert (await backend.send(CHAT, b"{}")).body == b'{"next":1}'
        assert len(server.peers) == 1

    run(with_server(script, test))


def test_what_comes_at_once_is_told_once(run: Run[None]) -> None:
    """A bunch of chunks is one moment: nobody can say when each was made."""
    heard: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        body = events(words("a", "b", "c"))
        await peer.send(HEADERS + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        reply = await backend.send(CHAT, b"{}", heard=heard.append)
        assert content_of(reply.body) == "abc"
        assert heard == [3]

    run(with_server(script, test))


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
def test_streams_that_come_compressed(run: Run[None], encoding: str, size: int) -> None:
    """However the pieces fall."""
    plain = events(words("a", "\u00e9", "\U0001f600"))
    packed = {"": plain, "gzip": gzip.compress(plain), "deflate": zlib.compress(plain)}[encoding]
    header = f"Content-Encoding: {encoding}\r\n".encode() if encoding else b""

    async def script(peer: Peer) -> None:
        await peer.request()
        await stream(peer, packed, head=HEADERS + header + b"Transfer-Encoding: chunked\r\n\r\n", size=size)

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        reply = await backend.send(CHAT, b"{}", heard=lambda tokens: None)
        assert content_of(reply.body) == "a\u00e9\U0001f600"

    run(with_server(script, test))


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", b'{"choices":[]}'),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n", b'{"error":{"message":"no stream"}}'),
        (b"HTTP/1.1 503 Busy\r\nContent-Type: text/event-stream\r\n", events(words("x"))),
    ],
)
def test_another_answer_is_taken_as_it_is(run: Run[None], head: bytes, body: bytes) -> None:
    """Whoever does not stream has not heard; nor is what comes with another status than 2xx an answer."""
    heard: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        reply = await backend.send(CHAT, b"{}", heard=heard.append)
        assert (reply.body, reply.streamed, heard) == (body, False, [])

    run(with_server(script, test, timeouts=Timeouts(first_byte=30.0)))


def test_a_stream_that_nobody_asked_for_is_a_body(run: Run[None]) -> None:
    """Without anybody who listens it is what it was: an answer that cannot be read."""
    body = events(words("x"))

    async def script(peer: Peer) -> None:
        await peer.request()
        await stream(peer, body)

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        reply = await backend.send(CHAT, b"{}")
        assert reply.body == body
        assert (reply.content_type or "").startswith("text/event-stream")

    run(with_server(script, test))


def failed(run: Run[None], sent: bytes, *, ends: bool = True, **options: object) -> BackendError:
    """What comes of a call whose answer is this, and then the end of the connection, or silence."""
    errors: list[BackendError] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(sent)
        if ends:
            peer.close()
        await peer.stay_silent()

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        with pytest.raises(BackendError) as raised:
            await backend.send(CHAT, b"{}", heard=lambda tokens: None)
        errors.append(raised.value)

    run(with_server(script, test, **options))
    return errors[0]


def one_piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_an_engine_that_dies_in_the_middle(run: Run[None]) -> None:
    """It is the same as the death before any answer: the connection broke. So it is where only that would end the stream."""
    half = events(words("x")[:2], done=False)
    error = failed(run, CHUNKED + one_piece(half))
    assert error.lost
    assert not isinstance(error, StreamBroken)
    error = failed(run, HEADERS + b"Connection: close\r\n\r\n" + half)
    assert error.lost
    assert not isinstance(error, StreamBroken)


def test_a_stream_that_ends_too_early(run: Run[None]) -> None:
    """The server says that it is over: the engine lives, and its streams are of no use."""
    error = failed(run, CHUNKED + one_piece(events(words("x")[:2], done=False)) + b"0\r\n\r\n")
    assert isinstance(error, StreamBroken)
    assert not error.lost


def test_an_engine_that_hangs_in_the_middle(run: Run[None]) -> None:
    """It has as long for the next part as others for their whole answer."""
    half = CHUNKED + one_piece(events(words("x")[:2], done=False))
    error = failed(run, half, ends=False, timeouts=Timeouts(first_byte=0.2, total=60.0))
    assert isinstance(error, BackendTimeout)
    assert "first byte" in str(error)


@pytest.mark.parametrize(
    "sent",
    [
        HEADERS + b"Content-Encoding: br\r\nContent-Length: 3\r\n\r\nabc",
        HEADERS + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        HEADERS + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        + one_piece(gzip.compress(events(words("x")))[:-4]) + b"0\r\n\r\n",
        HEADERS + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        + one_piece(gzip.compress(events(words("x")))) + one_piece(b"more") + b"0\r\n\r\n",
        CHUNKED + one_piece(b"data: <html>\n\n"),
    ],
)  # fmt: skip
def test_streams_that_are_damaged(run: Run[None], sent: bytes) -> None:
    """They end their call, and their connection."""
    assert isinstance(failed(run, sent, ends=False), BackendReplyBroken)


def test_an_answer_over_the_limit(run: Run[None]) -> None:
    """What is kept is bounded, not what is sent; an event without an end is kept, too, and so is what is unpacked."""
    long = events(words(*["x" * 1000] * 20))
    for sent in (
        CHUNKED + one_piece(long),
        CHUNKED + one_piece(b"data: " + b"x" * 20_000),
        HEADERS + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + one_piece(gzip.compress(long)),
    ):
        assert isinstance(failed(run, sent, ends=False, reply_bytes_max=16_000), ReplyTooLarge)

    async def script(peer: Peer) -> None:
        await peer.request()
        await stream(peer, events(words(*["x"] * 1000)))

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        reply = await backend.send(CHAT, b"{}", heard=lambda tokens: None)
        assert content_of(reply.body) == "x" * 1000

    run(with_server(script, test, reply_bytes_max=16_000))


def test_cancelling_closes_the_connection(run: Run[None]) -> None:
    """The engine sees that nobody waits any more, and stops."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + one_piece(events(words("x")[:2], done=False)))
        await peer.reader.read()
        peer.closed.set()

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        begun = asyncio.Event()
        call = asyncio.create_task(backend.send(CHAT, b"{}", heard=lambda tokens: begun.set()))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.peers[0].closed.wait()

    run(with_server(script, test))


def test_large_streams_stay_within_the_budget(run: Run[None]) -> None:
    """Eight at once, of which two would fill it: each is whole, none holds another up for ever, and all is given back."""
    budget = Budget(2 * LIMIT, answer_bytes_max=LIMIT)
    word = "x" * 1000
    said = [f"{number} {word * 3500}" for number in range(8)]

    async def script(peer: Peer) -> None:
        _, body = await peer.request()
        text = said[int(body)]
        await stream(peer, events(words(*(text[at : at + 1000] for at in range(0, len(text), 1000)))), size=50_000)
        await peer.stay_silent()

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        async def call(number: int) -> None:
            reply = await backend.send(CHAT, b"%d" % number, heard=lambda tokens: None)
            assert content_of(reply.body) == said[number]
            assert reply.held is not None
            assert reply.held.bytes == len(reply.body)
            reply.held.release()

        await asyncio.gather(*map(call, range(8)))
        assert budget.held == 0
        assert LIMIT < budget.most <= 2 * LIMIT + 8 * SMALL_BYTES

    run(with_server(script, test, budget=budget, reply_bytes_max=LIMIT))
    assert isinstance(failed(run, CHUNKED + one_piece(b"data: " + b"x" * 1_000_000), budget=budget), BackendReplyBroken)
    assert budget.held == 0
