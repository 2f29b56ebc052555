"""Pictures of the benchmark: what a batch gets against what online users feel, and what happens in a burst.

    python benchmarks/coserving/pictures.py [--only frontier,burst] [--into docs/images]
    python benchmarks/coserving/pictures.py --measured FILE --into FOLDER

The first draws from the cells that are known, and measures those that are not. The second draws what was measured at a real
engine: FILE is one of `benchmarks/vllm/pairs.py`. It needs matplotlib, which nothing else here does.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from PIL import Image

mpl.use("Agg")

import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from benchmarks.coserving.burst import Marks, play_burst
from benchmarks.coserving.cells import Cells
from benchmarks.coserving.families import FAMILIES
from benchmarks.coserving.run import Row, table_of
from benchmarks.coserving.scenarios import SCENARIOS
from benchmarks.vllm.pairs import known, summary

INTO = Path(__file__).parent.parent.parent / "docs" / "images"
WIDTH, DPI, COLOURS_MAX = 10.0, 100, 48
# Beyond this many times longer nobody looks any more.
RATIO_MAX = 6.0
COLOURS = {
    "oracle": "#000000",
    "slackwater": "#d62728",
    "whole law": "#ff9896",
    "shedding": "#e377c2",
    "law held": "#9467bd",
    "by answers": "#7f7f7f",
    "fixed": "#1f77b4",
    "total cap": "#2ca02c",
    "aimd": "#ff7f0e",
    "waiting gate": "#8c564b",
    "saturate": "#17becf",
    "adaptive drr": "#bcbd22",
}
MEASURES = {
    "ttft_p95": "slow first tokens (p95)",
    "tpot_p50": "time between tokens (p50)",
    "itl_p99": "longest gaps (p99)",
}
KINDS = {0.0: "short prompts in the batch", 0.25: "a quarter of them with 1,600 tokens"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", default="frontier,burst", help="of frontier, burst")
    parser.add_argument("--into", type=Path, default=INTO, help="a folder  [default: docs/images]")
    parser.add_argument(
        "--measured", type=Path, metavar="FILE", help="results of a real engine, instead of the model's"
    )
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    if options.measured:
        draw_measured(summary(known(options.measured)), options.into / "pacing-measured.png")
        return
    if "frontier" in options.only:
        cells = Cells()
        try:
            rows = [row for scenario in SCENARIOS for row in table_of(cells, scenario, 0, tuple(FAMILIES))]
        finally:
            cells.save()
        draw_frontier(rows, options.into / "pacing-frontier.png")
    if "burst" in options.only:
        draw_burst(play_burst(), options.into / "pacing-burst.png")


def draw_frontier(rows: Sequence[Row], path: Path) -> None:
    """A panel for each scenario: batch tokens a second, as a share of the most there could be, against how many times later
    online users' slowest first tokens or tokens come, whichever is worse."""
    scenarios = list(dict.fromkeys(row["scenario"] for row in rows))
    columns = 4
    lines = -(-(len(scenarios) + 1) // columns)
    figure, grid = plt.subplots(lines, columns, figsize=(WIDTH, 2.6 * lines), sharex=True, sharey=True)
    panels = list(grid.flat)
    for panel, scenario in zip(panels, scenarios, strict=False):
        _axes(panel, scenario)
        for row in (row for row in rows if row["scenario"] == scenario):
            points = sorted(_point(cell, row) for cell in row["settings"])
            ours = FAMILIES[row["family"]].kind == "regimes" if row["family"] in FAMILIES else False
            panel.plot(
                [worse for worse, _ in points],
                [share for _, share in points],
                linestyle="" if ours else "-",
                linewidth=2.0 if row["family"] == "oracle" else 1.0,
                marker="*" if ours else ".",
                markersize=9 if ours else 4,
                color=COLOURS[row["family"]],
                label=row["family"],
                # What is shipped lies over its variants.
                zorder=4 if row["family"] == "slackwater" else 3 if ours else 2,
            )
    handles, labels = panels[0].get_legend_handles_labels()
    for panel in panels[len(scenarios) :]:
        panel.axis("off")
    panels[-1].legend(handles, labels, loc="center", fontsize=8, frameon=False)
    figure.supxlabel(
        "online p99 with the batch, times that without: the worse of first token and time between tokens", fontsize=9
    )
    figure.supylabel("batch tokens a second, of the most", fontsize=9)
    _save(figure, path)


def _axes(panel: Any, title: str) -> None:
    panel.set_title(title, fontsize=9)
    panel.set_xscale("log")
    panel.set_xlim(0.95, RATIO_MAX)
    panel.set_ylim(0.0, 1.1)
    panel.set_xticks([1, 1.25, 1.5, 2, 3, 5], ["1", "1.25", "1.5", "2", "3", "5"], fontsize=7)
    panel.set_xticks([], minor=True)
    panel.tick_params(axis="y", labelsize=7)
    for limit in (1.05, 1.25):
        panel.axvline(limit, color="#bbbbbb", linewidth=0.8, linestyle=":")


def _point(cell: Row, row: Row) -> tuple[float, float]:
    worse = max(cell[key] / row["off"][key] for key in ("ttft_p99", "tpot_p99"))
    return worse, cell["batch_tok_s"] / row["most"]


def draw_burst(marks: Sequence[Marks], path: Path) -> None:
    """One time axis: what others send, our window and what is out, the step, and batch tokens a second."""
    times = [mark.at for mark in marks]
    figure, panels = plt.subplots(4, 1, figsize=(WIDTH, 7.0), sharex=True)
    online, window, step, batch = panels
    online.plot(times, [mark.online for mark in marks], color="#1f77b4")
    online.set_ylabel("online requests\na second", fontsize=8)
    window.plot(times, [mark.window for mark in marks], color="#d62728", label="may be out")
    window.plot(times, [mark.out for mark in marks], color="#ff9896", label="are out")
    window.set_ylabel("batch requests", fontsize=8)
    step.plot(times, [1e3 * mark.step for mark in marks], color="#000000", label="now")
    step.plot(times, [_ms(mark.target) for mark in marks], color="#d62728", label="grown up to")
    step.plot(times, [_ms(mark.alone) for mark in marks], color="#1f77b4", label="without us")
    step.set_ylabel("step, ms", fontsize=8)
    batch.plot(times, [mark.batch for mark in marks], color="#2ca02c")
    batch.set_ylabel("batch tokens\na second", fontsize=8)
    batch.set_xlabel("seconds", fontsize=8)
    for panel in panels:
        panel.set_ylim(bottom=0.0)
        panel.tick_params(labelsize=7)
        panel.grid(color="#eeeeee")
    for panel in (window, step):
        panel.legend(fontsize=7, loc="upper right")
    _save(figure, path)


def draw_measured(results: Mapping[tuple[float, str], Row], path: Path) -> None:
    """What was measured at a real engine: a row for each kind of batch, a panel for each figure, a point for each arm.

    A line leads through the fixed windows, with the whole span of the pairs beside each point.
    """
    figure, grid = plt.subplots(len(KINDS), len(MEASURES), figsize=(WIDTH, 6.4), sharey="row", squeeze=False)
    arms = list(dict.fromkeys(arm for _, arm in results))
    for panels, (long, kind) in zip(grid, KINDS.items(), strict=True):
        rows = {arm: results[long, arm] for arm in arms if (long, arm) in results}
        fixed = [row for arm, row in rows.items() if arm.startswith("fixed")]
        for panel, (key, label) in zip(panels, MEASURES.items(), strict=True):
            line = sorted([(0.0, 1.0), *((row["batch_tokens_per_second"], row[key]["x"]) for row in fixed)])
            panel.plot([x for _, x in line], [tokens for tokens, _ in line], color="#bbbbbb", linewidth=1.0, zorder=1)
            for arm, row in rows.items():
                number, felt = arms.index(arm), row[key]
                panel.errorbar(
                    felt["x"],
                    row["batch_tokens_per_second"],
                    xerr=[[felt["x"] - felt["least"]], [felt["most"] - felt["x"]]],
                    marker="osD^vP*X"[number % 8],
                    markersize=6,
                    elinewidth=0.8,
                    color=f"C{number % 10}",
                    linestyle="",
                    label=arm,
                )
            panel.axvline(1.25, color="#888888", linewidth=0.8, linestyle=":")
            panel.set_xscale("log")
            panel.set_xlim(0.8, 14.0)
            panel.set_xticks([1, 1.25, 2, 4, 10], ["1", "1.25", "2", "4", "10"])
            panel.minorticks_off()
            panel.set_ylim(bottom=0.0)
            panel.tick_params(labelsize=7)
            panel.set_xlabel(f"{label}, times that without a batch", fontsize=7)
        panels[0].set_ylabel(f"batch tokens a second\n{kind}", fontsize=8)
        panels[-1].legend(fontsize=7, loc="lower right")
    _save(figure, path)


def _ms(seconds: float | None) -> float:
    return float("nan") if seconds is None or seconds == float("inf") else 1e3 * seconds


def _save(figure: Any, path: Path) -> None:
    """As a small file: with few colours, and without a date or a version in it, so the same figures are the same file."""
    figure.tight_layout()
    buffer = BytesIO()
    figure.savefig(buffer, dpi=DPI, format="png")
    plt.close(figure)
    picture = Image.open(buffer).convert("RGB").quantize(COLOURS_MAX)
    picture.save(path, optimize=True)


if __name__ == "__main__":
    main()
