"""What repeats goes on repeating, whatever happens in a step; and only waiting is ever interrupted."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from slackwater.core.errors import StorageFull
from slackwater.pipeline.loops import Hint, Loop, Pace
from slackwater.telemetry import counters
from tests.pipeline.engines import played
from tests.simulation.virtual import VirtualClock, VirtualLoop


def looping(clock: VirtualClock, step: Callable[[], Awaitable[Pace]], **named: object) -> Loop:
    return Loop("claim", step, clock=clock, hint=Hint(), idle_seconds=1.0, of="d", **named)  # type: ignore[arg-type]


class Cancelled(asyncio.CancelledError):
    """As a library raises it whose own future was cancelled, while nobody wants this task to end."""


@pytest.mark.parametrize("fault", [RuntimeError("fault"), MemoryError(), Cancelled(), StorageFull("no room")])
@pytest.mark.parametrize("where", ["step", "then"])
def test_a_step_that_goes_wrong_is_tried_again(fault: BaseException, where: str) -> None:
    """Counted and told each time, with growing gaps, and forgotten once it works."""

    async def story(loop: VirtualLoop) -> None:
        went_wrong = 0

        async def step() -> Pace:
            nonlocal went_wrong
            if where == "step" and went_wrong < 7:
                went_wrong += 1
                raise fault
            return Pace.BUSY if where == "then" and went_wrong < 7 else Pace.IDLE

        def then() -> None:
            nonlocal went_wrong
            if went_wrong < 7:
                went_wrong += 1
                raise fault

        before = counters["stage_failed"] + counters["storage_full"]
        looped = looping(VirtualClock(loop), step, then=then)
        task = asyncio.create_task(looped.run())
        await asyncio.sleep(8.0)
        assert went_wrong < 7, "the gaps grow"
        if not isinstance(fault, StorageFull):
            assert looped.failures == went_wrong
        await asyncio.sleep(60.0)
        assert not task.done()
        assert went_wrong == 7
        assert looped.failures == 0
        assert counters["stage_failed"] + counters["storage_full"] == before + 7
        looped.end()
        await asyncio.wait_for(task, 1.0)

    played(story)


def test_a_step_is_never_interrupted() -> None:
    """A loop that is to end does so after the step that is under way, and at once where it waits."""

    async def story(loop: VirtualLoop) -> None:
        steps = []

        async def step() -> Pace:
            await asyncio.sleep(5.0)
            steps.append(loop.time())
            return Pace.IDLE

        working = looping(VirtualClock(loop), step)
        task = asyncio.create_task(working.run())
        await asyncio.sleep(1.0)
        working.end()
        await task
        assert steps == [5.0]
        waiting = looping(VirtualClock(loop), step)
        task = asyncio.create_task(waiting.run())
        await asyncio.sleep(5.5)
        waiting.end()
        await task
        assert loop.time() == 10.5

    played(story)


def test_whoever_ends_the_task_ends_the_loop() -> None:
    """Where a step does not come back, its task can still be cancelled."""

    async def story(loop: VirtualLoop) -> None:
        async def step() -> Pace:
            await asyncio.get_running_loop().create_future()
            return Pace.IDLE

        task = asyncio.create_task(looping(VirtualClock(loop), step).run())
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    played(story)


def test_a_step_that_does_not_come_back_is_seen() -> None:
    """Where a stage says how long a step may take, one that takes longer is stuck."""

    async def story(loop: VirtualLoop) -> None:
        goes_on = asyncio.Event()

        async def step() -> Pace:
            await goes_on.wait()
            return Pace.IDLE

        looped = looping(VirtualClock(loop), step, step_seconds=60.0)
        task = asyncio.create_task(looped.run())
        await asyncio.sleep(59.0)
        assert not looped.stuck
        await asyncio.sleep(2.0)
        assert looped.stuck
        goes_on.set()
        await asyncio.sleep(0.1)
        assert not looped.stuck
        looped.end()
        await task

    played(story)
