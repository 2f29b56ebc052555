"""Writes rows in the forms in which people want them back. A file is made under another name and has its own when it is whole."""

import csv
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from slackwater.cli.row_files import STANDARD, arrow_and_parquet
from slackwater.core.errors import InvalidRequest
from slackwater.core.rows.template import as_text

WRITTEN = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".parquet": "parquet"}
PARQUET_ROWS = 10_000
Write = Callable[[Sequence[Any]], None]
"""Takes the values of a row in the order of the columns; MISSING where it has none."""


class Missing:
    """The type of MISSING."""


MISSING = Missing()


def written_form(path: Path) -> str:
    """The form that a file's name asks for; standard output gets CSV. Raises InvalidRequest."""
    if path == STANDARD:
        return "csv"
    if (form := WRITTEN.get(path.suffix.lower())) is None:
        raise InvalidRequest(f"{path} has none of the endings that can be written: {', '.join(WRITTEN)}")
    if form == "parquet":
        arrow_and_parquet()
    return form


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that has this name when all of it is written, and is not there where something went wrong."""
    if path == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb", buffering=1 << 20) as out:
            yield out
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def row_writer(path: Path, columns: Sequence[str], *, delimiter: str = ",") -> Iterator[Write]:
    """Yields what writes a row."""
    form = written_form(path)
    with whole_file(path) as out:
        yield from _WRITERS[form](out, columns, "\t" if form == "tsv" else delimiter)


def _delimited(out: IO[bytes], columns: Sequence[str], delimiter: str) -> Iterator[Write]:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="")
    # A carriage return without quotes would end the row for whoever reads it. Python before 3.13 quotes what is in its line end
    # alone, so that has one, which is taken off again.
    writer = csv.writer(_LineEnds(text), delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(columns)

    def write(values: Sequence[Any]) -> None:
        writer.writerow([value if type(value) is str else _cell(value) for value in values])

    yield write
    text.flush()
    text.detach()


def _cell(value: Any) -> str:
    return "" if value is MISSING else as_text(value)


class _LineEnds:
    """Gets each row as one text, and ends it as files do here."""

    def __init__(self, out: IO[str]) -> None:
        self._write = out.write

    def write(self, row: str) -> None:
        self._write(row[:-2] + "\n")


def _objects(columns: Sequence[str]) -> Callable[[Sequence[Any]], bytes]:
    encode = msgspec.json.Encoder().encode
    return lambda values: encode(
        {name: value for name, value in zip(columns, values, strict=True) if value is not MISSING}
    )


def _json_lines(out: IO[bytes], columns: Sequence[str], delimiter: str) -> Iterator[Write]:
    encode = _objects(columns)

    def write(values: Sequence[Any]) -> None:
        out.write(encode(values) + b"\n")

    yield write


def _json_array(out: IO[bytes], columns: Sequence[str], delimiter: str) -> Iterator[Write]:
    encode = _objects(columns)
    before = b"[\n"

    def write(values: Sequence[Any]) -> None:
        nonlocal before
        out.write(before + encode(values))
        before = b",\n"

    yield write
    out.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def _parquet(out: IO[bytes], columns: Sequence[str], delimiter: str) -> Iterator[Write]:
    pyarrow, parquet = arrow_and_parquet()
    waiting: list[Sequence[Any]] = []
    writer: Any = None

    def flush() -> None:
        nonlocal writer
        # A column whose values are of several kinds is text; which kinds there are shows in the first rows.
        cells = {name: [None if row[at] is MISSING else row[at] for row in waiting] for at, name in enumerate(columns)}
        if writer is None:
            arrays = {name: _array(pyarrow, values) for name, values in cells.items()}
            table = pyarrow.table(arrays)
            writer = parquet.ParquetWriter(out, table.schema)
        else:
            table = pyarrow.table(
                [_array(pyarrow, cells[field.name], field.type) for field in writer.schema], schema=writer.schema
            )
        writer.write_table(table)
        waiting.clear()

    def write(values: Sequence[Any]) -> None:
        waiting.append(values)
        if len(waiting) == PARQUET_ROWS:
            flush()

    yield write
    if waiting or writer is None:
        flush()
    writer.close()


def _array(pyarrow: Any, values: list[Any], kind: Any = None) -> Any:
    try:
        found = pyarrow.array(values, type=kind)
        # A column of nothing so far would take nothing later.
        if found.type != pyarrow.null():
            return found
    except (pyarrow.ArrowException, OverflowError) as error:
        if kind is not None and kind != pyarrow.string():
            raise InvalidRequest(
                "a column has other kinds of values further down than in its first rows; write .jsonl or .csv"
            ) from error
    return pyarrow.array([None if value is None else as_text(value) for value in values], type=pyarrow.string())


_WRITERS = {
    "csv": _delimited,
    "tsv": _delimited,
    "jsonl": _json_lines,
    "json": _json_array,
    "parquet": _parquet,
}
