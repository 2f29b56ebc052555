"""`slackwater usage`: what was completed and what it cost, from a data directory, or as a server says it."""

import asyncio
import sys
import time
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.sql.identity import damage_in_words
from slackwater.cli.data_options import Data, data_options
from slackwater.cli.output import note, print_json
from slackwater.cli.server_options import Asked, api_of, server_or_data_options
from slackwater.core.accounts.cost import Charge, GroupBy, charges
from slackwater.core.accounts.days import day_of, first_of_month, read_day, written_day
from slackwater.core.accounts.price import written
from slackwater.core.accounts.tables import table_line
from slackwater.core.errors import DataDirectoryError, InvalidRequest, StorageTrouble
from slackwater.wiring.belonging import ledger_to_look_at

FIGURES = ("requests", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "currency", "cost")
# More than there are days, deployments and models; a search ends at a bound of its own.
ROWS_MAX = 2**31


def read_option(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """A day that was given as an option."""
    try:
        return None if text is None else read_day(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _groups(_: click.Context, __: click.Parameter, text: str | None) -> list[GroupBy] | None:
    if text is None:
        return None
    try:
        wanted = {GroupBy(name.strip()) for name in text.split(",") if name.strip()}
    except ValueError as error:
        raise click.BadParameter(f"possible are {', '.join(GroupBy)}, with commas") from error
    return [group for group in GroupBy if group in wanted]


@click.command("usage")
@data_options(default="[default: slackwater-data, where nothing names a server]")
@click.option("--start", callback=read_option, help="First day, in UTC.  [default: the first of the month of --end]")
@click.option("--end", callback=read_option, help="Last day; it is included.  [default: today]")
@click.option("--group-by", callback=_groups, help="[default: resource,day,deployment; a server: day,deployment]")
@click.option("--resource", help="Only this resource.")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@server_or_data_options
def command(
    data: Data,
    start: int | None,
    end: int | None,
    group_by: list[GroupBy] | None,
    resource: str | None,
    form: str,
    asked: Asked,
) -> None:
    """Say what was completed and what it cost: over all resources of a data directory, or in one's own on a server.

    A server may be running on the data directory. Deployments of other resources than the default one are written
    RESOURCE/NAME. With --server, --profile or SLACKWATER_URL a server of Slackwater is asked instead.

    \b
    Exit codes: 0 done, 1 it went wrong, 2 wrong usage.
    \b
    Examples:
      slackwater usage --data /var/lib/slackwater --start 2026-01-01 --end 2026-01-31 > january.csv
      slackwater usage --config slackwater.toml --group-by resource
      slackwater usage --profile work --group-by day,model
    """
    last = day_of(time.time()) if end is None else end
    first = first_of_month(last) if start is None else start
    named_by = "" if data.given and not asked.named else asked.named_by
    if named_by:
        by = [GroupBy.DAY, GroupBy.DEPLOYMENT] if group_by is None else group_by
        if data.given or resource is not None or GroupBy.RESOURCE in by:
            raise click.UsageError(
                f"{named_by} names a server, which shows one resource, the key's; resources go with a data directory "
                "(--data, --config)"
            )
        rows = _rows_of_server(asked, first, last, by)
    else:
        by = [GroupBy.RESOURCE, GroupBy.DAY, GroupBy.DEPLOYMENT] if group_by is None else group_by
        data.must_exist()
        try:
            with damage_in_words(DataDirectory.ledger_in(data.path)):
                rows = [_row(charge) for charge in asyncio.run(_charges(data, first, last, by, resource))]
        except (DataDirectoryError, StorageTrouble, InvalidRequest) as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2)
        note(f"usage in {data.ledger_shown}")
    columns = [group.value for group in by] + list(FIGURES)
    if asked.as_json:
        print_json([{column: row.get(column) for column in columns} for row in rows])
        return
    for line in _lines(rows, columns, form):
        click.echo(line, nl=False)


def _rows_of_server(asked: Asked, first: int, last: int, by: list[GroupBy]) -> list[dict[str, Any]]:
    query = {"start": written_day(first), "end": written_day(last), "group_by": ",".join(by)}
    with api_of(asked) as api:
        rows: list[dict[str, Any]] = api.usage(query).get("data") or []
        note(f"usage of {api.connection.target.url}")
    return rows


async def _charges(data: Data, first: int, last: int, by: list[GroupBy], resource: str | None) -> list[Charge]:
    ledger = await asyncio.to_thread(ledger_to_look_at, data.path, data.database)
    try:
        entries = await ledger.usage(resource=resource, first_day=first, last_day=last, by=by, limit=ROWS_MAX)
    finally:
        await ledger.close()
    return charges(entries)


def _lines(rows: list[dict[str, Any]], columns: list[str], form: str) -> Iterator[str]:
    if form == "csv":
        yield table_line(columns)
    for row in rows:
        if form == "csv":
            yield table_line([row.get(column) for column in columns])
        else:
            yield msgspec.json.encode({column: row.get(column) for column in columns}).decode() + "\n"


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
