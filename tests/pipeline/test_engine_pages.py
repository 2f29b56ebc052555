"""Metrics pages that are found, lost and found again, late, never there, of another engine, or that nobody reads."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from slackwater.config import BackendConfig
from slackwater.core.errors import BackendUnreachable
from slackwater.core.sending.pace import PACED_CONCURRENCY
from slackwater.core.sending.pacing import FIRST_WINDOW
from slackwater.core.sending.pacing_view import State
from slackwater.core.sending.pause import Pause, Target
from slackwater.core.sending.request import Reply
from slackwater.core.sending.slots import SPARE_MOST
from slackwater.pipeline.sending.engine_pacing import LOST_LOOKS
from slackwater.wiring.engines import Engines
from tests.pipeline.engines import GOOD, Service
from tests.pipeline.metered_engine import (
    NOT_FOUND,
    STEP,
    MeteredEngine,
    late,
    out_after,
    paced,
    serve,
    told,
)
from tests.simulation.virtual import VirtualClock, VirtualLoop


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
    """Its counts begin anew: so does the window, at the second look."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        pacing = serve(service, engine)
        await service.batch([f"{number}" for number in range(40_000)])
        await asyncio.sleep(20.0)
        assert pacing.window is not None
        assert pacing.window > 64
        engine.started = engine.now
        await asyncio.sleep(1.1)
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


# Looks that bring nothing, and times without any


def test_nothing_goes_before_the_first_look(tmp_path: Path) -> None:
    """Who uses the engine, and whether long prompts may go in slices, is not known before that."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service, others=10)
        serve(service, engine)
        await service.ended(await service.batch([f"{number}" for number in range(20)]))
        assert min(call.begun for call in engine.calls) >= engine.looks[0] + 0.003

    paced(tmp_path, story)


@pytest.mark.parametrize(
    "trouble", [lambda: Reply(503, b"loading"), late, lambda: Reply(200, b"vllm:num_requests_running 1e300\n")]
)
def test_a_page_that_fails_at_first_is_none_that_is_missing(
    tmp_path: Path, trouble: Callable[[], Reply], caplog: pytest.LogCaptureFixture
) -> None:
    """A few calls go until the page is read, for as long as it may still come; and the log says where it does not."""
    caplog.set_level(logging.INFO)

    async def story(service: Service) -> None:
        engine = MeteredEngine(service, others=10)
        engine.page = trouble
        pacing = serve(service, engine)
        await service.batch([f"{number}" for number in range(20_000)])
        await asyncio.sleep(0.6)
        assert pacing.state is State.LOOKING
        assert 0 < engine.out_max <= FIRST_WINDOW
        engine.page = engine.usual
        await asyncio.sleep(1.0)
        assert pacing.state is State.PACED
        assert engine.out_max <= FIRST_WINDOW + 1

    paced(tmp_path / "soon", story)
    assert told(caplog, "engine_metrics_unread") == 0

    async def never(service: Service) -> None:
        engine = MeteredEngine(service, others=10)
        engine.page = trouble
        pacing = serve(service, engine)
        await service.batch([f"{number}" for number in range(20_000)])
        await asyncio.sleep(20.0)
        assert pacing.state is State.ABSENT
        assert engine.out == 64
        engine.page = engine.usual
        await asyncio.sleep(32.0)
        assert pacing.state is State.PACED

    paced(tmp_path / "never", never)
    assert told(caplog, "engine_metrics_unread") == 1


def test_an_engine_that_cannot_be_reached_is_not_said_to_be_looked_at(tmp_path: Path) -> None:
    """Its page is looked for as soon as it listens."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service, others=10)
        engine.step, engine.page = 0.0001, late
        engine.script = lambda text, engine: BackendUnreachable("no connection: refused", sent=False)
        pacing = serve(service, engine)
        await service.batch([f"{number}" for number in range(100)])
        await asyncio.sleep(1.0)
        assert not service.engines[id(engine)].reach.listens
        assert pacing.undecided
        assert pacing.view().state is State.ABSENT
        engine.step, engine.page, engine.script = STEP, engine.usual, lambda text, engine: GOOD
        await asyncio.sleep(60.0)
        assert pacing.view().state is State.PACED

    paced(tmp_path, story)


def test_others_come_while_nobody_looks(tmp_path: Path) -> None:
    """A batch that comes to an engine which was empty when ours was the last there begins with a few."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        serve(service, engine)
        await service.ended(await service.batch([f"{number}" for number in range(8_000)]))
        assert engine.out_max > 100
        engine.others = 10
        await asyncio.sleep(60.0)
        engine.out_max = 0
        looks = len(engine.looks)
        batch = await service.batch([f"again {number}" for number in range(8_000)])
        await asyncio.sleep(0.45)
        assert min(call.begun for call in engine.calls if call.text.startswith("again")) >= engine.looks[looks] + 0.003
        assert 0 < engine.out_max <= FIRST_WINDOW
        engine.others = 0
        await service.ended(batch)

    paced(tmp_path, story)


def test_a_fault_of_ours_in_pacing_costs_no_line_and_no_lane(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was learned is learned again, and nothing is counted as out that is not."""
    caplog.set_level(logging.INFO)

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        pacing = serve(service, engine)
        batch = await service.batch([f"{number}" for number in range(4_000)])
        for _ in range(2):
            await asyncio.sleep(5.0)
            kept, pacing._readings = pacing._readings, None  # type: ignore[assignment]
            await asyncio.sleep(0.1)
            pacing._readings = kept
        await service.ended(batch)
        assert await service.counts(batch) == (4_000, 0)
        assert set(engine.counts.values()) == {1}
        assert pacing.view().in_flight == 0
        assert pacing.state is State.PACED

    paced(tmp_path, story)
    assert told(caplog, "engine_unpaced") >= 1
    assert told(caplog, "lane_broke") == 0
