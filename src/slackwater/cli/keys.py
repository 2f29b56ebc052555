"""`slackwater keys`: keys of a resource, in a data directory that no server is using. A running server has an API for it."""

import asyncio
import datetime
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from slackwater.adapters.data_directory import DataDirectory
from slackwater.adapters.sql_ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.core.errors import DataDirectoryError, UserError
from slackwater.core.resource import DEFAULT, Role, Slot
from slackwater.pipeline.keys import Keys
from slackwater.ports import AuditEntry

T = TypeVar("T")
# Who did it, in the audit log: whoever may write into the data directory.
WHO = "command line"
RUNNING = (
    "; if a server is running on it, use the server: curl -X POST -H 'api-key: ADMIN_KEY' "
    '-d \'{"role":"user"}\' http://HOST:PORT/v1/keys'
)

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("slackwater-data"),
    show_default=True,
    help="Data directory.",
)
resource_option = click.option("--resource", default=DEFAULT, show_default=True, help="The resource (tenant).")
role_option = click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.USER.value,
    show_default=True,
    help="reader: look; user: also upload, create, cancel; admin: also keys.",
)


@click.group("keys")
def command() -> None:
    """Keys that people call the service with. Two per role, so that one can be changed while the other is in use.

    Only digests are stored: a key is shown once, when it is made. Without any key, and none in the configuration, the
    service listens on loopback only and lets everybody in.

    \b
    Examples:
      slackwater keys create --role user
      slackwater keys rotate --role user --key key1
      slackwater keys list
    """


@command.command("create")
@data_option
@resource_option
@role_option
def create(data: Path, resource: str, role: str) -> None:
    """Make both keys of a role. Those that it had stop working."""
    _show(_change(data, "create_keys", resource, role, lambda keys: keys.create(resource, Role(role))))


@command.command("rotate")
@data_option
@resource_option
@role_option
@click.option("--key", type=click.Choice([slot.value for slot in Slot]), required=True, help="Which of the two.")
def rotate(data: Path, resource: str, role: str, key: str) -> None:
    """Make one key anew; the other goes on working."""
    slot = Slot(key)
    made = _change(data, "rotate_key", resource, role, lambda keys: keys.rotate(resource, Role(role), slot), key=key)
    _show({slot: made})


@command.command("list")
@data_option
def list_keys(data: Path) -> None:
    """List the keys of all resources, without their values."""

    async def all_of(ledger: SqlLedger, keys: Keys) -> None:
        for key in keys.all():
            made = datetime.datetime.fromtimestamp(key.created_at, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
            click.echo(f"{key.resource}  {key.role.value}  {key.slot.value}  ...{key.hint}  {made}")
        if not keys.any:
            click.echo("there are no keys; make some with 'slackwater keys create'", err=True)

    _with_keys(data, all_of)


@command.command("delete")
@data_option
@resource_option
@role_option
def delete(data: Path, resource: str, role: str) -> None:
    """Take both keys of a role away."""
    if not _change(data, "delete_keys", resource, role, lambda keys: keys.delete(resource, Role(role))):
        click.echo(f"error: the role '{role}' of resource '{resource}' has no keys", err=True)
        sys.exit(1)


def _show(made: dict[Slot, str]) -> None:
    for slot, key in made.items():
        click.echo(f"{slot.value}  {key}")
    click.echo("these are shown only now; keep them where secrets are kept", err=True)


def _change(
    data: Path, action: str, resource: str, role: str, work: Callable[[Keys], Awaitable[T]], **detail: str
) -> T:
    """A change, and its entry in the audit log, in the words of the API; the entry is durable before a key is shown."""

    async def audited(ledger: SqlLedger, keys: Keys) -> T:
        result = await work(keys)
        if result:
            now = int(SystemClock().now())
            entry = AuditEntry(
                at=now, resource=resource, who=WHO, action=action, object=role, detail=dict(detail), request_id=""
            )
            await ledger.add_audit(entry)
        return result

    return _with_keys(data, audited)


def _with_keys(data: Path, work: Callable[[SqlLedger, Keys], Awaitable[T]]) -> T:
    async def run(path: Path) -> T:
        ledger = SqlLedger.open(path)
        try:
            keys = Keys(ledger, SystemClock())
            await keys.load()
            return await work(ledger, keys)
        finally:
            await ledger.close()

    try:
        with DataDirectory.open(data) as directory:
            return asyncio.run(run(directory.ledger_path))
    except DataDirectoryError as error:
        click.echo(f"error: {error}{RUNNING}", err=True)
    except UserError as error:
        click.echo(f"error: {error.message}", err=True)
    sys.exit(2)
