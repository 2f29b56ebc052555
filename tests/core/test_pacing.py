"""The window of an engine that others use, on an engine that is a formula: every rule of judgement with its hostile case."""

import pytest

from slackwater.core.sending.pacing import FOREVER, HOLD_SECONDS, Pacer
from slackwater.core.sending.step_target import RULES, SHORT_MIN, SMALLER_SECONDS, Point
from tests.core.formula_engine import LOOK, engine


@pytest.mark.parametrize(("point", "least", "most"), [(Point.STRICT, 1.0, 1.06), (Point.GENTLE, 1.1, 1.35)])
def test_what_others_feel_is_in_the_band_of_the_point(point: Point, least: float, most: float) -> None:
    """With steady traffic the step ends where the point says, although nobody has said how long a step is without us."""
    world = engine(point, others=50.0)
    world.go(120.0)
    alone = 0.010 + 0.0002 * 50
    assert least * alone <= world.step() <= most * alone


@pytest.mark.parametrize("point", [Point.STRICT, Point.GENTLE])
def test_one_long_step_at_the_beginning_is_not_what_others_are_used_to(point: Point) -> None:
    """The first looks fall on a prompt that takes half a second; a minute later others feel what they do without that."""
    usual, unlucky = engine(point, others=50.0), engine(point, others=50.0, long=7000.0)
    unlucky.go(2 * LOOK)
    unlucky.long = 0.0
    for world in (usual, unlucky):
        world.go(60.0)
    assert unlucky.step() <= 1.05 * usual.step()


def test_who_comes_to_a_full_engine_does_not_decide_the_hour() -> None:
    """Their first steps are many times too long, and however long they are, the room that is used shrinks slowly."""
    world = engine()
    world.go(600.0)
    world.others = 5.0
    world.go(2.0)
    assert world.step() > 2.0 * (0.010 + 0.0002 * 5)
    world.go(30.0)
    assert world.pacer.aim.room >= RULES[Point.GENTLE].room * (1.0 + SHORT_MIN * 35.0 / SMALLER_SECONDS)


def test_even_one_may_be_too_much() -> None:
    """At its smallest window nothing new goes while the step is too long; where nobody runs, it does soon."""
    world = engine(Point.STRICT, others=50.0)
    world.go(60.0)
    pacer = world.pacer
    pacer.window = 1.0
    assert pacer.target is not None
    pacer.step = 1.1 * pacer.target
    assert pacer.admits(0, 10.0, world.now) == FOREVER
    # Not for ever: others may be slower by themselves than they were in the hour before.
    assert pacer.admits(0, 10.0, world.now + HOLD_SECONDS) == 0.0
    pacer.step = 0.9 * pacer.target
    assert pacer.admits(0, 10.0, world.now) == 0.0
    pacer.step = 1.1 * pacer.target
    world.others, world.out = 0.0, 0
    for _ in range(2):
        world.now += LOOK
        pacer.looked(world.counters(), in_flight=0, now=world.now)
    assert pacer.admits(0, 10.0, world.now) == 0.0


def test_a_short_time_between_tokens_is_gentle() -> None:
    """Whoever promises less than others bear anyway is not held to it: that would be below their step without us."""
    promised, gentle = engine(Point.SLO, slo=0.001, others=30.0), engine(others=30.0)
    for world in (promised, gentle):
        world.go(300.0)
    assert promised.pacer.target == pytest.approx(gentle.pacer.target, rel=0.05)


def test_with_nobody_else_every_point_is_full() -> None:
    """Nobody is disturbed, so the window is as large as it may be."""
    for point in (Point.STRICT, Point.GENTLE, Point.SLO, Point.FULL):
        world = engine(point, slo=0.05)
        world.go(60.0)
        assert (world.pacer.target, int(world.pacer.window)) == (FOREVER, world.pacer.most), point


def test_an_engine_with_few_slots() -> None:
    """Nobody has said how many it has: those that it cannot run wait there, and the window is what it runs."""
    world = engine(Point.FULL)
    for _ in range(400):
        world.waiting = max(0.0, world.out - 8.0)
        world.go(LOOK)
    assert 8 <= world.pacer.window <= 12


def test_the_first_of_others_cuts_at_once() -> None:
    """What has grown in an idle hour gives way: every look is a cut until the step is what it should be."""
    world = engine()
    world.others = 30.0
    world.go(60.0)
    world.others = 0.0
    world.go(600.0)
    before = world.pacer.window
    world.others = 30.0
    world.go(2 * LOOK)
    assert world.pacer.window < 0.9 * before
    world.go(20.0)
    assert world.step() <= 1.4 * (0.010 + 0.0002 * 30)


def test_a_time_between_tokens_that_is_promised() -> None:
    """`slo` goes up to what may be seen, and not beyond."""
    world = engine(Point.SLO, others=20.0, slo=0.040)
    world.go(300.0)
    assert 0.025 <= world.step() <= 0.040


def test_who_waits_for_capacity_stops_everything_new() -> None:
    """Also where the window has room; and nothing of what is out is taken back."""
    world = engine(others=10.0)
    world.go(30.0)
    out = world.out
    world.waiting = 5.0
    world.go(LOOK)
    assert (world.pacer.frozen, world.pacer.admits(0, 1.0, world.now)) == (True, FOREVER)
    assert world.out == out
    world.waiting = 0.0
    world.go(LOOK)
    assert not world.pacer.frozen


def test_waiting_that_lasts_takes_from_the_window() -> None:
    """One look with others waiting is a burst that may be over; from the second on the window is cut at each."""
    world = engine(others=30.0)
    world.go(120.0)
    before, world.waiting = world.pacer.window, 3.0
    world.go(LOOK, sends=False)
    assert world.pacer.window >= 0.8 * before
    windows = []
    for _ in range(6):
        world.go(LOOK, sends=False)
        windows.append(world.pacer.window)
    assert all(later < 0.9 * sooner for sooner, later in zip(windows, windows[1:], strict=False))
    assert windows[-1] < 0.5 * before


def test_a_stream_is_believed_by_its_mean() -> None:
    """Chunks in bunches, as a starved server sends them, are the same step; and a stream that is alive moves the window alone."""
    world = engine(others=20.0)
    world.go(60.0)
    pacer = world.pacer
    pacer.step = None
    for number in range(100):
        pacer.gap(0.16 if number % 8 == 0 else 0.0, 1, in_flight=world.out, now=world.now + number * 0.02)
    assert pacer.step == pytest.approx(0.02, rel=0.1)


def test_two_who_share_an_engine_both_get_some() -> None:
    """Servers of two teams, of which neither knows the other: each is the other's online traffic, and neither starves."""
    first, second = engine(), engine()
    for _ in range(600):
        for one, other in ((first, second), (second, first)):
            one.others = 20.0 + other.out
            one.go(LOOK)
    assert min(first.out, second.out) >= 1
    assert first.step() <= 3.0 * (0.010 + 0.0002 * 20)


def test_another_point_while_it_runs() -> None:
    """What is known of the engine stays; what may be used of it is another."""
    world = engine(Point.STRICT, others=50.0)
    world.go(120.0)
    strict = world.out
    world.pacer.aim_for(Point.GENTLE, world.now)
    world.go(120.0)
    gentle = world.out
    world.pacer.aim_for(Point.FULL, world.now)
    world.go(120.0)
    assert strict < gentle < world.out


def test_the_target_of_a_pace_that_is_over_is_none() -> None:
    """Whoever changes the pace while nothing is sent sees what holds now, and not what held at the last look."""
    world = engine(others=50.0)
    world.go(120.0)
    world.waiting = 5.0
    world.go(LOOK)
    gentle = world.pacer.target
    assert world.pacer.frozen
    assert gentle is not None
    world.pacer.aim_for(Point.STRICT, world.now)
    strict = world.pacer.target
    assert strict is not None
    assert 0.019 <= strict < gentle
    world.pacer.aim_for(Point.FULL, world.now)
    assert world.pacer.target == FOREVER
    fresh = Pacer()
    fresh.aim_for(Point.STRICT, 1000.0)
    assert fresh.aim.slower is None
    assert fresh.aim.slower_most is None
