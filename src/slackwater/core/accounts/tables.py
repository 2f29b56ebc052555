"""Lines of CSV (RFC 4180) that are safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable

# What a spreadsheet would take for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table_line(values: Iterable[str | int | None]) -> str:
    """One line. Nothing is an empty cell, and a text that would be run as a formula is marked as text."""
    line = io.StringIO()
    csv.writer(line).writerow(["" if value is None else _harmless(value) for value in values])
    return line.getvalue()


def _harmless(value: str | int) -> str | int:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
