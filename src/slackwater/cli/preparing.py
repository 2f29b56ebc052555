"""Rows become the lines of an input file."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from msgspec import Struct

from slackwater.cli.pictures import pictures_of
from slackwater.cli.recipe_options import RowsRead, Wanted
from slackwater.core.errors import InvalidRequest
from slackwater.core.rows.recipe import Recipe, request_line
from slackwater.core.rows.template import Row, as_text, value_of

# As the contract has it (spec 4.1).
ID_LENGTH_MAX = 512
SHOWN_ROWS = 5


class Prepared(Struct, frozen=True, kw_only=True):
    """What was made."""

    requests: int
    left_out: int
    """Rows with nothing in them."""
    empty: int
    """Rows whose prompt is empty, and which are requests all the same."""
    bytes: int
    sha256: str


class CustomIds:
    """The custom_id of each row: what a column says, or its number."""

    def __init__(self, column: str | None) -> None:
        self._column = column
        # Eight bytes each tell rows apart well enough: ten million rows meet by chance once in a million files.
        self._seen: set[bytes] = set()

    def of(self, number: int, row: Row) -> str:
        """Raises InvalidRequest where it is empty, too long, or another row's, too."""
        if self._column is None:
            return numbered(number)
        found = as_text(value_of(row, self._column)).strip()
        if not found:
            raise InvalidRequest(f"'{self._column}' is empty; a custom_id is not")
        if len(found) > ID_LENGTH_MAX:
            raise InvalidRequest(f"'{self._column}' has more than {ID_LENGTH_MAX} characters; a custom_id has not")
        digest = hashlib.blake2b(found.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        if digest in self._seen:
            raise InvalidRequest(
                f"'{self._column}' is '{found[:60]}' in an earlier row, too; a custom_id is there once"
            )
        self._seen.add(digest)
        return found


def numbered(number: int) -> str:
    """The custom_id of a row that has none of its own."""
    return f"row-{number}"


def lines_of(read: RowsRead, wanted: Wanted, beside: Path) -> Iterator[tuple[bytes, bool]]:
    """The line of each row, and whether there is nothing in it to ask; no line where such a row is left out.

    Raises InvalidRequest, with the first rows that are wrong, when all have been looked at or a few are.
    """
    ids = CustomIds(wanted.id_column)
    recipe = read.recipe
    named = recipe.columns
    faults: list[str] = []
    for number, row in read.rows:
        if wanted.limit is not None and number > wanted.limit:
            break
        try:
            nothing = _nothing_in(row, named)
            if nothing and wanted.skip_empty:
                yield b"", True
                continue
            pictures = pictures_of(row, recipe.pictures, beside) if recipe.pictures else ()
            yield request_line(recipe, ids.of(number, row), row, pictures), nothing
        except InvalidRequest as error:
            faults.append(f"row {number:,}: {error.message}")
            if len(faults) == SHOWN_ROWS:
                break
    if faults:
        raise InvalidRequest("; ".join(faults))


def _nothing_in(row: Row, columns: list[str]) -> bool:
    for name in columns:
        value = row[name] if name in row else value_of(row, name)
        if type(value) is not str:
            value = as_text(value)
        if value and not value.isspace():
            return False
    return bool(columns)


def write_lines(read: RowsRead, wanted: Wanted, beside: Path, out: IO[bytes]) -> Prepared:
    """Writes them all. Raises InvalidRequest."""
    digest = hashlib.sha256()
    requests = left_out = empty = size = 0
    for line, nothing in lines_of(read, wanted, beside):
        if not line:
            left_out += 1
            continue
        requests += 1
        empty += nothing
        size += len(line)
        digest.update(line)
        out.write(line)
    return Prepared(requests=requests, left_out=left_out, empty=empty, bytes=size, sha256=digest.hexdigest())


def example_of(recipe: Recipe, number: int, row: Row, wanted: Wanted, beside: Path) -> bytes:
    """One line, to look at."""
    pictures = pictures_of(row, recipe.pictures, beside) if recipe.pictures else ()
    return request_line(recipe, CustomIds(wanted.id_column).of(number, row), row, pictures)
