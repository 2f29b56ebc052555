"""`slackwater backup`: a copy of a data directory that can be served, made while the server goes on; and whether it is whole."""

import datetime
import os
import sys
import time
from pathlib import Path

import click

from slackwater.adapters.backup.checking import verify
from slackwater.adapters.backup.making import make_backup
from slackwater.cli.byte_bar import byte_bar, size_of
from slackwater.cli.data_options import Data, data_options
from slackwater.core.errors import BackupError, DataDirectoryError


@click.command("backup")
@data_options()
@click.option("--output", type=click.Path(path_type=Path), help="Directory for back-ups; made when it is missing.")
@click.option(
    "--keep",
    type=click.IntRange(0),
    default=0,
    help="Take away all back-ups but the newest so many.  [default: all stay]",
)
@click.option("--verify", "verified", type=click.Path(path_type=Path), help="Check the back-ups here, and make none.")
@click.option("--quiet", is_flag=True, help="Say nothing unless something is wrong.")
def command(data: Data, output: Path | None, keep: int, verified: Path | None, quiet: bool) -> None:
    """Copy a data directory: the ledger as it is at one moment, and every byte that belongs to it.

    One directory takes many back-ups. Bytes that are in it already are compared and not copied again. A back-up is as secret
    as the data: only its owner can read it. The configuration is not in it.

    Exit code 0: it is whole. 1: something is missing or damaged. 2: it could not be made.

    \b
    Examples:
      slackwater backup --data /var/lib/slackwater --output /backup/slackwater --keep 14
      slackwater backup --verify /backup/slackwater
    """
    if (output is None) == (verified is None):
        raise click.UsageError("name either --output, to make a back-up, or --verify, to check one")
    # Every directory on the way is the owner's alone, too.
    os.umask(0o077)
    try:
        if verified is not None:
            _verify(verified, quiet=quiet)
        elif output is not None:
            data.must_exist()
            if data.database and data.files_elsewhere:
                raise DataDirectoryError(
                    f"the ledger is in a database, and the files are in {data.files_elsewhere}: back both up with their own "
                    "means; see 'Back-ups while servers work' in docs/object-stores.md"
                )
            if data.database:
                raise DataDirectoryError(
                    "the ledger is in a database: back it up with PostgreSQL's own means, and the directory beside it before and "
                    "after that; see 'Back-ups' in docs/postgresql.md"
                )
            if data.files_elsewhere:
                raise DataDirectoryError(
                    f"the files are in {data.files_elsewhere}, and this copies a data directory: keep them with the means of "
                    "the store, and the ledger with its own; see 'Back-ups, recovery, moving' in docs/object-stores.md"
                )
            _make(data.path, output, keep=keep, quiet=quiet)
    except (BackupError, DataDirectoryError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)


def _make(data: Path, output: Path, *, keep: int, quiet: bool) -> None:
    with byte_bar("backing up", quiet=quiet) as show:
        made = make_backup(data, output, now=time.time(), keep=keep, show=show)
    if not quiet:
        removed = f"; {made.removed} older removed" if made.removed else ""
        click.echo(f"{made.path}: {data.absolute()}, {size_of(made.bytes)}, {size_of(made.copied)} of it new{removed}")
    for key in made.lost:
        click.echo(f"error: {key} is named by the ledger, and is not in {data}; everything else is backed up", err=True)
    for key in made.damaged:
        click.echo(
            f"error: {key} is not what was written; it is backed up as it is, and so is everything else", err=True
        )
    if made.lost or made.damaged:
        sys.exit(1)


def _verify(path: Path, *, quiet: bool) -> None:
    with byte_bar("checking", quiet=quiet) as show:
        found = verify(path, show=show)
    for name, manifest, faults in found:
        for fault in faults:
            click.echo(f"error: {name}: {fault}", err=True)
        if not faults and manifest is not None and not quiet:
            moment = datetime.datetime.fromtimestamp(manifest.made_at, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            whole = size_of(manifest.ledger.size + sum(blob.size for blob in manifest.blobs))
            click.echo(f"{name}: whole. {whole} as of {moment}, schema {manifest.schema}")
    if any(faults for _, _, faults in found):
        sys.exit(1)
