"""A quota that online traffic uses as well, by the rules of three vendors: how much of what is left is used, and what it costs.

The worlds, the traffic and the client are those of benchmarks/rate_limits.py; counts of a few seeds, in virtual time.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SEEDS, MINUTES = (1, 2), 30


def _benchmark() -> ModuleType:
    """It is no package."""
    path = Path(__file__).parents[2] / "benchmarks" / "rate_limits.py"
    spec = importlib.util.spec_from_file_location("rate_limits_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


BENCHMARK = _benchmark()


@pytest.mark.parametrize("world", list(BENCHMARK.WORLDS))
@pytest.mark.parametrize(("cv", "used_min", "added_max"), [(2.0, 92.0, 0.5), (5.0, 90.0, 1.0)])
def test_what_is_left_is_used_and_others_are_served(world: str, cv: float, used_min: float, added_max: float) -> None:
    """Online traffic takes 40 %: at CV 2 and 5, so much of the rest is used, and so many points of its requests are refused."""
    with_us = [BENCHMARK.run(world, BENCHMARK.Ours, 0.4, cv, seed, MINUTES) for seed in SEEDS]
    without = [BENCHMARK.run(world, None, 0.4, cv, seed, MINUTES) for seed in SEEDS]
    used = 100 * sum(each.used for each in with_us) / sum(each.leftover for each in with_us)
    refused = sum(each.refused for each in with_us) - sum(each.refused for each in without)
    added = 100 * refused / sum(each.offered for each in with_us)
    assert used >= used_min
    assert added <= added_max
    assert sum(each.looks for each in with_us) <= 20 * MINUTES * len(SEEDS)
