"""The HTTP client against servers that behave, and against servers that do not."""

import asyncio
import gzip
import itertools
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.adapters.upstream.http_pool import Timeouts
from slackwater.core.errors import BackendReplyBroken, BackendTimeout, BackendUnreachable
from slackwater.core.sending.request import Reply
from tests.adapters.scripted_server import Peer, ScriptedServer, echo

T = TypeVar("T")
SHORT = Timeouts(connect=2.0, first_byte=0.2, total=0.4)


async def one(script: Callable[[Peer], Awaitable[None]], body: bytes = b"{}", **options: object) -> Reply:
    """One call to a scripted server."""
    async with ScriptedServer(script) as server:
        backend = HttpBackend(server.url, **options)  # type: ignore[arg-type]
        try:
            return await backend.send("/chat/completions", body)
        finally:
            await backend.close()


def test_a_call(run: Callable[..., T]) -> None:
    """Path, headers and body arrive as they were given; the connection is used again."""

    async def work() -> None:
        heads: list[bytes] = []

        async def script(peer: Peer) -> None:
            while True:
                head, body = await peer.request()
                heads.append(head)
                await peer.answer(b'{"got":%b}' % body, status="201 Created", headers="Retry-After: 7\r\n")

        async with ScriptedServer(script) as server:
            backend = HttpBackend(f"{server.url}?api-version=1", headers={"Authorization": "Bearer k"})
            for _ in range(3):
                reply = await backend.send("/chat/completions", b"[1]")
                assert reply == Reply(201, b'{"got":[1]}', 7.0)
            await backend.close()
            assert len(server.peers) == 1
        assert heads[0].startswith(b"POST /v1/chat/completions?api-version=1 HTTP/1.1\r\n")
        for header in (b"Authorization: Bearer k", b"Content-Type: application/json", b"Content-Length: 3"):
            assert header in heads[0]

    run(work())


def test_three_megabytes_both_ways(run: Callable[..., T]) -> None:
    """Large bodies arrive whole."""
    body = b'"' + b"x" * 3_000_000 + b'"'
    assert run(one(echo, body)).body == body


def test_status_and_html_are_passed_on(run: Callable[..., T]) -> None:
    """Any status and any body is an answer; what to make of it is not the client's business."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"<html>oops</html>", status="502 Bad Gateway", headers="Content-Type: text/html\r\n")

    assert run(one(script)) == Reply(502, b"<html>oops</html>", content_type="text/html")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "inside the answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "inside the answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "inside the answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n", "not HTTP"),
        (b"", "before an answer came"),
    ],
)
def test_broken_answers(run: Callable[..., T], data: bytes, expected: str) -> None:
    """Half a body, a wrong length, something else than HTTP, nothing at all: an error that says which."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)

    with pytest.raises(BackendReplyBroken, match=expected):
        run(one(script))


def test_an_answer_that_is_too_large(run: Callable[..., T]) -> None:
    """The answer is given up as soon as it passes the limit."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"x" * 200_000)

    with pytest.raises(BackendReplyBroken, match=r"larger than 100000 bytes.*`answer_bytes`") as caught:
        run(one(script, reply_bytes_max=100_000))
    # Another call would bring another such answer.
    assert caught.value.final


def test_a_hang_before_the_answer(run: Callable[..., T]) -> None:
    """No byte within the time: the call ends, and the message says how long it waited."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.Event().wait()

    with pytest.raises(BackendTimeout, match=r"no answer within 0\.2 s"):
        run(one(script, timeouts=SHORT))


def test_a_hang_inside_the_answer(run: Callable[..., T]) -> None:
    """The total time ends a call that dribbles."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await asyncio.Event().wait()

    with pytest.raises(BackendTimeout, match=r"no whole answer within 0\.4 s"):
        run(one(script, timeouts=SHORT))


def test_nobody_listens(run: Callable[..., T]) -> None:
    """A refused connection is no attempt: nothing was sent."""

    async def work() -> None:
        async with ScriptedServer(echo) as server:
            port = server.port
        with pytest.raises(BackendUnreachable) as caught:
            await HttpBackend(f"http://127.0.0.1:{port}/v1").send("/x", b"{}")
        assert not caught.value.sent

    run(work())


def test_a_stale_connection_is_replaced_once(run: Callable[..., T]) -> None:
    """A kept connection that the server has closed costs nothing: the call goes over a new one."""

    async def work() -> None:
        async def script(peer: Peer) -> None:
            _, body = await peer.request()
            await peer.answer(body)
            # The next request arrives, and is not answered.
            await peer.request()

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.url)
            assert (await backend.send("/x", b"1")).body == b"1"
            assert (await backend.send("/x", b"2")).body == b"2"
            assert len(server.peers) == 2
            await backend.close()

    run(work())


def test_connection_close_and_http_10(run: Callable[..., T]) -> None:
    """`Connection: close` is obeyed, and an answer without a length ends with its connection."""

    async def work() -> None:
        async def script(peer: Peer) -> None:
            _, body = await peer.request()
            if body == b"1":
                await peer.answer(b"one", headers="Connection: close\r\n")
            else:
                await peer.send(b"HTTP/1.0 200 OK\r\n\r\ntwo")

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.url)
            assert (await backend.send("/x", b"1")).body == b"one"
            assert (await backend.send("/x", b"2")).body == b"two"
            await backend.close()
            assert len(server.peers) == 2

    run(work())


def test_interim_answers_are_passed_over(run: Callable[..., T]) -> None:
    """100 and 103 come before the answer and are not it."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        await peer.answer(b"real")

    assert run(one(script)).body == b"real"


def test_surplus_bytes_end_the_connection(run: Callable[..., T]) -> None:
    """What comes after an answer is nobody's: the connection is not used again."""

    async def work() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!"
            )
            await peer.request()

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.url)
            assert (await backend.send("/x", b"1")).body == b"ok"
            assert (await backend.send("/x", b"2")).body == b"ok"
            assert len(server.peers) == 2
            await backend.close()

    run(work())


def test_compressed_against_our_wish(run: Callable[..., T]) -> None:
    """A server that compresses although it was asked not to is read, but not without bound."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(gzip.compress(b"x" * 50_000), headers="Content-Encoding: gzip\r\n")

    assert run(one(script)).body == b"x" * 50_000
    with pytest.raises(BackendReplyBroken, match="larger than") as caught:
        run(one(script, reply_bytes_max=10_000))
    assert caught.value.final


def test_cancelling_closes_the_connection(run: Callable[..., T]) -> None:
    """An aborted call ends its connection at once and frees its place."""

    async def work() -> None:
        arrived = asyncio.Event()

        async def script(peer: Peer) -> None:
            _, body = await peer.request()
            if body == b"hang":
                arrived.set()
                await peer.request()
            await peer.answer(body)

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.url, connections_max=1)
            call = asyncio.create_task(backend.send("/x", b"hang"))
            await arrived.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert (await backend.send("/x", b"next")).body == b"next"
            await asyncio.wait_for(server.peers[0].closed.wait(), 5)
            await backend.close()

    run(work())


def test_connections_are_bounded(run: Callable[..., T]) -> None:
    """More calls than connections wait their turn, and all are answered."""

    async def work() -> None:
        async with ScriptedServer(echo) as server:
            backend = HttpBackend(server.url, connections_max=3)
            replies = await asyncio.gather(*(backend.send("/x", b"%d" % number) for number in range(50)))
            assert [reply.body for reply in replies] == [b"%d" % number for number in range(50)]
            assert len(server.peers) == 3
            await backend.close()

    run(work())


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ("Retry-After: 3\r\n", 3.0),
        ("retry-after: 0.5\r\n", 0.5),
        ("Retry-After-Ms: 250\r\nRetry-After: 9\r\n", 0.25),
        ("Retry-After: 999999\r\n", 3600.0),
        ("Retry-After: -1\r\n", None),
        ("Retry-After: soon\r\n", None),
        ("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n", 0.0),
        ("", None),
    ],
)
def test_retry_after(run: Callable[..., T], headers: str, seconds: float | None) -> None:
    """Seconds, milliseconds and dates are understood, bounded, and ignored where they make no sense."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"{}", status="429 Too Many Requests", headers=headers)

    assert run(one(script)).retry_after == seconds


ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nRetry-After: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'6\r\n{"a":1\r\n7;x=y\r\n,"b":2}\r\n0\r\n\r\n'
)


@settings(max_examples=40)
@given(st.lists(st.integers(0, len(ANSWER)), max_size=6))
def test_how_an_answer_is_cut_means_nothing(cuts: list[int]) -> None:
    """However the network cuts the bytes, the reply is the same."""

    async def script(peer: Peer) -> None:
        await peer.request()
        edges = [0, *sorted(cuts), len(ANSWER)]
        for start, end in itertools.pairwise(edges):
            await peer.send(ANSWER[start:end])
            await asyncio.sleep(0)

    assert asyncio.run(one(script)) == Reply(200, b'{"a":1,"b":2}', 2.0)
