"""`slackwater confirm-clock`: says to a server that the clock is right, although it has jumped."""

import sys

import click

from slackwater.adapters.disk.data_directory import confirm_clock
from slackwater.cli.data_options import Data, data_options
from slackwater.wiring.doctor.data import holder_of


@click.command("confirm-clock")
@data_options(default=None)
def command(data: Data) -> None:
    """Tell the server on a data directory that the clock of this machine is right, although it has jumped by hours.

    Until then, or until the clock is back, nothing expires or is deleted (clock_jumped in /readyz). What is over by this time
    goes within seconds afterwards. Look at the clock first: slackwater doctor compares it with others.

    Exit code 0: the server hears it within five seconds. 2: there is none on it.

    \b
    Example:
      slackwater confirm-clock --data /var/lib/slackwater
    """
    data.must_exist()
    try:
        if holder_of(data.path) is None:
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
    click.echo("the server hears it within five seconds; see clock_confirmed in its log")
