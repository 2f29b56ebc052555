"""Calls that somebody listens to: what is heard, and that a line never shows it, whatever a stream does."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from slackwater.core.errors import BackendError, BackendReplyBroken, BackendTimeout, StreamBroken
from slackwater.core.sending.assembling import Assembling
from slackwater.core.sending.door import Door
from slackwater.core.sending.evidence import Kind
from slackwater.core.sending.judgement import Setback
from slackwater.core.sending.request import Outcome, Reply, Request, Result
from slackwater.core.sending.streaming import PLAIN_SECONDS, Form
from slackwater.pipeline.sending.listening import Listener
from tests.core.streams import HEAD, USAGE, delta, events
from tests.pipeline.engines import PATH, played
from tests.pipeline.test_dispatcher import BODY, Bench
from tests.simulation.virtual import VirtualLoop

STEP = 0.5
WHOLE = {
    "id": "c-1",
    "object": "chat.completion",
    "created": 7,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
PLAIN = Reply(200, json.dumps(WHOLE, separators=(",", ":")).encode())
ASKING = BODY[:-1] + b',"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}'
LESS = BODY[:-1] + b',"stream":true,"stream_options":{"include_usage":true}}'
GOOD: list[Any] = [
    delta({"role": "assistant", "content": ""}),
    delta({"content": "a"}),
    delta({"content": "b"}, finish="stop"),
    HEAD | {"choices": [], "usage": USAGE},
]
TIMED = re.compile(rb'"request_id":"[0-9a-f]{8}')
Streamed = Reply | Exception | Sequence[Any]


class Streamer:
    """Answers a request for a stream with one thing, and any other with another."""

    def __init__(self, streamed: Streamed, plain: Reply | Exception = PLAIN) -> None:
        self.streamed = streamed
        self.plain = plain
        self.sent: list[bytes] = []

    async def send(self, path: str, body: bytes, *, heard: Callable[[int], None] | None = None) -> Reply:
        self.sent.append(body)
        answer = self.plain if heard is None else self.streamed
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Reply):
            return answer
        assert heard is not None
        assembling = Assembling(path)
        for chunk in answer:
            await asyncio.sleep(STEP)
            if isinstance(chunk, Exception):
                raise chunk
            assembling.feed(events([chunk], done=False))
            heard(assembling.tokens)
        assembling.feed(b"data: [DONE]\n\n")
        return Reply(200, assembling.whole(), streamed=True)

    async def close(self) -> None:
        """Nothing to close."""


class Ear:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[int | str, float]] = []

    def chunk(self, tokens: int, at: float) -> None:
        self.heard.append((tokens, at))

    def ended(self, at: float) -> None:
        self.heard.append(("end", at))


class Listened:
    """A bench with an ear at its engine."""

    def __init__(self, loop: VirtualLoop, backend: Streamer, *, wants: bool = True) -> None:
        self.bench = Bench(loop, PLAIN)
        dispatcher = self.bench.dispatcher
        self.backend = dispatcher._backend = dispatcher._listened._backend = backend
        self.ears: list[Ear] = []
        self.asked: list[tuple[Door, Request]] = []

        def wanted(door: Door, request: Request) -> Listener | None:
            self.asked.append((door, request))
            if not wants:
                return None
            self.ears.append(Ear())
            return self.ears[-1]

        self.bench.engine.wants_stream = wanted

    async def call(self) -> Result | Setback:
        """One attempt of the line."""
        item = await self.bench.call()
        outcome = self.bench.results.pop() if self.bench.results else item.trial and item.trial.last
        assert outcome is not None
        return outcome


def attempted(streamed: Streamed, plain: Reply | Exception = PLAIN) -> tuple[Result | Setback, Listened]:
    """One call to an engine where somebody listens."""

    async def story(loop: VirtualLoop) -> tuple[Result | Setback, Listened]:
        await asyncio.sleep(100.0)
        listened = Listened(loop, Streamer(streamed, plain))
        return await listened.call(), listened

    return played(story)


def unlistened(plain: Reply) -> Result | Setback:
    """The line without anybody who listens."""

    async def story(loop: VirtualLoop) -> Result:
        bench = Bench(loop, plain)
        await bench.call()
        return bench.results[0]

    return untimed(played(story))


def untimed(outcome: Result | Setback) -> Result | Setback:
    """A result without how long its call took, which the id of the call says, too: a stream takes its time here."""
    if isinstance(outcome, Setback):
        return outcome
    return msgspec.structs.replace(outcome, text=TIMED.sub(b'"request_id":"', outcome.text), seconds=None)


def test_a_listener_hears_every_chunk_and_the_line_does_not_show_it() -> None:
    """Tokens and moments, then the end; the line is the one without a stream, to the byte, but for its time."""
    outcome, listened = attempted(GOOD)
    assert listened.backend.sent == [ASKING]
    (ear,) = listened.ears
    assert ear.heard == [(0, 100.5), (1, 101.0), (2, 101.5), (2, 102.0), ("end", 102.0)]
    assert untimed(outcome) == unlistened(PLAIN)
    ((door, request),) = listened.asked
    assert door is listened.bench.door
    assert (request.path, request.body) == (PATH, BODY)


def test_nobody_listens() -> None:
    """Where nobody wants to hear a call, or nobody ever does, what is sent is what the user wrote."""

    async def story(loop: VirtualLoop) -> None:
        listened = Listened(loop, Streamer(GOOD), wants=False)
        assert isinstance(await listened.call(), Result)
        assert listened.backend.sent == [BODY]
        other = Listened(loop, Streamer(GOOD))
        other.bench.engine.wants_stream = None
        assert isinstance(await other.call(), Result)
        assert (other.backend.sent, other.asked) == ([BODY], [])

    played(story)


def test_an_answer_that_does_not_come_as_a_stream() -> None:
    """It is taken as it is; whoever listens hears of no chunk."""
    outcome, listened = attempted(PLAIN)
    assert untimed(outcome) == unlistened(PLAIN)
    assert listened.backend.sent == [ASKING]
    assert [what for what, _ in listened.ears[0].heard] == ["end"]


@pytest.mark.parametrize(
    "streamed",
    [
        Reply(400, b'{"error":{"message":"Unknown parameter: stream_options"}}'),
        Reply(422, b'{"detail":"extra fields not permitted"}'),
        StreamBroken("the stream ended without [DONE]: something of it is missing"),
        [*GOOD[:2], b'data: {"error":{"message":"no","code":400}}\n\n'],
        GOOD[:2],
        # An engine that has read over what was asked for.
        GOOD[:3],
    ],
)
def test_what_a_stream_leaves_in_doubt_is_asked_for_without_one(streamed: Streamed) -> None:
    """A refusal, half an answer, an error that would end the line: at once, and at no charge. Streams rest for an hour then."""
    outcome, listened = attempted(streamed)
    assert untimed(outcome) == unlistened(PLAIN)
    assert listened.backend.sent == [ASKING, BODY]
    assert [what for what, _ in listened.ears[0].heard][-1] == "end"

    async def story(loop: VirtualLoop) -> None:
        listened = Listened(loop, Streamer(streamed))
        send, now = listened.bench.dispatcher._listened.send, loop.time()
        request = Request(0, "a", BODY, PATH)
        wants, meter = listened.bench.engine.wants_stream, listened.bench.dispatcher.meter
        assert wants is not None
        await send(request, BODY, wants, meter)
        after = loop.time()
        listened.backend.sent.clear()
        await send(request, BODY, wants, meter)
        assert listened.backend.sent == [BODY]
        await asyncio.sleep(PLAIN_SECONDS + after - now)
        await send(request, BODY, wants, meter)
        assert listened.backend.sent[1:] == [ASKING, BODY]

    played(story)


def test_an_engine_without_usage_in_every_chunk() -> None:
    """It is still streamed, with the usage at the end alone."""

    async def story(loop: VirtualLoop) -> None:
        refusal = Reply(400, b'{"error":{"message":"Unknown parameter: stream_options.continuous_usage_stats"}}')
        listened = Listened(loop, Streamer(refusal))
        send, request = listened.bench.dispatcher._listened.send, Request(0, "a", BODY, PATH)
        wants, meter = listened.bench.engine.wants_stream, listened.bench.dispatcher.meter
        assert wants is not None
        await send(request, BODY, wants, meter)
        listened.backend.streamed = GOOD
        await send(request, BODY, wants, meter)
        assert listened.backend.sent == [ASKING, BODY, LESS]

    played(story)


def test_a_refusal_of_the_line_itself() -> None:
    """What the engine says without a stream is the line's end, and nothing is held against its streams."""
    refusal = Reply(400, b'{"error":{"message":"too long"}}')
    outcome, listened = attempted(refusal, refusal)
    assert untimed(outcome) == unlistened(refusal)
    assert isinstance(outcome, Result)
    assert outcome.outcome is Outcome.FAILED
    assert listened.bench.dispatcher._listened._streaming.form(101.0) is Form.CONTINUOUS


@pytest.mark.parametrize(
    ("streamed", "kind", "status"),
    [
        ([*GOOD[:2], BackendReplyBroken("the connection was closed", lost=True)], Kind.LOST, None),
        ([*GOOD[:2], BackendTimeout("nothing more of the answer")], Kind.TROUBLE, None),
        (Reply(503, b"{}", 7.0), Kind.BUSY, 503),
    ],
)
def test_a_stream_that_breaks_says_what_any_answer_says(streamed: Streamed, kind: Kind, status: int | None) -> None:
    """A death, a hang and a busy engine set the line back, as without a stream; no word of half an answer."""
    outcome, listened = attempted(streamed)
    assert isinstance(outcome, Setback)
    assert (outcome.evidence.kind, outcome.evidence.status) == (kind, status)
    assert listened.backend.sent == [ASKING]
    assert [what for what, _ in listened.ears[0].heard][-1] == "end"
    if outcome.reply is not None:
        assert outcome.reply.came is None


@pytest.mark.parametrize(
    "streamed",
    [
        [*GOOD[:2], b'data: {"error":{"message":"it broke","code":500}}\n\n'],
        *[Reply(status, b"{}") for status in (204, 307, 401, 404, 418, 500, 501)],
        [*GOOD[:2], BackendReplyBroken("the answer is too large", final=True)],
    ],
)
def test_whatever_only_streams_are_told_costs_no_attempt(streamed: Streamed) -> None:
    """However an engine says that it has no streams: the line is asked again without one at once, and so are those after it."""
    outcome, listened = attempted(streamed)
    assert isinstance(outcome, Result)
    assert outcome.outcome is Outcome.COMPLETED
    assert listened.backend.sent == [ASKING, BODY]
    assert listened.bench.dispatcher._listened._streaming.form(101.0) is Form.PLAIN


@pytest.mark.parametrize("error", [BackendReplyBroken("closed", lost=True), BackendTimeout("nothing more")])
def test_a_stream_that_dies_is_the_last_one(error: BackendError) -> None:
    """It may have been the engine's death, so it is an attempt; no second one is spent on streams."""
    _, listened = attempted([*GOOD[:2], error])
    assert listened.bench.dispatcher._listened._streaming.form(101.0) is Form.PLAIN


def test_an_answer_that_says_itself_that_it_failed() -> None:
    """Some engines end a choice with `error`, with a stream or without one: the line is the same."""
    failed = json.loads(PLAIN.body)
    failed["choices"][0]["finish_reason"] = "error"
    outcome, _ = attempted([*GOOD[:2], delta({"content": "b"}, finish="error"), GOOD[3]])
    assert isinstance(outcome, Setback)
    assert outcome.reply is not None
    assert (outcome.reply.status, outcome.reply.came, json.loads(outcome.reply.body)) == (500, 200, failed)


def test_a_call_that_is_aborted_ends_for_its_listener() -> None:
    """Whoever listens is told, whatever the reason."""

    async def story(loop: VirtualLoop) -> None:
        listened = Listened(loop, Streamer(GOOD))
        call = asyncio.create_task(listened.call())
        await asyncio.sleep(3 * STEP / 2)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert [what for what, _ in listened.ears[0].heard] == [0, "end"]

    played(story)


def test_a_request_that_cannot_be_streamed() -> None:
    """It goes as it is, and whoever wanted to hear it hears its end at once."""

    async def story(loop: VirtualLoop) -> None:
        listened = Listened(loop, Streamer(GOOD))
        dispatcher = listened.bench.dispatcher
        wants = listened.bench.engine.wants_stream
        assert wants is not None
        body = b'{"model":"m","stream":true}'
        await dispatcher._listened.send(Request(0, "a", body, PATH), body, wants, dispatcher.meter)
        assert listened.backend.sent == [body]
        assert [what for what, _ in listened.ears[0].heard] == ["end"]

    played(story)


def test_fields_without_a_value_are_those_of_whole_answers() -> None:
    """What an engine says with null without a stream, and not in its chunks, is in the line either way."""
    usual = json.loads(PLAIN.body) | {"service_tier": None}
    usual["choices"][0]["message"]["refusal"] = None

    async def story(loop: VirtualLoop) -> None:
        listened = Listened(loop, Streamer(GOOD, Reply(200, json.dumps(usual).encode())), wants=False)
        dispatcher, request = listened.bench.dispatcher, Request(0, "a", BODY, PATH)
        wants = listened.bench.engine.wants_stream
        assert wants is not None
        await dispatcher._listened.send(request, BODY, wants, dispatcher.meter)
        reply = await dispatcher._listened.send(request, BODY, lambda door, request: Ear(), dispatcher.meter)
        assert listened.backend.sent == [BODY, ASKING]
        assert json.loads(reply.body) == usual

    played(story)
