"""`slackwater deployments`: what `model` may be on a server of the contract."""

import sys
from typing import Any

import click

from slackwater.cli.deployment_states import state_of, states, watch_states
from slackwater.cli.operating import add_verbs
from slackwater.cli.output import INTERRUPTED, moment, print_facts, print_json, print_rows, text_of
from slackwater.cli.server_options import Asked, api_of, server_options


@click.group("deployments")
def command() -> None:
    """What 'model' may be on a server: the names that lines of an input file can have.

    With an administrator's key of Slackwater, their quotas and backends too. Azure lists the models of a resource here, not
    its deployments.

    \b
    Exit codes: 0 done, 1 it went wrong, 2 wrong usage, 130 interrupted.
    \b
    Examples:
      slackwater deployments list
      slackwater deployments watch
      slackwater deployments pause llama-batch --reason "new weights"
    """


def _told(found: dict[str, Any]) -> str:
    """How a deployment is, after a verb."""
    return f"{found.get('name')}: {state_of(found)}"


add_verbs(command, "deployments", "name", _told)


@command.command("list")
@server_options
def list_deployments(asked: Asked) -> None:
    """List them.

    In a pipe, each is a line with tabs between: name, model, SKU, state, enqueued tokens, their limit, backends, how it is now.
    """
    with api_of(asked) as api:
        found = api.deployments()
        if asked.as_json:
            print_json(found)
            return
        columns = ("name", "model", "SKU", "state", "enqueued tokens", "limit", "backends", "now")
        now = states(api)
        rows = [[*_row(each), now.get(text_of(each.get("name") or each.get("id")), "")] for each in found]
        print_rows(columns, rows, nothing="no deployments; an operator configures them")


def _row(deployment: dict[str, Any]) -> list[str]:
    properties = deployment.get("properties")
    if not isinstance(properties, dict):
        # A model, as the vendors list it. OpenAI says who owns it, Azure's dated versions what is behind it.
        return [
            text_of(deployment.get("id")),
            text_of(deployment.get("model")),
            "",
            text_of(deployment.get("status")),
            "",
            "",
            "",
        ]
    details = properties.get("slackwater") or {}
    limit = details.get("enqueuedTokenLimit")
    return [
        text_of(deployment.get("name")),
        text_of((properties.get("model") or {}).get("name")),
        text_of((deployment.get("sku") or {}).get("name")),
        text_of(properties.get("provisioningState")),
        text_of(details.get("enqueuedTokens")),
        "none" if limit is None else str(limit),
        str(len(details.get("backends") or [])),
    ]


@command.command("show")
@click.argument("name")
@server_options
def show(name: str, asked: Asked) -> None:
    """Show one of them."""
    with api_of(asked) as api:
        found = api.deployment(name)
        if asked.as_json:
            print_json(found)
        else:
            print_facts([*_facts("", found), ("now", states(api).get(name, ""))])


@command.command("watch")
@click.argument("name", required=False)
@click.option("--every", type=click.FloatRange(min=2), metavar="SECONDS", help="In a pipe: a line so often, too.")
@server_options
def watch(name: str | None, every: float | None, asked: Asked) -> None:
    """Follow how they are, or one of them, until Ctrl-C.

    On a terminal, a table with a row for each backend: the pace of its engine; requests of batches out, and how many may be;
    others, the requests of everybody else there; waiting, those that the engine has not begun with. Everybody's next token
    waits for a step of the engine: step is how many milliseconds one takes now, alone what it would take without batches, and
    target up to where more is sent. Then what batches get; online, how many times slower others' slow steps were than without
    batches, measured over about the last hour, of how many times the pace allows; and why nothing new is sent where that is so.

    In a pipe, a line whenever a state changes, with tabs between: moment, name, how it is now, then the columns of the table;
    of several backends, with commas between. With --json, the state of a deployment on a line.

    \b
    Exit codes: 130 interrupted (it has no other end), 1 it went wrong, 2 wrong usage.
    \b
    Examples:
      slackwater deployments watch
      slackwater deployments watch llama-batch --every 60 >> pacing.tsv
      slackwater deployments watch --json | jq -c '[.name, .backends[].pacing.frozen]'
    """
    with api_of(asked) as api:
        try:
            watch_states(api, name, as_json=asked.as_json, every=every)
        except KeyboardInterrupt:
            # It has no other end, so nothing is wrong with this one.
            sys.exit(INTERRUPTED)


def _facts(prefix: str, found: dict[str, Any]) -> list[tuple[str, str]]:
    """Nested objects as `properties.model.name`, which is what people look for with grep."""
    facts: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, dict):
            facts += _facts(f"{prefix}{name}.", value)
        else:
            facts.append((prefix + name, moment(value) if name in ("created", "created_at") else text_of(value)))
    return facts
