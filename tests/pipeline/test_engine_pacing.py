"""Pacing by an engine's metrics page: what goes while others are there, wait, or are slower by themselves."""

import asyncio
from pathlib import Path

import pytest

from slackwater.core.sending.door import DoorState
from slackwater.core.sending.pace import pace_of
from slackwater.core.sending.pacing import FIRST_WINDOW, HOLD_SECONDS
from tests.pipeline.engines import Service
from tests.pipeline.metered_engine import (
    STEP,
    MeteredEngine,
    paced,
    serve,
)
from tests.pipeline.test_held_back import Watching


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
