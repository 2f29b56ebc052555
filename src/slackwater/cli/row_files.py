"""Files of rows as people have them: CSV, TSV, Parquet, a JSON array, JSON Lines, plain text, each also as .gz. All are streamed.

A row is a mapping from column to value. Which form a file has is told by its ending, or said with --format.
"""

import codecs
import contextlib
import csv
import gzip
import importlib
import io
import itertools
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

from slackwater.core.errors import InvalidRequest
from slackwater.core.rows.template import Row

FORMATS = ("csv", "tsv", "jsonl", "json", "text", "parquet")
BY_ENDING = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".txt": "text",
    ".md": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
}
STANDARD = Path("-")
READ_CHARACTERS = 1 << 16
# A cell, or an element of a JSON array: larger than any request may be.
ELEMENT_CHARACTERS_MAX = 64 << 20
TEXT_COLUMN = "text"
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class RowFile(Struct, frozen=True, kw_only=True):
    """A file, and how it is read."""

    path: Path
    form: str
    """One of FORMATS."""
    encoding: str | None = None
    """None: UTF-8, or what a byte order mark says."""
    delimiter: str | None = None
    """Of CSV; None: as the heading has it."""
    header: bool = True

    @property
    def columns_first(self) -> bool:
        """Whether all rows have the columns of the first one."""
        return self.form in ("csv", "tsv", "parquet", "text")


def form_of(path: Path, given: str | None) -> str:
    """The form of a file. Raises InvalidRequest where it cannot be told."""
    if given is not None:
        return given
    name = path.name.removesuffix(".gz")
    found = BY_ENDING.get(Path(name).suffix.lower())
    if found is None:
        raise InvalidRequest(
            f"what is in {'standard input' if path == STANDARD else path}? Say it with --format: {', '.join(FORMATS)}"
        )
    return found


@contextmanager
def rows_of(file: RowFile) -> Iterator[Iterator[tuple[int, Row]]]:
    """Yields the rows with their numbers, from 1. Raises InvalidRequest, with the line, where one cannot be read."""
    if file.form == "parquet":
        yield _parquet(file.path)
        return
    with _opened(file) as text:
        yield _guarded(file, _READERS[file.form](file, text))


def _guarded(file: RowFile, rows: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    number = 0
    try:
        for number, row in rows:
            yield number, row
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"{file.path}: what follows row {number:,} is not {error.encoding}; "
            "say what it is with --encoding, such as cp1252 or utf-16"
        ) from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise InvalidRequest(f"{file.path} is no whole .gz file: {error}") from error


@contextmanager
def _opened(file: RowFile) -> Iterator[IO[str]]:
    with contextlib.ExitStack() as held:
        source: IO[bytes] = sys.stdin.buffer if file.path == STANDARD else held.enter_context(file.path.open("rb"))
        if file.path.suffix == ".gz":
            source = held.enter_context(gzip.open(source))  # type: ignore[arg-type]
        reader = io.BufferedReader(source, 1 << 20)  # type: ignore[type-var]
        encoding = file.encoding or _by_mark(reader)
        try:
            text = io.TextIOWrapper(reader, encoding=encoding, newline="" if file.form in ("csv", "tsv") else None)
        except LookupError as error:
            raise InvalidRequest(f"there is no encoding '{encoding}'; utf-8, utf-16 and cp1252 are common") from error
        held.callback(text.close)
        yield text


def _by_mark(reader: Any) -> str:
    try:
        begin = reader.peek(3)
    except (gzip.BadGzipFile, EOFError) as error:
        raise InvalidRequest(f"it is no whole .gz file: {error}") from error
    return next((name for mark, name in MARKS.items() if begin.startswith(mark)), "utf-8")


def _delimited(file: RowFile, text: IO[str]) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(ELEMENT_CHARACTERS_MAX)
    first = text.readline()
    delimiter = file.delimiter or ("\t" if file.form == "tsv" else _delimiter_of(first))
    reader = csv.reader(itertools.chain([first], text), delimiter=delimiter, strict=True)
    columns: list[str] = []
    number = 0
    try:
        for cells in reader:
            if not columns:
                columns = _columns(file, cells)
                if file.header:
                    continue
            if not cells or (len(columns) > 1 and cells == [""]):
                # A blank line, such as the last one.
                continue
            number += 1
            if len(cells) != len(columns):
                raise InvalidRequest(
                    f"{file.path}: row {number:,}, which ends in line {reader.line_num:,}, has {len(cells)} cells, "
                    f"and there are {len(columns)} columns; is a cell with '{delimiter}' in it without quotes?"
                )
            # Their number was looked at.
            yield number, dict(zip(columns, cells))  # noqa: B905 - a tenth faster
    except csv.Error as error:
        raise InvalidRequest(
            f"{file.path}: row {number + 1:,}, about line {reader.line_num:,}, is no CSV: {error}"
        ) from error


def _delimiter_of(heading: str) -> str:
    """That which most often stands outside of quotes in the heading."""
    outside = "".join(heading.split('"')[::2])
    return max((",", ";", "\t", "|"), key=outside.count)


def _columns(file: RowFile, cells: list[str]) -> list[str]:
    if not file.header:
        return [f"column_{number}" for number in range(1, len(cells) + 1)]
    # Heads of tables of pandas have an empty first cell.
    columns = [cell.strip() or f"column_{number}" for number, cell in enumerate(cells, 1)]
    if double := next((name for name in columns if columns.count(name) > 1), None):
        raise InvalidRequest(f"{file.path} has two columns '{double}'; give them different names, or --no-header")
    return columns


def _json_lines(file: RowFile, text: IO[str]) -> Iterator[tuple[int, Row]]:
    number = 0
    for line_number, line in enumerate(text, 1):
        if line.strip():
            number += 1
            try:
                value = msgspec.json.decode(line)
            except (msgspec.MsgspecError, RecursionError) as error:
                raise InvalidRequest(f"{file.path}: line {line_number:,} is no JSON: {error}") from error
            yield number, _row(file, number, value)


def _row(file: RowFile, number: int, value: Any) -> Row:
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {TEXT_COLUMN: value}
    raise InvalidRequest(f"{file.path}: row {number:,} is neither an object nor a text")


def _json_array(file: RowFile, text: IO[str]) -> Iterator[tuple[int, Row]]:
    decode, blank = json.JSONDecoder().raw_decode, re.compile(r"\s*").match
    buffer, at, number, ended = "", 0, 0, False

    def more() -> bool:
        """Brings more of the text, as much as there is already, so that a long element costs no square of its length."""
        nonlocal buffer, at, ended
        piece = "" if ended else text.read(max(READ_CHARACTERS, len(buffer) - at))
        buffer, at, ended = buffer[at:] + piece, 0, not piece
        return not ended

    def next_mark() -> str:
        nonlocal at
        while True:
            at = blank(buffer, at).end()  # type: ignore[union-attr]
            if at < len(buffer) or not more():
                return buffer[at : at + 1]

    if next_mark() != "[":
        raise InvalidRequest(f"{file.path} is no JSON array; if each line is an object, give --format jsonl")
    at += 1
    if next_mark() == "]":
        return
    while True:
        next_mark()
        try:
            value, end = decode(buffer, at)
            # Of a number there may be more to come.
            if end == len(buffer) and more():
                continue
        except (json.JSONDecodeError, RecursionError) as error:
            if len(buffer) - at <= ELEMENT_CHARACTERS_MAX and more():
                continue
            raise InvalidRequest(f"{file.path}: row {number + 1:,} is no JSON: {error}") from error
        at = end
        number += 1
        yield number, _row(file, number, value)
        if (mark := next_mark()) == "]":
            return
        if mark != ",":
            raise InvalidRequest(f"{file.path}: after row {number:,} there is neither a comma nor the end of the array")
        at += 1


def _text(file: RowFile, text: IO[str]) -> Iterator[tuple[int, Row]]:
    number = 0
    for line in text:
        if line.strip():
            number += 1
            yield number, {TEXT_COLUMN: line.rstrip("\r\n")}


def arrow_and_parquet() -> tuple[Any, Any]:
    """The library for Parquet, and its part for files. Raises InvalidRequest where it is not installed."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise InvalidRequest(
            "Parquet needs one more package, pyarrow: pip install pyarrow, or in a checkout pip install '.[parquet]'"
        ) from error


def _parquet(path: Path) -> Iterator[tuple[int, Row]]:
    arrow, parquet = arrow_and_parquet()
    if path == STANDARD:
        raise InvalidRequest("a Parquet file cannot be read from standard input; name the file")
    number = 0
    try:
        with parquet.ParquetFile(path) as source:
            for batch in source.iter_batches(1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (arrow.ArrowException, OSError) as error:
        raise InvalidRequest(f"{path} is no Parquet file that can be read: {error}") from error


_READERS = {"csv": _delimited, "tsv": _delimited, "jsonl": _json_lines, "json": _json_array, "text": _text}
