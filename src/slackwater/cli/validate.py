"""`slackwater validate`: everything that is wrong with an input file, before anybody sees it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slackwater.cli.input_files import UPLOAD_BYTES_MAX, Checked, Fault, check, first_url
from slackwater.cli.output import json_option, no_color_option, note, print_json, safe
from slackwater.cli.server_options import told
from slackwater.core.batch import BatchError
from slackwater.core.endpoints import REQUIRED_KEY, normalised, versioned
from slackwater.core.input.line_judge import EACH_LINE, Rules

if TYPE_CHECKING:
    from rich.text import Text

VALID, INVALID = 0, 1


@click.command("validate")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--endpoint", metavar="PATH", help="What the batch will be created for.  [default: the first line's url]")
@click.option(
    "--rules",
    "family",
    type=click.Choice(["azure", "openai", "run"]),
    default="azure",
    show_default=True,
    help="Of a server, or of 'slackwater run', where each line has a model and an endpoint of its own.",
)
@click.option("--deployment", metavar="NAME", help="The model that every line must name.")
@click.option("--max-errors", type=click.IntRange(1), default=1000, show_default=True, help="Lines that are shown.")
@click.option("--requests", type=click.IntRange(0), default=100_000, show_default=True, help="Most requests; 0: any.")
@click.option(
    "--bytes",
    "bytes_max",
    type=click.IntRange(0),
    default=UPLOAD_BYTES_MAX,
    show_default=True,
    help="Most bytes; 0: any.",
)
@json_option
@no_color_option
def command(
    file: Path,
    endpoint: str | None,
    family: str,
    deployment: str | None,
    max_errors: int,
    requests: int,
    bytes_max: int,
    as_json: bool,
) -> None:
    """Check the input FILE of a batch, with the rules of the server and without one. Every wrong line is shown.

    In a pipe, each fault is a line with tabs between: line, code, parameter, message, excerpt.

    \b
    Exit codes: 0 valid, 1 invalid, 2 wrong usage.
    \b
    Example:
      slackwater validate questions.jsonl
    """
    with told():
        checked = check(
            file,
            Rules(
                family=EACH_LINE if family == "run" else family,
                endpoint=endpoint or _endpoint_of(file, family),
                deployments=None,
                lines_max=requests,
                errors_max=max_errors,
            ),
        )
        checked = with_file_faults(checked, file, deployment=deployment, bytes_max=bytes_max)
        if as_json:
            print_json(as_object(checked))
        else:
            show_faults(checked.faults)
            if checked.faults:
                note(f"{file}: {checked.fault_count:,} wrong of {checked.requests:,} requests")
            else:
                note(f"{file}: valid. {checked.requests:,} requests of {checked.endpoint} for {checked.model}.")
    sys.exit(INVALID if checked.faults else VALID)


def _endpoint_of(file: Path, family: str) -> str:
    """That of the first line. OpenAI's has the version, and the urls of lines are compared with it to the letter."""
    url = first_url(file)
    return versioned(url) if family == "openai" and normalised(url) in REQUIRED_KEY else url


def with_file_faults(checked: Checked, file: Path, *, deployment: str | None, bytes_max: int) -> Checked:
    """Adds what is wrong with the file as a whole and no line is to blame for."""
    found = []
    size = file.stat().st_size
    if bytes_max and size > bytes_max:
        message = f"The file has {size:,} bytes and may have {bytes_max:,}. Split it: slackwater split {file}"
        found.append(BatchError(code="file_too_large", message=message))
    if deployment is not None and checked.model not in (None, deployment):
        message = f"The lines name the model '{checked.model}', not '{deployment}'."
        found.append(BatchError(code="model_mismatch", message=message, param="body.model"))
    faults = [Fault(error=error, excerpt=None) for error in found]
    return Checked(
        faults=faults + checked.faults,
        fault_count=len(faults) + checked.fault_count,
        requests=checked.requests,
        model=checked.model,
        endpoint=checked.endpoint,
    )


def as_object(checked: Checked) -> dict[str, object]:
    """What was found, as JSON has it."""
    return {
        "valid": not checked.faults,
        "requests": checked.requests,
        "model": checked.model,
        "endpoint": checked.endpoint,
        "error_count": checked.fault_count,
        "errors": [
            {
                "line": fault.error.line,
                "code": fault.error.code,
                "message": fault.error.message,
                "param": fault.error.param,
                "excerpt": fault.excerpt,
            }
            for fault in checked.faults
        ],
    }


def show_faults(faults: Sequence[Fault]) -> None:
    """A table on a terminal, with each place marked; a line each in a pipe."""
    if not faults:
        return
    if sys.stdout.isatty():
        _show_table(faults)
        return
    for fault in faults:
        error, excerpt = fault.error, fault.excerpt
        line = "" if error.line is None else str(error.line)
        cells = (line, error.code, error.param or "", error.message, "" if excerpt is None else excerpt.text)
        click.echo("\t".join(safe(cell) for cell in cells))


def _show_table(faults: Sequence[Fault]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("line", "code", "what is wrong", box=None, pad_edge=False, header_style="bold")
    for fault in faults:
        said = Text(safe(fault.error.message))
        if fault.excerpt is not None:
            said.append("\n").append_text(_marked(fault))
        table.add_row("" if fault.error.line is None else str(fault.error.line), fault.error.code, said)
    Console().print(table)


def _marked(fault: Fault) -> "Text":
    from rich.text import Text

    excerpt = fault.excerpt
    assert excerpt is not None, "only lines have excerpts"
    shown = Text(safe(excerpt.text), style="dim")
    if excerpt.start is not None and excerpt.end is not None:
        # Something that is missing has a place without width; the character there stands for it.
        shown.stylize("not dim bold red underline", excerpt.start, max(excerpt.end, excerpt.start + 1))
    return shown
