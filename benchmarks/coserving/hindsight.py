"""What a table of cells says of each family: its best setting for each scenario, known beforehand, and one setting for all.

Nobody has the first in life. It says how good a family could be, and what is left to whoever finds the setting while it runs.
"""

from collections.abc import Sequence
from typing import Any

from benchmarks.coserving.frontier import kept, point_of
from benchmarks.coserving.scenarios import REGIMES

Row = dict[str, Any]
# Mean and worst share of the oracle that our law is to reach with its best setting.
BARS = {"slo": (0.90, 0.80), "strict": (0.80, 0.0)}
OURS = "law held"


def summary_of(rows: Sequence[Row]) -> dict[str, Any]:
    """By family and regime: `hindsight` and `one_setting`, each `{"mean", "worst"}` as shares of the oracle, the latter None
    where no setting keeps the limits in every scenario; and `bars`, with what was reached."""
    families = list(dict.fromkeys(row["family"] for row in rows if row["family"] != "oracle"))
    reach = {(row["scenario"], row["seed"]): row["best"] for row in rows if row["family"] == "oracle"}
    of = {family: [row for row in rows if row["family"] == family] for family in families}
    hindsight = {
        family: {regime: _spread([row["of_oracle"][regime] for row in of[family]]) for regime in REGIMES}
        for family in families
    }
    one = {family: {regime: _one_setting(of[family], reach, regime) for regime in REGIMES} for family in families}
    return {"hindsight": hindsight, "one_setting": one, "bars": bars_of(hindsight.get(OURS))}


def bars_of(ours: dict[str, dict[str, float]] | None) -> dict[str, dict[str, Any]]:
    """By regime: the bar, what our law reaches with its best setting, and whether that is it. Empty where it was not played."""
    if ours is None:
        return {}
    return {
        regime: {
            "bar": {"mean": mean, "worst": worst},
            "reached": ours[regime],
            "met": ours[regime]["mean"] >= mean and ours[regime]["worst"] >= worst,
        }
        for regime, (mean, worst) in BARS.items()
    }


def say(summary: dict[str, Any]) -> None:
    """The two tables, and the bars."""
    print("\nMean share of the oracle (worst scenario), the best setting of each scenario known beforehand:")
    for family, regimes in summary["hindsight"].items():
        print(f"  {family:14s} " + "   ".join(f"{regime} {_text(found)}" for regime, found in regimes.items()))
    print("\nThe same with one setting for all scenarios that keeps the limits in each:")
    for family, regimes in summary["one_setting"].items():
        print(f"  {family:14s} " + "   ".join(f"{regime} {_text(found)}" for regime, found in regimes.items()))
    for regime, found in summary["bars"].items():
        met = "met" if found["met"] else "not met"
        print(
            f"\nBar of our law in hindsight, {regime}: {_text(found['bar'])}, reached {_text(found['reached'])}, {met}"
        )


def _text(found: dict[str, float] | None) -> str:
    return f"{100 * found['mean']:3.0f}% ({100 * found['worst']:.0f}%)" if found else "none"


def _spread(shares: Sequence[float]) -> dict[str, float]:
    return {"mean": sum(shares) / len(shares), "worst": min(shares)}


def _one_setting(of: Sequence[Row], reach: dict[tuple[str, int], dict[str, float]], regime: str) -> Any:
    best: list[float] = []
    for number in range(len(of[0]["settings"])):
        shares = []
        for row in of:
            batch = kept(point_of(row["settings"][number]), row["limits"][regime])
            shares.append(batch / reach[row["scenario"], row["seed"]][regime])
        if min(shares) > 0 and sum(shares) > sum(best):
            best = shares
    return _spread(best) if best else None
