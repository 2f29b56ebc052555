"""One request to one backend: what is tried again, what is written, and when the backend is left alone."""

import asyncio
import json
from collections.abc import Callable

import pytest

from slackwater.core.errors import BackendTimeout, BackendUnreachable
from slackwater.core.sending.breaker import Breaker
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.core.sending.lines import LineWriter
from slackwater.core.sending.request import Outcome, Reply, Request, Result
from slackwater.pipeline.sending.dispatcher import Dispatcher, Retry
from tests.simulation.virtual import VirtualClock, VirtualLoop

WRITER = LineWriter("0" * 32)
REQUEST = Request(0, "a", b'{"model":"deployment","n":1.10}')


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


def attempted(
    answer: Reply | Exception, *, attempts: int = 1, model: str | None = None
) -> tuple[Result | Retry, Dispatcher, Scripted]:
    """One attempt against a backend that answers so."""
    loop, backend = VirtualLoop(), Scripted(answer)
    dispatcher = Dispatcher(
        "b",
        backend,
        concurrency=1,
        model=model,
        retry=RetryPolicy(attempts_max=3),
        breaker=Breaker(threshold=2),
        clock=VirtualClock(loop),
        chance=lambda: 0.5,
    )
    try:
        outcome = loop.run_until_complete(dispatcher.attempt("/x", REQUEST, attempts=attempts, writer=WRITER))
    finally:
        loop.close()
    return outcome, dispatcher, backend


def line(outcome: Result | Retry) -> dict[str, object]:
    """The line of a result."""
    assert isinstance(outcome, Result)
    read: dict[str, object] = json.loads(outcome.text)
    return read


def test_an_answer_is_kept_to_the_byte() -> None:
    """Status, body, usage and model go into the line as they came."""
    outcome, _, backend = attempted(
        Reply(200, b'{"big":12345678901234567890123,"usage":{"prompt_tokens":2},"model":"m"}')
    )
    assert isinstance(outcome, Result)
    assert outcome.outcome is Outcome.COMPLETED
    assert b'"big":12345678901234567890123' in outcome.text
    assert (outcome.usage.input_tokens if outcome.usage else 0, outcome.model) == (2, "m")
    assert backend.sent == [REQUEST.body]


def test_only_the_model_is_replaced() -> None:
    """Upstream's name goes in; every other byte of a value stays."""
    _, _, backend = attempted(Reply(200, b"{}"), model="up/stream")
    assert backend.sent == [b'{"model":"up/stream","n":1.10}']


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_refusals_are_final(status: int) -> None:
    """The request's own fault is written at once, with the real status and body, and does not speak against the backend."""
    outcome, dispatcher, _ = attempted(Reply(status, b'{"error":{"message":"no"}}'))
    assert line(outcome)["response"] == {
        "status_code": status,
        "request_id": line(outcome)["response"]["request_id"],  # type: ignore[index]
        "body": {"error": {"message": "no"}},
    }
    assert isinstance(outcome, Result)
    assert outcome.outcome is Outcome.FAILED
    assert dispatcher.gate.open


def test_server_errors_are_tried_again_and_then_written() -> None:
    """A 500 costs an attempt; the last one's status and body are what the user sees."""
    outcome, _, _ = attempted(Reply(500, b"<html>oops</html>"), attempts=1)
    assert isinstance(outcome, Retry)
    assert outcome.counted
    outcome, _, _ = attempted(Reply(500, b"<html>oops</html>"), attempts=3)
    assert line(outcome)["response"]["status_code"] == 500  # type: ignore[index]
    assert "oops" in json.dumps(line(outcome)["response"])


def test_busy_costs_no_attempt_and_pauses_the_backend() -> None:
    """429 is waited out, for as long as the backend says."""
    outcome, dispatcher, _ = attempted(Reply(429, b"{}", 7.0), attempts=99)
    assert isinstance(outcome, Retry)
    assert (outcome.counted, outcome.delay) == (False, 7.0)
    assert dispatcher.gate.breaker.wait(0.0) == pytest.approx(7.0)


def test_nobody_there_opens_the_breaker_at_once() -> None:
    """A refused connection is no attempt, and no second lane has to find out."""
    outcome, dispatcher, _ = attempted(BackendUnreachable("refused", sent=False), attempts=99)
    assert isinstance(outcome, Retry)
    assert not outcome.counted
    assert not dispatcher.gate.open


@pytest.mark.parametrize(
    "answer",
    [BackendTimeout("no answer within 1 s"), Reply(200, b"<html>"), Reply(200, b'{"a":"\xff"}'), Reply(200, b"")],
)
def test_no_usable_answer_is_tried_again_and_then_coded(answer: Reply | Exception) -> None:
    """Time-outs, and answers that are no JSON object, end as a line without a response and with a code."""
    outcome, _, _ = attempted(answer, attempts=2)
    assert isinstance(outcome, Retry)
    outcome, _, _ = attempted(answer, attempts=3)
    assert line(outcome)["response"] is None
    assert line(outcome)["error"]["code"].startswith("backend_")  # type: ignore[index]


def played(story: Callable[[VirtualLoop], object]) -> None:
    """Runs a story in virtual time."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(story(loop))  # type: ignore[arg-type]
    finally:
        loop.close()


def test_lanes_wait_at_the_gate_and_one_probes() -> None:
    """While the backend is left alone nobody sends; then one does, and its success lets the others through."""

    async def story(loop: VirtualLoop) -> None:
        backend = Scripted(BackendUnreachable("refused", sent=False))
        dispatcher = Dispatcher(
            "b",
            backend,
            concurrency=5,
            model=None,
            retry=RetryPolicy(),
            breaker=Breaker(open_first=2.0),
            clock=VirtualClock(loop),
            chance=lambda: 0.5,
        )
        moments: list[float] = []

        async def lane() -> None:
            await dispatcher.gate.enter()
            moments.append(loop.time())
            await asyncio.sleep(1.0)
            await dispatcher.attempt("/x", REQUEST, attempts=1, writer=WRITER)

        await dispatcher.attempt("/x", REQUEST, attempts=1, writer=WRITER)
        backend.answer = Reply(200, b"{}")
        await asyncio.gather(*(lane() for _ in range(5)))
        assert moments == [pytest.approx(2.0), *[pytest.approx(3.0)] * 4]

    played(story)


def test_a_probe_that_is_aborted_is_taken_over() -> None:
    """A cancel in the middle of the probe does not leave the backend alone for ever."""

    async def story(loop: VirtualLoop) -> None:
        class Hanging(Scripted):
            async def send(self, path: str, body: bytes) -> Reply:
                await asyncio.sleep(1e6)
                return Reply(200, b"{}")

        dispatcher = Dispatcher(
            "b",
            Hanging(Reply(200, b"{}")),
            concurrency=2,
            model=None,
            retry=RetryPolicy(),
            breaker=Breaker(),
            clock=VirtualClock(loop),
            chance=lambda: 0.5,
        )
        dispatcher.gate.breaker.pause(1.0)
        await dispatcher.gate.enter()
        probe = asyncio.ensure_future(dispatcher.attempt("/x", REQUEST, attempts=1, writer=WRITER))
        other = asyncio.ensure_future(dispatcher.gate.enter())
        await asyncio.sleep(0.1)
        assert not other.done()
        probe.cancel()
        await asyncio.wait_for(other, 1.0)

    played(story)
