"""One request to one backend: gate, attempt, verdict, line. Before: the worker's feed. After: the journal.

What happens here is not durable: until a result is journaled, it did not happen, and the request may be sent again.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from slackwater.core.accounts.usage import Usage
from slackwater.core.errors import BackendError, BackendTimeout, BackendUnreachable
from slackwater.core.sending import lines
from slackwater.core.sending.breaker import Breaker
from slackwater.core.sending.judgement import RetryPolicy, Verdict, judge, judge_error
from slackwater.core.sending.request import Outcome, Reply, Request, Result
from slackwater.pipeline.sending.large_answers import LARGE_BYTES, LargeAnswers
from slackwater.ports import Backend, Clock
from slackwater.telemetry import BackendMeter, counters, event


class Retry:
    """Send it again, not before `delay` seconds from now. `counted` tells whether this call used up an attempt."""

    __slots__ = ("counted", "delay")

    def __init__(self, delay: float, *, counted: bool) -> None:
        self.delay = delay
        self.counted = counted


class Gate:
    """Where the lanes of a backend wait while its breaker is open. One of them is let through as the probe."""

    def __init__(self, breaker: Breaker, clock: Clock) -> None:
        self.breaker = breaker
        self._clock = clock
        self._changed: asyncio.Event = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether calls may go out without waiting."""
        return self.breaker.closed

    @property
    def admits(self) -> bool:
        """Whether somebody who came now would be let through at once, if only as the probe."""
        return self.breaker.closed or self.breaker.ready(self._clock.monotonic())

    async def enter(self) -> None:
        """Returns when the caller may send: at once, or as the probe."""
        while (wait := self.breaker.wait(self._clock.monotonic())) != 0.0:
            changed = self._changed
            waiting = asyncio.ensure_future(changed.wait())
            # None: a probe is out, and its end will be told.
            sleeping = None if wait is None else asyncio.ensure_future(self._clock.sleep(wait))
            pending = {waiting} if sleeping is None else {waiting, sleeping}
            try:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for future in pending:
                    future.cancel()

    def changed(self) -> None:
        """Wakes those who wait, to look at the breaker again."""
        self._changed.set()
        self._changed = asyncio.Event()


def _outcome(error: BackendError) -> str:
    """How a call without an answer is counted."""
    if isinstance(error, BackendTimeout):
        return "timeout"
    return "unreachable" if isinstance(error, BackendUnreachable) else "broken"


class Dispatcher:
    """Sends requests to one backend and turns what comes back into results."""

    def __init__(
        self,
        name: str,
        backend: Backend,
        *,
        concurrency: int,
        model: str | None,
        retry: RetryPolicy,
        breaker: Breaker,
        clock: Clock,
        chance: Callable[[], float],
        region: str = "",
        meter: BackendMeter | None = None,
        traced: bool = False,
        large: LargeAnswers | None = None,
    ) -> None:
        """`model` is the name that upstream knows; None sends the body as it is. `chance` draws from [0, 1).

        `meter` goes on where the one before it was. `traced`: whether the backend wants to know which batch a call is for.
        Without `large`, answers of any size are read here.
        """
        self.name = name
        self.region = region
        self.concurrency = concurrency
        self.gate = Gate(breaker, clock)
        self.meter = meter or BackendMeter()
        self.traced = traced
        self._large = large
        self._backend = backend
        self._model = None if model is None else msgspec.json.encode(model)
        self._retry = retry
        self._clock = clock
        self._chance = chance
        self.last_error: tuple[str, float] | None = None
        """What last spoke against the backend, and when."""

    @property
    def window(self) -> int:
        """How many requests may be out now: all of its slots, one as the probe, or none."""
        return self.concurrency if self.gate.open else int(self.gate.admits)

    async def attempt(self, path: str, request: Request, *, attempts: int, writer: lines.LineWriter) -> Result | Retry:
        """One call. `attempts` counts it and the counted ones before it. Cancelling aborts the call."""
        body = request.body if self._model is None else lines.with_model(request.body, self._model)
        try:
            reply = await self._call(path, body)
        except BackendError as error:
            return self._no_answer(request, error, attempts, writer)
        except asyncio.CancelledError:
            self._abandon_probe()
            raise
        if self._large is not None and len(reply.body) > LARGE_BYTES:
            return await self._read_large(self._large, request, reply, attempts, writer)
        if 200 <= reply.status < 300:
            return self._success(request, reply, attempts, writer)
        return self._refusal(request, reply, attempts, writer)

    async def _read_large(
        self, large: LargeAnswers, request: Request, reply: Reply, attempts: int, writer: lines.LineWriter
    ) -> Result | Retry:
        """The same for an answer that would hold up everybody else if it were read here."""
        try:
            answer = await large.read(lines.read_answer, reply.body)
            body = lines.wrapped_error(reply.body, reply.status) if answer is None else await large.one_line(reply.body)
        except asyncio.CancelledError:
            self._abandon_probe()
            raise
        if 200 <= reply.status < 300:
            return self._answered(request, reply, attempts, writer, answer, body)
        return self._refusal(request, reply, attempts, writer, body)

    async def _call(self, path: str, body: bytes) -> Reply:
        """Asks the backend, and sees how long that takes."""
        meter, clock = self.meter, self._clock
        counters["requests_sent"] += 1
        meter.sent += 1
        begun = clock.monotonic()
        try:
            reply = await self._backend.send(path, body)
        except asyncio.CancelledError:
            meter.outcomes["aborted"] += 1
            raise
        except Exception:
            meter.seconds.observe(clock.monotonic() - begun)
            raise
        meter.seconds.observe(clock.monotonic() - begun)
        return reply

    def _success(self, request: Request, reply: Reply, attempts: int, writer: lines.LineWriter) -> Result | Retry:
        answer = lines.read_answer(reply.body)
        body = reply.body if answer is None else lines.one_line(reply.body)
        return self._answered(request, reply, attempts, writer, answer, body)

    def _answered(
        self,
        request: Request,
        reply: Reply,
        attempts: int,
        writer: lines.LineWriter,
        answer: tuple[Usage | None, str | None] | None,
        body: bytes,
    ) -> Result | Retry:
        """`answer` is what was read in the reply, `body` its text on one line."""
        if answer is None:
            return self._no_answer(
                request,
                BackendError(f"the backend answered {reply.status} with a body that is not a JSON object"),
                attempts,
                writer,
            )
        self._speaks_for_backend()
        self.meter.outcomes["success"] += 1
        if (usage := answer[0]) is not None:
            self.meter.tokens += usage.input_tokens + usage.output_tokens
        if reply.held is not None or len(body) > LARGE_BYTES:
            parts = writer.answered_parts(request.line, request.custom_id, status=reply.status, body=body)
            return Result(
                request.line, Outcome.COMPLETED, b"", answer[0], answer[1], self.region, parts=parts, held=reply.held
            )
        text = writer.answered(request.line, request.custom_id, status=reply.status, body=body)
        return Result(request.line, Outcome.COMPLETED, text, answer[0], answer[1], self.region)

    def _refusal(
        self, request: Request, reply: Reply, attempts: int, writer: lines.LineWriter, body: bytes | None = None
    ) -> Result | Retry:
        """`body` is what is written if this is the end; by default it is made of the reply."""
        verdict = judge(reply.status, attempts=attempts, policy=self._retry, retry_after=reply.retry_after)
        if verdict is Verdict.WAIT:
            delay = self._retry.delay(1, chance=self._chance()) if reply.retry_after is None else reply.retry_after
            counters["backend_busy"] += 1
            self.meter.outcomes["busy"] += 1
            self.meter.resent += 1
            self.gate.breaker.pause(self._clock.monotonic() + delay)
            self.gate.changed()
            return Retry(delay, counted=False)
        self.meter.outcomes["refused" if 400 <= reply.status < 500 else "error"] += 1
        if reply.status >= 500:
            self._speaks_against_backend(f"status {reply.status}")
        else:
            self._speaks_for_backend()
        if verdict is Verdict.RETRY:
            counters["requests_retried"] += 1
            self.meter.resent += 1
            delay = self._retry.delay(attempts, chance=self._chance())
            return Retry(max(delay, reply.retry_after or 0.0), counted=True)
        if body is None:
            body = lines.error_body(reply.body, reply.status)
        if reply.held is not None or len(body) > LARGE_BYTES:
            parts = writer.answered_parts(request.line, request.custom_id, status=reply.status, body=body)
            return Result(request.line, Outcome.FAILED, b"", region=self.region, parts=parts, held=reply.held)
        text = writer.answered(request.line, request.custom_id, status=reply.status, body=body)
        return Result(request.line, Outcome.FAILED, text, region=self.region)

    def _no_answer(
        self, request: Request, error: BackendError, attempts: int, writer: lines.LineWriter
    ) -> Result | Retry:
        verdict = judge_error(error, attempts=attempts, policy=self._retry)
        self._speaks_against_backend(str(error), at_once=verdict is Verdict.WAIT)
        self.meter.outcomes[_outcome(error)] += 1
        if verdict is not Verdict.FAILED:
            counters["requests_retried"] += 1
            self.meter.resent += 1
            delay = self._retry.delay(attempts, chance=self._chance())
            return Retry(delay, counted=verdict is Verdict.RETRY)
        text = writer.unanswered(request.line, request.custom_id, code=error.code, message=str(error))
        return Result(request.line, Outcome.FAILED, text)

    def _abandon_probe(self) -> None:
        """If this call was to be the probe, the next lane may probe in its place."""
        if not self.gate.open:
            self.gate.breaker.abandon()
            self.gate.changed()

    def _speaks_for_backend(self) -> None:
        gate = self.gate
        if gate.open:
            gate.breaker.succeeded()
            return
        gate.breaker.succeeded()
        event("backend_open", backend=self.name)
        gate.changed()

    def _speaks_against_backend(self, reason: str, *, at_once: bool = False) -> None:
        gate = self.gate
        was_open = gate.open
        now = self._clock.monotonic()
        self.last_error = (reason, now)
        gate.breaker.failed(now, at_once=at_once)
        if not gate.open:
            if was_open:
                event("backend_paused", level=logging.WARNING, backend=self.name, reason=reason)
            gate.changed()

    async def close(self) -> None:
        """Lets go of the backend's connections."""
        await self._backend.close()
