"""`slackwater engines`: the upstreams of a service, each a scheme, a host and a port. For whoever runs it."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

from slackwater.cli.operating import add_verbs
from slackwater.cli.output import moment, note, print_facts, print_json, print_rows, text_of
from slackwater.cli.server_options import Asked, server_options, service_of
from slackwater.cli.states import pacing_line, quiet_line, state_line

if TYPE_CHECKING:
    from slackwater.client.api import Api


@click.group("engines")
def command() -> None:
    """The engines behind a server's deployments: how they are, pause, resume, pace, try.

    An engine is named by its id, as 'list' shows it, or by its URL. It serves every resource, so this needs a key of the
    service.

    \b
    Exit codes: 0 done, 1 it went wrong, 2 wrong usage, 130 interrupted.
    \b
    Examples:
      slackwater engines list
      slackwater engines pause http://engine.local:8000 --reason "new driver"
      slackwater engines resume http:engine.local:8000
      slackwater engines pace http:engine.local:8000 strict
    """


def _service(asked: Asked) -> AbstractContextManager["Api"]:
    return service_of(asked, "engines")


@command.command("list")
@server_options
def list_engines(asked: Asked) -> None:
    """List them.

    In a pipe, each is a line with tabs between: id, state, requests in flight, slots, how it is in words, deployments, how it is
    paced.
    """
    with _service(asked) as api:
        found = api.engines()
        if asked.as_json:
            print_json(found)
            return
        columns = ("id", "state", "in flight", "slots", "now", "deployments", "pace")
        print_rows(columns, map(_row, found), nothing="no engines; an operator configures deployments with backends")


def _row(engine: dict[str, Any]) -> list[str]:
    return [
        text_of(engine.get("id")),
        text_of(engine.get("state")),
        text_of(engine.get("in_flight")),
        text_of(engine.get("slots")),
        _now(engine),
        ", ".join(engine.get("deployments") or []),
        pacing_line(engine.get("pacing") or {}),
    ]


@command.command("show")
@click.argument("engine")
@server_options
def show(engine: str, asked: Asked) -> None:
    """Show one of them."""
    with _service(asked) as api:
        found = api.engine(engine)
        if asked.as_json:
            print_json(found)
            return
        facts = {
            name: value for name, value in found.items() if name not in ("object", "pause", "deployments", "pacing")
        }
        facts |= {"deployments": ", ".join(found.get("deployments") or []), "now": _told(found)}
        facts["pace"] = pacing_line(found.get("pacing") or {})
        print_facts(
            (name, moment(value) if name in ("since", "until", "quiet_since") else text_of(value))
            for name, value in facts.items()
        )


@command.command("pace")
@click.argument("engine")
@click.argument("pace")
@server_options
def pace(engine: str, pace: str, asked: Asked) -> None:
    """Say how much of ENGINE batches may take beside others.

    PACE is one of these. Others are the online users of the engine; what is said of them is held where its metrics page is found.

    \b
      gentle      others' slowest tokens come at most a quarter later; batches get
                  what that leaves. The default where a metrics page is found.
      strict      at most a twentieth later. Batches get about half as much, and
                  often nothing while the engine is busy.
      50ms        others' slowest tokens may take this long (1ms to 10s), or a
                  quarter longer than without batches where that is more.
      full        batches take all that is free, and nothing new goes while others
                  wait. Others' tokens come as late as at a full engine.
      fixed       as many requests as 'concurrency' says, whoever else is there.
                  Nobody looks at the engine, and others pay for it.
      configured  back to what the configuration says.

    It holds at once, also after a restart of the server, and goes before the configuration until 'configured' takes it back.
    'engines show' says which pace holds, and where it comes from.

    \b
    Examples:
      slackwater engines pace http://127.0.0.1:8000 strict
      slackwater engines pace http://127.0.0.1:8000 50ms
      slackwater engines pace http://127.0.0.1:8000 configured
    """
    with _service(asked) as api:
        found = api.pace(engine, pace)
        if asked.as_json:
            print_json(found)
        else:
            note(f"{found.get('id')}: {pacing_line(found.get('pacing') or {})}")


def _told(engine: dict[str, Any]) -> str:
    return f"{engine.get('id')} is {_now(engine)}"


def _now(engine: dict[str, Any]) -> str:
    quiet = quiet_line(engine.get("quiet_since"), engine.get("in_flight")) if engine.get("state") == "ok" else ""
    return f"ok, but {quiet}" if quiet else state_line(engine, health="state")


add_verbs(command, "engines", "engine", _told, calls=_service)
