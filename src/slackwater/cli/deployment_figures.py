"""How the engines of deployments are paced, in figures: cells for a line in a pipe, and a table on a terminal."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from slackwater.cli.output import STYLES, safe

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

# In this order, for each backend: lines in a pipe have them, too.
COLUMNS = ("pace", "out/window", "others", "waiting", "step", "alone", "target", "req/s", "tok/s", "online")
# What a narrow terminal has no room for goes in this order, and it is said.
LEAST = ("alone", "req/s", "waiting", "target", "tok/s", "step", "others", "online", "pace")
# How a deployment is stands beside its figures where so much is left for it, else above them.
NOW_MIN = 24
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
        _ratio(pacing),
    ]


def joined(backends: list[dict[str, Any]]) -> list[str]:
    """The cells of all backends of a deployment: where there are several, with commas between, in their order."""
    rows = [figures(each) for each in backends]
    return [",".join(cells) for cells in zip(*rows, strict=True)] if rows else ["" for _ in COLUMNS]


def _ratio(pacing: Mapping[str, Any]) -> str:
    """How many times slower others' slow steps were than without us, of how many times that the pace allows."""
    slower, most = pacing.get("slower"), pacing.get("slower_most")
    if not isinstance(slower, int | float):
        return ""
    return f"{slower:.2f}/{most:.2f}" if isinstance(most, int | float) else f"{slower:.2f}"


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    return "" if value is None else str(value)


class Screen:
    """A table on a terminal, drawn anew at every look."""

    def __init__(self, console: "Console | None" = None) -> None:
        # Imported here, because it costs more than the rest of the command.
        from rich.console import Console
        from rich.live import Live

        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self.shows: Table | Text | str = ""
        """What is drawn now."""

    @contextmanager
    def shown(self) -> Iterator["Screen"]:
        """Draws while this lasts; the last table stays."""
        with self._live:
            yield self

    def draw(self, found: list[tuple[dict[str, Any], str]], *, away: str = "") -> None:
        """The deployments, each with how it is in words; `away` says that the server is, and since when this is old."""
        self.shows = _drawn(found, away, self._console.width)
        self._live.update(self.shows, refresh=True)


class Row(Struct, frozen=True):
    """A backend: its cells, and what stands once for its deployment; of those after the first one only which it is."""

    name: str
    cells: list[str]
    now: str


def _drawn(found: list[tuple[dict[str, Any], str]], away: str, width: int) -> "Table | Text":
    """Nothing of a cell is cut: what does not fit beside its figures stands above them."""
    rows = []
    for state, words in found:
        backends = [each for each in state.get("backends") or [] if isinstance(each, dict)] or [{}]
        for place, each in enumerate(backends):
            # How it is stands once, and what is to be said of one engine beside that.
            name, now = (state.get("name"), words) if place == 0 else ("", each.get("name"))
            cells = figures(each) if each else ["" for _ in COLUMNS]
            rows.append(Row(safe(str(name)), [safe(cell) for cell in cells], safe(str(now or ""))))
    names = max((len(row.name) for row in rows), default=0)
    used = max(names, len("deployment")) + sum(_widths(rows)) + 2 * (len(COLUMNS) + 1)
    needed = min(NOW_MIN, max((len(row.now) for row in rows), default=0))
    return _table(rows, away) if used + needed <= width else _lines(rows, away, width)


def _widths(rows: list[Row]) -> list[int]:
    return [max([len(name), *(len(row.cells[place]) for row in rows)]) for place, name in enumerate(COLUMNS)]


def _lines(rows: list[Row], away: str, width: int) -> "Text":
    """The same for a narrow terminal: each deployment and how it is, as long as that is, and its figures in the next line."""
    from rich.text import Text

    widths = dict(zip(COLUMNS, _widths(rows), strict=True))
    left, out = list(COLUMNS), []
    for name in LEAST:
        if sum(widths[each] + 1 for each in left) + 1 <= width:
            break
        left.remove(name)
        out.append(name)

    def line(cells: Mapping[str, str]) -> str:
        pads = (cells[each].ljust(widths[each]) if each == "pace" else cells[each].rjust(widths[each]) for each in left)
        return f"  {' '.join(pads)}".rstrip() + "\n"

    text = Text()
    text.append(line({name: name for name in COLUMNS}), "bold")
    for row in rows:
        if row.name:
            text.append(f"{row.name}: ", "bold")
        if row.now:
            text.append(row.now, STYLES.get(row.now.partition(":")[0], ""))
        text.append("\n")
        if any(row.cells):
            text.append(line(dict(zip(COLUMNS, row.cells, strict=True))))
    if out:
        text.append(f"no room here for {', '.join(out)}: make the terminal wider, or see --json\n", "dim")
    if away:
        text.append(away, "italic")
    text.rstrip()
    return text


def _table(rows: list[Row], away: str) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", caption=away or None, caption_justify="left")
    table.add_column("deployment", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "pace" else "right", no_wrap=True)
    table.add_column("now", ratio=1)
    for row in rows:
        table.add_row(row.name, *row.cells, Text(row.now, STYLES.get(row.now.partition(":")[0], "")))
    return table


def on_terminal() -> bool:
    """Whether somebody looks."""
    return sys.stdout.isatty()
