"""Answers beside the rows that they are about, in the order of the rows.

Neither file is held in memory: of each answer its place is, 24 bytes.
"""

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from slackwater.cli.input_files import lines_of
from slackwater.cli.preparing import numbered
from slackwater.cli.row_files import RowFile, rows_of
from slackwater.cli.row_writer import MISSING, row_writer
from slackwater.core.errors import InvalidRequest
from slackwater.core.rows.answer_cells import FIELDS_MAX, Cells, cells_of, custom_id_of, may_have_fields
from slackwater.core.rows.template import Row, as_text, has_column, no_column, value_of

# Answers are a table where so many of them are objects; the others are a model's slips.
STRUCTURED = 0.9
NO_ANSWER = "no answer: it is in neither results nor errors"
NO_OBJECT = "the answer is no JSON object"


class Answers:
    """The lines of an output and an error file, found by custom_id. Of lines with one id the last of the output file counts."""

    def __init__(self, results: Path, errors: Path | None) -> None:
        """Reads both once. Raises InvalidRequest where a line is none of a results file."""
        self._files = [os.open(path, os.O_RDONLY) for path in (results, errors) if path is not None]
        keys, places, lengths = array("q"), array("Q"), array("Q")
        self.answered = self.structured = 0
        self.fields: dict[str, None] = {}
        for failed, path in enumerate((results, errors)):
            at = 0
            for number, line in enumerate(lines_of(path) if path is not None else (), 1):
                start, at = at, at + len(line)
                if not line.strip():
                    continue
                custom_id = custom_id_of(line)
                if custom_id is None:
                    raise InvalidRequest(
                        f"{path}: line {number:,} is no line of a results file; is this the file with the answers?"
                    )
                keys.append(hash(custom_id))
                places.append(start * 2 + failed)
                lengths.append(len(line))
                if not failed:
                    self.answered += 1
                    if may_have_fields(line) and (fields := cells_of(line, failed=False).fields):
                        self.structured += 1
                        if len(self.fields) <= FIELDS_MAX:
                            self.fields.update(dict.fromkeys(fields))
        order = sorted(range(len(keys)), key=keys.__getitem__)
        self._keys = array("q", (keys[each] for each in order))
        self._places = array("Q", (places[each] for each in order))
        self._lengths = array("Q", (lengths[each] for each in order))
        self.taken = bytearray(len(order))

    def __len__(self) -> int:
        return len(self._keys)

    def close(self) -> None:
        """Of the files."""
        for file in self._files:
            os.close(file)

    def of(self, custom_id: str) -> Cells | None:
        """What is said of this row; None where nothing is."""
        key, keys = hash(custom_id), self._keys
        at = bisect_left(keys, key)
        found, best = None, -1
        while at < len(keys) and keys[at] == key:
            place = self._places[at]
            failed = place & 1
            cells = cells_of(os.pread(self._files[failed], self._lengths[at], place >> 1), failed=bool(failed))
            if cells.custom_id == custom_id:
                # Also those that are replaced: failures by an answer, an answer by a later one.
                self.taken[at] = 1
                if (rank := place if failed else place + (1 << 62)) > best:
                    found, best = cells, rank
            at += 1
        return found

    @property
    def as_table(self) -> bool:
        """Whether the answers are objects with fields, few enough for columns."""
        return bool(self.fields) and len(self.fields) <= FIELDS_MAX and self.structured >= STRUCTURED * self.answered


class Joined(Struct, frozen=True, kw_only=True):
    """What was written."""

    rows: int
    answered: int
    failed: int
    missing: int
    strangers: int
    """Results that belong to no row."""
    columns: list[str]
    """What was put beside the rows."""


def join(
    file: RowFile,
    answers: Answers,
    output: Path,
    *,
    id_column: str | None,
    fields: bool = True,
    most: int | None = None,
) -> Joined:
    """Writes the rows, or the first `most`, with their answers. Raises InvalidRequest; then nothing is written."""
    columns = _columns_of(file, id_column)
    table = fields and answers.as_table
    named = list(answers.fields) if table else []
    texts = not table or answers.structured < answers.answered
    names = _names(columns, named, texts=texts)
    rows = answered = failed = missing = 0
    whole = file.columns_first
    example: Row | None = None
    delimiter = (file.delimiter or ",") if file.form == "csv" else ","
    with row_writer(output, [*columns, *names], delimiter=delimiter) as write:
        for number, row in _rows(file):
            if most is not None and rows == most:
                break
            rows += 1
            example = example or row
            cells = answers.of(_id_of(row, number, id_column))
            values = list(row.values()) if whole else [row.get(name, MISSING) for name in columns]
            write(values + _beside(cells, named, texts=texts))
            if cells is None:
                missing += 1
            elif cells.answer:
                answered += 1
            else:
                failed += 1
        if rows and missing == rows:
            raise InvalidRequest(_no_match(answers, example or {}, id_column))
    return Joined(
        rows=rows,
        answered=answered,
        failed=failed,
        missing=missing,
        strangers=answers.taken.count(0),
        columns=names,
    )


def _rows(file: RowFile) -> Iterator[tuple[int, Row]]:
    with rows_of(file) as rows:
        yield from rows


def _columns_of(file: RowFile, id_column: str | None) -> list[str]:
    """The columns of all rows, in the order in which they come."""
    columns: dict[str, None] = {}
    for _, row in _rows(file):
        columns.update(dict.fromkeys(row))
        if file.columns_first:
            break
    if not columns:
        raise InvalidRequest(f"{file.path} has no rows")
    if id_column is not None and not has_column(list(columns), id_column):
        raise InvalidRequest(no_column(id_column, list(columns)))
    return list(columns)


def _id_of(row: Row, number: int, id_column: str | None) -> str:
    return numbered(number) if id_column is None else as_text(value_of(row, id_column)).strip()


def _names(columns: list[str], fields: list[str], *, texts: bool) -> list[str]:
    """What the columns beside these are called: like fields, `answer`, `error`; with `answer.` before it where that is taken."""
    own = ["answer", "error"] if texts else ["error"]
    taken = {*columns, "answer", "error"}
    names = [name if name not in taken else f"answer.{name}" for name in fields]
    names += [name if name not in columns else f"answer.{name}" for name in own]
    every = [*columns, *names]
    if clash := next((name for name in names if every.count(name) > 1), None):
        raise InvalidRequest(f"there would be two columns '{clash}'; rename the one in INPUT, or give --no-fields")
    return names


def _beside(cells: Cells | None, fields: list[str], *, texts: bool) -> list[Any]:
    """The values of those columns."""
    if cells is None:
        return [*[MISSING] * (len(fields) + texts), NO_ANSWER]
    if not fields:
        return [cells.answer, cells.error]
    if (found := cells.fields) is not None:
        values = [found.get(name, MISSING) for name in fields]
        return [*values, MISSING, cells.error] if texts else [*values, cells.error]
    # A slip of the model, or a failure.
    values = [MISSING] * len(fields)
    error = cells.error or (NO_OBJECT if cells.answer else "")
    return [*values, cells.answer or MISSING, error] if texts else [*values, error]


def _no_match(answers: Answers, example: Row, id_column: str | None) -> str:
    said = f"'{id_column}' is in no row" if id_column else "there is none for row-1, row-2, ..."
    fitting = next((name for name, value in example.items() if answers.of(as_text(value).strip()) is not None), None)
    how = f"; they have the values of '{fitting}': give --id-column {fitting}" if fitting else ""
    return f"no answer belongs to a row: their custom_id is another ({said}){how}"
