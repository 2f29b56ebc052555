"""`slackwater recover`: goes on with the ledger that is there, where a server refuses it."""

import sys
from pathlib import Path

import click

from slackwater.adapters.disk.data_directory import IN_USE_HERE, DataDirectory
from slackwater.cli.byte_bar import size_of
from slackwater.cli.data_options import Data, data_options
from slackwater.cli.output import USAGE, fail
from slackwater.core.errors import DataDirectoryError, DataDirectoryInUse, StorageTrouble
from slackwater.core.files.belonging import Fit
from slackwater.wiring.belonging import fault_of
from slackwater.wiring.members_at import in_use_by
from slackwater.wiring.recovering import Plan, plan, recover

NAMED_MAX = 3


@click.command("recover")
@data_options(default=None)
@click.option("--yes", is_flag=True, help="Do it. Without this, it only says what it would do.")
def command(data: Data, yes: bool) -> None:
    """Go on with the ledger that a data directory has, although it is not the one that its files belong to.

    A server refuses such a directory: what its ledger does not name would look like left-overs. Whoever knows that this ledger is
    the right one, or that no other is left, says so here; and so does who knows that files which it needs are gone for good.
    Files that it does not name are moved to DATA/lost, where they lie for [server] lost_keep_days; nothing is deleted. Where
    there is a back-up, a restore is the better way.

    Exit code 0: done, or said what would be done. 2: it cannot be, and the message says why.

    \b
    Examples:
      slackwater recover --data /var/lib/slackwater
      slackwater recover --data /var/lib/slackwater --yes
    """
    if not data.database:
        # Beside a database, the directory may be what is gone. It is made with --yes alone.
        data.must_exist()
    path = data.path
    try:
        if data.files_elsewhere:
            raise DataDirectoryError(
                f"the files are in {data.files_elsewhere}, and this looks at those in a data directory alone; "
                "'Back-ups, recovery, moving' in docs/object-stores.md says what to do where a server refuses them"
            )
        with DataDirectory.open(path, in_use=IN_USE_HERE) as directory:
            found = plan(path, data.database)
            if found.fit is Fit.FITS:
                click.echo(f"{path}: the ledger belongs to the files; nothing to recover")
                _tell_missing(found)
                return
            _tell(found, path, data.database)
            if yes:
                aside = recover(directory, found, data.database)
                click.echo(f"done: {len(found.unnamed)} files are in {aside}; start the server now")
            else:
                click.echo("nothing was changed; the same with --yes does it")
    except DataDirectoryInUse as error:
        fail(in_use_by(data.database) or str(error), USAGE)
    except (DataDirectoryError, StorageTrouble) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"error: {error.filename or path}: {error.strerror}; put that right and repeat it", err=True)
        sys.exit(2)


def _tell(found: Plan, data: Path, database: str) -> None:
    click.echo(fault_of(found.fit, data, database, found=found.found))
    unnamed = f"{len(found.unnamed)} files ({size_of(sum(found.unnamed.values()))}) that it does not name go to {data / 'lost'}"
    if found.found.empty:
        click.echo(f"going on means a new, empty ledger: no file, batch, key or account is known to it, and {unnamed}")
    else:
        click.echo(f"going on means that this ledger counts from now on: {unnamed}")
    _tell_missing(found)


def _tell_missing(found: Plan) -> None:
    if found.missing:
        some = ", ".join(found.missing[:NAMED_MAX])
        click.echo(
            f"{len(found.missing)} that it names are missing or cut off and stay so: {some}; requests of open batches that "
            "are in them end with an error, and answers in them are lost"
        )
