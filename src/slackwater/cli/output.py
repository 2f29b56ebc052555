"""How commands speak: tables for people at a terminal, tab-separated lines in a pipe, JSON for whoever asks for it.

Standard output has what was asked for and nothing else; everything said along the way goes to standard error.
"""

import datetime
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import msgspec

F = TypeVar("F", bound=Callable[..., Any])
WENT_WRONG, USAGE, INTERRUPTED = 1, 2, 130
# Colours of the words that a batch or a file may be.
STYLES = {
    "completed": "green",
    "processed": "green",
    "Succeeded": "green",
    "failed": "red",
    "error": "red",
    "Failed": "red",
    "expired": "yellow",
    "cancelled": "yellow",
    "cancelling": "yellow",
    "in_progress": "cyan",
    "finalizing": "cyan",
    "validating": "cyan",
    "ok": "green",
    "busy": "cyan",
    "refusing": "red",
    "blocked": "red",
    "down": "red",
    "paused": "yellow",
}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _no_color(_: click.Context, __: click.Parameter, value: bool) -> None:
    if value:
        # What rich and click go by, as do the programs that we start.
        os.environ["NO_COLOR"] = "1"


no_color_option = click.option(
    "--no-color",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_no_color,
    help="No colours; NO_COLOR=1 in the environment says the same.",
)


def fail(message: str, code: int = WENT_WRONG) -> NoReturn:
    """Says what went wrong, in one line, and ends the command."""
    click.echo(f"error: {safe(message)}", err=True)
    sys.exit(code)


def note(message: str) -> None:
    """Says something along the way."""
    click.echo(safe(message), err=True)


def free_name(path: Path) -> Path:
    """This name for a file, or the first like it with a number that nobody has."""
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(1))
    return next(each for each in itertools.chain((path,), numbered) if not each.exists())


def safe(text: str) -> str:
    """Text of a server or a file without what a terminal would obey."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def print_json(found: object) -> None:
    """Prints JSON: on a terminal indented, in a pipe too, because people read both."""
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))


def print_rows(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, nothing: str, on_terminal: int | None = None
) -> None:
    """Prints a table. Lines in a pipe have no heading, so that `cut` and `read` see data only.

    `on_terminal`: how many columns a terminal has room for. The first one is never cut: it is what people copy.
    """
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(safe(cell) for cell in row))
        return
    listed = [row[:on_terminal] for row in rows]
    if not listed:
        note(nothing)
        return
    # Imported here, because it costs more than the lines do.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for number, name in enumerate(columns[:on_terminal]):
        whole = max(len(row[number]) for row in listed) if number == 0 else None
        table.add_column(name, no_wrap=number == 0, min_width=whole)
    for row in listed:
        table.add_row(*(Text(safe(cell), STYLES.get(cell, "")) for cell in row))
    Console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Prints what there is to say about one thing, a line each; what is empty is left out."""
    print_rows(("", ""), [(name, value) for name, value in facts if value], nothing="")


def moment(seconds: object) -> str:
    """A moment of the API, as the reader wants it: local time on a terminal, UTC in ISO 8601 in a pipe."""
    if not isinstance(seconds, int | float):
        return ""
    at = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if sys.stdout.isatty() else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def text_of(value: object) -> str:
    """A value of a server's JSON as a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (
        value
        if isinstance(value, str)
        else msgspec.json.encode(value).decode()
        if isinstance(value, dict | list)
        else str(value)
    )
