"""`slackwater usage`: what was completed and what it cost, over all resources, from a data directory."""

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from slackwater.adapters.data_directory import DataDirectory
from slackwater.adapters.sql_ledger import SqlLedger
from slackwater.core.cost import Charge, GroupBy, charges
from slackwater.core.days import day_of, first_of_month, read_day, written_day
from slackwater.core.errors import DataDirectoryError, InvalidRequest
from slackwater.core.price import written
from slackwater.core.tables import table_line

FIGURES = ("requests", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "currency", "cost")
# More than there are days, deployments and models; a search ends at a bound of its own.
ROWS_MAX = 2**31


def read_option(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """A day that was given as an option."""
    try:
        return None if text is None else read_day(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _groups(_: click.Context, __: click.Parameter, text: str) -> list[GroupBy]:
    try:
        wanted = {GroupBy(name.strip()) for name in text.split(",") if name.strip()}
    except ValueError as error:
        raise click.BadParameter(f"possible are {', '.join(GroupBy)}, with commas") from error
    return [group for group in GroupBy if group in wanted]


@click.command("usage")
@click.option(
    "--data", type=click.Path(path_type=Path), default="slackwater-data", show_default=True, help="Data directory."
)
@click.option("--start", callback=read_option, help="First day, in UTC.  [default: the first of the month of --end]")
@click.option("--end", callback=read_option, help="Last day; it is included.  [default: today]")
@click.option("--group-by", callback=_groups, default="resource,day,deployment", show_default=True)
@click.option("--resource", help="Only this resource.")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
def command(
    data: Path, start: int | None, end: int | None, group_by: list[GroupBy], resource: str | None, form: str
) -> None:
    """Say what was completed and what it cost, over all resources of a data directory.

    A server may be running on it. Deployments of other resources than the default one are written RESOURCE/NAME.

    \b
    Examples:
      slackwater usage --data /var/lib/slackwater --start 2026-01-01 --end 2026-01-31 > january.csv
      slackwater usage --group-by resource
    """
    last = day_of(time.time()) if end is None else end
    first = first_of_month(last) if start is None else start
    try:
        found = asyncio.run(_charges(DataDirectory.ledger_in(data), first, last, group_by, resource))
    except (DataDirectoryError, InvalidRequest) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    for line in _lines(found, group_by, form):
        click.echo(line, nl=False)


async def _charges(path: Path, first: int, last: int, by: list[GroupBy], resource: str | None) -> list[Charge]:
    ledger = SqlLedger.look(path)
    try:
        entries = await ledger.usage(resource=resource, first_day=first, last_day=last, by=by, limit=ROWS_MAX)
    finally:
        await ledger.close()
    return charges(entries)


def _lines(found: list[Charge], group_by: list[GroupBy], form: str) -> Iterator[str]:
    columns = [group.value for group in group_by] + list(FIGURES)
    if form == "csv":
        yield table_line(columns)
    for charge in found:
        row = _row(charge)
        if form == "csv":
            yield table_line([row[column] for column in columns])
        else:
            yield msgspec.json.encode({column: row[column] for column in columns}).decode() + "\n"


def _row(charge: Charge) -> dict[str, Any]:
    return {
        "resource": charge.resource,
        "day": None if charge.day is None else written_day(charge.day),
        "deployment": charge.deployment,
        "model": charge.model,
        "requests": charge.requests,
        **msgspec.structs.asdict(charge.usage),
        "currency": charge.currency,
        "cost": None if charge.amount is None else written(charge.amount),
    }
