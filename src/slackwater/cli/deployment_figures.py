"""How the engines of deployments are paced, in figures: cells for a line in a pipe, and a table on a terminal."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from slackwater.cli.output import STYLES, safe

if TYPE_CHECKING:
    from rich.table import Table

# In this order, for each backend: lines in a pipe have them, too.
COLUMNS = ("pace", "out/window", "others", "waiting", "step", "alone", "target", "req/s", "tok/s")
LOST = "its metrics page cannot be read, half the window goes on"


def held(backend: Mapping[str, Any]) -> str:
    """Why an engine that is ok is sent nothing new, or less than it could be; empty where that is not so."""
    pacing = backend.get("pacing") or {}
    if pacing.get("frozen"):
        return f"nothing new is sent: {pacing['frozen']}"
    return LOST if pacing.get("state") == "lost" else ""


def figures(backend: Mapping[str, Any]) -> list[str]:
    """The cells of one backend, in the order of COLUMNS. Times are milliseconds; what is not known is empty."""
    pacing = backend.get("pacing") or {}
    out = pacing.get("in_flight")
    out = backend.get("in_flight") if out is None else out
    window = pacing.get("window")
    window = backend.get("window") if window is None else window
    return [
        # Of an engine without a page none holds, whatever is configured.
        "none" if pacing.get("state") == "absent" else str(pacing.get("pace") or ""),
        f"{_text(out)}/{_text(window)}",
        _text(pacing.get("others")),
        _text(pacing.get("waiting")),
        _text(pacing.get("step_ms")),
        _text(pacing.get("alone_ms")),
        _text(pacing.get("target_ms")),
        _text(backend.get("requests_per_second")),
        _text(backend.get("tokens_per_second")),
    ]


def joined(backends: list[dict[str, Any]]) -> list[str]:
    """The cells of all backends of a deployment: where there are several, with commas between, in their order."""
    rows = [figures(each) for each in backends]
    return [",".join(cells) for cells in zip(*rows, strict=True)] if rows else ["" for _ in COLUMNS]


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    return "" if value is None else str(value)


class Screen:
    """A table on a terminal, drawn anew at every look."""

    def __init__(self) -> None:
        # Imported here, because it costs more than the rest of the command.
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(), auto_refresh=False, transient=False)

    @contextmanager
    def shown(self) -> Iterator["Screen"]:
        """Draws while this lasts; the last table stays."""
        with self._live:
            yield self

    def draw(self, found: list[tuple[dict[str, Any], str]], *, away: str = "") -> None:
        """The deployments, each with how it is in words; `away` says that the server is, and since when this is old."""
        self._live.update(_table(found, away), refresh=True)


def _table(found: list[tuple[dict[str, Any], str]], away: str) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", caption=away or None, caption_justify="left")
    table.add_column("deployment", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "pace" else "right", no_wrap=True)
    table.add_column("now", ratio=1)
    for state, words in found:
        backends = [each for each in state.get("backends") or [] if isinstance(each, dict)] or [{}]
        for place, each in enumerate(backends):
            # How it is stands once, and what is to be said of one engine beside that.
            now = words if place == 0 else str(each.get("name") or "")
            name = str(state.get("name")) if place == 0 else ""
            cells = figures(each) if each else ["" for _ in COLUMNS]
            table.add_row(safe(name), *map(safe, cells), Text(safe(now), STYLES.get(now.partition(":")[0], "")))
    return table


def on_terminal() -> bool:
    """Whether somebody looks."""
    return sys.stdout.isatty()
