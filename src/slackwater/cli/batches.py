"""`slackwater batches`: batch jobs on a server of the contract. Making one is in submit.py, waiting for one in watching.py."""

import itertools
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from slackwater.cli.batch_names import Told, told_apart, with_room
from slackwater.cli.operating import add_verbs
from slackwater.cli.output import INTERRUPTED, fail, moment, note, print_facts, print_json, print_rows, safe, text_of
from slackwater.cli.results import check_free, errors_beside, save_results
from slackwater.cli.server_options import Asked, api_of, server_options
from slackwater.cli.states import delay_line
from slackwater.cli.submit import pairs, submit
from slackwater.cli.watching import (
    ENDED,
    Interrupted,
    conclude,
    follow,
    kept_until,
    reading,
    wait_for_end,
    why_it_waits,
)
from slackwater.core.errors import InvalidRequest

STATUSES = ("validating", "in_progress", "finalizing", "cancelling", *ENDED)
output_option = click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Answers; failed requests beside them."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show nothing but errors.")


@click.group("batches")
def command() -> None:
    """Batch jobs on a server: Slackwater's, Azure's or OpenAI's.

    Which server: --server or --profile, else SLACKWATER_URL, else the default of 'slackwater profiles', else this machine.

    \b
    Exit codes: 0 done, 1 it went wrong (for 'submit --wait' and 'watch' also: the batch did not complete, or has
                failed requests), 2 wrong usage, 130 interrupted (the batch goes on).
    \b
    Examples:
      slackwater batches submit questions.jsonl --deployment llama-batch --output answers.jsonl
      slackwater batches list --status in_progress
      slackwater batches watch batch_0a1b
    """


command.add_command(submit)


def _after_a_verb(progress: dict[str, Any]) -> str:
    """How a batch is, after pause, resume or try."""
    line = delay_line(progress)
    name = f"{progress.get('batch_id')} is {progress.get('status')}"
    return f"{name}; {line}" if line else name


add_verbs(command, "batches", "batch_id", _after_a_verb)


@command.command("list")
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="Only these; may be given again.")
@click.option(
    "--metadata", metavar="KEY=VALUE", multiple=True, callback=pairs, help="Only with this; may be given again."
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--all", "everything", is_flag=True, help="All there are.")
@server_options
def list_batches(status: tuple[str, ...], metadata: dict[str, str], limit: int, everything: bool, asked: Asked) -> None:
    """List batches, newest first, by their names: those that they were given, or those of their input files.

    In a pipe, each is a line with tabs between: id, status, completed, failed, total, created, model, input file, what it waits
    for, if it does, the input file's name, deployment, name, and the rest of its metadata.
    """
    with api_of(asked) as api:
        page = 100 if status or metadata or everything else min(limit, 100)
        chosen = (
            batch
            for batch in api.batches(page=page)
            if (not status or batch.get("status") in status)
            and metadata.items() <= (batch.get("metadata") or {}).items()
        )
        found = list(chosen if everything else itertools.islice(chosen, limit))
        if asked.as_json:
            print_json(found)
            return
        told = told_apart(api, found, statuses=status)
        piped = [_cells(batch, each) for batch, each in zip(found, told, strict=True)]
        if sys.stdout.isatty():
            rows = [_shown(batch, each) for batch, each in zip(found, told, strict=True)]
            columns = with_room(rows, shutil.get_terminal_size().columns)
        else:
            rows, columns = piped, list(piped[0]) if piped else []
        print_rows(
            columns,
            [[row[name] for name in columns] for row in rows],
            nothing="no batches; make one with 'slackwater batches submit FILE'",
        )


def _cells(batch: dict[str, Any], told: Told) -> dict[str, str]:
    """What there is to say of a batch in a pipe, in its order."""
    now = reading(batch)
    return {
        "id": text_of(batch.get("id")),
        "status": text_of(batch.get("status")),
        "completed": str(now.done - now.failed),
        "failed": str(now.failed),
        "total": str(now.total),
        "created": moment(batch.get("created_at")),
        # Azure's dated answers have no model (spec 3.2).
        "model": text_of(batch.get("model")),
        "input file": _input(batch),
        "waits for": told.waits_for,
        "file": told.file,
        "deployment": told.deployment,
        "name": told.name,
        "metadata": told.metadata,
    }


def _shown(batch: dict[str, Any], told: Told) -> dict[str, str]:
    """The same on a terminal."""
    now = reading(batch)
    return {
        "id": text_of(batch.get("id")),
        "job": told.title or _input(batch),
        "status": text_of(batch.get("status")),
        "done": f"{now.done}/{now.total}" + (f", {now.failed} failed" if now.failed else ""),
        "created": moment(batch.get("created_at")),
        "deployment": told.deployment,
        "metadata": told.metadata,
        "waits for": told.waits_for,
    }


def _input(batch: dict[str, Any]) -> str:
    """What a batch was made of: the id of a file, or the name of a blob, whose URL would be too long."""
    return text_of(batch.get("input_file_id") or str(batch.get("input_blob") or "").rpartition("/")[2])


@command.command("show")
@click.argument("batch_id")
@server_options
def show(batch_id: str, asked: Asked) -> None:
    """Show one batch."""
    with api_of(asked) as api:
        batch = api.batch(batch_id)
        if asked.as_json:
            print_json(batch)
            return
        facts = [(name, _fact(name, value)) for name, value in batch.items() if name not in ("object", "errors")]
        print_facts([*facts, ("waiting on", why_it_waits(api, batch)), ("kept until", kept_until(api, batch))])
        for error in ((batch.get("errors") or {}).get("data")) or []:
            where = "" if error.get("line") is None else f"line {error['line']}: "
            note(f"{where}{error.get('code')}: {error.get('message')}")


def _fact(name: str, value: object) -> str:
    if name.endswith("_at"):
        return moment(value)
    if name == "request_counts" and isinstance(value, dict):
        return ", ".join(f"{count} {kind}" for kind, count in value.items())
    return text_of(value)


@command.command("watch")
@click.argument("batch_id")
@output_option
@overwrite_option
@quiet_option
@server_options
def watch(batch_id: str, output: Path | None, overwrite: bool, quiet: bool, asked: Asked) -> None:
    """Wait until a batch has ended. Ctrl-C ends the waiting, not the batch.

    A server that cannot answer at the moment is waited for, up to ten minutes.
    """
    with api_of(asked) as api:
        if output is not None:
            check_free([output, errors_beside(output)], overwrite=overwrite)
        code = follow(api, {"id": batch_id}, asked=asked, output=output, quiet=quiet)
    sys.exit(code)


@command.command("cancel")
@click.argument("batch_id")
@click.option("--wait", is_flag=True, help="Until it is cancelled.")
@server_options
def cancel(batch_id: str, wait: bool, asked: Asked) -> None:
    """Cancel a batch. What has finished is kept, and can be downloaded."""
    with api_of(asked) as api:
        batch = api.cancel_batch(batch_id)
        if wait and batch.get("status") not in ENDED:
            try:
                batch = wait_for_end(api, batch, quiet=False)
            except Interrupted:
                fail("the batch is still being cancelled", INTERRUPTED)
        _told(batch, asked)


@command.command("retry")
@click.argument("batch_id")
@click.option("--wait", is_flag=True, help="Until the new batch has ended.")
@output_option
@overwrite_option
@quiet_option
@server_options
def retry(batch_id: str, wait: bool, output: Path | None, overwrite: bool, quiet: bool, asked: Asked) -> None:
    """Make a new batch of the lines that failed or never ran (Slackwater's servers only)."""
    code = 0
    with api_of(asked) as api:
        if output is not None:
            check_free([output, errors_beside(output)], overwrite=overwrite)
        batch = api.retry_batch(batch_id)
        if wait or output is not None:
            note(f"created {batch['id']}")
            code = follow(api, batch, asked=asked, output=output, quiet=quiet)
        else:
            _told(batch, asked)
    sys.exit(code)


def _told(batch: dict[str, Any], asked: Asked) -> None:
    if asked.as_json:
        print_json(batch)
        return
    click.echo(safe(str(batch["id"])))
    note(str(batch.get("status")))


@command.command("download")
@click.argument("batch_id")
@output_option
@overwrite_option
@quiet_option
@server_options
def download(batch_id: str, output: Path | None, overwrite: bool, quiet: bool, asked: Asked) -> None:
    """Download the results of a batch that has ended: answers to OUTPUT, failed requests beside it.

    Without --output the name is the batch's, in this directory. An interrupted download is continued by the same command.
    """
    with api_of(asked) as api:
        batch = api.batch(batch_id)
        if batch.get("status") not in ENDED:
            raise InvalidRequest(
                f"{batch_id} is {batch.get('status')} and has no results yet; wait for them: "
                + asked.command("batches", "watch", batch_id, "--output", str(output or f"{batch_id}.jsonl"))
            )
        if batch["status"] == "failed":
            conclude(batch, {}, quiet=quiet, again=None)
            sys.exit(1)
        target = output or Path(f"{Path(str(batch['id'])).name}.jsonl")
        check_free([target, errors_beside(target)], overwrite=overwrite)
        saved = save_results(api, batch, target, quiet=quiet)
        if asked.as_json:
            print_json({kind: str(path) for kind, path in saved.items()})
        else:
            for path in saved.values():
                click.echo(path)
