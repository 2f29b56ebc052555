"""`slackwater restore`: a data directory out of a back-up."""

import datetime
import os
import sys
from pathlib import Path

import click

from slackwater.adapters.backup.checking import restore
from slackwater.cli.byte_bar import byte_bar, size_of
from slackwater.cli.data_options import Data, data_options
from slackwater.core.errors import BackupError, DataDirectoryError


@click.command("restore")
@click.argument("backup", type=click.Path(path_type=Path))
@data_options(default=None)
@click.option("--at", help="Which back-up, such as 20261125T020000Z.  [default: the newest]")
@click.option("--quiet", is_flag=True, help="Say nothing unless something is wrong.")
def command(backup: Path, data: Data, at: str | None, quiet: bool) -> None:
    """Make a data directory, new or with nothing in it, of a BACKUP: a directory of back-ups, or one in it.

    Every byte is compared with its checksum. When the server starts on it, batches that had not ended go on from what was
    in the back-up. What was lost or damaged before the back-up is named, and hinders nothing. Exit code 0: it can be served.
    2: it cannot, and the message says why.

    \b
    Examples:
      slackwater restore /backup/slackwater --data /var/lib/slackwater
      slackwater restore /backup/slackwater --at 20261125T020000Z --data /var/lib/slackwater
    """
    # Every directory on the way is the owner's alone, too.
    os.umask(0o077)
    try:
        with byte_bar("restoring", quiet=quiet) as show:
            name, manifest, damaged = restore(backup, data.path, at=at, show=show)
    except (BackupError, DataDirectoryError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    for key in manifest.lost:
        click.echo(f"{key} was lost before it could be backed up", err=True)
    for key in damaged:
        click.echo(f"{key} was damaged before it was backed up, and is restored as it was", err=True)
    for each in manifest.keys_left_out:
        click.echo(
            f"the key of the connection {each} is not in back-ups: give it anew, in Studio or over the API", err=True
        )
    if not quiet:
        moment = datetime.datetime.fromtimestamp(manifest.made_at, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        size = size_of(manifest.ledger.size + sum(blob.size for blob in manifest.blobs))
        click.echo(f"{data.path}: {size} as of {moment} ({name}); serve it with 'slackwater serve --data {data.path}'")
