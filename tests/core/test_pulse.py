"""When something has succeeded lately, as far as a quarter of a second tells."""

from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.sending.pulse import STEP_SECONDS, STEPS_MAX, Pulse

MOMENTS = st.lists(st.floats(0, 100, allow_nan=False), max_size=60).map(sorted)


def test_nothing_has_succeeded_yet() -> None:
    """Not at any moment, not even about the beginning of time, where clocks of machines and tests begin."""
    pulse = Pulse()
    assert not pulse.ever
    assert not pulse.since(0.0)
    for first in (-1e9, -2.0, -0.1, 0.0, 5.0):
        assert not pulse.since(first)
        assert not pulse.between(first, 10.0)


@given(MOMENTS, st.floats(-10, 110), st.floats(0, 20))
def test_it_tells_when_to_a_step(beats: list[float], first: float, length: float) -> None:
    """What lies inside is found; what is found lies inside, or a step beside it."""
    pulse = Pulse()
    for moment in beats:
        pulse.beat(moment)
    last = first + length
    found = pulse.between(first, last)
    assert found or not any(first <= moment <= last for moment in beats)
    near = [moment for moment in beats if first - STEP_SECONDS <= moment <= last + STEP_SECONDS]
    assert near or not found
    assert pulse.since(first) or not any(moment >= first for moment in beats)
    assert pulse.ever is bool(beats)


def test_a_week_of_successes_is_a_few_hundred_numbers() -> None:
    """The latest ones are kept; of what is older than those it is said that nothing is known to have succeeded."""
    pulse = Pulse()
    for second in range(7 * 24 * 3600):
        pulse.beat(float(second))
    last = 7 * 24 * 3600 - 1.0
    assert pulse.since(last)
    assert pulse.between(last - STEPS_MAX + 10, last - STEPS_MAX + 10)
    assert not pulse.between(0.0, 100.0)
    assert len(pulse._steps) == STEPS_MAX


def test_a_clock_that_stands_does_not_fill_it() -> None:
    """A million successes in one step are one number."""
    pulse = Pulse()
    for _ in range(10_000):
        pulse.beat(1.0)
    assert len(pulse._steps) == 1
    assert not pulse.between(2.0, 3.0)
    assert pulse.between(0.0, 3.0)
