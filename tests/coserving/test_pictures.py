"""Pictures say what the figures say: a point for each setting, in its place, and the same file for the same figures."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from benchmarks.coserving.burst import play_burst
from benchmarks.coserving.pictures import draw_burst, draw_frontier, draw_measured

OFF = {"ttft_p99": 0.5, "tpot_p99": 0.02}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[plt.Figure]:
    """Figures that were closed, as they were."""
    figures: list[plt.Figure] = []
    monkeypatch.setattr(plt, "close", figures.append)
    return figures


def cell(batch: float, ttft: float, tpot: float) -> dict[str, float]:
    return {"batch_tok_s": batch, "ttft_p99": ttft, "tpot_p99": tpot}


def test_a_frontier_has_the_worse_of_both_ratios(tmp_path: Path, drawn: list[plt.Figure]) -> None:
    """A policy that doubles the time between tokens and hardly touches the first one is drawn at two."""
    rows = [
        {"scenario": "S1", "family": family, "off": OFF, "most": 1000.0, "settings": settings}
        for family, settings in (("oracle", [cell(500, 0.5, 0.02)]), ("fixed", [cell(250, 0.55, 0.04)]))
    ]
    draw_frontier(rows, tmp_path / "frontier.png")
    found = {line.get_label(): line.get_xydata().tolist() for line in drawn[0].axes[0].get_lines()}
    assert found["oracle"] == [[1.0, 0.5]]
    assert found["fixed"] == [[2.0, 0.25]]


def measured(ttft: float, tpot: float, itl: float, batch: float) -> dict[str, Any]:
    felt = {"ttft_p95": ttft, "tpot_p50": tpot, "itl_p99": itl}
    spans = {name: {"x": times, "least": 0.9 * times, "most": 1.2 * times} for name, times in felt.items()}
    return {**spans, "batch_tokens_per_second": batch}


def test_measured_results_are_points(tmp_path: Path, drawn: list[plt.Figure]) -> None:
    """Each arm in each panel of its kind of batch, at its ratio, all against tokens a second; a file of some kilobytes."""
    results = {
        (0.0, "gentle"): measured(1.1, 1.2, 1.3, 900),
        (0.25, "gentle"): measured(1.15, 1.25, 1.35, 800),
        (0.0, "fixed-64"): measured(3.1, 3.2, 3.4, 4300),
    }
    draw_measured(results, tmp_path / "measured.png")
    panels = [
        {each.get_label(): each.lines[0].get_xydata().tolist() for each in panel.containers} for panel in drawn[0].axes
    ]
    assert [panel["fixed-64"] for panel in panels[:3]] == [[[3.1, 4300.0]], [[3.2, 4300.0]], [[3.4, 4300.0]]]
    assert [panel["gentle"] for panel in panels[3:]] == [[[1.15, 800.0]], [[1.25, 800.0]], [[1.35, 800.0]]]
    assert "fixed-64" not in panels[3]
    assert (tmp_path / "measured.png").stat().st_size < 50_000


def test_a_burst_shows_the_window_give_way(tmp_path: Path) -> None:
    """Marks are half a second apart; the window is smaller while online requests come than before; the file is the same again."""
    marks = play_burst(begin=600.0, seconds=60.0)
    assert len(marks) == 120
    before = [mark.window for mark in marks if mark.at < 5.0]
    busy = [mark.window for mark in marks if mark.online > 5.0]
    assert min(busy) < 0.5 * max(before)
    for name in ("one.png", "other.png"):
        draw_burst(marks, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()
