"""How a batch went: what can be added up is added up, whoever saw it and in whichever order, and it has a largest size."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.accounts.usage import Usage
from slackwater.core.sending.request import Outcome, Result
from slackwater.core.watching.batch_history import (
    SECONDS,
    STEP_MAX,
    STEPS_MAX,
    TOKENS,
    BatchHistory,
    bars,
    quantile,
)

SIZE_MAX = 8_000


def result(seconds: float | None, tokens: int | None) -> Result:
    """One that was answered."""
    usage = None if tokens is None else Usage(input_tokens=1, output_tokens=tokens)
    return Result(0, Outcome.COMPLETED, b"{}\n", usage, seconds=seconds)


def sums(history: BatchHistory) -> tuple[int, int, int]:
    """Everything that it has seen."""
    steps = history.steps.values()
    return (
        sum(each.completed for each in steps),
        sum(each.failed for each in steps),
        sum(each.output_tokens for each in steps),
    )


HEARD = st.lists(
    st.tuples(
        st.integers(0, 10**6) | st.integers(0, 2**33),
        st.lists(st.builds(result, st.none() | st.floats(0, 1e6), st.none() | st.integers(0, 2**40)), max_size=4),
        st.integers(0, 5),
    ),
    max_size=12,
)


@given(HEARD, HEARD)
def test_nothing_is_lost_and_it_stays_small(
    first: list[tuple[int, list[Result], int]], second: list[tuple[int, list[Result], int]]
) -> None:
    """Whoever heard what, and whenever it was: sums are those of all, steps are few, and the text of it is short."""
    mine, others = BatchHistory(), BatchHistory()
    for history, heard in ((mine, first), (others, second)):
        for at, completed, failed in heard:
            history.hear(completed, failed, at=at)
    mine.take(msgspec.json.decode(msgspec.json.encode(others), type=BatchHistory))
    everything = [each for _, completed, _ in (*first, *second) for each in completed]
    tokens = [each.usage.output_tokens for each in everything if each.usage is not None]
    assert sums(mine) == (len(everything), sum(failed for _, _, failed in (*first, *second)), sum(tokens))
    assert sum(mine.seconds.values()) == sum(bool(each.seconds) for each in everything)
    assert sum(mine.tokens.values()) == sum(bool(each) for each in tokens)
    if mine.steps:
        assert max(mine.steps) - min(mine.steps) < STEPS_MAX
    assert mine.step <= STEP_MAX
    assert len(msgspec.json.encode(mine)) < SIZE_MAX


def test_steps_are_doubled_when_they_are_too_many() -> None:
    """A second for the first two minutes, then two, and so on; what ended in one ended in the one that has it."""
    history = BatchHistory()
    for at in range(1000, 1000 + STEPS_MAX):
        history.hear([result(1.0, 10)], 1, at=at)
    assert (history.step, len(history.steps)) == (1, STEPS_MAX)
    history.hear([], 3, at=1000 + STEPS_MAX)
    assert (history.step, len(history.steps)) == (2, STEPS_MAX // 2 + 1)
    assert msgspec.structs.astuple(history.steps[500]) == (2, 2, 20)
    assert msgspec.structs.astuple(history.steps[560]) == (0, 3, 0)


def test_a_clock_that_is_off_by_years() -> None:
    """What was before stands at the beginning of what can be shown, and what comes is shown."""
    history = BatchHistory()
    history.hear([result(1.0, 1)], 0, at=1_000)
    history.hear([result(1.0, 1)], 0, at=2_000_000_000)
    history.hear([], 1, at=2_000_000_000 + STEP_MAX)
    assert history.step == STEP_MAX
    assert [each.completed for _, each in sorted(history.steps.items())] == [1, 1, 0]


@given(st.lists(st.floats(0.0011, 10_000), min_size=1, max_size=60), st.sampled_from((0.5, 0.9, 0.99, 1.0)))
def test_a_quantile_is_right_to_a_fifth(values: list[float], part: float) -> None:
    """Between the bounds around the value that it is."""
    history = BatchHistory()
    history.hear([result(each, None) for each in values], 0, at=5)
    found = quantile(history.seconds, part, bounds=SECONDS)
    assert found is not None
    true = sorted(values)[max(0, -int(-part * len(values) // 1) - 1)]
    assert true / 1.2 <= found <= true * 1.2


def test_bars_stand_beside_each_other() -> None:
    """At most so many, those without any included, and all values are in them."""
    assert bars({}, bounds=TOKENS) == []
    assert quantile({}, 0.5, bounds=TOKENS) is None
    history = BatchHistory()
    history.hear([result(None, each) for each in (1, 2, 3, 100, 4_000, 10**9)], 0, at=5)
    found = bars(history.tokens, bounds=TOKENS)
    assert len(found) <= 24
    assert sum(each.count for each in found) == 6
    assert found[0].above == 0.0
    assert found[-1].upto == TOKENS[-1]
    assert all(each.upto == pytest.approx(later.above) for each, later in zip(found, found[1:], strict=False))
