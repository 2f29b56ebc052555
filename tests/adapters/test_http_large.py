"""Answers that are too large to be read all at once: they take turns, they end, and nothing of theirs stays behind."""

import asyncio
import gzip
import os
import select
import socket
import struct
import zlib

import pytest

from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.adapters.upstream.http_pool import Timeouts
from slackwater.adapters.upstream.http_reply import STEP_OUT_BYTES, ReplyTooLarge, Unpacker
from slackwater.core.errors import BackendReplyBroken
from slackwater.core.sending.budget import SMALL_BYTES, Budget
from tests.adapters.conftest import Run
from tests.adapters.scripted_server import Peer, ScriptedServer, with_server

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = 100_000
# An answer's limit, and a budget for two of them.
LIMIT = 4 << 20


def small_budget() -> Budget:
    """Full before two answers of the limit are there."""
    return Budget(2 * LIMIT, answer_bytes_max=LIMIT)


async def chunks(peer: Peer, body: bytes, *, head: bytes = CHUNKED) -> None:
    """An answer that does not say how long it is."""
    await peer.send(head)
    for start in range(0, len(body), PIECE):
        piece = body[start : start + PIECE]
        await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    await peer.send(b"0\r\n\r\n")


async def paused(budget: Budget, answers: int = 1) -> None:
    """Until so many are not read on."""
    while budget.waiting < answers:
        await asyncio.sleep(0.01)


def test_many_large_answers_all_end_within_the_budget(run: Run[None]) -> None:
    """Twelve at once, of which two would fill it: each is whole, and no more than the budget is ever counted."""
    bodies = [os.urandom(3_500_000) for _ in range(12)]

    async def script(peer: Peer) -> None:
        _, which = await peer.request()
        await chunks(peer, bodies[int(which)])
        await peer.stay_silent()

    budget = small_budget()

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        async def call(number: int) -> None:
            reply = await backend.send("/x", b"%d" % number)
            assert reply.body == bodies[number]
            assert reply.held is not None
            assert reply.held.bytes == len(reply.body)
            # As long as a commit may take.
            await asyncio.sleep(0.01)
            reply.held.release()

        await asyncio.wait_for(asyncio.gather(*map(call, range(12))), 60)
        assert budget.held == 0
        assert LIMIT < budget.most <= 2 * LIMIT + 12 * SMALL_BYTES

    run(with_server(script, test, budget=budget, reply_bytes_max=LIMIT))


def test_time_in_which_we_do_not_read_is_not_the_servers(run: Run[None]) -> None:
    """An answer that waits for room is not timed out, and ends when there is some."""
    body = os.urandom(2 * LIMIT)

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        calls = [asyncio.ensure_future(backend.send("/x", b"{}")) for _ in range(2)]
        (first, *_), _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        await asyncio.wait_for(paused(budget), 20)
        await asyncio.sleep(1.5)
        held = first.result().held
        assert held is not None
        held.release()
        for reply in await asyncio.wait_for(asyncio.gather(*calls), 20):
            assert len(reply.body) == len(body)

    async def script(peer: Peer) -> None:
        await peer.request()
        await chunks(peer, body)
        await peer.stay_silent()

    budget = Budget(1 << 20, answer_bytes_max=16 << 20)
    run(with_server(script, test, budget=budget, timeouts=Timeouts(total=1.0)))


@pytest.mark.parametrize("resets", [True, False])
def test_a_peer_that_goes_while_we_do_not_read_is_seen(run: Run[None], resets: bool) -> None:
    """Its call fails although the budget is full and stays so, and what it held is given back."""
    if not resets and not hasattr(select, "POLLRDHUP"):
        pytest.skip("this system does not say that a peer sends no more")
    budget = Budget(LIMIT, answer_bytes_max=LIMIT)
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        # Little enough to be read to its end before the pause, so that nothing is left in the socket.
        await peer.send(CHUNKED + b"%x\r\n%b\r\n" % (PIECE, b"x" * PIECE))
        for _ in range(3):
            await asyncio.sleep(0.05)
            await peer.send(b"%x\r\n%b\r\n" % (PIECE, b"x" * PIECE))
        await go.wait()
        if resets:
            raw = peer.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.writer.transport.abort()
        else:
            peer.close()

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        seat = budget.share(lambda: None)
        assert seat.grow(SMALL_BYTES + 1)
        call = asyncio.ensure_future(backend.send("/x", b"{}"))
        await asyncio.wait_for(paused(budget), 10)
        go.set()
        with pytest.raises(BackendReplyBroken, match="inside the answer"):
            await asyncio.wait_for(call, 10)
        assert budget.held == seat.held

    run(with_server(script, test, budget=budget))


def test_a_cancelled_answer_gives_back_what_it_held(run: Run[None]) -> None:
    """Also one that waits for room: the next in turn goes on."""
    budget = Budget(1 << 20, answer_bytes_max=16 << 20)

    async def script(peer: Peer) -> None:
        await peer.request()
        await chunks(peer, b"x" * LIMIT)
        await peer.stay_silent()

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        calls = [asyncio.ensure_future(backend.send("/x", b"{}")) for _ in range(4)]
        await asyncio.wait_for(paused(budget, 3), 20)
        done = [call for call in calls if call.done()]
        calls = [call for call in calls if not call.done()]
        calls.pop().cancel()
        for call in done:
            held = call.result().held
            assert held is not None
            held.release()
        for _ in range(len(calls)):
            ended, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=20)
            for call in ended:
                calls.remove(call)
                held = call.result().held
                assert held is not None
                held.release()
        assert not calls
        assert budget.held == 0

    run(with_server(script, test, budget=budget))


@pytest.mark.parametrize("length", [PIECE, 2 * PIECE, 4 * SMALL_BYTES])
def test_an_answer_that_ends_with_its_connection_leaves_nothing(run: Run[None], length: int) -> None:
    """One that says neither how long it is nor that it comes in chunks is counted and given back like the others."""
    body = b'{"x":"%b"}' % (b"x" * length)
    budget = Budget()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        for start in range(0, len(body), PIECE):
            await peer.send(body[start : start + PIECE])
            await asyncio.sleep(0.01)
        peer.close()

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        reply = await backend.send("/x", b"{}")
        assert reply.body == body
        del reply
        # Whatever has woken us has it, too, until we wait again.
        await asyncio.sleep(0)
        assert budget.held == 0

    run(with_server(script, test, budget=budget))


def test_a_large_answer_keeps_what_is_shown_of_its_head(run: Run[None]) -> None:
    """Also one that is unpacked elsewhere: what it says it is, where it points to, when to come again."""
    body = os.urandom(3_000_000)
    budget = small_budget()

    async def script(peer: Peer) -> None:
        while True:
            _, which = await peer.request()
            packed = which == b"packed"
            head = b"HTTP/1.1 302 Found\r\nContent-Type: text/html\r\nLocation: /y\r\nRetry-After: 3\r\n"
            head += b"Content-Encoding: gzip\r\n" if packed else b""
            await chunks(
                peer, gzip.compress(body) if packed else body, head=head + b"Transfer-Encoding: chunked\r\n\r\n"
            )

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        for which in (b"packed", b"plain"):
            reply = await backend.send("/x", which)
            assert reply.body == body
            assert (reply.retry_after, reply.content_type, reply.location) == (3.0, "text/html", "/y")
            assert reply.held is not None
            assert reply.held.bytes == len(body)
            del reply
        # Whatever has woken us has it, too, until we wait again.
        await asyncio.sleep(0)
        assert budget.held == 0

    run(with_server(script, test, budget=budget, reply_bytes_max=LIMIT))


ZIPPED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: %b\r\n\r\n"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "bare"])
def test_large_compressed_answers_are_unpacked_within_the_budget(run: Run[None], encoding: str) -> None:
    """Several at once, in steps, each whole in the end and counted as large as it is unpacked."""
    body = os.urandom(1_500_000) + b"0" * 2_000_000
    bare = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": lambda: gzip.compress(body),
        "deflate": lambda: zlib.compress(body),
        "bare": lambda: bare.compress(body) + bare.flush(),
    }[encoding]()
    head = ZIPPED % (b"gzip" if encoding == "gzip" else b"deflate")
    budget = small_budget()

    async def script(peer: Peer) -> None:
        await peer.request()
        await chunks(peer, packed, head=head)
        await peer.stay_silent()

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        async def call() -> None:
            reply = await backend.send("/x", b"{}")
            assert reply.body == body
            assert reply.held is not None
            assert reply.held.bytes == len(body)
            reply.held.release()

        await asyncio.wait_for(asyncio.gather(*(call() for _ in range(6))), 60)
        assert budget.held == 0
        assert budget.most <= 3 * LIMIT

    run(with_server(script, test, budget=budget, reply_bytes_max=LIMIT))


def test_a_bomb_costs_no_more_than_the_limit(run: Run[None]) -> None:
    """It is refused as soon as more than the limit has come out, and everything is given back."""
    bomb = gzip.compress(b"0" * (20 * LIMIT))
    budget = small_budget()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(bomb, headers="Content-Encoding: gzip\r\n")
        await peer.stay_silent()

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        text = f"larger than {LIMIT} bytes when decompressed, which is the limit of `answer_bytes`"
        with pytest.raises(BackendReplyBroken, match=text) as caught:
            await backend.send("/x", b"{}")
        assert caught.value.final
        assert not caught.value.lost
        assert budget.held == 0
        assert budget.most <= LIMIT + 2 * STEP_OUT_BYTES

    run(with_server(script, test, budget=budget, reply_bytes_max=LIMIT))


@pytest.mark.parametrize("damage", ["cut", "changed", "more"])
def test_damage_in_large_compressed_answers(damage: str) -> None:
    """It is found in whatever step it comes, as in small ones."""
    packed = bytearray(gzip.compress(os.urandom(5_000_000), 1))
    if damage == "cut":
        del packed[-5:]
    elif damage == "changed":
        packed[-9] ^= 1
    else:
        packed += b"\0"
    unpacker = Unpacker(packed, b"gzip", bytes_max=1 << 30)
    with pytest.raises(BackendReplyBroken, match="is not, or not all of it"):
        while not unpacker.step():
            pass


def test_a_step_is_small_and_lets_go_of_what_it_has_read() -> None:
    """However much comes out of little, or little out of much."""
    for body in (b"0" * 50_000_000, os.urandom(5_000_000)):
        unpacker = Unpacker(gzip.compress(body), b"gzip", bytes_max=len(body))
        before = (0, unpacker.left)
        while not unpacker.step():
            assert len(unpacker.plain) - before[0] <= 2 * STEP_OUT_BYTES
            assert unpacker.left < before[1]
            before = (len(unpacker.plain), unpacker.left)
        assert unpacker.plain == body
        assert unpacker.left == 0
    with pytest.raises(ReplyTooLarge):
        unpacker = Unpacker(gzip.compress(b"0" * 5_000_000), b"gzip", bytes_max=3_000_000)
        while not unpacker.step():
            pass
