"""`slackwater files`: files on a server of the contract."""

import itertools
import sys
from pathlib import Path
from typing import Any

import click

from slackwater.cli.byte_bar import byte_bar
from slackwater.cli.output import moment, note, print_facts, print_json, print_rows, safe, text_of
from slackwater.cli.results import check_free
from slackwater.cli.run_input import STANDARD, spooled
from slackwater.cli.server_options import Asked, api_of, server_options
from slackwater.core.errors import CallFailed


@click.group("files")
def command() -> None:
    """Files on a server: input files of batches, and their results.

    \b
    Exit codes: 0 done, 1 it went wrong, 2 wrong usage, 130 interrupted.
    \b
    Examples:
      slackwater files upload questions.jsonl
      slackwater files download file-0a1b --output answers.jsonl
    """


@command.command("list")
@click.option("--purpose", help="Only those for this, such as batch or batch_output.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--all", "everything", is_flag=True, help="All there are.")
@server_options
def list_files(purpose: str | None, limit: int, everything: bool, asked: Asked) -> None:
    """List files, newest first.

    In a pipe, each is a line with tabs between: id, name, purpose, status, bytes, created, expires.
    """
    with api_of(asked) as api:
        found = list(itertools.islice(api.files(purpose=purpose), None if everything else limit))
        if asked.as_json:
            print_json(found)
            return
        columns = ("id", "name", "purpose", "status", "bytes", "created", "expires")
        print_rows(
            columns, map(_row, found), on_terminal=6, nothing="no files; upload one with 'slackwater files upload FILE'"
        )


def _row(file: dict[str, Any]) -> list[str]:
    names = [text_of(file.get(name)) for name in ("id", "filename", "purpose", "status", "bytes")]
    return [*names, moment(file.get("created_at")), moment(file.get("expires_at"))]


@command.command("show")
@click.argument("file_id")
@server_options
def show(file_id: str, asked: Asked) -> None:
    """Show one file."""
    with api_of(asked) as api:
        file = api.file(file_id)
        if asked.as_json:
            print_json(file)
            return
        facts = ((name, value) for name, value in file.items() if name != "object")
        print_facts((name, moment(value) if name.endswith("_at") else text_of(value)) for name, value in facts)


@command.command("upload")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--purpose", default="batch", show_default=True)
@click.option("--name", help="The name it has on the server.  [default: that of FILE]")
@click.option("--expires", metavar="SECONDS", type=click.IntRange(1), help="Delete it so many seconds after now.")
@click.option("--parts", is_flag=True, help="In parts of 64 MiB, each tried again by itself; large files go so anyway.")
@click.option("-q", "--quiet", is_flag=True, help="Show nothing but errors.")
@server_options
def upload_file(
    file: Path, purpose: str, name: str | None, expires: int | None, parts: bool, quiet: bool, asked: Asked
) -> None:
    """Upload FILE, or standard input for -. Prints its id."""
    with api_of(asked) as api, spooled(file) as (given, _):
        from slackwater.client.uploading import upload

        name = name or ("stdin.jsonl" if file == STANDARD else file.name)
        with byte_bar(name, quiet=quiet) as bar:
            made = upload(
                api.connection, given, name=name, purpose=purpose, expires_seconds=expires, in_parts=parts, show=bar
            )
        if asked.as_json:
            print_json(made)
        else:
            click.echo(safe(str(made["id"])))


@command.command("download")
@click.argument("file_id")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    help="Where to; - is standard output.  [default: the file's own name]",
)
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
@click.option("-q", "--quiet", is_flag=True, help="Show nothing but errors.")
@server_options
def download_file(file_id: str, output: Path | None, overwrite: bool, quiet: bool, asked: Asked) -> None:
    """Download the content of a file. What was interrupted is continued by the same command."""
    with api_of(asked) as api:
        from slackwater.client.downloading import download, pour

        if output == Path("-"):
            pour(api.connection, file_id, sys.stdout.buffer)
            return
        if output is None:
            # Only the last part of a name that a server says: it decides what a file is called, not where it goes.
            name = Path(str(api.file(file_id).get("filename") or "")).name
            output = Path(name if name not in ("", "..") else Path(file_id).name)
        check_free([output], overwrite=overwrite)
        with byte_bar(output.name, quiet=quiet) as bar:
            size = download(api.connection, file_id, output, show=bar)
        if asked.as_json:
            print_json({"path": str(output), "bytes": size})
        else:
            click.echo(output)


@command.command("delete")
@click.argument("file_ids", nargs=-1, required=True, metavar="FILE_ID...")
@server_options
def delete(file_ids: tuple[str, ...], asked: Asked) -> None:
    """Delete files. A batch that runs keeps what it needs."""
    wrong = False
    answers = []
    with api_of(asked) as api:
        for file_id in file_ids:
            try:
                answers.append(api.delete_file(file_id))
            except CallFailed as failed:
                note(f"error: {file_id}: {failed.message}")
                wrong = True
                continue
            if not answers[-1].get("deleted", True):
                note(f"{file_id} was not there")
        if asked.as_json:
            print_json(answers)
    sys.exit(1 if wrong else 0)
