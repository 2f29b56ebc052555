"""`slackwater check-config`: what is wrong with a configuration, a line per fault."""

from pathlib import Path

import click

from slackwater.cli.process import read_or_leave
from slackwater.config.deployments import assumed_quotas
from slackwater.config.engines import unequal_numbers, unused_engines
from slackwater.wiring.checks import unheard_peers


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Check the configuration FILE and say what is wrong with it, one line per fault.

    Faults of shape come first: unknown settings and wrong types. Values are looked at once there are none of these.

    Exit code 0: it can be served. 2: it cannot.
    """
    config = read_or_leave(file, before="")
    unheard = unheard_peers(config)
    of_engines = [each(config.engines, config.deployments) for each in (unused_engines, unequal_numbers)]
    for noted in (*(note for notes in of_engines for note in notes), *([unheard] if unheard else [])):
        click.echo(f"note: {noted}", err=True)
    for assumed in assumed_quotas(config.deployments):
        click.echo(f"warning: {assumed}", err=True)
    names = ", ".join(f"{d.name} ({len(d.backends)} backend{'s' * (len(d.backends) > 1)})" for d in config.deployments)
    click.echo(f"{file}: fine. Deployments: {names}.")
