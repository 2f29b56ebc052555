"""What a pacer does with what it does not see: lost pages, other engines, hours without a look, steps that nobody counts."""

import pytest

from slackwater.core.sending.engine_counters import Counters, restarted
from slackwater.core.sending.metrics_page import counters_in
from slackwater.core.sending.pacing import FIRST_WINDOW, FOREVER, PROMPTS_FIRST, SLICE_FIRST, Pacer
from slackwater.core.sending.step_target import Point, StepTarget
from tests.core.formula_engine import LOOK, Formula, engine


def gaps(world: Formula, seconds: float) -> None:
    """One of our calls is streamed for so long, and its tokens come with the engine's steps."""
    until = world.now + seconds
    while world.now < until:
        step = world.step()
        world.now += step
        world.pacer.gap(step, 1, in_flight=world.out, now=world.now)


def test_a_stream_is_no_reason_to_take_more_while_the_page_is_lost() -> None:
    """Half the window and no more: who sees no others sees none come."""
    world = engine(others=10.0)
    world.go(60.0)
    pacer = world.pacer
    pacer.window, before = 12.0, 12.0
    pacer.blind(world.now)
    world.out = int(pacer.window)
    gaps(world, 10.0)
    assert pacer.window <= before / 2
    # And less where it becomes slow.
    world.long = 3000.0
    gaps(world, 10.0)
    assert pacer.window < before / 2
    world.long = 0.0
    world.go(30.0)
    assert pacer.window > before / 2


@pytest.mark.parametrize("point", [Point.GENTLE, Point.STRICT, Point.SLO])
def test_others_have_come_while_nobody_looked(point: Point) -> None:
    """A window that was found on an empty engine says nothing of one with users: we begin with a few, in slices."""
    world = engine(point, slo=0.05, found=0.0)
    world.pacer.slices = True
    world.go(60.0)
    assert world.pacer.window > 100
    world.out, world.others = 0, 10.0
    world.now += 60.0
    world.pacer.back(world.now)
    world.pacer.looked(world.counters(), in_flight=0, now=world.now)
    assert world.pacer.admits(0, 10.0, world.now) == 0.0
    assert world.pacer.window <= FIRST_WINDOW
    assert world.pacer.target != FOREVER
    assert world.pacer.prompts <= PROMPTS_FIRST
    assert 0 < world.pacer.slice <= SLICE_FIRST
    world.go(10.0)
    assert world.out >= 1


def test_nobody_has_come_while_nobody_looked() -> None:
    """Then half of what it was is a beginning; and at `full` it is always."""
    for point, others in ((Point.GENTLE, 0.0), (Point.FULL, 10.0)):
        world = engine(point)
        world.go(60.0)
        before = world.pacer.window
        world.out, world.others = 0, others
        world.now += 60.0
        world.pacer.back(world.now)
        world.pacer.looked(world.counters(), in_flight=0, now=world.now)
        assert world.pacer.window == pytest.approx(before / 2)


def test_a_faster_engine_with_higher_counts_behind_the_same_port() -> None:
    """What was usual at the one before is nothing to go by."""
    world = engine(others=10.0)
    world.long = 600.0
    world.go(300.0)
    slow = world.pacer.target
    assert slow is not None
    world.long = 0.0
    world.steps += 1e6
    world.generated += 1e8
    world.go(3 * LOOK)
    assert world.pacer.window <= FIRST_WINDOW + 1
    world.go(20.0)
    assert world.pacer.target is not None
    assert world.pacer.target < 0.5 * slow


def test_it_is_another_engine() -> None:
    """By the start of its process, by counts that fall, or that grow by what no engine does. A busy one is the same."""
    said = Counters(running=1.0, steps=1e6, generated=1e8, started=1_700_000_000.0)
    later = {"running": 1.0, "steps": 1e6 + 50, "generated": 1e8 + 5000}
    assert not restarted(said, Counters(**later, started=1_700_000_000.4), 0.5)
    assert not restarted(said, Counters(**later), 0.5)
    assert restarted(said, Counters(**later, started=1_700_000_020.0), 0.5)
    assert restarted(said, Counters(running=1.0, steps=2e6, generated=1e8), 0.5)
    assert restarted(said, Counters(running=1.0, steps=1e6, generated=2e8), 0.5)
    # After an hour in which nobody looked that is nothing special.
    assert not restarted(said, Counters(running=1.0, steps=2e6, generated=2e8), 3600.0)


def test_the_start_of_a_process_is_read_where_there_is_one() -> None:
    """Several processes on one page say nothing of it."""
    page = b"vllm:num_requests_running 1\nprocess_start_time_seconds 1.7e9\n"
    found = counters_in(page)
    assert found is not None
    assert found.started == 1.7e9
    several = counters_in(page + b'process_start_time_seconds{pid="7"} 1.8e9\n')
    assert several is not None
    assert several.started is None


def test_a_page_that_says_nothing_of_steps() -> None:
    """With nobody else there the engine is filled; beside others a few are out until a stream says how long steps are."""
    world = Formula(Pacer(StepTarget(Point.GENTLE)))
    unsaid = world.counters

    def counters() -> Counters:
        said = unsaid()
        return Counters(
            running=said.running, waiting=said.waiting, generated=said.generated, step_tokens=said.step_tokens
        )

    world.counters = counters  # type: ignore[method-assign]
    world.go(60.0)
    assert world.out > 100
    world.others = 10.0
    world.go(2 * LOOK)
    assert world.pacer.window <= FIRST_WINDOW
    world.out = int(FIRST_WINDOW)
    for _ in range(120):
        gaps(world, LOOK)
        world.now -= LOOK
        world.go(LOOK)
    assert world.pacer.target not in (None, FOREVER)
    assert world.pacer.window > FIRST_WINDOW
    assert world.step() <= 1.3 * (0.010 + 0.0002 * 10)
