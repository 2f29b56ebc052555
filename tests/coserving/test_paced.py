"""The product's pacing keeps what it has been seen to do: seed 0 of three scenarios, whole, in virtual time.

Made with `python -m tests.coserving.test_paced`. A change that gives up more than three points of any cell has a reason in its
commit, and these numbers with it.
"""

import functools
import json
from pathlib import Path

import pytest
from benchmarks.coserving.measuring import Figures, measure
from benchmarks.coserving.policy import Policy
from benchmarks.coserving.product import product
from benchmarks.coserving.scenarios import BY_NAME, limits

KEPT = Path(__file__).with_name("paced.json")
NAMES, POINTS = ("S1-steady40", "S3-diurnal", "S4-onoff"), ("strict", "gentle", "slo")
# As in the benchmark: a p99 of two thousand requests is hardly better known than that.
TOLERANCE = 1.02


@functools.cache
def _without(name: str) -> Figures:
    """What online users feel where no batch is sent."""
    return measure(BY_NAME[name], Policy())


def batch_tokens(name: str, point: str) -> float:
    """Batch tokens a second within the limits of the point; 0.0 where these are not kept."""
    scenario = BY_NAME[name]
    off = _without(name)
    paced = measure(scenario, product(point, scenario.slo))
    ttft, tpot = limits(off, scenario.slo, point)
    kept = paced["ttft_p99"] <= TOLERANCE * ttft and paced["tpot_p99"] <= TOLERANCE * tpot
    return float(paced["batch_tok_s"]) if kept else 0.0


# The two scenarios whose load changes take half a minute each: one point of one is enough for every day.
DAILY = {("S4-onoff", "slo")}


@pytest.mark.parametrize(
    ("name", "point"),
    [
        pytest.param(name, point, marks=[] if name == NAMES[0] or (name, point) in DAILY else pytest.mark.long)
        for name in NAMES
        for point in POINTS
    ],
)
def test_no_cell_falls(name: str, point: str) -> None:
    """By more than three points of a hundred."""
    assert batch_tokens(name, point) >= 0.97 * json.loads(KEPT.read_text())[name][point]


if __name__ == "__main__":
    found = {name: {point: round(batch_tokens(name, point)) for point in POINTS} for name in NAMES}
    KEPT.write_text(json.dumps(found, indent=1) + "\n")
