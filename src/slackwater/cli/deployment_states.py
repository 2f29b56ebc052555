"""How the deployments of a server are: in a line each, now and whenever that changes."""

import time
from typing import TYPE_CHECKING, Any

import click
import msgspec

from slackwater.cli.output import fail, moment, note, safe
from slackwater.cli.states import quiet_line, state_line
from slackwater.core.errors import CallFailed, ServerUnreachable

if TYPE_CHECKING:
    from slackwater.client.api import Api

LOOK_SECONDS = 2.0


def state_of(state: dict[str, Any]) -> str:
    """How a deployment is: its pause, or else its backends, those first that take nothing."""
    pause = state.get("pause")
    if isinstance(pause, dict):
        return state_line({"health": "paused", "pause": pause, "since": pause.get("since")})
    backends = _backends(state)
    troubled = [each for each in backends if each.get("health") != "ok" or _quiet(each)]
    if not troubled:
        return "ok" if backends else "no backends"
    said = "; ".join(
        f"{each.get('name')}: {_quiet(each)}"
        if each.get("health") == "ok"
        else f"{each.get('name')} is {state_line(each)}".replace(" is refuses ", " refuses ")
        for each in sorted(troubled, key=lambda each: each.get("health") == "ok")
    )
    return said if len(troubled) == len(backends) else f"{said}; {len(backends) - len(troubled)} ok"


def _quiet(backend: dict[str, Any]) -> str:
    return quiet_line(backend.get("quiet_since"), backend.get("in_flight"))


def states(api: "Api") -> dict[str, str]:
    """How deployments are now, by name, where the server says so."""
    if not api.ours:
        return {}
    try:
        return {str(each.get("name")): state_of(each) for each in api.deployment_states()}
    except CallFailed:
        # An older server does not have it.
        return {}


def watch_states(api: "Api", name: str | None, *, as_json: bool) -> None:
    """Prints how each deployment is, or the one of that name, and again whenever that changes. Does not return by itself.

    A server that is away is waited for, once it has answered. Raises CallFailed, KeyboardInterrupt.
    """
    if not api.ours:
        fail("only Slackwater's servers say how their deployments are")
    known: dict[str, object] = {}
    away = False
    while True:
        try:
            found = {str(each.get("name")): each for each in api.deployment_states()}
        except CallFailed as failed:
            if not known or not (isinstance(failed, ServerUnreachable) or (failed.status or 0) >= 500):
                raise
            if not away:
                note(f"{failed.message} (waiting for it)")
            away = True
        else:
            away = False
            if name is not None and name not in found:
                if name not in known:
                    fail(f"there is no deployment '{name}'; there are {', '.join(sorted(found))}")
                found[name] = {"name": name}
            for each in (found[name],) if name is not None else found.values():
                _show_if_new(each, known, as_json=as_json)
            for gone in known.keys() - found.keys():
                del known[gone]
                _show(gone, "gone")
        time.sleep(LOOK_SECONDS)


def _show_if_new(state: dict[str, Any], known: dict[str, object], *, as_json: bool) -> None:
    """The moments of the next tries are no news."""
    name, news = str(state.get("name")), (state.get("pause"), _healths(state))
    if known.get(name) == news:
        return
    known[name] = news
    if as_json:
        click.echo(msgspec.json.encode(state).decode())
    else:
        _show(name, state_of(state))


def _show(name: str, now: str) -> None:
    click.echo("\t".join(map(safe, (moment(time.time()), name, now))))


def _healths(state: dict[str, Any]) -> list[tuple[object, ...]]:
    return [(each.get("name"), each.get("health"), each.get("reason"), bool(_quiet(each))) for each in _backends(state)]


def _backends(state: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in state.get("backends") or [] if isinstance(each, dict)]
