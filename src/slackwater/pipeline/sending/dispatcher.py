"""One request to one backend: attempt, what came of it, line. Before: the worker's feed, by way of a lane. After: the journal.

What happens here is not durable: until a result is journaled, it did not happen, and the request may be sent again. Whose
trouble something is, is not decided here but by comparison, when the line may be sent again (core/sending/judgement.py).
"""

import asyncio
from functools import partial

import msgspec
from msgspec import Struct

from slackwater.core.endpoints import VIDEOS
from slackwater.core.errors import BackendError, BackendTimeout, BackendUnreachable
from slackwater.core.sending import lines
from slackwater.core.sending.answer_kinds import Answer, ErrorInside, Unreadable
from slackwater.core.sending.binary_answers import read_reply
from slackwater.core.sending.circuit import Circuit
from slackwater.core.sending.door import Door, DoorState
from slackwater.core.sending.engine_names import where_else
from slackwater.core.sending.evidence import SUCCESS, Evidence, Kind, evidence_of, evidence_of_error
from slackwater.core.sending.judgement import UNREADABLE_MAX, RetryPolicy, Setback
from slackwater.core.sending.probe import PROBE_TOKENS, probe_body
from slackwater.core.sending.rate_limits import heard_limits
from slackwater.core.sending.request import Outcome, Reply, Request, Result
from slackwater.core.sending.streaming import Streaming
from slackwater.core.sending.unanswered import refusal_body, unreadable_error
from slackwater.pipeline.sending.endings import coded
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.large_answers import LARGE_BYTES, LargeAnswers
from slackwater.pipeline.sending.lease import Item
from slackwater.pipeline.sending.listening import ListenedCalls
from slackwater.pipeline.sending.slicing import SlicedCalls
from slackwater.pipeline.sending.video_jobs import VideoJobs
from slackwater.ports import Backend, Clock, Metered
from slackwater.telemetry import BackendMeter, counters

LEFT_TO_OTHERS = "The engine is left to its online users: {}."
# Answers of lines that wait are kept up to this size, in case they are the last ones.
KEPT_REPLY_BYTES = 1 << 16
# Bodies of requests are kept up to this size, for the name of their model.
KEPT_BODY_BYTES = 1 << 16


class Standing(Struct, frozen=True):
    """How the way to an engine is. Moments are monotonic; `until` is when it is looked at again."""

    state: DoorState
    reason: str
    since: float
    until: float | None


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
        engine: Engine,
        door: Door,
        concurrency: int,
        model: str | None,
        retry: RetryPolicy,
        clock: Clock,
        region: str = "",
        meter: BackendMeter | None = None,
        traced: bool = False,
        large: LargeAnswers | None = None,
        streams: bool = True,
        most: int | None = None,
        says: int | None = None,
        videos: VideoJobs | None = None,
    ) -> None:
        """`model` is the name that upstream knows; None sends the body as it is.

        `meter` goes on where the one before it was. `traced`: whether the backend wants to know which batch a call is for.
        Without `large`, answers of any size are read here. `streams`: whether calls may be streamed where somebody listens.
        At an engine that is paced `most` calls may be out. `says` is how many its engine takes, where the backend names a number.
        Without `videos`, those are not waited for.
        """
        self.name = name
        self.region = region
        self.concurrency = concurrency
        self.most = most or concurrency
        self.says = says
        self.metered = isinstance(backend, Metered)
        self.engine = engine
        self.door = door
        self.retry = retry
        self.meter = meter or BackendMeter()
        self.traced = traced
        self._large = large
        self._videos = videos
        self._backend = backend
        self._listened = ListenedCalls(name, backend, door, clock, Streaming(never=not streams))
        self._sliced = SlicedCalls(name, backend, clock)
        self._model = None if model is None else msgspec.json.encode(model)
        self._probe_model = model
        self._clock = clock
        # Where the last line went: a request of ours goes there, too.
        self._path = "/chat/completions"
        self._last_body = b""
        # The last request that succeeded, and whether the last one that did not was refused: whether nobody is let in any more,
        # or only this is not there, shows in what was let in before.
        self._good: Request | None = None
        self._refused = False
        # When the last call came back.
        self._ended = 0.0
        self.last_error: tuple[str, float] | None = None
        """What last spoke against the backend, and when."""

    @property
    def ended_at(self) -> float:
        """When the last call came back, a monotonic moment; 0.0 before the first one."""
        return self._ended

    def holds(self, path: str) -> Standing | None:
        """Why requests for an endpoint go nowhere although the way to the engine is open; None where they do."""
        return None

    @property
    def state(self) -> DoorState:
        """How the way to its engine is."""
        if self.engine.held is not None:
            return DoorState.PAUSED
        return self.door.state if self.engine.reach.listens else DoorState.DOWN

    @property
    def standing(self) -> Standing:
        """The same with why, since when and until when, in monotonic moments."""
        engine, door = self.engine, self.door
        if engine.held is not None:
            ago = self._clock.now() - engine.held.since
            return Standing(DoorState.PAUSED, engine.held.reason, self._clock.monotonic() - ago, None)
        if not engine.reach.listens:
            return Standing(DoorState.DOWN, engine.reach.reason, engine.reach.since, engine.reach.until)
        if door.state is DoorState.OK and door.quota is not None:
            now = self._clock.monotonic()
            if words := door.quota.reason(now):
                return Standing(DoorState.OK, words, door.since, door.quota.wait_until)
        if door.state is DoorState.OK and (frozen := engine.pacing.frozen):
            since = engine.pacing.frozen_since
            return Standing(DoorState.OK, LEFT_TO_OTHERS.format(frozen), door.since if since is None else since, None)
        until = None if door.state is DoorState.OK else door.until
        return Standing(door.state, door.reason + where_else(self.name, door.reason), door.since, until)

    @property
    def cap(self) -> int:
        """The most requests that may be out, however things are: more where its engine is paced, and no more than that has."""
        cap = self.most if self.engine.pacing.paced else self.concurrency
        return min(cap, self.engine.slots or cap)

    @property
    def window(self) -> int:
        """How many requests may be out now: all of its slots, a few, or none."""
        if not self.engine.reach.listens or not self.door.admits(self._clock.monotonic()):
            return 0
        if not self.door.open:
            return max(1, self.door.probe_lines)
        paced = self.engine.pacing.window
        return self.concurrency if paced is None else min(self.most, paced)

    async def attempt(self, item: Item, request: Request, begun: float) -> Result | Setback:
        """One call, which begins now. Cancelling aborts it."""
        self._path = request.path
        body = self._body_of(request)
        counters["requests_sent"] += 1
        self.meter.sent += 1
        try:
            reply = await self._call(item, request, body)
        except BaseException as error:
            self._ends(begun, error, item)
            if isinstance(error, BackendError):
                return self._no_answer(item, error, begun)
            raise
        self._ended = ended = self._clock.monotonic()
        self.meter.seconds.observe(ended - begun)
        if reply.limits or item.sent is not None:
            self._hear_limits(item, reply, begun)
        if self._large is not None and len(reply.body) > LARGE_BYTES:
            return await self._read_large(self._large, item, request, reply, begun)
        if 200 <= reply.status < 300:
            return self._success(item, request, reply, begun)
        return self._refusal(item, request, reply, begun)

    async def _call(self, item: Item, request: Request, body: bytes) -> Reply:
        """The call itself, at a paced engine with what goes before it and with who listens."""
        if request.path == VIDEOS and self._videos is not None:
            return await self._videos.send(self._backend, body, item)
        engine = self.engine
        wants = engine.wants_stream
        if wants is None:
            return await self._backend.send(request.path, body)
        ahead = engine.pacing.ahead(item)
        if ahead is None:
            return await self._listened.send(request, body, wants, self.meter)
        whole = partial(self._listened.send, request, body, wants, self.meter)
        if self.door.quota is not None:
            # Requests and tokens are counted there, and slices are made of both.
            ahead.rest(ahead.tokens, 0.0)
            return await whole()
        return await self._sliced.send(request.path, body, ahead, self.meter, whole)

    async def probe(self) -> tuple[Evidence, bool] | None:
        """A request of our own, the smallest there is; what it says, and whether there was an answer.

        None for an endpoint of which we do not know what it takes.
        """
        path, last = self._path, self._last_body
        if self._refused and self._good is not None:
            path, last = self._good.path, self._good.body
        body = probe_body(path, self._probe_model or lines.model_of(last))
        if body is None:
            return None
        self.meter.probes += 1
        begun, quota = self._clock.monotonic(), self.door.quota
        sent = None if quota is None else quota.took(begun, PROBE_TOKENS)
        try:
            reply = await self._backend.send(path, body)
        except BackendError as error:
            self.last_error = (str(error), self._clock.monotonic())
            return evidence_of_error(error), False
        finally:
            if quota is not None and sent is not None:
                quota.over(sent)
        if reply.limits or sent is not None:
            now = self._clock.monotonic()
            self.door.quota = heard_limits(self.door.quota, sent, reply, begun=begun, now=now)
        if 200 <= reply.status < 300:
            if self._large is not None and len(reply.body) > LARGE_BYTES:
                answer = await self._large.read_reply(reply, path=path)
            else:
                answer = read_reply(reply, path=path)
            if isinstance(answer, Answer):
                return SUCCESS, True
            if isinstance(answer, Unreadable):
                return Evidence(Kind.TROUBLE, f"status {reply.status}: {answer.why}", None, reply.status), True
            return (
                evidence_of(answer.status, answer.body, retry_after=answer.retry_after, came=reply.status),
                True,
            )
        return evidence_of(reply.status, reply.body, retry_after=reply.retry_after, dropped=reply.dropped), True

    async def metrics(self) -> Reply | None:
        """The metrics page of the engine; None where there is none. Raises BackendError."""
        return await self._backend.metrics() if isinstance(self._backend, Metered) else None

    def _body_of(self, request: Request) -> bytes:
        """What is sent. Of the last request, the name of its model is kept, for a request of ours."""
        if self._model is not None:
            return lines.with_model(request.body, self._model)
        if len(request.body) <= KEPT_BODY_BYTES:
            self._last_body = request.body
        elif not self._last_body:
            self._last_body = msgspec.json.encode({"model": lines.model_of(request.body)})
        return request.body

    def _hear_limits(self, item: Item, reply: Reply, begun: float) -> None:
        """What an answer says of rate limits, and what it means for them."""
        sent, item.sent = item.sent, None
        self.door.quota = heard_limits(self.door.quota, sent, reply, begun=begun, now=self._ended)

    def _ends(self, begun: float, error: BaseException, item: Item) -> None:
        """A call has ended without an answer."""
        if item.sent is not None and self.door.quota is not None:
            self.door.quota.over(item.sent)
            item.sent = None
        if isinstance(error, asyncio.CancelledError):
            self.meter.outcomes["aborted"] += 1
            return
        self._ended = self._clock.monotonic()
        self.meter.seconds.observe(self._ended - begun)

    def _success(self, item: Item, request: Request, reply: Reply, begun: float) -> Result | Setback:
        answer = read_reply(reply, path=request.path)
        if type(answer) is not Answer:
            return self._no_success(item, request, reply, answer, begun)
        usage = answer.usage
        meter = self.meter
        self.engine.heard(item, self.door, SUCCESS, begun=begun, now=self._ended)
        meter.outcomes["success"] += 1
        if len(request.body) <= KEPT_BODY_BYTES:
            self._good = request
        if usage is not None:
            meter.tokens += usage.input_tokens + usage.output_tokens
            if (hears := self.engine.hears_answers) is not None:
                hears(begun, self._ended, usage)
        took = self._ended - begun
        text = item.lease.writer.answered(
            request.line, request.custom_id, status=reply.status, body=answer.body, seconds=took
        )
        return Result(
            request.line,
            Outcome.COMPLETED,
            text,
            usage,
            answer.model,
            self.region,
            answer.mended,
            seconds=took,
        )

    async def _read_large(
        self, large: LargeAnswers, item: Item, request: Request, reply: Reply, begun: float
    ) -> Result | Setback:
        """The same for an answer that would hold up everybody else if it were read here, of any status."""
        if not 200 <= reply.status < 300:
            # Only the beginning of it is looked at, unless it is what the line says in the end.
            final = evidence_of(reply.status, reply.body, retry_after=reply.retry_after).kind is Kind.OWN
            return self._refusal(item, request, reply, begun, await large.refusal_body(reply) if final else None)
        answer = await large.read_reply(reply, path=request.path)
        if not isinstance(answer, Answer):
            return self._no_success(item, request, reply, answer, begun)
        usage = answer.usage
        self._heard(item, SUCCESS, begun)
        self.meter.outcomes["success"] += 1
        if usage is not None:
            self.meter.tokens += usage.input_tokens + usage.output_tokens
        took = self._ended - begun
        parts = item.lease.writer.answered_parts(
            request.line, request.custom_id, status=reply.status, body=answer.body, seconds=took
        )
        return Result(
            request.line,
            Outcome.COMPLETED,
            b"",
            usage,
            answer.model,
            self.region,
            answer.mended,
            parts=parts,
            held=reply.held,
            seconds=self._ended - begun,
        )

    def _no_success(
        self, item: Item, request: Request, reply: Reply, answer: Answer | ErrorInside | Unreadable, begun: float
    ) -> Result | Setback:
        if isinstance(answer, ErrorInside):
            wait = answer.retry_after if reply.retry_after is None else reply.retry_after
            inside = Reply(answer.status, answer.body, wait, held=reply.held, came=reply.status)
            return self._refusal(item, request, inside, begun, answer.body)
        assert isinstance(answer, Unreadable), "an answer is one of three"
        return self._unusable(item, reply, answer.why, begun)

    def _unusable(self, item: Item, reply: Reply, why: str, begun: float) -> Setback:
        """An answer came and cannot be used. It may have been paid for, so it is not asked for often."""
        evidence = Evidence(Kind.TROUBLE, f"status {reply.status}: {why}", None, reply.status)
        now = self._heard(item, evidence, begun)
        self.meter.outcomes["broken"] += 1
        code, message = unreadable_error(why, reply)
        return Setback(evidence, begun, now, code=code, message=message, attempts_max=UNREADABLE_MAX)

    def _refusal(
        self, item: Item, request: Request, reply: Reply, begun: float, body: bytes | None = None
    ) -> Result | Setback:
        """`body` is what is written if this is the end, one JSON object on one line; by default it is made of the reply."""
        evidence = evidence_of(
            reply.status,
            reply.body,
            retry_after=reply.retry_after,
            dropped=reply.dropped,
            asked=request.body,
            came=reply.came,
        )
        kind = evidence.kind
        self._refused = kind is Kind.REFUSED
        meter = self.meter
        if kind is Kind.OWN:
            self._heard(item, evidence, begun)
            meter.outcomes["refused"] += 1
            body = refusal_body(reply) if body is None else body
            tail, took = lines.tail_of(reply.came, reply.status), self._ended - begun
            if len(body) > LARGE_BYTES:
                parts = item.lease.writer.answered_parts(
                    request.line, request.custom_id, status=reply.status, body=body, tail=tail, seconds=took
                )
                return Result(request.line, Outcome.FAILED, b"", region=self.region, parts=parts, held=reply.held)
            text = item.lease.writer.answered(
                request.line, request.custom_id, status=reply.status, body=body, tail=tail, seconds=took
            )
            return Result(request.line, Outcome.FAILED, text, region=self.region)
        if kind is Kind.BUSY:
            counters["backend_busy"] += 1
            meter.outcomes["busy"] += 1
        else:
            meter.outcomes["refused" if reply.status < 500 else "error"] += 1
        if kind is Kind.BUSY and evidence.wait is not None:
            now = self._asked_to_wait(item, item.lease.circuit, evidence, begun)
        else:
            now = self._heard(item, evidence, begun)
        return Setback(evidence, begun, now, reply=_kept(reply), region=self.region)

    def _asked_to_wait(self, item: Item, circuit: Circuit, evidence: Evidence, begun: float) -> float:
        """Whose wait it is: the door's, or that of one batch which is told so again and again while others are served."""
        now = self._clock.monotonic()
        assert evidence.wait is not None, "somebody asked for a wait"
        if circuit.asked_to_wait(self.door, until=now + evidence.wait, begun=begun, now=now):
            return now
        return self._heard(item, evidence, begun)

    def _no_answer(self, item: Item, error: BackendError, begun: float) -> Result | Setback:
        self.meter.outcomes[_outcome(error)] += 1
        if error.final:
            # The engine works; this answer will never be one that we take.
            self._heard(item, Evidence(Kind.OWN), begun)
            return coded(item.lease, item.line, item.custom_id, (error.code, str(error)))
        evidence = evidence_of_error(error)
        now = self._heard(item, evidence, begun)
        return Setback(evidence, begun, now, code=error.code, message=str(error))

    def _heard(self, item: Item, evidence: Evidence, begun: float) -> float:
        """Tells the engine and the door what a call says. Returns the moment."""
        now = self._clock.monotonic()
        if evidence.kind not in (Kind.SUCCESS, Kind.OWN):
            self.last_error = (evidence.reason, now)
        self.engine.heard(item, self.door, evidence, begun=begun, now=now)
        return now

    async def close(self) -> None:
        """Lets go of the backend's connections."""
        await self._backend.close()


def _kept(reply: Reply) -> Reply:
    """An answer as it is kept while its line waits: whole, if it is not very long."""
    if len(reply.body) <= KEPT_REPLY_BYTES:
        return reply
    return Reply(
        reply.status,
        lines.error_body(reply.body[:2000], reply.status),
        reply.retry_after,
        location=reply.location,
        came=reply.came,
    )
