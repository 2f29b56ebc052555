"""`slackwater keys`: keys of a resource, in a data directory that no server is using, or through a server that runs."""

import asyncio
import datetime
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from slackwater.adapters.disk.data_directory import IN_USE_HERE, DataDirectory
from slackwater.adapters.sql.identity import damage_in_words
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.cli.data_options import Data, data_options
from slackwater.cli.output import USAGE, fail, note, print_json
from slackwater.cli.server_options import Asked, api_of, server_or_data_options
from slackwater.core.accounts.resource import DEFAULT, Role, Slot
from slackwater.core.errors import DataDirectoryError, DataDirectoryInUse, StorageTrouble, UserError
from slackwater.pipeline.accounts.keys import Keys
from slackwater.ports import AuditEntry
from slackwater.wiring.belonging import open_ledger, refuse_strangers
from slackwater.wiring.members_at import in_use_by

T = TypeVar("T")
# Who did it, in the audit log: whoever may write into the data directory.
WHO = "command line"
RUNNING = "; if a server is running on it, ask that one, with an administrator's key: add --server http://HOST:PORT"
ONCE = "these are shown only now; keep them where secrets are kept"
NO_KEYS = "there are no keys; make some with 'slackwater keys create'"
WHERE = "[default: slackwater-data, where nothing names a server]"

resource_option = click.option(
    "--resource", help=f"The resource (tenant), in a data directory.  [default: {DEFAULT}; a server: the key's]"
)
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

    While a server is running, name it with --server, --profile or SLACKWATER_URL, and have the key of an administrator in
    SLACKWATER_API_KEY. Without a server, keys are changed in its data directory: name the server's --config, or --data.

    \b
    Exit codes: 0 done, 1 it went wrong, 2 wrong usage.
    \b
    Examples:
      slackwater keys create --role user --config slackwater.toml
      slackwater keys rotate --role user --key key1
      slackwater keys list
      slackwater keys create --role reader --server http://127.0.0.1:8080
    """


@command.command("create")
@data_options(default=WHERE)
@resource_option
@role_option
@server_or_data_options
def create(data: Data, resource: str | None, role: str, asked: Asked) -> None:
    """Make both keys of a role. Those that it had stop working."""
    if _on_server(data, resource, asked):
        with api_of(asked) as api:
            made = _values(api.create_keys(role))
            note(f"keys of {api.connection.target.url}")
    else:
        owner = resource or DEFAULT
        if data.resources is not None and owner not in data.resources:
            names = ", ".join(sorted(data.resources))
            fail(f"the configuration has no resource '{owner}', so nobody could use its keys; it has {names}", USAGE)
        made = _change(data, "create_keys", owner, role, lambda keys: keys.create(owner, Role(role)))
    _show(made, asked)


@command.command("rotate")
@data_options(default=WHERE)
@resource_option
@role_option
@click.option("--key", type=click.Choice([slot.value for slot in Slot]), required=True, help="Which of the two.")
@server_or_data_options
def rotate(data: Data, resource: str | None, role: str, key: str, asked: Asked) -> None:
    """Make one key anew; the other goes on working."""
    if _on_server(data, resource, asked):
        with api_of(asked) as api:
            made = _values(api.rotate_key(role, key))
            note(f"keys of {api.connection.target.url}")
    else:
        data.must_exist()
        owner, slot = resource or DEFAULT, Slot(key)
        value = _change(data, "rotate_key", owner, role, lambda keys: keys.rotate(owner, Role(role), slot), key=key)
        made = {slot: value}
    _show(made, asked)


@command.command("list")
@data_options(default=WHERE)
@server_or_data_options
def list_keys(data: Data, asked: Asked) -> None:
    """List the keys of all resources, without their values; on a server, those of the resource of your key."""
    if _on_server(data, None, asked):
        with api_of(asked) as api:
            found = api.keys()
            note(f"keys of {api.connection.target.url}")
    else:
        data.must_exist()
        found = _with_keys(data, _all_of)
    if asked.as_json:
        print_json(found)
        return
    for key in found:
        click.echo(
            "  ".join([*(key[name] for name in ("resource", "role", "name", "hint") if name in key), _made(key)])
        )
    if not found:
        note(NO_KEYS)


async def _all_of(_: SqlLedger, keys: Keys) -> list[dict[str, Any]]:
    return [
        {
            "resource": key.resource,
            "role": key.role.value,
            "name": key.slot.value,
            "hint": f"...{key.hint}",
            "created_at": key.created_at,
        }
        for key in keys.all()
    ]


def _made(key: dict[str, Any]) -> str:
    return datetime.datetime.fromtimestamp(key["created_at"], datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


@command.command("delete")
@data_options(default=WHERE)
@resource_option
@role_option
@server_or_data_options
def delete(data: Data, resource: str | None, role: str, asked: Asked) -> None:
    """Take both keys of a role away."""
    if _on_server(data, resource, asked):
        with api_of(asked) as api:
            gone = api.delete_keys(role)
            note(f"keys of {api.connection.target.url}")
        if asked.as_json:
            print_json(gone)
        return
    data.must_exist()
    owner = resource or DEFAULT
    if not _change(data, "delete_keys", owner, role, lambda keys: keys.delete(owner, Role(role))):
        click.echo(f"error: the role '{role}' of resource '{owner}' has no keys", err=True)
        sys.exit(1)
    if asked.as_json:
        print_json({"resource": owner, "role": role, "deleted": True})


def _on_server(data: Data, resource: str | None, asked: Asked) -> bool:
    """Whether a server is meant, and not a data directory. An option of either kind counts for more than the environment."""
    if data.given and not asked.named:
        return False
    by = asked.named_by
    if by and (data.given or resource is not None):
        way = "" if asked.named else "; name the data directory with --data or --config"
        raise click.UsageError(
            f"{by} names a server, which changes the keys of one resource, your key's; --data, --config and --resource go "
            f"without it{way}"
        )
    return bool(by)


def _values(found: list[dict[str, Any]]) -> dict[Slot, str]:
    """The new ones among the keys that a server has answered with."""
    return {Slot(key["name"]): key["value"] for key in found if key.get("value")}


def _show(made: dict[Slot, str], asked: Asked) -> None:
    if asked.as_json:
        print_json({slot.value: key for slot, key in made.items()})
    else:
        for slot, key in made.items():
            click.echo(f"{slot.value}  {key}")
    note(ONCE)


def _change(
    data: Data, action: str, resource: str, role: str, work: Callable[[Keys], Awaitable[T]], **detail: str
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


def _with_keys(data: Data, work: Callable[[SqlLedger, Keys], Awaitable[T]]) -> T:
    async def run(directory: DataDirectory) -> T:
        ledger = await asyncio.to_thread(open_ledger, directory, data.database)
        try:
            keys = Keys(ledger, SystemClock())
            await keys.load()
            return await work(ledger, keys)
        finally:
            await ledger.close()

    new = (
        ""
        if data.path.exists() or data.database
        else ", which is new: the server has to have the same --data, or the same --config"
    )
    try:
        directory = DataDirectory.open(data.path, in_use=IN_USE_HERE)
    except DataDirectoryInUse as error:
        fail(f"{in_use_by(data.database) or error}{RUNNING}", USAGE)
    except DataDirectoryError as error:
        fail(str(error), USAGE)
    try:
        with directory:
            refuse_strangers(directory.path, data.database, files=data.files)
            with damage_in_words(directory.ledger_path):
                done = asyncio.run(run(directory))
            note(f"keys in {data.ledger_shown}{new}")
            return done
    except (DataDirectoryError, StorageTrouble) as error:
        click.echo(f"error: {error}", err=True)
    except UserError as error:
        click.echo(f"error: {error.message}", err=True)
    sys.exit(2)
