"""`slackwater run` on rows: they become requests, and the answers stand beside them at the end."""

import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

import msgspec
from msgspec import Struct

from slackwater.cli.input_files import READ_BYTES, lines_of, without_mark
from slackwater.cli.join import say
from slackwater.cli.joining import Answers, join
from slackwater.cli.output import fail
from slackwater.cli.preparing import write_lines
from slackwater.cli.recipe_options import Wanted, holds_rows, row_file, rows_read
from slackwater.cli.results import check_free
from slackwater.cli.row_files import STANDARD, rows_of
from slackwater.cli.row_writer import written_form
from slackwater.core.errors import InvalidRequest
from slackwater.core.rows.template import Row, as_text, value_of

USAGE = 2
# What lines of the batch API have, and rows have not.
_OF_REQUESTS = frozenset({"custom_id", "method", "url", "body", "model"})


class Table(Struct, frozen=True, kw_only=True):
    """A file of rows, on its way through a run."""

    input: Path
    """As it was named."""
    output: Path
    """Where rows and answers go."""
    wanted: Wanted

    @property
    def results(self) -> Path:
        """Where the answers lie as the batch API has them; `--retry-failed` needs them, and `slackwater join`."""
        return self.output.with_name(self.output.stem + ".results.jsonl")

    @property
    def errors(self) -> Path:
        """The same of failed requests."""
        return self.output.with_name(self.output.stem + ".errors.jsonl")


def holds_a_table(path: Path, wanted: Wanted) -> bool:
    """Whether INPUT is rows rather than requests: by what was said about it, its ending, or its first line."""
    if wanted.said or holds_rows(path):
        return True
    if path == STANDARD or not path.is_file() or path.suffix == ".gz":
        return False
    for line in without_mark(lines_of(path)):
        if line.strip():
            try:
                first = msgspec.json.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return False
            return isinstance(first, str) or (isinstance(first, dict) and bool(first) and not _OF_REQUESTS & set(first))
    return False


def check_table(table: Table, *, model: str | None, replaces: bool, retry_failed: bool) -> str:
    """Ends the command where it cannot end well; returns the model. Raises InvalidRequest."""
    if model is None:
        fail("rows name no model; say which one is asked, with -m NAME", USAGE)
    if table.output == STANDARD:
        fail("rows and their answers go to a file: -o answers.csv, .tsv, .jsonl, .json or .parquet", USAGE)
    if table.input == STANDARD and table.wanted.form is None:
        fail("say what standard input has, with --format", USAGE)
    written_form(table.output)
    state = table.results.with_name(table.results.name + ".slackwater")
    if not retry_failed and not replaces and not state.exists():
        if table.results.exists() and not table.output.exists():
            names = (shlex.quote(str(each)) for each in (table.input, table.results, table.output))
            fail(
                "{1} has the answers of a run that has ended: 'slackwater join {0} {1}{3} -o {2}' "
                "puts them beside the rows; --overwrite asks anew".format(
                    *names, f" --errors {shlex.quote(str(table.errors))}" if table.errors.exists() else ""
                ),
                USAGE,
            )
        if table.results.exists() and table.errors.exists():
            fail(
                f"{table.output} exists, and some of its rows failed: --retry-failed asks only those again, "
                "--overwrite all of them",
                USAGE,
            )
        check_free([table.output], overwrite=False)
    if table.output.resolve() == table.input.resolve():
        fail("INPUT and OUTPUT must be two files", USAGE)
    return model


@contextmanager
def requests_of(table: Table, *, model: str, retry_failed: bool = False) -> Iterator[tuple[Path, str | None, Path]]:
    """Yields a file of requests, its digest, and a file of rows that can be read again. Raises InvalidRequest."""
    with tempfile.TemporaryDirectory(prefix="slackwater-") as scratch:
        rows = table.input
        if rows == STANDARD:
            rows = Path(scratch) / "rows"
            with rows.open("wb") as copy:
                shutil.copyfileobj(sys.stdin.buffer, copy, READ_BYTES)
        made = Path(scratch) / "requests.jsonl"
        beside = Path() if table.input == STANDARD else table.input.parent
        with made.open("wb", buffering=READ_BYTES) as out, rows_read(rows, table.wanted, model=model) as read:
            prepared = write_lines(read, table.wanted, beside, out)
        if retry_failed:
            check_same_rows(table, rows, read.recipe.columns)
        if not prepared.requests:
            raise InvalidRequest(f"{table.input} has no row with something to ask")
        yield made, prepared.sha256, rows


def check_same_rows(table: Table, rows: Path, columns: list[str]) -> None:
    """Raises InvalidRequest where a row asks something else than it did: answers belong to rows by their numbers.

    What was asked stands beside the answers, in OUTPUT.
    """
    wanted, before = table.wanted, table.output
    named = [*columns, *([wanted.id_column] if wanted.id_column else [])]
    if not before.exists():
        raise InvalidRequest(
            f"{before} is not there, and without it nobody can tell whether the rows are the same; "
            f"'slackwater join {shlex.quote(str(table.input))} {shlex.quote(str(table.results))}' makes it"
        )
    now_file = row_file(
        rows, form=wanted.form, encoding=wanted.encoding, delimiter=wanted.delimiter, header=wanted.header
    )
    then_file = row_file(before, form=None, encoding=None, delimiter=wanted.delimiter, header=True)
    with rows_of(now_file) as now, rows_of(then_file) as then:
        for number, (one, other) in enumerate(zip_longest(now, then), 1):
            if wanted.limit is not None and number > wanted.limit:
                break
            if one is None or other is None or any(_cell(one[1], name) != _cell(other[1], name) for name in named):
                raise InvalidRequest(
                    f"{table.input} has other rows than {before} (row {number:,} is the first): answers would come to the wrong "
                    "ones. Put it back, or give --overwrite to ask all of them"
                )


def _cell(row: Row, name: str) -> str:
    return as_text(value_of(row, name))


def put_beside(table: Table, rows: Path, errors: Path, *, quiet: bool) -> None:
    """Writes the rows with their answers. Raises InvalidRequest."""
    wanted = table.wanted
    file = row_file(
        rows,
        form=wanted.form,
        encoding=wanted.encoding,
        delimiter=wanted.delimiter,
        header=wanted.header,
    )
    answers = Answers(table.results, errors if errors.exists() else None)
    joined = join(file, answers, table.output, id_column=wanted.id_column, most=wanted.limit)
    if not quiet:
        say(joined, table.output)
