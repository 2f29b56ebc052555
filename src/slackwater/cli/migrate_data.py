"""`slackwater migrate-data`: moves the ledger from the data directory to PostgreSQL, or back."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator

import click

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.cli.data_options import Data, data_options
from slackwater.core.errors import DataDirectoryError, MoveError, StorageTrouble
from slackwater.core.masking import shown_url
from slackwater.wiring.moving import Outcome, to_embedded, to_postgresql

POSTGRESQL, EMBEDDED = "postgresql", "embedded"


@click.command("migrate-data")
@data_options(default=None)
@click.option(
    "--to", "where", type=click.Choice([POSTGRESQL, EMBEDDED]), required=True, help="Where the ledger is to be."
)
@click.option(
    "--replace-zeros",
    is_flag=True,
    help="To PostgreSQL: put U+FFFD for zero characters in texts, which it does not take. Without this, they are named.",
)
@click.option("--quiet", is_flag=True, help="Say nothing unless something is wrong.")
def command(data: Data, where: str, replace_zeros: bool, quiet: bool) -> None:
    """Move the ledger (batches, files, keys, usage: every fact) to PostgreSQL, or back into the data directory.

    Stop the server first; batches that are under way go on from where they are when it starts again. The configuration names both
    ends: [server] data, and [server] database. Files and results stay where they are, also in an object store.

    Every row is copied, read back and compared. Only then does the new ledger count, and the old one is marked: a server
    that is started on it by mistake says where the ledger has gone. Until then nothing is changed where it was. If it is
    interrupted, do it again: it begins anew, or says that it was done.

    \b
    Exit codes:
      0  the ledger is there, also where it was before
      1  it went wrong on the way; the ledger is where it was, and the same command begins again
      2  it was refused, and the message says what to put right
    \b
    Examples:
      slackwater migrate-data --to postgresql --config slackwater.toml
      slackwater migrate-data --to embedded --config slackwater.toml
    """
    if not data.database:
        raise click.UsageError(
            'no database is named: put database = "postgresql://..." under [server] of the server\'s configuration, and give '
            "that with --config FILE"
        )
    if replace_zeros and where == EMBEDDED:
        raise click.UsageError("--replace-zeros is for --to postgresql: an embedded ledger takes every text")
    data.must_exist()
    # The ledger is the owner's alone, as a server makes it.
    os.umask(0o077)
    try:
        with DataDirectory.open(data.path) as directory, _row_bar(quiet=quiet) as show:
            if where == POSTGRESQL:
                done = to_postgresql(directory, data.database, replace_zeros=replace_zeros, show=show, now=time.time())
            else:
                done = to_embedded(directory, data.database, show=show, now=time.time())
    except DataDirectoryError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except (MoveError, StorageTrouble) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"error: {error.filename or data.path}: {error.strerror}; put that right and repeat it", err=True)
        sys.exit(1)
    if done.untold:
        click.echo(
            f"error: the database could not be told that its ledger has gone ({done.untold}); repeat the command to tell it",
            err=True,
        )
    if not quiet:
        _tell(done, data, where)


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
def _row_bar(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Shows how far it is on a terminal: each row is looked at, copied and compared."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    # Imported here, because it costs more than to move a small ledger.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=5) as bars:
        bar = bars.add_task("moving", total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
