"""`slackwater prepare`: a table becomes the input file of a batch."""

import shlex
import sys
from pathlib import Path

import click
import msgspec

from slackwater.cli.byte_bar import size_of
from slackwater.cli.input_files import UPLOAD_BYTES_MAX
from slackwater.cli.output import fail, no_color_option, note
from slackwater.cli.preparing import Prepared, example_of, write_lines
from slackwater.cli.recipe_options import Wanted, recipe_options, rows_read
from slackwater.cli.results import check_free
from slackwater.cli.row_files import STANDARD
from slackwater.cli.row_writer import whole_file
from slackwater.cli.server_options import told

USAGE = 2
# Of a batch at Azure and at OpenAI.
REQUESTS_MAX = 100_000
# What a preview shows of a text, so that pictures do not fill the screen.
SHOWN_CHARACTERS = 2_000


@click.command("prepare")
@click.argument("input", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("-m", "--model", required=True, metavar="NAME", help="The deployment, or the engine's name of a model.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="The input file of a batch; - is standard output.",
)
@click.option("--preview", is_flag=True, help="Show the request of the first row, and write nothing.")
@recipe_options
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
@no_color_option
def command(input: Path, model: str, output: Path | None, preview: bool, wanted: Wanted, overwrite: bool) -> None:
    """Make requests of the rows of INPUT: CSV, TSV, Parquet, a JSON array, JSON Lines, text (a row each line), or any as .gz.

    Columns in braces stand for a row's values; {{ and }} are braces themselves, {a.b} reaches into objects. Without --template
    the column prompt, text, question, input or content is asked, or the only one there is; a column 'messages' (of JSON) is a
    whole conversation. Each request's custom_id is its row's number or --id-column, so that 'slackwater join' finds it again.

    \b
    Exit codes: 0 done, 1 it went wrong, 2 wrong usage, or rows that are wrong (nothing is written).
    \b
    Examples:
      slackwater prepare reviews.csv -m llama-batch --template 'Is this friendly? {text}' --preview
      slackwater prepare reviews.csv -m llama-batch --template 'Is this friendly? {text}' -o in.jsonl
      slackwater prepare reviews.csv -m llama-batch -t @prompt.txt --schema mood.json --set temperature=0 -o in.jsonl
      slackwater prepare photos.csv -m llava -t 'What is on it?' --image path -o in.jsonl
      slackwater prepare texts.parquet -m bge-m3 --endpoint embeddings -t '{title}: {body}' -o in.jsonl
    """
    if output is None and not preview:
        fail("say where the requests go, with -o FILE.jsonl, or look at the first with --preview", USAGE)
    with told():
        beside = Path() if input == STANDARD else input.parent
        with rows_read(input, wanted, model=model) as read:
            if preview:
                number, row = next(read.rows)
                _show(example_of(read.recipe, number, row, wanted, beside))
                sys.exit(0)
            assert output is not None, "it was looked at"
            if output != STANDARD:
                check_free([output], overwrite=overwrite)
                if input != STANDARD and output.resolve() == input.resolve():
                    fail("INPUT and OUTPUT must be two files", USAGE)
            with whole_file(output) as out:
                made = write_lines(read, wanted, beside, out)
            if read.recipe.schema is not None and not read.recipe.schema.strict:
                note(
                    "the schema is not in the vendors' strict form (every object names all properties as required, and has "
                    '"additionalProperties": false), so "strict" is false; engines of your own do not mind'
                )
    _conclude(made, input, output)
    sys.exit(0)


def _show(line: bytes) -> None:
    """A request, indented, and without the length of pictures."""

    def short(value: object) -> object:
        if isinstance(value, str):
            return value if len(value) <= SHOWN_CHARACTERS else f"{value[:60]}... ({len(value):,} characters)"
        if isinstance(value, dict):
            return {name: short(inner) for name, inner in value.items()}
        return [short(each) for each in value] if isinstance(value, list) else value

    click.echo(msgspec.json.format(msgspec.json.encode(short(msgspec.json.decode(line))), indent=2))


def _rows(count: int) -> str:
    return "1 row has" if count == 1 else f"{count:,} rows have"


def _conclude(made: Prepared, input: Path, output: Path) -> None:
    if made.empty:
        note(f"{_rows(made.empty)} nothing in the columns that are asked; --skip-empty leaves such out")
    if made.left_out:
        note(f"{_rows(made.left_out)} nothing in the columns that are asked: left out")
    if output == STANDARD:
        return
    note(f"{made.requests:,} requests, {size_of(made.bytes)}: {output}")
    name = shlex.quote(str(output))
    if made.requests > REQUESTS_MAX or made.bytes > UPLOAD_BYTES_MAX:
        note(f"more than one batch may have (100,000 requests, 200 MiB); 'slackwater split {name}' cuts it")
    note(
        f"next: slackwater batches submit {name} --output answers.jsonl, or slackwater run {name} -o answers.jsonl --backend URL;"
        f" then: slackwater join {shlex.quote(str(input))} answers.jsonl -o answered.csv"
    )
