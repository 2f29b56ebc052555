"""`slackwater migrate-data`: moves the ledger between the data directory and PostgreSQL, files between it and an object store."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from slackwater.adapters.disk.data_directory import IN_USE_HERE, DataDirectory
from slackwater.cli.byte_bar import size_of
from slackwater.cli.data_options import Data, data_options
from slackwater.cli.output import USAGE, fail
from slackwater.config import store_in
from slackwater.core.errors import ConfigError, DataDirectoryError, DataDirectoryInUse, MoveError, StorageTrouble
from slackwater.core.masking import shown_url
from slackwater.wiring.files import store_at
from slackwater.wiring.members_at import in_use_by
from slackwater.wiring.moving import Outcome, files_move, move_files, to_embedded, to_postgresql
from slackwater.wiring.moving_files import FilesArrived, FilesMove

POSTGRESQL, EMBEDDED = "postgresql", "embedded"
STORE, FOLDER = "store", "folder"
NAMED_MAX = 10
Show = Callable[[int, int], None]
"""Takes what is done, and what there is."""


@click.command("migrate-data")
@data_options(default=None)
@click.option("--to", "where", type=click.Choice([POSTGRESQL, EMBEDDED]), help="Where the ledger is to be.")
@click.option(
    "--files",
    "files_where",
    type=click.Choice([STORE, FOLDER]),
    help="Where files and results are to be: in the store that [server] files names, or in the data directory.",
)
@click.option(
    "--files-from",
    type=click.Path(path_type=Path),
    help="From a store to another one: the configuration that names the old one, while --config names the new one.",
)
@click.option(
    "--replace-zeros",
    is_flag=True,
    help="To PostgreSQL: put U+FFFD for zero characters in texts, which it does not take. Without this, they are named.",
)
@click.option("--quiet", is_flag=True, help="Say nothing unless something is wrong.")
def command(
    data: Data,
    where: str | None,
    files_where: str | None,
    files_from: Path | None,
    replace_zeros: bool,
    quiet: bool,
) -> None:
    """Move the ledger (batches, files, keys, usage: every fact) to PostgreSQL, or back into the data directory; or the files and
    results into an object store, or back; or both at once.

    Stop the server first; batches that are under way go on from where they are when it starts again. The configuration names both
    ends: [server] data, and [server] database (--to) or files (--files). What no option names stays where it is.

    Every row is copied, read back and compared; so is every byte of files and results that the ledger names, with its checksum
    where it has one. Only then does the new place count, at one moment for both, and the old one is marked: a server that is
    started on it by mistake says where everything has gone. Until then nothing is changed where it was, and nothing is removed
    there, ever. If it is interrupted, do it again: files that have arrived are compared and not sent again, the ledger begins
    anew, or it says that it was done.

    \b
    Exit codes:
      0  it is there, also where it was before
      1  it went wrong on the way, and nothing is lost or half moved: put right what the message says, and the same
         command goes on
      2  it was refused, and the message says what to put right
    \b
    Examples:
      slackwater migrate-data --to postgresql --config slackwater.toml
      slackwater migrate-data --to embedded --config slackwater.toml
      slackwater migrate-data --to postgresql --files store --config slackwater.toml
      slackwater migrate-data --files folder --config slackwater.toml
      slackwater migrate-data --files store --files-from old.toml --config new.toml
    """
    _check(data, where, files_where, files_from, replace_zeros=replace_zeros)
    data.must_exist()
    with _ending_at_once(bool(files_where)):
        _move(data, where, files_where, files_from, replace_zeros=replace_zeros, quiet=quiet)


@contextlib.contextmanager
def _ending_at_once(asked: bool) -> Iterator[None]:
    """Ends the process with what is done inside, and without the interpreter's farewells.

    Threads of the library that speaks to stores may still be letting go of an answer; an interpreter that ends meanwhile aborts.
    """
    code: object = 0
    try:
        yield
    except SystemExit as end:
        code = end.code
    if not asked:
        sys.exit(code)  # type: ignore[arg-type]
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def _move(
    data: Data, where: str | None, files_where: str | None, files_from: Path | None, *, replace_zeros: bool, quiet: bool
) -> None:
    # What a store has said is in the one line at the end, and not in one of a log as well.
    logging.getLogger("slackwater").addHandler(logging.NullHandler())
    # Ledger and files are the owner's alone, as a server makes them.
    os.umask(0o077)
    try:
        with (
            DataDirectory.open(data.path, in_use=IN_USE_HERE) as directory,
            _bars(quiet=quiet) as (bytes_shown, show),
        ):
            now = time.time()
            files = _files(directory, data, where, files_where, files_from, bytes_shown, now)
            if where == POSTGRESQL:
                done = to_postgresql(
                    directory, data.database, replace_zeros=replace_zeros, files=files, show=show, now=now
                )
            elif where == EMBEDDED:
                done = to_embedded(directory, data.database, files=files, show=show, now=now)
            else:
                assert files is not None, "something is to move"
                done = Outcome(tables=[], files=move_files(directory, data.database, files))
    except DataDirectoryInUse as error:
        fail(in_use_by(data.database) or str(error), USAGE)
    except DataDirectoryError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except (MoveError, StorageTrouble) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(
            f"error: {error.filename or data.path}: {error.strerror or error}; put that right and repeat it", err=True
        )
        sys.exit(1)
    if done.untold:
        click.echo(
            f"warning: the database could not be told that its ledger has gone ({done.untold}). It is not used with this data "
            "directory any more; repeat the command to tell it to others",
            err=True,
        )
    if done.files and done.files.unmarked:
        click.echo(
            f"warning: the store in which the files are now did not answer as it should ({done.files.unmarked}). They have moved "
            "there, and that stays so; see to it before a server is started",
            err=True,
        )
    if done.files and done.files.untold:
        click.echo(
            f"warning: the store that the files have left could not be told so ({done.files.untold}). It is not used with this "
            "data directory any more; repeat the command to tell it to others",
            err=True,
        )
    if not quiet:
        if done.files:
            _tell_files(done.files, data)
        if where:
            _tell(done, data, where)


def _check(
    data: Data, where: str | None, files_where: str | None, files_from: Path | None, *, replace_zeros: bool
) -> None:
    if not where and not files_where:
        raise click.UsageError("say what is to move: the ledger with --to, files and results with --files, or both")
    if where and not data.database:
        raise click.UsageError(
            'no database is named: put database = "postgresql://..." under [server] of the server\'s configuration, and give '
            "that with --config FILE"
        )
    if replace_zeros and where != POSTGRESQL:
        raise click.UsageError("--replace-zeros is for --to postgresql: an embedded ledger takes every text")
    if files_where and not data.files:
        raise click.UsageError(
            'no store is named: put files = "s3://BUCKET/PREFIX" (or az://, gs://) under [server] of the configuration, '
            "and give that with --config FILE; docs/object-stores.md has the rest"
        )
    if files_from and files_where != STORE:
        raise click.UsageError(
            "--files-from is for --files store: it names the store that the files leave for another one"
        )


def _files(
    directory: DataDirectory,
    data: Data,
    where: str | None,
    files_where: str | None,
    files_from: Path | None,
    show: Show,
    now: float,
) -> FilesMove | None:
    """The move of files that is asked for."""
    if not files_where:
        return None
    assert data.config is not None, "it names the store"
    try:
        named = store_at(*store_in(data.config))
        old = store_at(*store_in(files_from)) if files_from else None
    except ConfigError as error:
        fail("; ".join(error.faults), USAGE)
    if old is not None and named is not None and old.shown == named.shown:
        raise click.UsageError(f"both configurations name {named.shown}: there is nothing to move")
    source, target = (old, named) if files_where == STORE else (named, None)
    embedded = where == POSTGRESQL or (where is None and not data.database)
    return files_move(directory, source, target, database="" if embedded else data.database, show=show, now=now)


def _tell_files(files: FilesArrived, data: Data) -> None:
    place = files.place or str((data.path / "blobs").absolute())
    if files.arrived is None:
        click.echo(f"the files are in {place} already")
        return
    some = files.arrived
    click.echo(
        f"compared {some.blobs:,} files, parts and logs, {size_of(some.size)} ({size_of(some.copied)} sent now): "
        "what has arrived is what was sent"
    )
    if some.given_up:
        more = f" and {len(some.given_up) - NAMED_MAX} more" if len(some.given_up) > NAMED_MAX else ""
        click.echo(
            f"{len(some.given_up)} that were given up ('slackwater recover') are gone or cut off, and stay so: "
            f"{', '.join(some.given_up[:NAMED_MAX])}{more}"
        )
    kept = files.aside.absolute() if files.aside else files.left
    todo = "" if files.place else "; take files out of [server] in the configuration"
    click.echo(f"the files are in {place}; the old ones are kept in {kept}, and nothing uses them{todo}")


def _tell(done: Outcome, data: Data, where: str) -> None:
    for table in done.tables:
        if table.rows:
            click.echo(f"{table.table:<18}{table.rows:>12,} rows  {table.checksum}")
    if done.tables:
        rows = sum(table.rows for table in done.tables)
        click.echo(f"compared {len(done.tables)} tables, {rows:,} rows: what has arrived is what was sent")
    if where == POSTGRESQL:
        place = f"the ledger is in {shown_url(data.database)}"
        todo = "start the server with the configuration that names it"
    else:
        place = f"the ledger is {DataDirectory.ledger_in(data.path).absolute()}"
        todo = "take database out of [server] in the configuration, and start the server"
    aside = f"; the old one is kept as {done.aside.absolute()}, and nothing uses it" if done.aside else ""
    click.echo(f"{place}{aside}; {todo}" if done.tables else f"{place} already; {todo}")


@contextlib.contextmanager
def _bars(*, quiet: bool) -> Iterator[tuple[Show, Show]]:
    """Shows how far it is on a terminal, in bytes of files and in rows: each row is looked at, copied and compared."""
    if quiet or not sys.stderr.isatty():
        yield (lambda done, total: None), (lambda done, total: None)
        return
    # Imported here, because it costs more than to move a small ledger.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=5) as bars:

        def bar(label: str, said: Callable[[int, int, float], str]) -> Show:
            begun: list[Any] = []

            def show(done: int, total: int) -> None:
                if not begun:
                    begun.extend((bars.add_task(label, total=total, said=""), time.monotonic()))
                seconds = max(time.monotonic() - begun[1], 0.001)
                bars.update(begun[0], completed=done, total=total, said=said(done, total, seconds))

            return show

        yield (
            bar(
                "files",
                lambda done, total, t: f"{size_of(done)} of {size_of(total)}, {size_of(round(done / t))} a second",
            ),
            bar("rows", lambda done, total, t: ""),
        )
