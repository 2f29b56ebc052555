"""`slackwater confirm-clock`: says to a server that the clock is right, although it has jumped."""

import sys

import click

from slackwater.adapters.disk.announcements import Announcements
from slackwater.adapters.disk.data_directory import confirm_clock
from slackwater.cli.data_options import Data, data_options
from slackwater.wiring.doctor.data import holder_of


@click.command("confirm-clock")
@data_options(default=None)
def command(data: Data) -> None:
    """Tell the server on a data directory that the clock is right, although it has jumped by hours: that of its machine, or of
    the ledger's database where several servers share one.

    Until then, or until the clock is back, nothing expires or is deleted (clock_jumped in /readyz). What is over by this time
    goes within seconds afterwards. Look at the clock first: slackwater doctor compares it with others.

    Exit code 0: the server hears it within five seconds. 2: there is none on it.

    \b
    Example:
      slackwater confirm-clock --data /var/lib/slackwater
    """
    data.must_exist()
    try:
        words = Announcements(data.path)
        together = any(words.locked(each) for each in words.announced())
        if holder_of(data.path) is None and not together:
            click.echo(
                f"error: no server runs on {data.path}; one that starts believes the clock that it finds", err=True
            )
            sys.exit(2)
        confirm_clock(data.path)
    except OSError as error:
        click.echo(
            f"error: {data.path} cannot be written to: {error.strerror}; run it as the user of the service", err=True
        )
        sys.exit(2)
    if together:
        click.echo(
            "one of the servers hears it within five seconds and tells the others; see clock_confirmed in their logs"
        )
    else:
        click.echo("the server hears it within five seconds; see clock_confirmed in its log")
