"""Lines of CSV (RFC 4180) that are safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable

from slackwater.core.normal_form import nfkc

# What a spreadsheet would take for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# What a spreadsheet passes over on its way to one.
BEFORE = " \ufeff\u200b\u00a0"


def table_line(values: Iterable[str | int | float | None], *, formulas: bool = False) -> str:
    """One line. Nothing is an empty cell, and a text that would be run as a formula is marked as text, unless that is wanted."""
    line = io.StringIO()
    csv.writer(line).writerow(["" if value is None else value if formulas else _harmless(value) for value in values])
    return line.getvalue()


def _harmless(value: str | float) -> str | float:
    if not isinstance(value, str):
        return value
    # Wide signs are signs to it, too.
    return f"'{value}" if nfkc(value.lstrip(BEFORE)[:1]).startswith(FORMULA) else value
