"""What others have felt of us, and what they were promised: over about the last hour of them."""

import pytest

from slackwater.core.sending.others_steps import KEPT, SLOW, SLOWEST, USUAL, OthersSteps
from slackwater.core.sending.step_model import StepModel
from slackwater.core.sending.step_target import Point
from tests.core.formula_engine import LOOK, engine


def test_what_was_promised_and_what_was_felt() -> None:
    """How many times slower others' slow steps were is measured at every pace; what is allowed is what the pace says."""
    slower = []
    for point, allowed in ((Point.STRICT, 1.05), (Point.GENTLE, 1.25), (Point.FULL, None)):
        world = engine(point, others=50.0)
        world.go(300.0)
        assert world.pacer.aim.slower is not None
        slower.append(world.pacer.aim.slower)
        assert world.pacer.aim.slower_most == (None if allowed is None else pytest.approx(allowed))
        if allowed is not None:
            # Of an engine that is a formula the step without us is known.
            assert world.pacer.aim.slower == pytest.approx(world.step() / 0.020, rel=0.1)
    assert 1.0 <= slower[0] < slower[1] < 1.4 < slower[2]
    world = engine(Point.SLO, slo=0.040, others=50.0)
    world.go(300.0)
    assert world.pacer.aim.slower_most is not None
    assert 1.25 < world.pacer.aim.slower_most <= 0.040 / 0.018


def seen_for(seconds: int, others: OthersSteps, step: float, model: StepModel, *, ours: float = 0.0) -> None:
    """As many looks, with ten of others."""
    for _ in range(int(seconds / LOOK)):
        others.seen(step, running=ours, prefilled=0.0, tokens=10.0 * LOOK / step, seconds=LOOK, model=model)


def test_what_was_long_ago_counts_less() -> None:
    """And no more is kept than an hour."""
    model, others = StepModel(), OthersSteps()
    assert others.alone == {}
    seen_for(1, others, 0.1, model)
    assert others.felt == others.alone == {USUAL: 0.1, SLOW: 0.1, SLOWEST: 0.1}
    seen_for(400, others, 0.1, model)
    seen_for(60, others, 0.01, model)
    # A minute has made more tokens than seven at a tenth of the speed.
    assert (others.felt[USUAL], others.felt[SLOWEST]) == (pytest.approx(0.01), pytest.approx(0.1))
    seen_for(KEPT, others, 0.01, model)
    assert others.felt[SLOWEST] == pytest.approx(0.01)
    assert others.seconds == pytest.approx(KEPT + 461)


def test_another_pace_is_not_told_of_the_one_before() -> None:
    """What others felt while everything was taken says nothing of whether `strict` is held. What they are used to stays."""
    world = engine(Point.FULL, others=50.0)
    world.go(300.0)
    assert (world.pacer.aim.slower or 0.0) > 1.4
    world.pacer.aim_for(Point.STRICT, world.now)
    assert world.pacer.aim.slower is None
    # What is out runs to its end.
    world.go(30.0)
    world.pacer.aim_for(Point.STRICT, world.now)
    world.go(30.0)
    assert 1.0 <= (world.pacer.aim.slower or 0.0) < 1.1
    assert world.pacer.aim.others.alone


def test_the_first_minute_is_seen_with_what_is_known_later() -> None:
    """Nobody knew then what of a step was ours."""
    others = OthersSteps()
    seen_for(60, others, 0.020, StepModel(base=0.020), ours=50.0)
    assert others.alone[USUAL] == pytest.approx(0.020)
    known = StepModel(base=0.010, each=0.0002)
    seen_for(2, others, 0.020, known, ours=50.0)
    assert others.alone[USUAL] == others.alone[SLOWEST] == pytest.approx(0.010)
    assert others.felt[SLOWEST] == pytest.approx(0.020)
