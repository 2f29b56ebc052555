"""`slackwater audit export`: who did what, over all resources, from a data directory."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import TextIO

import click
import msgspec

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.sql.identity import damage_in_words
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.cli.data_options import Data, data_options
from slackwater.cli.output import note
from slackwater.cli.usage import read_option
from slackwater.core.accounts.days import day_of
from slackwater.core.accounts.tables import table_line
from slackwater.core.errors import DataDirectoryError, StorageTrouble
from slackwater.ports import AuditEntry
from slackwater.wiring.belonging import ledger_to_look_at

COLUMNS = AuditEntry.__struct_fields__
PAGE = 1_000


@click.group("audit")
def command() -> None:
    """Read the log of who did what."""


@command.command("export")
@data_options()
@click.option("--since", callback=read_option, help="First day, in UTC.  [default: the first that there is]")
@click.option("--until", callback=read_option, help="Last day; it is included.  [default: the last that there is]")
@click.option(
    "--after",
    type=click.IntRange(0),
    default=0,
    help="Only entries behind this number, such as the last one of an earlier export.",
)
@click.option("--resource", help="Only this resource.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.File("w", encoding="utf-8"),
    default="-",
    help="File to write.  [default: standard output]",
)
def export(
    data: Data, since: int | None, until: int | None, after: int, resource: str | None, form: str, output: TextIO
) -> None:
    """Write the audit log of a data directory, oldest entry first. A server may be running on it.

    \b
    Examples:
      slackwater audit export --data /var/lib/slackwater --since 2026-01-01 -o january.jsonl
      slackwater audit export --config slackwater.toml --after 12345 --format csv
    """
    data.must_exist()
    try:
        with damage_in_words(DataDirectory.ledger_in(data.path)):
            asyncio.run(_export(data, since, until, after, resource, form, output))
    except (DataDirectoryError, StorageTrouble) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    note(f"the audit log in {data.ledger_shown}")


async def _export(
    data: Data, since: int | None, until: int | None, after: int, resource: str | None, form: str, output: TextIO
) -> None:
    ledger = await asyncio.to_thread(ledger_to_look_at, data.path, data.database)
    try:
        if form == "csv":
            output.write(table_line(COLUMNS))
        async for entry in _entries(ledger, after, resource):
            day = day_of(entry.at)
            if (since is None or day >= since) and (until is None or day <= until):
                output.write(_line(entry, form))
    finally:
        await ledger.close()


async def _entries(ledger: SqlLedger, after: int, resource: str | None) -> AsyncIterator[AuditEntry]:
    """Page by page, so that neither memory nor a long read holds anything up."""
    while page := await ledger.audit(resource=resource, after=after, limit=PAGE):
        for entry in page:
            yield entry
        after = page[-1].seq


def _line(entry: AuditEntry, form: str) -> str:
    if form == "jsonl":
        return msgspec.json.encode(entry).decode() + "\n"
    detail = msgspec.json.encode(entry.detail).decode()
    return table_line([detail if name == "detail" else getattr(entry, name) for name in COLUMNS])
