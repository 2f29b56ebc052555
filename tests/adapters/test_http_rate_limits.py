"""What the HTTP client keeps of the headers that speak of rate limits."""

import gzip

from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.core.sending.rate_limit_headers import Reading
from slackwater.core.sending.request import Reply
from tests.adapters.conftest import Run
from tests.adapters.scripted_server import Peer, ScriptedServer

SAID = b"X-RateLimit-Limit-Tokens: 1000\r\nx-ratelimit-remaining-tokens: 900\r\nx-ratelimit-reset-tokens: 6s\r\n"
READ = (Reading(True, None, 1000.0, 900.0, 6.0),)


async def replies(*answers: bytes) -> list[Reply]:
    """What comes of answers that are written as they are."""
    left = list(answers)

    async def script(peer: Peer) -> None:
        while left:
            await peer.request()
            peer.writer.write(left.pop(0))
            await peer.writer.drain()

    async with ScriptedServer(script) as server:
        backend = HttpBackend(f"http://127.0.0.1:{server.port}/v1")
        found = [await backend.send("/x", b"{}") for _ in answers]
        await backend.close()
    return found


def test_limits_come_with_the_reply(run: Run[list[Reply]]) -> None:
    """With successes, refusals and compressed answers; and with nothing where nothing is said."""
    packed = gzip.compress(b"{}")
    good, refused, compressed, plain = run(
        replies(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + SAID + b"\r\n{}",
            b"HTTP/1.1 429 No\r\nContent-Length: 2\r\nRetry-After: 3\r\n" + SAID + b"\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n" % len(packed)
            + SAID
            + b"\r\n"
            + packed,
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: 1\r\n\r\n{}",
        )
    )
    assert (good.status, good.body, good.limits) == (200, b"{}", READ)
    assert (refused.status, refused.retry_after, refused.limits) == (429, 3.0, READ)
    assert (compressed.body, compressed.limits) == (b"{}", READ)
    assert plain.limits == ()


def test_a_header_twice(run: Run[list[Reply]]) -> None:
    """The first of two values counts: a server that says two things of one limit is read as if it had said one."""
    [reply] = run(replies(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + SAID + SAID + b"\r\n{}"))
    assert reply.limits[0].remaining == 900.0
