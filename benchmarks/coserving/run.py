"""How much batch work fits beside online traffic that is not to be disturbed, for each policy of sending.

    python benchmarks/coserving/run.py [--quick] [--seeds 1-5] [--only S1,S4] [--families fixed,aimd]
        [--queueing priority] [--json FILE]

Virtual time on the product's model of an engine; no engine and no network are used. For each scenario and family it says what
share of the in-engine oracle's batch tokens the family reaches, at its best setting, within each regime's limits on online
TTFT p99 and TPOT p99. `measuring.py` has what a cell is, `policy.py` what a policy may see and do.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from benchmarks.coserving.cells import Cells, hash_of
from benchmarks.coserving.families import FAMILIES, OFF, Family, Setting, policy_of
from benchmarks.coserving.frontier import best_along, best_of, kept, point_of
from benchmarks.coserving.hindsight import say, summary_of
from benchmarks.coserving.measuring import measure, measure_oracle
from benchmarks.coserving.scenarios import REGIMES, SCENARIOS, Scenario, limits

from slackwater.core.engine_model import Queueing

ORACLE_CAPS = (12, 14, 17, 20, 25, 32, 40, 55, 80, 150, 300)
QUICK = ("S1", "S4", "S6")
Row = dict[str, Any]


def main() -> None:
    options = _options()
    cells = Cells()
    rows: list[Row] = []
    try:
        for scenario in options.scenarios:
            for seed in options.seeds:
                rows += table_of(cells, scenario, seed, options.families, options.queueing)
                _say(rows[-len(options.families) - 1 :])
    finally:
        cells.save()
    summary = summary_of(rows)
    say(summary)
    if options.json:
        options.json.write_text(json.dumps({**summary, "cells": rows}, indent=1), "utf-8")


def table_of(
    cells: Cells, scenario: Scenario, seed: int, families: tuple[str, ...], queueing: Queueing = Queueing.FCFS
) -> list[Row]:
    """A row for the oracle and for each family: batch tokens a second and shares by regime, and every setting's figures."""

    def cell(family: Family, setting: Setting) -> Row:
        of = f" {hash_of(family.sources)[:16]}" if family.sources else ""
        key = f"{scenario} | {family.name} {setting}{of} | {queueing.value} | seed {seed}"

        def figures() -> Row:
            return measure(scenario, policy_of(family, setting, scenario), seed=seed, queueing=queueing)

        return {"setting": setting, **cells.get(key, figures)}

    def oracle_cell(cap: int) -> Row:
        key = f"{scenario} | oracle {cap} | seed {seed}"
        return {"setting": cap, **cells.get(key, lambda: measure_oracle(scenario, cap / 1e3, seed=seed))}

    off, oracle = cell(OFF, 0), [oracle_cell(cap) for cap in ORACLE_CAPS]
    most = max(figures["batch_tok_s"] for figures in oracle)
    bounds = {regime: limits(off, scenario.slo, regime) for regime in REGIMES}
    reach = {regime: best_along(point_of(off), [*map(point_of, oracle)], bounds[regime]) for regime in REGIMES}
    found = {"scenario": scenario.name, "seed": seed, "off": off, "most": most, "limits": bounds}
    shares = _shares(reach, dict.fromkeys(REGIMES, most))
    rows = [{**found, "family": "oracle", "best": reach, "of_most": shares, "settings": oracle}]
    for name in families:
        family = FAMILIES[name]
        tried = [cell(family, setting) for setting in family.settings]
        best = {regime: _best(family, off, tried, regime, bounds[regime]) for regime in REGIMES}
        rows.append({**found, "family": name, "best": best, "of_oracle": _shares(best, reach), "settings": tried})
    return rows


def _best(family: Family, off: Row, tried: list[Row], regime: str, bounds: tuple[float, float]) -> float:
    if family.kind == "regimes":
        return sum(kept(point_of(figures), bounds) for figures in tried if figures["setting"] == regime)
    points = [point_of(figures) for figures in tried]
    return best_along(point_of(off), points, bounds) if family.kind == "path" else best_of(points, bounds)


def _shares(best: dict[str, float], of: dict[str, float]) -> dict[str, float]:
    return {regime: best[regime] / of[regime] if of[regime] else 0.0 for regime in best}


def _say(rows: list[Row]) -> None:
    off = rows[0]["off"]
    print(
        f"\n{rows[0]['scenario']}, seed {rows[0]['seed']}: without batch TTFT p50/p95/p99 "
        f"{off['ttft_p50'] * 1e3:.0f}/{off['ttft_p95'] * 1e3:.0f}/{off['ttft_p99'] * 1e3:.0f} ms, TPOT "
        f"{off['tpot_p50'] * 1e3:.1f}/{off['tpot_p95'] * 1e3:.1f}/{off['tpot_p99'] * 1e3:.1f} ms; "
        f"most batch {rows[0]['most']:.0f} tokens/s"
    )
    print(f"  {'':14s}" + "".join(f"{regime:>26s}" for regime in REGIMES))
    for row in rows:
        shares = row.get("of_oracle") or row["of_most"]
        of = "oracle" if "of_oracle" in row else "most"
        cells = (f"{row['best'][regime]:.0f} tok/s {100 * shares[regime]:3.0f}% of {of}" for regime in REGIMES)
        print(f"  {row['family']:14s}" + "".join(f"{text:>26s}" for text in cells), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--seeds", default="0", help="such as 0 or 1-5  [default: 0]")
    parser.add_argument("--only", help="scenarios, by how their names begin")
    parser.add_argument("--families", help=f"of {', '.join(FAMILIES)}")
    parser.add_argument(
        "--queueing",
        choices=[queueing.value for queueing in Queueing],
        default=Queueing.FCFS.value,
        help="how the engine queues: fcfs, priority as vLLM's, or preempt as SGLang's, online users first",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where every figure goes")
    options = parser.parse_args()
    starts = QUICK if options.quick else tuple((options.only or "S").split(","))
    options.scenarios = [scenario for scenario in SCENARIOS if scenario.name.startswith(starts)]
    options.families = tuple(options.families.split(",")) if options.families else tuple(FAMILIES)
    options.queueing = Queueing(options.queueing)
    options.seeds = list(_seeds(options.seeds))
    return options


def _seeds(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    main()
