"""Draws the table of metrics into docs/metrics.md from telemetry/names.py, so that the page cannot drift: `draw_metrics.py`."""

import sys
from pathlib import Path

from slackwater.telemetry.names import METRICS

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
BEGIN = "<!-- metrics: drawn from telemetry/names.py by scripts/draw_metrics.py -->"
END = "<!-- metrics end -->"


def table() -> str:
    """A line per metric."""
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        kind = f"{metric.kind.value}, of the ledger" if metric.of_ledger else metric.kind.value
        lines.append(f"| `{metric.shown}` | {kind} | {labels} | {metric.help} |")
    return "\n".join(lines)


def page() -> str:
    """The page with today's table."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text() != page())
    PAGE.write_text(page())
