"""Text in which column names in braces stand for a row's values: `Translate into {language}: {text}`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from slackwater.core.errors import InvalidRequest

NAMES_SHOWN, NAME_LENGTH_MAX = 8, 40
BRACES = "write {{ and }} for braces themselves"

Row = Mapping[str, Any]
"""A row of a table: values by column; text in a CSV file, any JSON value elsewhere."""


class Template:
    """Text, and the columns between. `{{` and `}}` are the braces themselves.

    A name with dots (`{author.name}`) reaches into objects, where no column has the whole name.
    """

    def __init__(self, text: str) -> None:
        """Raises InvalidRequest where a brace has no partner."""
        self._parts = _parts(text)
        # What one column alone says is the commonest template, and the fastest.
        self._alone = self._parts[0][1] if len(self._parts) == 1 and self._parts[0][0] == "" else None

    @property
    def columns(self) -> list[str]:
        """The names in braces, in order."""
        return [name for _, name in self._parts if name is not None]

    def fill(self, row: Row) -> str:
        """The text for this row. Raises InvalidRequest where it has no such column."""
        if self._alone is not None:
            return as_text(value_of(row, self._alone))
        return "".join(
            before if name is None else before + as_text(value_of(row, name)) for before, name in self._parts
        )


def _parts(text: str) -> list[tuple[str, str | None]]:
    """Literal text, and the name that follows it; None where none does."""
    parts: list[tuple[str, str | None]] = []
    literal, at = "", 0
    while at < len(text):
        char = text[at]
        if char not in "{}":
            literal += char
            at += 1
        elif text[at : at + 2] == char * 2:
            literal += char
            at += 2
        elif char == "}" or (end := text.find("}", at)) < 0:
            raise InvalidRequest(f"the template has a {char} without its partner, at {text[at : at + 20]!r}; {BRACES}")
        else:
            name = text[at + 1 : end].strip()
            if not name or "{" in name:
                raise InvalidRequest(
                    f"the template has no column's name between the braces at {text[at : at + 20]!r}; {BRACES}"
                )
            parts.append((literal, name))
            literal, at = "", end + 1
    if literal or not parts:
        parts.append((literal, None))
    return parts


def value_of(row: Row, name: str) -> Any:
    """The value of a column. Raises InvalidRequest where there is none."""
    if name in row:
        return row[name]
    found: Any = row
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            raise InvalidRequest(no_column(name, list(row)))
        found = found[part]
    return found


def has_column(columns: Sequence[str], name: str) -> bool:
    """Whether rows with these columns may have that value."""
    return name in columns or name.split(".")[0] in columns


def no_column(name: str, columns: Sequence[str]) -> str:
    """What is said of a column that is not there."""
    shown = name if len(name) <= NAME_LENGTH_MAX else name[:NAME_LENGTH_MAX] + "..."
    there = ", ".join(columns[:NAMES_SHOWN]) + (
        f" and {len(columns) - NAMES_SHOWN:,} more" if len(columns) > NAMES_SHOWN else ""
    )
    braces = f"; {BRACES}" if not name.replace("_", "").replace(" ", "").isalnum() else ""
    return f"there is no column '{shown}'; there {'is' if len(columns) == 1 else 'are'} {there or 'none'}{braces}"


def as_text(value: Any) -> str:
    """A value as it stands in a text: nothing for null, and JSON for what has parts."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, dict | list | bool | int | float):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
