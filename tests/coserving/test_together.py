"""Several servers of ours at one engine: online users feel one of them, they share fairly, and nothing is lost by that.

Ten minutes of steady traffic, and six without any, in virtual time (`python benchmarks/coserving/together.py` has more).
"""

from dataclasses import replace

import pytest
from benchmarks.coserving.measuring import Figures
from benchmarks.coserving.scenarios import BY_NAME, limits
from benchmarks.coserving.together import jain, together

STEADY = BY_NAME["S1-steady40"]
IDLE = replace(STEADY, seconds=300.0)
# As in the benchmark: a p99 of two thousand requests is hardly better known than that.
TOLERANCE = 1.02
FAIR, OF_ONE = 0.9, 0.9


@pytest.fixture(scope="module")
def off() -> Figures:
    return together(STEADY, ())


@pytest.fixture(scope="module")
def alone() -> Figures:
    return together(STEADY, (0.0,))


@pytest.mark.long
@pytest.mark.parametrize(("begins", "of_one"), [((0.0, 0.0), OF_ONE), ((0.0, 0.0, 0.0), 0.85)])
def test_online_users_feel_one_of_them(begins: tuple[float, ...], of_one: float, off: Figures, alone: Figures) -> None:
    """The limits of the pace hold for all together, each gets as much as another, and together nearly as much as one alone: of
    a window of ten, parts of three are nine.
    """
    found = together(STEADY, begins)
    ttft, tpot = limits(off, STEADY.slo, "gentle")
    assert found["ttft_p99"] <= TOLERANCE * ttft
    assert found["tpot_p99"] <= TOLERANCE * tpot
    assert found["jain"] >= FAIR
    assert found["sum"] >= of_one * alone["sum"]


@pytest.mark.parametrize("begins", [(0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 100.0)])
def test_without_anybody_else_the_engine_is_theirs(begins: tuple[float, ...]) -> None:
    """None takes the others for online users; who begins late has its part a minute later."""
    alone = together(IDLE, (0.0,), crowd=False)
    found = together(IDLE, begins, crowd=False)
    assert found["jain"] >= FAIR
    assert found["sum"] >= OF_ONE * alone["sum"]


@pytest.mark.parametrize("ahead", [0.0, 0.05])
def test_on_several_hosts_the_engine_is_theirs_as_well(ahead: float) -> None:
    """By words of once a second, where their clocks hardly differ."""
    alone = together(IDLE, (0.0,), crowd=False)
    found = together(IDLE, (0.0, 0.3), late=True, ahead=ahead, crowd=False)
    assert found["jain"] >= FAIR
    assert found["sum"] >= OF_ONE * alone["sum"]


@pytest.mark.long
def test_online_users_feel_one_of_those_on_several_hosts(off: Figures, alone: Figures) -> None:
    """The limits of the pace hold as on one host."""
    found = together(STEADY, (0.0, 0.3), late=True)
    ttft, tpot = limits(off, STEADY.slo, "gentle")
    assert found["ttft_p99"] <= TOLERANCE * ttft
    assert found["tpot_p99"] <= TOLERANCE * tpot
    assert found["jain"] >= FAIR
    assert found["sum"] >= OF_ONE * alone["sum"]


def test_who_does_not_hear_the_other_disturbs() -> None:
    """What hearing each other is for: two that are deaf leave a quarter of an idle engine unused."""
    alone = together(IDLE, (0.0,), crowd=False)
    found = together(IDLE, (0.0, 0.0), hears=False, crowd=False)
    assert found["sum"] < 0.85 * alone["sum"]


def test_jain() -> None:
    """1.0 where all have the same, and 1 / n where one has everything."""
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert jain([3.0, 0.0, 0.0]) == pytest.approx(1 / 3)
