"""Rates and the time that is left: honest, or not at all."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.watching.progress import SECONDS_MAX, Rates, rates, time_left
from slackwater.core.window import Look, Window


def watched(done: Callable[[int], int], *, seconds: int, step: int = 2) -> Window:
    """Samples of a batch that had finished `done(t)` requests of ten tokens at second t."""
    samples = Window()
    for at in range(0, seconds + 1, step):
        samples.look(done(at), 10 * done(at), at=float(at))
    return samples


def rates_at(samples: Window, now: float) -> Rates:
    """The rates, which must be known."""
    found = rates(samples, now=now)
    assert found is not None
    return found


def test_nothing_is_said_too_early() -> None:
    """Neither without samples, nor after one, nor after two that are too near to each other."""
    samples = Window()
    assert rates(samples, now=0.0) is None
    samples.look(0, 0, at=0.0)
    assert rates(samples, now=1.0) is None
    samples.look(50, 0, at=1.0)
    assert rates(samples, now=1.0) is None
    samples.look(100, 0, at=2.0)
    assert rates_at(samples, 2.0).requests_per_second == 50


def test_a_steady_rate_is_found_and_its_range_is_narrow() -> None:
    """Ten a second: an hour's work takes an hour, give or take a few per cent."""
    found = rates_at(watched(lambda t: 10 * t, seconds=120), 120.0)
    assert found.requests_per_second == pytest.approx(10)
    assert found.tokens_per_second == pytest.approx(100)
    left = time_left(36_000, found)
    assert left is not None
    assert left.seconds == 3_600
    assert 3_200 < left.low < 3_600 < left.high < 4_000


def test_only_the_last_minute_counts() -> None:
    """What was an hour ago says nothing about now."""
    found = rates_at(watched(lambda t: 100 * min(t, 600) + max(0, t - 600), seconds=800), 800.0)
    assert found.requests_per_second == pytest.approx(1)


def test_the_range_is_wide_while_the_rate_changes() -> None:
    """The same mean, steady and in a jump: the jump is far less sure."""
    steady = rates_at(watched(lambda t: 20 * t, seconds=60), 60.0)
    jump = rates_at(watched(lambda t: 2 * t if t <= 30 else 60 + 38 * (t - 30), seconds=60), 60.0)
    assert steady.requests_per_second == pytest.approx(jump.requests_per_second)
    narrow, wide = time_left(12_000, steady), time_left(12_000, jump)
    assert narrow is not None
    assert wide is not None
    assert wide.low < narrow.low
    assert wide.high > 4 * narrow.high
    # What the new rate will need is inside.
    assert wide.low <= 12_000 / 38 <= wide.high


def test_few_results_are_unsure_results() -> None:
    """Four in a minute may be two or eight in the next."""
    found = rates_at(watched(lambda t: t // 15, seconds=60), 60.0)
    left = time_left(100, found)
    assert left is not None
    assert left.high > 2 * left.seconds > 2 * left.low


def test_nonsense_is_not_said() -> None:
    """Not while nothing gets done, not for months, and nothing is left of nothing."""
    still = rates_at(watched(lambda t: 5, seconds=60), 60.0)
    assert still.requests_per_second == 0
    assert time_left(10, still) is None
    assert time_left(10, None) is None
    crawling = Rates(requests_per_second=0.0001, tokens_per_second=0, uncertainty=0.5)
    assert time_left(SECONDS_MAX, crawling) is None
    some = rates_at(watched(lambda t: t, seconds=60), 60.0)
    done = time_left(0, some)
    assert done is not None
    assert (done.seconds, done.low, done.high) == (0, 0, 0)


def test_old_samples_say_nothing() -> None:
    """If nobody has looked for a minute, the rate of then is not given for now."""
    samples = watched(lambda t: t, seconds=60)
    assert rates(samples, now=60.0) is not None
    assert rates(samples, now=121.0) is None


def test_another_life_begins_anew() -> None:
    """Results that become fewer are those of another life of the batch."""
    samples = watched(lambda t: 10 * t, seconds=60)
    samples.look(5, 0, at=62.0)
    assert rates(samples, now=62.0) is None


@given(
    gains=st.lists(st.integers(0, 10_000), min_size=2, max_size=80),
    steps=st.lists(st.floats(0.01, 200.0), min_size=80, max_size=80),
    remaining=st.integers(0, 10**9),
)
def test_whatever_happens_the_guess_is_in_its_range(gains: list[int], steps: list[float], remaining: int) -> None:
    """Any batch, looked at at any times: rates are not negative, and low <= guess <= high."""
    samples, at, finished = Window(), 0.0, 0
    for gain, step in zip(gains, steps, strict=False):
        at, finished = at + step, finished + gain
        samples.look(finished, finished, at=at)
    found = rates(samples, now=at)
    left = time_left(remaining, found)
    if found is not None:
        assert found.requests_per_second >= 0
        assert 0 <= found.uncertainty <= 1
    if left is not None:
        assert 0 <= left.low <= left.seconds <= left.high


def test_sums_of_the_last_minute() -> None:
    """How much they have grown, and in which time; a sum that falls belongs to somebody else."""
    lately = Window()
    assert lately.grown() is None
    for second in range(0, 200, 10):
        lately.look(second, 2 * second, at=float(second))
    assert lately.grown() == (60.0, (60, 120))
    lately.look(0, 0, at=200.0)
    assert lately.grown() is None


def test_a_window_keeps_what_covers_it() -> None:
    """The newest look before the window stays; a second one at a moment takes the first one's place; there is a most."""
    window = Window(seconds=10.0, looks_max=4)
    for at in range(0, 40, 5):
        window.look(at, at=float(at))
    assert window.looks() == [Look(25.0, (25,)), Look(30.0, (30,)), Look(35.0, (35,))]
    window.look(36, at=35.0)
    assert window.grown() == (10.0, (11,))
    assert window.looks(since=30.0) == [Look(25.0, (25,)), Look(30.0, (30,)), Look(35.0, (36,))]
    assert window.looks(since=32.0) == [Look(30.0, (30,)), Look(35.0, (36,))]
    for tenth in range(20):
        window.look(40 + tenth, at=36.0 + tenth / 10)
    assert len(window.looks()) == 4
