"""Minutes of engines can be added up, whoever saw them and in whatever order; latencies come out of the sum."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.watching.engine_minutes import SUMS, EngineMinute, in_steps, latency, merged

BOUNDS = (1.0, 2.0, 4.0)


def minute(at: int = 0, **changes: Any) -> EngineMinute:
    """A minute in which ten calls were answered."""
    fields: dict[str, Any] = {
        "engine": "e",
        "at": at,
        "owner": "w",
        "state": "ok",
        "seconds": 60.0,
        "paused_seconds": 0.0,
        "slots": 4,
        "in_flight_seconds": 120.0,
        "in_flight_max": 4,
        "calls": 10,
        "failed": 1,
        "tokens": 100,
        "call_seconds": 15.0,
        "call_counts": (5, 4, 1, 0),
    }
    return EngineMinute(**(fields | changes))


def test_two_processes_in_one_minute() -> None:
    """Sums are added, the largest counts where that is what is asked, and the state is the one that lasted."""
    other = minute(owner="v", state="down", seconds=61.0, paused_seconds=61.0, in_flight_max=9, call_counts=())
    assert merged([minute(), other], at=0) == minute(
        owner="",
        state="down",
        seconds=121.0,
        paused_seconds=61.0,
        in_flight_seconds=240.0,
        in_flight_max=9,
        calls=20,
        failed=2,
        tokens=200,
        call_seconds=30.0,
    )


def test_every_number_of_a_minute_is_added_up_or_the_largest() -> None:
    """None is forgotten where minutes come together."""
    names = {field.name for field in msgspec.structs.fields(EngineMinute)}
    assert set(SUMS) | {"slots", "in_flight_max", "engine", "at", "owner", "state", "call_counts"} == names
    once = minute(**{name: float(place) for place, name in enumerate(SUMS)})
    twice = merged([once, once], at=0)
    assert [getattr(twice, name) for name in SUMS] == [2.0 * place for place in range(len(SUMS))]


def test_steps() -> None:
    """One for each step in which there was anything."""
    steps = in_steps([minute(0), minute(60), minute(60, owner="v"), minute(180), minute(420)], step=180)
    assert [(each.at, each.calls) for each in steps] == [(0, 30), (180, 10), (360, 10)]
    assert in_steps([], step=60) == []


@given(st.lists(st.integers(0, 30), min_size=1), st.sampled_from([60, 120, 600]), st.randoms())
def test_nothing_is_lost_in_steps(minutes: list[int], step: int, chance: random.Random) -> None:
    """However they are cut, the sums of all steps are those of all minutes, and one after the other adds up like all at once."""
    given_ = [
        minute(
            60 * at, calls=chance.randrange(9), tokens=chance.randrange(99), call_counts=(chance.randrange(3), 0, 0, 1)
        )
        for at in sorted(minutes)
    ]
    steps = in_steps(given_, step=step)
    assert sum(each.calls for each in steps) == sum(each.calls for each in given_)
    assert sum(each.tokens for each in steps) == sum(each.tokens for each in given_)
    assert [each.at for each in steps] == sorted({each.at - each.at % step for each in given_})
    assert merged(steps, at=0).call_counts == merged(given_, at=0).call_counts


@pytest.mark.parametrize(
    ("counts", "part", "seconds"),
    [
        ((10, 0, 0, 0), 0.5, 0.5),
        ((5, 5, 0, 0), 0.5, 1.0),
        ((5, 5, 0, 0), 0.75, 1.5),
        ((0, 0, 10, 0), 0.95, 3.9),
        ((0, 0, 0, 3), 0.5, 4.0),
        ((), 0.5, None),
        ((0, 0, 0, 0), 0.5, None),
        ((1, 2), 0.5, None),
    ],
)
def test_latencies(counts: tuple[int, ...], part: float, seconds: float | None) -> None:
    """Between bounds they are guessed evenly; beyond the last nothing is known; without calls, or with other bounds, neither."""
    assert latency(minute(call_counts=counts), part, bounds=BOUNDS) == pytest.approx(seconds)


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any), st.floats(0, 1), st.floats(0, 1))
def test_latencies_grow_with_the_part(counts: list[int], one: float, other: float) -> None:
    """More of the calls never end in less time."""
    low, high = sorted((one, other))
    of = minute(call_counts=tuple(counts))
    first, second = latency(of, low, bounds=BOUNDS), latency(of, high, bounds=BOUNDS)
    assert first is not None
    assert second is not None
    assert 0.0 <= first <= second <= BOUNDS[-1]
