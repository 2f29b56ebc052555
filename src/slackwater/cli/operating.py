"""The verbs pause, resume and try, which engines, deployments and batches have in common."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

from slackwater.cli.output import note, print_json
from slackwater.cli.server_options import Asked, api_of, server_options

if TYPE_CHECKING:
    from slackwater.client.api import Api

Told = Callable[[dict[str, Any]], str]
Calls = Callable[[Asked], AbstractContextManager["Api"]]

PAUSED = {
    "engines": "Send an engine nothing new, whichever deployment asks, until it is resumed.",
    "deployments": "Send nothing new of a deployment, until it is resumed. It goes on taking batches.",
    "batches": "Send nothing new of a batch, until it is resumed. It can be cancelled, and its window goes on.",
}
TRIED = {
    "engines": "Look at once whether an engine works again, whatever it waits for.",
    "deployments": "Look at once whether the backends of a deployment work again.",
    "batches": "Try a batch at once that was told to wait.",
}
OUT = "Calls that are out end by themselves, and their results are kept. The pause outlives a restart of the server."
PAST = "Nothing is looked at past a pause."


def add_verbs(group: click.Group, kind: str, argument: str, told: Told, *, calls: Calls = api_of) -> None:
    """Adds the three to the commands of `kind`. `told` says in a line how the thing is then, `calls` is who is asked."""

    @group.command("pause", help=f"{PAUSED[kind]}\n\n{OUT}")
    @click.argument(argument)
    @click.option("--reason", metavar="TEXT", help="Why; whoever looks at it reads this.")
    @server_options
    def pause(asked: Asked, reason: str | None, **named: str) -> None:
        with calls(asked) as api:
            _do(api, "pause", kind, named[argument], asked, told, reason=reason)

    @group.command("resume", help="Go on with what was paused.")
    @click.argument(argument)
    @server_options
    def resume(asked: Asked, **named: str) -> None:
        with calls(asked) as api:
            _do(api, "resume", kind, named[argument], asked, told)

    @group.command("try", help=f"{TRIED[kind]}\n\n{PAST}")
    @click.argument(argument)
    @server_options
    def try_(asked: Asked, **named: str) -> None:
        with calls(asked) as api:
            _do(api, "try", kind, named[argument], asked, told)


def _do(api: "Api", verb: str, kind: str, name: str, asked: Asked, told: Told, *, reason: str | None = None) -> None:
    found = api.operate(verb, kind, name, reason=reason)
    if found is None:
        note(f"{name}: nothing uses it")
    elif asked.as_json:
        print_json(found)
    else:
        note(told(found))
