"""One request to one backend: what ends a line, what sets it back, and what the door hears of it."""

import asyncio
import json
from typing import Any

import pytest

from slackwater.core.errors import BackendReplyBroken, BackendTimeout, BackendUnreachable
from slackwater.core.sending.door import DoorState
from slackwater.core.sending.evidence import SUCCESS, Kind
from slackwater.core.sending.judgement import UNREADABLE_MAX, RetryPolicy, Setback, Verdict
from slackwater.core.sending.request import Outcome, Reply, Result
from slackwater.pipeline.sending.dispatcher import KEPT_REPLY_BYTES, Dispatcher
from slackwater.pipeline.sending.endings import ended
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.feed import Feed
from slackwater.pipeline.sending.lease import Item, Lease
from slackwater.pipeline.sending.use import BackendUse
from slackwater.ports import BlobRange, Shard
from tests.pipeline.engines import GOOD, PATH, played
from tests.simulation.virtual import VirtualClock, VirtualLoop

BODY = b'{"model":"deployment","n":1.10}'
LINE = b'{"custom_id":"a","method":"POST","url":"/chat/completions","body":%b}\n' % BODY


class Scripted:
    """Answers what the test says, and remembers what it was sent."""

    def __init__(self, answer: Reply | Exception) -> None:
        self.answer = answer
        self.sent: list[bytes] = []

    async def send(self, path: str, body: bytes) -> Reply:
        self.sent.append(body)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def close(self) -> None:
        """Nothing to close."""


class Nothing:
    """A blob store that nobody asks: the bytes of open shards are at hand."""


class Bench:
    """A dispatcher with one line to send, and nothing else around it."""

    def __init__(
        self, loop: VirtualLoop, answer: Reply | Exception, *, model: str | None = None, attempts: int = 3
    ) -> None:
        clock = VirtualClock(loop)
        self.backend = Scripted(answer)
        self.engine = Engine("http://e", clock, slots=1)
        self.door = self.engine.door("key", "m", slots=1)
        self.results: list[Result] = []
        self.policy = RetryPolicy(attempts_max=attempts)
        self.dispatcher = Dispatcher(
            "b",
            self.backend,
            engine=self.engine,
            door=self.door,
            concurrency=1,
            model=model,
            retry=self.policy,
            clock=clock,
        )
        self.feed = Feed(
            clock,
            bytes_max=1 << 20,
            policy=self.policy,
            ended=lambda item, verdict: self.results.append(ended(item, verdict)),
        )
        self.use = BackendUse(
            "d",
            self.dispatcher,
            self.feed,
            blobs=Nothing(),  # type: ignore[arg-type]
            clock=clock,
            chance=lambda: 0.5,
            keep=lambda lease, result: self.results.append(result),
            open_elsewhere=lambda door: (),
        )
        shard = Shard(
            batch_id="b",
            index=0,
            epoch=1,
            places=(BlobRange(key="i", offset=0, length=len(LINE)),),
            lines=1,
            done=b"",
            endpoint=PATH,
            deployment="d",
        )
        self.lease = Lease(shard, LINE)
        self.feed.add(self.lease)
        self.item: Item | None = None

    async def call(self) -> Item:
        """The line is sent, with all that belongs to it."""
        self.item = self.feed.take(self.use, self.dispatcher._clock.monotonic())
        assert self.item is not None, "the line may be sent"
        lane = asyncio.current_task()
        assert lane is not None
        await self.use.run(self.item, lane, self.engine._clock.monotonic())
        return self.item

    def others_succeed(self, loop: VirtualLoop) -> None:
        """Somebody else comes through the same door now."""
        self.door.heard(SUCCESS, begun=loop.time(), now=loop.time())


def attempted(
    answer: Reply | Exception, *, model: str | None = None, attempts: int = 3
) -> tuple[Result | Setback, Dispatcher, Scripted]:
    """One call to a backend that answers so: the result, or what sets the line back."""

    async def story(loop: VirtualLoop) -> tuple[Result | Setback, Dispatcher, Scripted]:
        await asyncio.sleep(100.0)
        bench = Bench(loop, answer, model=model, attempts=attempts)
        item = await bench.call()
        outcome: Result | Setback | None = bench.results[0] if bench.results else item.trial and item.trial.last
        assert outcome is not None
        return outcome, bench.dispatcher, bench.backend

    return played(story)


def line(outcome: Result | Setback) -> Any:
    """The line of a result."""
    assert isinstance(outcome, Result)
    return json.loads(outcome.text)


def sent_until_it_ends(answer: Reply | Exception, *, attempts: int = 3) -> tuple[Result, int]:
    """The line's result, and its calls, where others come through all the time."""

    async def story(loop: VirtualLoop) -> tuple[Result, int]:
        await asyncio.sleep(100.0)
        bench = Bench(loop, answer, attempts=attempts)
        for _ in range(100_000):
            bench.others_succeed(loop)
            item = bench.feed.take(bench.use, loop.time())
            if item is not None:
                lane = asyncio.current_task()
                assert lane is not None
                await bench.use.run(item, lane, loop.time())
            if bench.results:
                return bench.results[0], len(bench.backend.sent)
            await asyncio.sleep(0.1)
        raise AssertionError("the line has no end")

    return played(story)


def test_an_answer_is_kept_to_the_byte() -> None:
    """Status, body, usage and model go into the line as they came."""
    outcome, _, backend = attempted(
        Reply(200, b'{"text":"x","big":12345678901234567890123,"usage":{"prompt_tokens":2},"model":"m"}')
    )
    assert isinstance(outcome, Result)
    assert outcome.outcome is Outcome.COMPLETED
    assert b'"big":12345678901234567890123' in outcome.text
    assert (outcome.usage.input_tokens if outcome.usage else 0, outcome.model) == (2, "m")
    assert backend.sent == [BODY]


def test_only_the_model_is_replaced() -> None:
    """Upstream's name goes in; every other byte of a value stays."""
    _, _, backend = attempted(GOOD, model="up/stream")
    assert backend.sent == [b'{"model":"up/stream","n":1.10}']


@pytest.mark.parametrize("status", [400, 413, 422])
def test_the_request_s_own_fault_is_final(status: int) -> None:
    """It is written at once, with the real status and body, and does not speak against the backend."""
    outcome, dispatcher, backend = attempted(Reply(status, b'{"error":{"message":"no"}}'))
    written = line(outcome)
    assert written["response"] == {
        "status_code": status,
        "request_id": written["response"]["request_id"],
        "body": {"error": {"message": "no"}},
    }
    assert isinstance(outcome, Result)
    assert outcome.outcome is Outcome.FAILED
    assert dispatcher.door.open
    assert len(backend.sent) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407, 302])
def test_refusals_are_final_where_others_come_through(status: int) -> None:
    """Tried once more; then the real status and body are what the user sees."""
    result, calls = sent_until_it_ends(Reply(status, b'{"error":{"message":"no"}}'))
    written = line(result)
    assert written["response"]["status_code"] == status
    if status != 302:
        assert written["response"]["body"] == {"error": {"message": "no"}}
    assert (result.outcome, calls) == (Outcome.FAILED, 2)


def test_what_a_router_dropped_costs_no_attempt() -> None:
    """503 from a router that let the request fall is "busy", and not the engine's trouble."""
    outcome, _, _ = attempted(Reply(503, b"{}", dropped=True))
    assert isinstance(outcome, Setback)
    assert outcome.evidence.kind is Kind.BUSY


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407, 302])
def test_refusals_are_a_wait_where_nobody_comes_through(status: int) -> None:
    """The way is shut, not the line: it waits, at no cost, and a request of our own finds out more."""
    outcome, dispatcher, _ = attempted(Reply(status, b"{}"))
    assert isinstance(outcome, Setback)
    assert outcome.evidence.kind is Kind.REFUSED
    assert not dispatcher.door.admits(100.0)
    assert dispatcher.door.due(100.0)


def test_server_errors_are_tried_again_and_then_written() -> None:
    """A 500 costs an attempt where others come through; the last one's status and body are what the user sees."""
    result, calls = sent_until_it_ends(Reply(500, b"<html>oops</html>"))
    assert calls == 3
    assert line(result)["response"]["status_code"] == 500
    assert "oops" in json.dumps(line(result)["response"])


@pytest.mark.parametrize(("code", "size"), [(500, 0), (500, 100_000), (400, 0)])
def test_an_error_inside_is_said_to_have_come_with_200(code: int, size: int) -> None:
    """In the reasons for people and in the line, whichever call was the last one."""
    answer = Reply(200, b'{"error":{"code":%d,"message":"oom%b"}}' % (code, b"." * size))
    outcome, _ = sent_until_it_ends(answer)
    written = line(outcome)
    assert written["response"]["status_code"] == code
    assert written["error"] == {
        "code": "error_inside",
        "message": f"The backend answered 200 with an error inside, which counts as {code}.",
    }
    if code == 500 and not size:
        _, dispatcher, _ = attempted(answer)
        assert dispatcher.last_error is not None
        assert dispatcher.last_error[0].startswith("status 200 with an error inside (500: oom")


def test_the_last_answer_of_a_line_is_kept_whole_up_to_a_size() -> None:
    """Beyond it the beginning is kept: lines that wait lie in memory."""
    small, large = b'{"error":"%b"}' % (b"x" * 10_000), b'{"error":"%b"}' % (b"x" * KEPT_REPLY_BYTES)
    for body, most in ((small, len(small)), (large, 3000)):
        outcome, _, _ = attempted(Reply(500, body))
        assert isinstance(outcome, Setback)
        assert outcome.reply is not None
        assert outcome.reply.status == 500
        assert len(outcome.reply.body) <= most


def test_busy_costs_no_attempt_and_pauses_the_door() -> None:
    """429 is waited out, for as long as the backend says."""
    outcome, dispatcher, _ = attempted(Reply(429, b"{}", 7.0))
    assert isinstance(outcome, Setback)
    assert (outcome.evidence.kind, outcome.evidence.wait) == (Kind.BUSY, 7.0)
    assert not dispatcher.door.admits(106.9)
    assert dispatcher.door.admits(107.0)
    assert dispatcher.state is DoorState.BUSY


def test_nobody_there_is_known_at_once() -> None:
    """A refused connection is no attempt, and no second lane has to find out."""
    outcome, dispatcher, _ = attempted(BackendUnreachable("refused", sent=False))
    assert isinstance(outcome, Setback)
    assert outcome.evidence.kind is Kind.UNREACHED
    assert not dispatcher.engine.reach.listens
    assert (dispatcher.state, dispatcher.window) == (DoorState.DOWN, 0)


@pytest.mark.parametrize(
    "answer",
    [
        BackendTimeout("no answer within 1 s"),
        BackendReplyBroken("half an answer"),
        BackendReplyBroken("hung up", lost=True),
        Reply(200, b"<html>"),
        Reply(200, b""),
    ],
)
def test_no_usable_answer_is_tried_again_and_then_coded(answer: Reply | Exception) -> None:
    """Time-outs, and answers that are no JSON object, end as a line without a response and with a code."""
    outcome, _, _ = attempted(answer)
    assert isinstance(outcome, Setback)
    result, calls = sent_until_it_ends(answer)
    assert line(result)["response"] is None
    assert line(result)["error"]["code"].startswith("backend_")
    assert calls == (UNREADABLE_MAX if isinstance(answer, Reply) else 3)


def test_a_request_of_our_own_is_small_and_names_the_model() -> None:
    """It goes to the endpoint of the last line, under upstream's name of the model, and is counted."""

    async def story(loop: VirtualLoop) -> None:
        bench = Bench(loop, GOOD, model="up/stream")
        await bench.call()
        assert await bench.dispatcher.probe() == (SUCCESS, True)
        body = json.loads(bench.backend.sent[-1])
        assert (body["model"], body["max_tokens"]) == ("up/stream", 1)
        assert (bench.dispatcher.meter.probes, bench.dispatcher.meter.sent) == (1, 1)
        bench.backend.answer = Reply(200, b"<html>")
        found = await bench.dispatcher.probe()
        assert found is not None
        assert (found[0].kind, found[1]) == (Kind.TROUBLE, True)
        bench.backend.answer = BackendTimeout("late")
        found = await bench.dispatcher.probe()
        assert found is not None
        assert (found[0].kind, found[1]) == (Kind.TROUBLE, False)

    played(story)


def test_a_shut_door_asks_and_does_not_send() -> None:
    """While the door is left alone nothing is handed out for it; a success of our own request lets all through."""

    async def story(loop: VirtualLoop) -> None:
        bench = Bench(loop, Reply(401, b"{}"))
        await asyncio.sleep(100.0)
        await bench.call()
        door, dispatcher = bench.door, bench.dispatcher
        assert dispatcher.window == 0
        found = await dispatcher.probe()
        assert found is not None
        door.probed(found[0], begun=loop.time(), now=loop.time(), answered=found[1])
        assert dispatcher.state is DoorState.REFUSING
        assert dispatcher.window == door.probe_lines
        bench.backend.answer = GOOD
        await asyncio.sleep(5.0)
        assert door.due(loop.time())
        found = await dispatcher.probe()
        assert found is not None
        door.probed(found[0], begun=loop.time(), now=loop.time(), answered=found[1])
        assert dispatcher.window == 1
        await bench.call()
        assert [result.outcome for result in bench.results] == [Outcome.COMPLETED]

    played(story)


def test_a_line_that_ends_says_what_its_last_call_brought() -> None:
    """Also where it is not sent again."""

    async def story(loop: VirtualLoop) -> None:
        bench = Bench(loop, Reply(500, b'{"error":{"message":"oops"}}'))
        item = await bench.call()
        assert line(ended(item, Verdict.FAIL))["response"]["body"] == {"error": {"message": "oops"}}
        assert line(ended(item, Verdict.UNREADABLE))["error"]["code"] == "input_unreadable"
        assert item.trial is not None
        item.trial.deaths = 3
        culprit = line(ended(item, Verdict.CULPRIT))["error"]
        assert culprit["code"] == "engine_stopped"
        assert "3 times" in culprit["message"]

    played(story)
