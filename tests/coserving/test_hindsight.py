"""What is said of a table: the best of each scenario, and one setting that keeps the limits in all."""

from benchmarks.coserving.hindsight import bars_of, summary_of
from benchmarks.coserving.scenarios import REGIMES

LIMITS = dict.fromkeys(REGIMES, (1.0, 0.05))


def row(scenario: str, family: str, best: float, settings: list[tuple[float, float, float]]) -> dict[str, object]:
    return {
        "scenario": scenario,
        "seed": 0,
        "family": family,
        "limits": LIMITS,
        "best": dict.fromkeys(REGIMES, best),
        "of_oracle": dict.fromkeys(REGIMES, best / 1000),
        "settings": [{"batch_tok_s": batch, "ttft_p99": ttft, "tpot_p99": tpot} for batch, ttft, tpot in settings],
    }


def test_one_setting_has_to_keep_the_limits_everywhere() -> None:
    """The second is the better one, and is over a limit in B: with hindsight it counts in A, without it the first is all."""
    rows = [row(name, "oracle", 1000, []) for name in "AB"]
    rows += [row("A", "fixed", 800, [(400, 0.9, 0.04), (800, 0.9, 0.04)])]
    rows += [row("B", "fixed", 300, [(300, 0.9, 0.04), (900, 1.1, 0.04)])]
    found = summary_of(rows)
    assert found["hindsight"]["fixed"]["slo"] == {"mean": 0.55, "worst": 0.3}
    assert found["one_setting"]["fixed"]["slo"] == {"mean": 0.35, "worst": 0.3}
    assert found["bars"] == {}


def test_a_family_that_keeps_them_nowhere_has_no_setting() -> None:
    """None is not 0 %."""
    rows = [row("A", "oracle", 1000, []), row("A", "fixed", 0, [(300, 0.9, 0.06)])]
    assert summary_of(rows)["one_setting"]["fixed"]["strict"] is None


def test_a_bar_is_mean_and_worst() -> None:
    """A mean above the bar does not make up for a scenario far below it."""
    high, uneven = {"mean": 0.95, "worst": 0.9}, {"mean": 0.95, "worst": 0.5}
    assert bars_of(dict.fromkeys(REGIMES, high))["slo"]["met"]
    assert not bars_of(dict.fromkeys(REGIMES, uneven))["slo"]["met"]
    assert bars_of(dict.fromkeys(REGIMES, uneven))["strict"]["met"]
