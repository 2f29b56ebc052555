"""`slackwater members`: the servers and workers that share a ledger, as one of them says it, or as the database does."""

from pathlib import Path
from typing import Any

import click

from slackwater.cli.output import USAGE, fail, note, print_json, print_rows, text_of
from slackwater.cli.server_options import Asked, server_options, service_of, told
from slackwater.core.watching.cluster import counted


@click.command("members")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="Ask the database that this configuration names, and no server.",
)
@server_options
def command(config_path: Path | None, asked: Asked) -> None:
    """List the servers and workers that share a ledger: what each is, when it was last heard of, and what it has in hand.

    A server is asked with a key of the service; with --config, the ledger's database is, also where no server answers. What is
    wrong with them together is said on standard error, and so is that nobody is there.

    A "server" answers calls and sends to engines, an "api" answers ('serve --no-sending'), a "worker" sends. One of them has the
    watch over the others: it frees what a dead one had in hand.

    In a pipe, each is a line with tabs between: id, host, kind, version, state, seconds since it said that it lives, what it has
    in hand, tokens a second.

    \b
    Exit codes: 0 done, also where nobody is there, 1 it went wrong, 2 wrong usage, 130 interrupted.
    \b
    Examples:
      slackwater members
      slackwater members --config slackwater.toml
      slackwater members --json | jq '.data[].host'
    """
    found = _of_server(asked) if config_path is None else _of_database(config_path, asked)
    listed = found.get("data") or []
    if not listed:
        note(f"no server or worker works with the ledger; start one: slackwater serve --config {config_path or 'FILE'}")
    if asked.as_json:
        print_json(found)
        return
    if not listed:
        return
    columns = ("id", "host", "kind", "version", "state", "heard of", "in hand", "tokens/s")
    print_rows(columns, map(_row, listed), nothing="")
    for each in found.get("warnings") or []:
        note(f"warning: {each.get('message')} -> {each.get('fix')}")


def _of_server(asked: Asked) -> dict[str, Any]:
    with service_of(asked, "members") as api:
        return api.members()


def _of_database(config_path: Path, asked: Asked) -> dict[str, Any]:
    if asked.named:
        raise click.UsageError(f"{asked.named_by} names a server, and --config a database; one of them is asked")
    # Imported here: who asks a server needs none of it.
    import msgspec

    from slackwater.api.members import member_list
    from slackwater.config import database_in, server_in
    from slackwater.core.errors import DataDirectoryError, StorageTrouble
    from slackwater.wiring.members_at import members_at

    with told():
        server_in(config_path)
        address = database_in(config_path)
        if not address:
            fail(
                f"{config_path} names no database, and an embedded ledger has one server: ask that with --server",
                USAGE,
            )
        try:
            members = members_at(address)
        except (StorageTrouble, DataDirectoryError) as error:
            fail(str(error))
    found: dict[str, Any] = msgspec.to_builtins(member_list(members.views, members.concerns, shared=True))
    return found


def _row(member: dict[str, Any]) -> list[str]:
    return [
        text_of(member.get("id")),
        text_of(member.get("host")),
        text_of(member.get("kind")),
        text_of(member.get("version")),
        text_of(member.get("state")),
        text_of(member.get("lag_seconds")),
        in_hand(member),
        text_of(member.get("tokens_per_second")),
    ]


def in_hand(member: dict[str, Any]) -> str:
    """What it has in hand, on a line."""
    shards = sum(each["shards"] for each in member.get("shards") or [])
    slots = sum(each["slots"] for each in member.get("engines") or [])
    parts = [
        "watch over the others" if member.get("watching") else "",
        counted(shards, "shard") if shards else "",
        *(f"{each['duty']} {each['count']}" for each in member.get("duties") or []),
        f"{counted(member['requests_out'], 'request')} out" if member.get("requests_out") else "",
        counted(slots, "slot") if slots else "",
    ]
    return ", ".join(filter(None, parts))
