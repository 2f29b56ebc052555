"""The pool over real sockets: whose turn it is, which connections are kept, and what is sent a second time."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable

import pytest

from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.adapters.upstream.http_pool import Pools, Timeouts
from slackwater.core.errors import BackendReplyBroken, BackendTimeout, BackendUnreachable
from slackwater.core.sending.request import Reply
from tests.adapters.conftest import Run
from tests.adapters.scripted_server import Peer, ScriptedServer, echo, turns, with_server

# Long enough for a loaded machine; only a failing test waits for it.
PATIENCE = 10.0


def test_turns_are_first_come_first_served(run: Run[None]) -> None:
    """Where calls outnumber connections they are served in the order they came, and cancelled ones are passed over."""
    served: list[bytes] = []
    gate = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            served.append(body)
            await gate.wait()
            await peer.answer(body)

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        calls = [asyncio.create_task(backend.send("/x", b"%d" % number)) for number in range(10)]
        await turns()
        for number in (4, 7):
            calls[number].cancel()
        gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        expected = [b"%d" % number for number in range(10) if number not in (4, 7)]
        assert served == expected
        assert [outcome.body for outcome in outcomes if isinstance(outcome, Reply)] == expected
        assert len(server.peers) == 1

    run(with_server(script, test, connections_max=1))


def test_a_turn_that_comes_while_its_call_is_cancelled_is_passed_on(run: Run[None]) -> None:
    """A connection that is handed to a call in the moment that the call is cancelled goes to the next one in line."""

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        for broken in (False, True):
            first = asyncio.create_task(backend.send("/x", b"close" if broken else b"first"))
            await turns()
            second = asyncio.create_task(backend.send("/x", b"second"))
            third = asyncio.create_task(backend.send("/x", b"third"))
            await turns()
            # Runs as soon as the first call is over: its connection, or its slot, was given to the second call just now.
            first.add_done_callback(lambda _, second=second: second.cancel())
            await first
            assert (await third).body == b"third"
            await asyncio.gather(second, return_exceptions=True)
            assert (await backend.send("/x", b"after")).body == b"after"

    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            await peer.answer(body, headers="Connection: close\r\n" if body == b"close" else "")

    run(with_server(script, test, connections_max=1))


@pytest.mark.parametrize("seed", range(5))
def test_cancelling_at_any_moment_harms_nobody_else(run: Run[None], seed: int) -> None:
    """Calls are cancelled before, while and just after they are answered; every other call is sent once and answered."""
    chance = random.Random(seed)
    served: Counter[bytes] = Counter()

    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            served[body] += 1
            await peer.answer(body)

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        calls = {number: asyncio.create_task(backend.send("/x", b"%d" % number)) for number in range(300)}
        doomed = set(chance.sample(range(300), 150))
        for number in sorted(doomed):
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            calls[number].cancel()
        for number in calls.keys() - doomed:
            assert (await calls[number]).body == b"%d" % number
            assert served[b"%d" % number] == 1
        for number in doomed:
            with contextlib.suppress(asyncio.CancelledError):
                assert (await calls[number]).body == b"%d" % number

    run(with_server(script, test, connections_max=2))


@pytest.mark.parametrize("ends", ["cancelled", "too late"])
def test_a_call_is_over_when_the_server_has_noticed(run: Run[None], ends: str) -> None:
    """However it takes it: what comes of an answer meanwhile is nobody's, and the place of the connection is free only then."""
    seen: list[str] = []

    async def script(peer: Peer) -> None:
        _, body = await peer.request()
        seen.append(body.decode())
        if body == b"next":
            await peer.answer(body)
            return
        # It reads no more requests, and is slow to see that nobody waits.
        assert await peer.reader.read() == b""
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nl")
        await asyncio.sleep(0.05)
        seen.append("noticed")

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        call = asyncio.create_task(backend.send("/x", b"first"))
        after = asyncio.create_task(backend.send("/x", b"next"))
        await asyncio.wait_for(_true(lambda: seen == ["first"]), PATIENCE)
        if ends == "cancelled":
            call.cancel()
        outcome = (await asyncio.gather(call, return_exceptions=True))[0]
        assert isinstance(outcome, asyncio.CancelledError if ends == "cancelled" else BackendTimeout)
        assert seen[:2] == ["first", "noticed"]
        assert (await after).body == b"next"
        assert seen == ["first", "noticed", "next"]

    late = Timeouts(first_byte=PATIENCE if ends == "cancelled" else 0.2, total=PATIENCE)
    run(with_server(script, test, connections_max=1, timeouts=late))


@pytest.mark.parametrize("again", [False, True])
def test_a_server_that_does_not_notice_keeps_nobody(run: Run[None], *, again: bool) -> None:
    """It has a moment. Whoever is cancelled once more does not wait even for that."""

    async def script(peer: Peer) -> None:
        _, body = await peer.request()
        if body == b"next":
            await peer.answer(body)
        await peer.stay_silent()

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        call = asyncio.create_task(backend.send("/x", b"first"))
        await asyncio.wait_for(_true(lambda: bool(server.peers)), PATIENCE)
        await turns()
        call.cancel()
        if again:
            await asyncio.sleep(0)
            call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(call, PATIENCE)
        assert (await backend.send("/x", b"next")).body == b"next"

    run(with_server(script, test, connections_max=1))


async def _true(look: Callable[[], bool]) -> None:
    while not look():
        await asyncio.sleep(0.001)


def test_cancelling_while_connecting_frees_the_slot(run: Run[None]) -> None:
    """A call that is cancelled before its connection is made leaves its place to the next."""
    arrived: asyncio.Queue[Peer] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await arrived.put(peer)
        await peer.stay_silent()

    async def work() -> None:
        async with ScriptedServer(script) as server:
            # TLS with somebody who does not speak it: connecting lasts until it is given up.
            backend = HttpBackend(server.url.replace("http:", "https:"), connections_max=1)
            for _ in range(3):
                call = asyncio.create_task(backend.send("/x", b"{}"))
                await asyncio.wait_for(arrived.get(), PATIENCE)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            await backend.close()

    run(work())


def test_kept_connections_are_closed_after_a_while(run: Run[None]) -> None:
    """An idle connection is closed when its time is over, and the next call opens another."""

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        assert (await backend.send("/x", b"1")).body == b"1"
        await asyncio.wait_for(server.peers[0].closed.wait(), PATIENCE)
        assert (await backend.send("/x", b"2")).body == b"2"
        assert len(server.peers) == 2

    run(with_server(echo, test, keep_alive_seconds=0.01))


def test_the_warmest_connection_is_used_first(run: Run[None]) -> None:
    """Calls one after another stay on one connection, so that those of a busier time can go."""
    together = asyncio.Barrier(5)
    used: list[Peer] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        await together.wait()
        await peer.answer(b"{}")
        while True:
            await peer.request()
            used.append(peer)
            await peer.answer(b"{}")

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        await asyncio.gather(*(backend.send("/x", b"1") for _ in range(5)))
        for _ in range(5):
            await backend.send("/x", b"2")
        assert used == [used[0]] * 5

    run(with_server(script, test))


def test_bytes_that_nobody_asked_for_end_an_idle_connection(run: Run[None]) -> None:
    """Some servers say 408 and close when a connection is idle; that is not the answer to the next call."""

    async def script(peer: Peer) -> None:
        _, body = await peer.request()
        await peer.answer(body)
        if body == b"1":
            await peer.answer(b"too slow", status="408 Request Timeout")
        await peer.reader.read()

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        assert (await backend.send("/x", b"1")).body == b"1"
        await asyncio.wait_for(server.peers[0].closed.wait(), PATIENCE)
        assert (await backend.send("/x", b"2")).body == b"2"

    run(with_server(script, test))


def test_nothing_is_sent_twice_after_a_byte_was_read(run: Run[None]) -> None:
    """A kept connection that breaks inside the answer is an error: the server has done the work."""
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        _, body = await peer.request()
        await peer.answer(body)
        seen.append((await peer.request())[1])
        await peer.send(b"H")

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        await backend.send("/x", b"1")
        with pytest.raises(BackendReplyBroken, match="inside the head"):
            await backend.send("/x", b"2")
        assert seen == [b"2"]

    run(with_server(script, test))


def test_nothing_is_sent_twice_over_a_fresh_connection(run: Run[None]) -> None:
    """A server that takes a request and closes a new connection has refused it; it is not asked again."""

    async def script(peer: Peer) -> None:
        await peer.request()

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        with pytest.raises(BackendReplyBroken, match="before an answer came"):
            await backend.send("/x", b"1")
        assert len(server.peers) == 1

    run(with_server(script, test))


def test_a_server_that_dies_over_a_request_may_have_seen_it(run: Run[None]) -> None:
    """Closed on a kept connection, then refused on a new one: the error admits that the request may have been sent."""

    async def work() -> None:
        async def script(peer: Peer) -> None:
            _, body = await peer.request()
            await peer.answer(body)
            await peer.request()
            server.stop_listening()

        async with ScriptedServer(script) as server:
            backend = HttpBackend(server.url)
            await backend.send("/x", b"1")
            with pytest.raises(BackendUnreachable, match="refused") as caught:
                await backend.send("/x", b"2")
            assert caught.value.sent
            await backend.close()

    run(work())


def test_an_early_answer_to_a_large_request(run: Run[None]) -> None:
    """A server may answer before it has read everything. The answer counts; the connection is not used again."""
    body = b"x" * 8_000_000

    async def script(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        if b"Content-Length: 8000000" in head:
            await peer.answer(b"no", status="413 Content Too Large")
            await peer.stay_silent()
        await peer.answer(await peer.reader.readexactly(1))

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        assert await backend.send("/x", body) == Reply(413, b"no")
        assert (await backend.send("/x", b"2")).body == b"2"
        assert len(server.peers) == 2

    run(with_server(script, test))


def test_who_calls_one_place_shares_its_connections(run: Run[None]) -> None:
    """As long as one of them is there, however often another is closed; who has other bounds has connections of his own."""

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        pools = Pools()
        first, second = (HttpBackend(server.url, connections_max=1, pools=pools) for _ in range(2))
        other = HttpBackend(server.url, timeouts=Timeouts(total=5.0), pools=pools)
        for each in (first, second, first, second):
            assert (await each.send("/x", b"one")).body == b"one"
        assert len(server.peers) == 1
        await other.send("/x", b"other")
        assert len(server.peers) == 2
        # Together they have as many as each of them wants.
        assert [
            reply.body for reply in await asyncio.gather(*(first.send("/x", b"%d" % each) for each in range(4)))
        ] == [
            b"0",
            b"1",
            b"2",
            b"3",
        ]
        assert len(server.peers) == 3
        for _ in range(3):
            await first.close()
        assert (await second.send("/x", b"still")).body == b"still"
        assert len(server.peers) == 3
        await second.close()
        with pytest.raises(BackendUnreachable):
            await second.send("/x", b"late")
        third = HttpBackend(server.url, connections_max=1, pools=pools)
        assert (await third.send("/x", b"new")).body == b"new"
        assert len(server.peers) == 4
        for each in (third, other):
            await each.close()

    run(with_server(echo, test))
