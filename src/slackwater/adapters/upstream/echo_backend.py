"""The built-in Backend: no model, but answers of the right shape, the same for the same request every time.

For the demo, for tests, and for load. It can be slow, fail, be busy, or hang, each for a share of the calls that is decided
by a hash of the request and of how often it came, so that a run can be repeated.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from hashlib import blake2b

from slackwater.adapters.upstream.echo_answers import answer, error_reply
from slackwater.adapters.upstream.echo_streams import asked_to_stream, events_of, without_stream
from slackwater.core.sending.assembling import Assembling
from slackwater.core.sending.request import Reply
from slackwater.ports import Clock

# How many different requests are remembered to tell a first call from a repeated one.
REMEMBERED_MAX = 200_000


class EchoBackend:
    """Answers every endpoint that a batch may have. A video is made at once."""

    def __init__(
        self,
        *,
        clock: Clock,
        latency_seconds: float = 0.0,
        jitter_seconds: float = 0.0,
        error_rate: float = 0.0,
        busy_rate: float = 0.0,
        hang_rate: float = 0.0,
        refusal_rate: float = 0.0,
        retry_after: float | None = 1.0,
        seed: int = 0,
    ) -> None:
        """Rates are shares of calls from 0 to 1: answered with 500, answered with 429, and never answered.

        `refusal_rate` is a share of requests: these are answered with 400, however often they are sent.

        A call takes `latency_seconds` and up to `jitter_seconds` more. `retry_after`, in seconds, goes with every 429.
        """
        self._clock = clock
        self._latency = latency_seconds
        self._jitter = jitter_seconds
        self._draws = bool(jitter_seconds or error_rate or busy_rate or hang_rate)
        self._error_rate = error_rate
        self._busy_rate = busy_rate
        self._hang_rate = hang_rate
        self._refusal_rate = refusal_rate
        self._retry_after = retry_after
        self._seed = seed
        self._calls: Counter[bytes] = Counter()

    async def send(self, path: str, body: bytes, *, heard: Callable[[int], None] | None = None) -> Reply:
        """One answer, after the latency; with `heard`, its words come one after the other during that time."""
        if heard is None or not asked_to_stream(body):
            return await self._whole(path, body, self._latency)
        reply = await self._whole(path, without_stream(body), 0.0)
        if reply.status != 200:
            return reply
        answer = Assembling(path)
        events = list(events_of(reply.body, body))
        for event in events:
            if self._latency:
                await self._clock.sleep(self._latency / len(events))
            answer.feed(event)
            heard(answer.tokens)
        return Reply(reply.status, answer.whole(), streamed=True)

    async def _whole(self, path: str, body: bytes, latency: float) -> Reply:
        digest = blake2b(body, digest_size=8, salt=self._seed.to_bytes(8, "little")).digest()
        fault_share, jitter_share = self._draw(digest) if self._draws else (1.0, 0.0)
        fault = self._fault(fault_share)
        if fault == "hang":
            await asyncio.get_running_loop().create_future()
        seconds = latency + self._jitter * jitter_share
        if seconds:
            await self._clock.sleep(seconds)
        if self._refusal_rate and int.from_bytes(digest, "little") / 2**64 < self._refusal_rate:
            return error_reply(400, "invalid_request_error", "This is a refusal that was asked for.")
        if fault == "error":
            return error_reply(500, "server_error", "This is an error that was asked for.")
        if fault == "busy":
            reply = error_reply(429, "rate_limit_exceeded", "This is a busy answer that was asked for.")
            return Reply(reply.status, reply.body, self._retry_after)
        return answer(path, body, digest.hex())

    def _draw(self, digest: bytes) -> tuple[float, float]:
        """Two shares from 0 to 1 for this call. A repeated request draws again."""
        if len(self._calls) >= REMEMBERED_MAX:
            self._calls.clear()
        self._calls[digest] += 1
        drawn = blake2b(digest + self._calls[digest].to_bytes(4, "little"), digest_size=16).digest()
        return int.from_bytes(drawn[:8], "little") / 2**64, int.from_bytes(drawn[8:], "little") / 2**64

    def _fault(self, share: float) -> str | None:
        """What goes wrong with a call that drew `share`."""
        for rate, name in ((self._error_rate, "error"), (self._busy_rate, "busy"), (self._hang_rate, "hang")):
            if share < rate:
                return name
            share -= rate
        return None

    async def close(self) -> None:
        """There is nothing to let go of."""
