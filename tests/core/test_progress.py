"""Rates and the time that is left: honest, or not at all."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.watching.lately import Lately
from slackwater.core.watching.progress import SECONDS_MAX, Rates, Sample, Samples, time_left


def watched(done: Callable[[int], int], *, seconds: int, step: int = 2) -> Samples:
    """Samples of a batch that had finished `done(t)` requests of ten tokens at second t."""
    samples = Samples()
    for at in range(0, seconds + 1, step):
        samples.add(Sample(float(at), done(at), 10 * done(at)))
    return samples


def rates_at(samples: Samples, now: float) -> Rates:
    """The rates, which must be known."""
    rates = samples.rates(now=now)
    assert rates is not None
    return rates


def test_nothing_is_said_too_early() -> None:
    """Neither without samples, nor after one, nor after two that are too near to each other."""
    samples = Samples()
    assert samples.rates(now=0.0) is None
    samples.add(Sample(0.0, 0, 0))
    assert samples.rates(now=1.0) is None
    samples.add(Sample(1.0, 50, 0))
    assert samples.rates(now=1.0) is None
    samples.add(Sample(2.0, 100, 0))
    assert rates_at(samples, 2.0).requests_per_second == 50


def test_a_steady_rate_is_found_and_its_range_is_narrow() -> None:
    """Ten a second: an hour's work takes an hour, give or take a few per cent."""
    rates = rates_at(watched(lambda t: 10 * t, seconds=120), 120.0)
    assert rates.requests_per_second == pytest.approx(10)
    assert rates.tokens_per_second == pytest.approx(100)
    left = time_left(36_000, rates)
    assert left is not None
    assert left.seconds == 3_600
    assert 3_200 < left.low < 3_600 < left.high < 4_000


def test_only_the_last_minute_counts() -> None:
    """What was an hour ago says nothing about now."""
    rates = rates_at(watched(lambda t: 100 * min(t, 600) + max(0, t - 600), seconds=800), 800.0)
    assert rates.requests_per_second == pytest.approx(1)


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
    rates = rates_at(watched(lambda t: t // 15, seconds=60), 60.0)
    left = time_left(100, rates)
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
    assert samples.rates(now=60.0) is not None
    assert samples.rates(now=121.0) is None


def test_another_life_begins_anew() -> None:
    """Results that become fewer are those of another life of the batch."""
    samples = watched(lambda t: 10 * t, seconds=60)
    samples.add(Sample(62.0, 5, 0))
    assert samples.rates(now=62.0) is None


@given(
    gains=st.lists(st.integers(0, 10_000), min_size=2, max_size=80),
    steps=st.lists(st.floats(0.01, 200.0), min_size=80, max_size=80),
    remaining=st.integers(0, 10**9),
)
def test_whatever_happens_the_guess_is_in_its_range(gains: list[int], steps: list[float], remaining: int) -> None:
    """Any batch, looked at at any times: rates are not negative, and low <= guess <= high."""
    samples, at, finished = Samples(), 0.0, 0
    for gain, step in zip(gains, steps, strict=False):
        at, finished = at + step, finished + gain
        samples.add(Sample(at, finished, finished))
    rates = samples.rates(now=at)
    left = time_left(remaining, rates)
    if rates is not None:
        assert rates.requests_per_second >= 0
        assert 0 <= rates.uncertainty <= 1
    if left is not None:
        assert 0 <= left.low <= left.seconds <= left.high


def test_sums_of_the_last_minute() -> None:
    """How much they have grown, and in which time; a sum that falls belongs to somebody else."""
    lately = Lately()
    assert lately.grown() is None
    for second in range(0, 200, 10):
        lately.look((second, 2 * second), now=float(second))
    assert lately.grown() == (60.0, (60, 120))
    lately.look((0, 0), now=200.0)
    assert lately.grown() is None
