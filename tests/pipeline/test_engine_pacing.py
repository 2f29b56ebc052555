"""Pacing by an engine's metrics page: found, lost, back, another engine, never there; and what operators say of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from slackwater.adapters.shared_memory.peer_board import HostBoard
from slackwater.config import BackendConfig
from slackwater.core.errors import BackendTimeout
from slackwater.core.sending.door import DoorState
from slackwater.core.sending.pace import PACED_CONCURRENCY, pace_of
from slackwater.core.sending.pacing import FIRST_WINDOW, HOLD_SECONDS
from slackwater.core.sending.pacing_view import State
from slackwater.core.sending.pause import Pause, Target
from slackwater.core.sending.request import Reply
from slackwater.core.sending.slots import SPARE_MOST
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine_pacing import LOST_LOOKS, Pacing
from slackwater.pipeline.sending.member_words import MemberWords
from slackwater.pipeline.sending.peer_words import FarBoard
from slackwater.ports import PeerSeat
from slackwater.wiring.engines import Engines
from tests.pipeline.engines import GOOD, Call, ScriptedEngine, Service, served
from tests.pipeline.test_held_back import Watching
from tests.simulation.virtual import VirtualClock, VirtualLoop

T = TypeVar("T")
STEP = 0.02
TOKENS = 200
NOT_FOUND = Reply(404, b'{"detail":"Not Found"}')


class MeteredEngine(ScriptedEngine):
    """One that makes a token for each request in a step, and counts. Others may use it, too."""

    def __init__(self, service: Service, *, others: int = 0, waiting: int = 0, kv: float = 0.1) -> None:
        super().__init__(service.loop)
        self.others, self.waiting, self.kv = others, waiting, kv
        self.looks: list[float] = []
        self.page: Callable[[], Reply] = self.usual
        self.started = service.loop.time()
        self.step = STEP
        # For so long a call that comes waits before it is begun with.
        self.behind = 0.0

    async def answer(self, call: Call) -> Reply:
        await asyncio.sleep(self.behind + TOKENS * self.step)
        answer = self.script(call.text, self)
        assert isinstance(answer, Reply)
        return answer

    def becomes_slower(self, times: float) -> None:
        """From now on a step takes that many times as long; those that were are counted."""
        self.started = self.now - times * (self.now - self.started)
        self.step *= times

    async def metrics(self) -> Reply:
        """The page."""
        self.looks.append(self.now)
        await asyncio.sleep(0.003)
        return self.page()

    def usual(self) -> Reply:
        """What it counts."""
        running = self.out + self.others
        steps = (self.now - self.started) / self.step
        said = {
            "num_requests_running": running,
            "num_requests_waiting": self.waiting,
            "kv_cache_usage_perc": self.kv,
            "iteration_tokens_total_count": steps,
            "iteration_tokens_total_sum": steps * (self.others or 1),
            "generation_tokens_total": steps * (self.others or 1),
        }
        return Reply(200, "".join(f"vllm:{name} {value}\n" for name, value in said.items()).encode())


def late() -> Reply:
    """No page in time."""
    raise BackendTimeout("no answer within 2 s (first byte)")


def paced(folder: Path, story: Callable[[Service], Awaitable[T]]) -> T:
    """Runs a story over a service whose backends name no concurrency."""
    return served(folder, story)


class SameEngine:
    """A metered engine, as another server of ours sees it."""

    def __init__(self, engine: MeteredEngine) -> None:
        self.send, self.metrics, self.close = engine.send, engine.metrics, engine.close


def serve(
    service: Service,
    engine: MeteredEngine | SameEngine,
    *,
    named: int | None = None,
    deployment: str = "d",
    seat: PeerSeat | None = None,
) -> Pacing:
    """A deployment over the engine, as the configuration makes it: 64 at once, 256 where it is paced, or what is named."""

    def make(*args: object, **kwargs: object) -> Dispatcher:
        return Dispatcher(*args, **kwargs, most=named or PACED_CONCURRENCY)  # type: ignore[arg-type]

    sender = service.engine_of(engine, slots=named, seat=seat)  # type: ignore[arg-type]
    service.serve(engine, slots=named or 64, make=make, deployment=deployment)
    return sender.pacing


def told(caplog: pytest.LogCaptureFixture, name: str) -> int:
    """How often the log has an event."""
    return sum(bool(record.args) and record.args[0] == name for record in caplog.records)  # type: ignore[index]


async def out_after(service: Service, engine: MeteredEngine, seconds: float) -> int:
    """How many calls are out after so long."""
    await asyncio.sleep(seconds)
    return engine.out


def test_an_engine_whose_page_is_found_is_paced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It begins with a few calls, and where nobody else is there it gets many more than an unpaced one; the log says so once."""
    caplog.set_level(logging.INFO)

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        pacing = serve(service, engine)
        batch = await service.batch([f"{number}" for number in range(8000)])
        assert await out_after(service, engine, 0.4) == int(FIRST_WINDOW)
        await asyncio.sleep(30.0)
        assert pacing.state is State.PACED
        # Some of its slots are left to others.
        assert 2 * 64 < engine.out_max <= PACED_CONCURRENCY - SPARE_MOST
        await service.ended(batch)
        assert await service.counts(batch) == (8000, 0)
        assert set(engine.counts.values()) == {1}

    paced(tmp_path, story)
    assert told(caplog, "engine_paced") == 1


def test_what_is_named_stays_the_most(tmp_path: Path) -> None:
    """An operator's limit is one for paced engines, too."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        serve(service, engine, named=10)
        await service.ended(await service.batch([f"{number}" for number in range(500)]))
        assert engine.out_max == 10

    paced(tmp_path, story)


def test_without_a_page_all_is_as_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At once the configured number, and the page is asked for again only every few minutes."""
    caplog.set_level(logging.INFO)

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        engine.page = lambda: NOT_FOUND
        engine.step = 1.0
        pacing = serve(service, engine)
        batch = await service.batch([f"{number}" for number in range(64 * 10)])
        assert await out_after(service, engine, 1.0) == 64
        assert pacing.state is State.ABSENT
        await service.ended(batch)
        assert engine.out_max == 64
        assert 1 <= len(engine.looks) <= 1 + engine.now / 300
        # By then it has one.
        engine.page, engine.step = engine.usual, STEP
        await service.ended(await service.batch([f"{number}" for number in range(300 * 64 * 2)]))
        assert pacing.state is State.PACED

    paced(tmp_path, story)
    assert told(caplog, "engine_paced") == 1
    assert told(caplog, "engine_metrics_lost") == 0


def test_a_pace_is_named_and_there_is_no_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """How long answers take says how many may be out, and the log says that; when there is a page, that does."""
    caplog.set_level(logging.INFO)

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        engine.page = lambda: NOT_FOUND
        usage = b'"completion_tokens":%d' % TOKENS
        engine.script = lambda text, engine: Reply(200, GOOD.body.replace(b'"completion_tokens":1', usage))
        pacing = serve(service, engine)
        pacing.obey(pace_of("50ms"))
        await service.batch([f"{number}" for number in range(60_000)], shard_lines=10_000)
        await asyncio.sleep(60.0)
        assert pacing.state is State.ANSWERS
        # The cap is the number that is configured, or would be without a page.
        assert engine.out_max == 64
        engine.step = 10 * STEP
        assert await out_after(service, engine, 200.0) < 20
        view = pacing.view()
        assert view.target == 0.05
        assert view.step is not None
        engine.step = STEP
        assert await out_after(service, engine, 120.0) > 30
        pacing.obey(pace_of("full"))
        assert await out_after(service, engine, 10.0) == 64
        assert pacing.state is State.ABSENT
        pacing.obey(pace_of("strict"))
        await asyncio.sleep(1.0)
        assert pacing.state is State.ANSWERS
        engine.page = engine.usual
        pacing.look_again()
        await asyncio.sleep(2.0)
        assert pacing.state is State.PACED

    paced(tmp_path, story)
    assert told(caplog, "engine_paced_by_answers") == 2


def test_full_where_nothing_can_be_looked_at(tmp_path: Path) -> None:
    """There is nothing to hold: all that is configured goes, and it can be shown. It was held by answers before."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        engine.page = lambda: Reply(401, b"no key")
        pacing = serve(service, engine)
        pacing.obey(pace_of("strict"))
        await service.batch([f"{number}" for number in range(3000)])
        await asyncio.sleep(20.0)
        assert pacing.view().state is State.ANSWERS
        assert pacing.view().why == "status 401"
        pacing.obey(pace_of("full"))
        view = pacing.view()
        assert (view.state, view.window, view.target) == (State.ABSENT, None, None)
        await asyncio.sleep(10.0)
        assert engine.out == 64

    paced(tmp_path, story)


def test_others_that_wait_come_first(tmp_path: Path) -> None:
    """While they wait for capacity nothing new is sent, and it goes on at the next look after that."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service, others=30, waiting=5)
        pacing = serve(service, engine)
        await service.batch([f"{number}" for number in range(3000)])
        await asyncio.sleep(5.0)
        begun = len(engine.calls)
        assert begun <= FIRST_WINDOW
        assert pacing.view().frozen
        view = pacing.view()
        assert (view.frozen, view.in_flight, view.others, view.waiting) == ("others wait for capacity", 0, 35.0, 5.0)
        engine.waiting = 0
        await asyncio.sleep(1.0)
        assert len(engine.calls) > begun
        assert not pacing.view().frozen
        assert pacing.view().frozen_since is None

    paced(tmp_path, story)


@pytest.mark.parametrize("stuck", [False, True])
def test_a_batch_that_is_left_to_others_says_so(tmp_path: Path, *, stuck: bool) -> None:
    """Of a batch whose engine has no capacity for us it is told since when, also while what is out waits behind them."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service, others=30)
        serve(service, engine)
        watching = Watching(service)
        batch = await service.batch([f"{number}" for number in range(3000)])
        await asyncio.sleep(10.0)
        assert await watching.told(batch) is None
        if stuck:
            engine.behind = 1000.0
            await asyncio.sleep(5.0)
        engine.waiting = 5
        await asyncio.sleep(30.0)
        assert (engine.out > 0) is stuck
        told = await watching.told(batch)
        assert told is not None
        assert (told.what, told.health) == ("engine", DoorState.BUSY)
        assert "left to its online users: others wait for capacity" in told.reason
        assert told.since is not None
        assert 20 <= service.clock.now() - told.since <= 31
        engine.waiting = 0
        await asyncio.sleep(2.0)
        assert await watching.told(batch) is None

    paced(tmp_path, story)


def test_what_nobody_reads_is_not_shown(tmp_path: Path) -> None:
    """Without work nobody looks, so what was read last says nothing of now: no step, no others, no reason."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service, others=30)
        pacing = serve(service, engine)
        batch = await service.batch([f"{number}" for number in range(400)])
        await asyncio.sleep(8.0)
        view = pacing.view()
        assert (view.seen, view.shared, view.others) == (True, True, 30.0)
        assert view.slower is not None
        assert view.slower_most == pytest.approx(1.25)
        await service.ended(batch)
        await asyncio.sleep(60.0)
        view = pacing.view()
        assert view.state is State.PACED
        assert (view.seen, view.step, view.alone, view.target, view.waiting) == (False, None, None, None, None)

    paced(tmp_path, story)


def test_a_page_that_is_lost_and_found_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Half the window, told once; it goes on with that however long it takes, also where others waited last; then as before."""
    caplog.set_level(logging.INFO)

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        pacing = serve(service, engine)
        await service.batch([f"{number}" for number in range(100_000)], shard_lines=10_000)
        await asyncio.sleep(10.0)
        before = pacing.window
        assert before is not None
        engine.others, engine.waiting = 100, 50
        await asyncio.sleep(0.6)
        assert pacing.view().frozen
        engine.page = late
        await asyncio.sleep(0.6 * LOST_LOOKS + 5.0)
        assert pacing.state is State.LOST
        assert 0 < engine.out <= before / 2
        sent = len(engine.calls)
        await asyncio.sleep(300.0)
        assert len(engine.calls) > sent + 1000
        engine.others = engine.waiting = 0
        engine.page = engine.usual
        await asyncio.sleep(20.0)
        assert pacing.state is State.PACED
        assert engine.out > before / 2

    paced(tmp_path, story)
    assert told(caplog, "engine_metrics_lost") == told(caplog, "engine_metrics_back") == 1


def test_one_late_page_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is told of it."""
    caplog.set_level(logging.INFO)

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        pacing = serve(service, engine)
        await service.batch([f"{number}" for number in range(20_000)])
        await asyncio.sleep(10.0)
        engine.page = late
        await asyncio.sleep(0.6)
        engine.page = engine.usual
        await asyncio.sleep(10.0)
        assert pacing.state is State.PACED

    paced(tmp_path, story)
    assert told(caplog, "engine_metrics_lost") == 0


def test_another_engine_behind_the_same_port(tmp_path: Path) -> None:
    """Its counts begin anew: so does the window."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        pacing = serve(service, engine)
        await service.batch([f"{number}" for number in range(40_000)])
        await asyncio.sleep(20.0)
        assert pacing.window is not None
        assert pacing.window > 64
        engine.started = engine.now
        await asyncio.sleep(0.6)
        assert pacing.window <= 2 * FIRST_WINDOW

    paced(tmp_path, story)


def test_nobody_looks_without_work(tmp_path: Path) -> None:
    """Neither before there is any, nor after it, nor while an operator has paused the engine."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        serve(service, engine)
        await asyncio.sleep(100.0)
        assert engine.looks == []
        await service.ended(await service.batch([f"{number}" for number in range(100)]))
        await asyncio.sleep(2.0)
        seen = len(engine.looks)
        assert seen > 0
        await asyncio.sleep(500.0)
        assert len(engine.looks) == seen
        sender = service.engine_of(engine, slots=64)
        sender.hold(Pause(what=Target.ENGINE, target="e", resource="", who="me", reason="", since=0))
        batch = await service.batch([f"{number}" for number in range(100)])
        await asyncio.sleep(100.0)
        assert len(engine.looks) == seen
        sender.hold(None)
        await service.ended(batch)
        assert len(engine.looks) > seen

    paced(tmp_path, story)


def test_what_an_operator_says_holds_at_once(tmp_path: Path) -> None:
    """`fixed` ends the looks and sends the configured number; another pace begins them again."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service, others=30, waiting=5)
        pacing = serve(service, engine)
        await service.batch([f"{number}" for number in range(50_000)], shard_lines=10_000)
        await asyncio.sleep(6.0)
        assert engine.out == 0
        pacing.obey(pace_of("fixed"))
        assert await out_after(service, engine, 0.5) == 64
        seen = len(engine.looks)
        await asyncio.sleep(5.0)
        assert len(engine.looks) == seen
        pacing.obey(pace_of("50ms"))
        await asyncio.sleep(6.0)
        before = pacing.view().target
        pacing.obey(pace_of("strict"))
        strict = pacing.view().target
        assert strict is not None
        assert before is not None
        assert strict < before
        pacing.obey(pace_of("50ms"))
        assert (engine.out, str(pacing.view().pace)) == (0, "50ms")
        pacing.obey(None)
        assert str(pacing.pace) == "gentle"
        engine.waiting = 0
        assert await out_after(service, engine, 2.0) > 0

    paced(tmp_path, story)


def test_others_who_are_slower_by_themselves(tmp_path: Path) -> None:
    """Their steps take three times what they are used to, whatever we do: hardly anything goes, and a batch ends all the same."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service, others=20)
        pacing = serve(service, engine)
        pacing.obey(pace_of("strict"))
        first = await service.batch([f"a {number}" for number in range(20)])
        await service.ended(first)
        pacer = pacing._pacer
        assert pacer is not None
        for _ in range(3600):
            pacer.aim.others.seen(STEP, running=0.0, prefilled=0.0, tokens=20 / STEP, seconds=1.0, model=pacer.model)
        engine.becomes_slower(3.0)
        slow = await service.batch([f"c {number}" for number in range(60)])
        await asyncio.sleep(60.0)
        view = pacing.view()
        assert view.step is not None
        assert view.target is not None
        assert view.step > view.target
        sent = len(engine.counts)
        assert sent < 40
        await asyncio.sleep(10 * HOLD_SECONDS)
        assert sent + 4 <= len(engine.counts) <= sent + 11
        # In time they are used to it.
        await service.ended(slow)
        assert await service.counts(slow) == (60, 0)

    paced(tmp_path, story)


def test_a_small_batch_now_and_then(tmp_path: Path) -> None:
    """Long rests between them do not make the window smaller than it is at the start."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        pacing = serve(service, engine)
        for _ in range(12):
            await service.ended(await service.batch(["one", "two", "three"]))
            await asyncio.sleep(60.0)
        assert pacing.window is not None
        assert pacing.window >= FIRST_WINDOW

    paced(tmp_path, story)


@pytest.mark.parametrize("place", ["one host", "two hosts", "deaf"])
def test_two_servers_of_ours(tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str) -> None:
    """Each has half of an engine that nobody else uses, told once; where they do not hear each other, both make room in vain.

    When one has nothing more to send, the other has all of it. On two hosts they hear each other by way of the ledger.
    """
    caplog.set_level(logging.INFO)
    hear = place != "deaf"

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        boards = [
            HostBoard(tmp_path / ("board" if place == "one host" else name), service.clock, name=name)
            for name in ("one", "two")
        ]
        words = [MemberWords(service.ledger, service.clock, member=name) for name in ("one", "two")]
        seats: list[PeerSeat] = [board.seat("http://engine:8000") for board in boards]
        if place == "two hosts":
            seats = [
                FarBoard(board, each, service.clock).seat("http://engine:8000")
                for board, each in zip(boards, words, strict=True)
            ]
            for each in words:
                each.start()
        engines = [SameEngine(engine) for _ in seats]
        pacings = [
            serve(service, engine_, seat=seat, deployment=name)
            for engine_, seat, name in zip(engines, seats, ("one", "two"), strict=True)
        ]
        first = await service.batch([f"one {number}" for number in range(3_000)], deployment="one")
        await service.batch([f"two {number}" for number in range(60_000)], deployment="two", shard_lines=10_000)
        await asyncio.sleep(60.0)
        out = [service.engines[id(same)].in_flight for same in engines]
        others = max(pacing.view().others or 0.0 for pacing in pacings)
        if hear:
            assert others <= 1.0
            assert min(out) >= (0.9 if place == "one host" else 0.6) * max(out)
            assert sum(out) > 2 * 64
        else:
            assert others > 4.0
        await service.ended(first)
        await asyncio.sleep(20.0)
        assert service.engines[id(engines[1])].in_flight > 2 * 64
        for board in boards:
            board.close()
        for each in words:
            await each.close()

    paced(tmp_path / "service", story)
    # Two come, and one goes; that one does not look any more.
    assert told(caplog, "engine_peers") == (3 if hear else 0)


def test_deployments_of_one_server(tmp_path: Path) -> None:
    """Three on one engine have one window together, take turns in it, and none is taken for somebody else."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service, others=20)
        names = ("a", "b", "c")
        pacings = {id(serve(service, engine, deployment=name)) for name in names}
        assert len(pacings) == 1
        for name in names:
            await service.batch([f"{name} {number}" for number in range(20_000)], deployment=name, shard_lines=10_000)
        await asyncio.sleep(120.0)
        pacing = service.engines[id(engine)].pacing
        assert pacing.view().others == 20.0
        assert pacing.window is not None
        assert engine.out_max <= PACED_CONCURRENCY
        served = [sum(call.text.startswith(name) for call in engine.calls) for name in names]
        assert min(served) >= 0.95 * max(served) > 0

    paced(tmp_path, story)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gentle", "gentle"),
        ("Strict ", "strict"),
        ("full", "full"),
        ("fixed", "fixed"),
        ("0.05s", "50ms"),
        ("50 ms", "50ms"),
    ],
)
def test_how_a_pace_is_written(text: str, shown: str) -> None:
    """One word, or the time between two tokens."""
    assert str(pace_of(text)) == shown


@pytest.mark.parametrize("text", ["", "slo", "fast", "0ms", "50", "11s", "-5ms"])
def test_what_is_no_pace(text: str) -> None:
    """It says what there is."""
    with pytest.raises(ValueError, match="gentle, strict, full, fixed"):
        pace_of(text)


@pytest.mark.parametrize(
    ("url", "state"),
    [
        ("https://api.openai.com/v1", State.OFF),
        ("https://team.openai.azure.com/openai/v1", State.OFF),
        ("http://127.0.0.1:8000/v1", State.ABSENT),
    ],
)
def test_a_vendor_is_not_asked_for_its_page(url: str, state: State) -> None:
    """Nobody sees the counters of its engines; one of the house is asked as soon as there is something to send."""
    engines = Engines(VirtualClock(VirtualLoop()))
    assert engines.engine(BackendConfig(url=url), place="").pacing.state is state
