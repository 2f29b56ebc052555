"""`slackwater doctor`: looks at everything a server needs, before it starts or while it runs."""

import sys
import time
from pathlib import Path

import click
import msgspec

from slackwater.wiring.doctor import Finding, Level, examine
from slackwater.wiring.waiting import Waiting

COLOURS = {Level.OK: "green", Level.NOTE: "blue", Level.WARNING: "yellow", Level.FAULT: "red"}


@click.command("doctor")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="The configuration of the server.")
@click.option("--data", type=click.Path(path_type=Path), help="Data directory.  [default: as in the configuration]")
@click.option("--deep", is_flag=True, help="Also read every byte of the data, and compare it with its checksum.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of lines.")
def command(config_path: Path | None, data: Path | None, deep: bool, as_json: bool) -> None:
    """Look at the configuration, the data directory, the ledger, limits, clock, keys, and whoever is to answer.

    Of each engine it says whether its metrics page is found, and how batches are paced there.

    No server needs to run. If one does, it is asked how it is. Nothing is changed. Give it the environment of the
    server: keys are named there. Run it as the user of the service. A backend that does not list its model is sent one request of
    one token, which tells whether it has it all the same. What takes more than a moment is named on standard error meanwhile.

    Exit code 0: nothing keeps a server from its work. 1: something does.

    \b
    Examples:
      slackwater doctor --config slackwater.toml
      slackwater doctor --data /var/lib/slackwater --deep
      slackwater doctor --config slackwater.toml --data /var/lib/slackwater --json
    """
    with Waiting(_say) as waiting:
        looking = (lambda what: None) if as_json else waiting.at
        found = examine(config_path, data, now=time.time, deep=deep, looking=looking)
    faults = sum(each.level is Level.FAULT for each in found)
    if as_json:
        click.echo(msgspec.json.encode({"well": not faults, "findings": found}))
    else:
        for each in found:
            click.echo(_line(each))
        click.echo(f"{faults} faults" if faults != 1 else "1 fault")
    sys.exit(1 if faults else 0)


def _say(what: str) -> None:
    click.echo(f"looking at {what} ...", err=True)


def _line(finding: Finding) -> str:
    level = click.style(f"{finding.level.value:<8}", fg=COLOURS[finding.level])
    fix = f" -> {finding.fix}" if finding.fix else ""
    return f"{level}{finding.about}: {finding.message}{fix}"
