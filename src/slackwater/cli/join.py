"""`slackwater join`: answers beside the rows that they are about."""

import sys
from pathlib import Path

import click

from slackwater.cli.joining import Answers, Joined, join
from slackwater.cli.output import fail, no_color_option, note
from slackwater.cli.recipe_options import file_options, row_file
from slackwater.cli.results import check_free, errors_beside
from slackwater.cli.row_files import STANDARD
from slackwater.cli.row_writer import written_form
from slackwater.cli.server_options import told

USAGE, NOT_ALL, ALL_DONE = 2, 1, 0


@click.command("join")
@click.argument("input", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("results", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="A .csv, .tsv, .jsonl, .json or .parquet; - is CSV on standard output.",
)
@click.option(
    "-e",
    "--errors",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Failed requests.  [default: RESULTS with .errors before its ending, where there is one]",
)
@click.option("--no-fields", "fields", flag_value=False, default=True, help="JSON answers stay one cell.")
@file_options
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
@no_color_option
def command(
    input: Path,
    results: Path,
    output: Path,
    errors: Path | None,
    fields: bool,
    form: str | None,
    encoding: str | None,
    delimiter: str | None,
    header: bool,
    id_column: str | None,
    overwrite: bool,
) -> None:
    """Put the answers in RESULTS beside the rows of INPUT, from which 'slackwater prepare' made the requests.

    Rows stay as they are and in their order. Beside them come 'answer' and 'error'; where answers are JSON objects, a column for
    each field in the place of 'answer'. A name that INPUT has already gets 'answer.' before it.

    \b
    Exit codes: 0 every row has an answer, 1 some have not (see 'error') or it went wrong, 2 wrong usage, or files that do not
                belong together (nothing is written).
    \b
    Examples:
      slackwater join reviews.csv answers.jsonl -o answered.csv
      slackwater join tickets.csv answers.jsonl --id-column ticket -o answered.parquet
    """
    with told():
        written_form(output)
        file = row_file(input, form=form, encoding=encoding, delimiter=delimiter, header=header)
        if errors is None and errors_beside(results).exists():
            errors = errors_beside(results)
        if output != STANDARD:
            check_free([output], overwrite=overwrite)
            if output.resolve() in {each.resolve() for each in (input, results, errors) if each is not None}:
                fail("OUTPUT must be another file", USAGE)
        joined = join(file, Answers(results, errors), output, id_column=id_column, fields=fields)
    if output != STANDARD:
        say(joined, output)
    sys.exit(ALL_DONE if joined.answered == joined.rows else NOT_ALL)


def say(joined: Joined, output: Path) -> None:
    """What was written."""
    rest = [
        f"{count:,} {what}"
        for count, what in ((joined.failed, "failed"), (joined.missing, "without an answer"))
        if count
    ]
    note(
        f"{joined.rows:,} rows, {joined.answered:,} answered"
        + "".join(f", {each}" for each in rest)
        + f": {output} (with {', '.join(joined.columns[:8])}{' and others' if len(joined.columns) > 8 else ''})"
    )
    if joined.strangers:
        note(f"{joined.strangers:,} results belong to no row of it")
