"""How the deployments of a server are: in a line each, now and whenever that changes."""

import time
from typing import TYPE_CHECKING, Any

import click
import msgspec

from slackwater.cli.deployment_figures import Screen, held, joined, on_terminal
from slackwater.cli.output import fail, moment, note, safe
from slackwater.cli.states import QUIET_SECONDS, quiet_line, state_line
from slackwater.cli.watching import is_away
from slackwater.core.errors import CallFailed

if TYPE_CHECKING:
    from slackwater.client.api import Api

LOOK_SECONDS = 2.0


def state_of(state: dict[str, Any]) -> str:
    """How a deployment is: its pause, or else its backends, those first that take nothing."""
    pause = state.get("pause")
    if isinstance(pause, dict):
        return state_line({"health": "paused", "pause": pause, "since": pause.get("since")})
    if unsent := _unsent(state):
        return state_line(unsent, words="waits")
    backends = _backends(state)
    troubled = [each for each in backends if each.get("health") != "ok" or _said(each)]
    if not troubled:
        return "ok" if backends else "no backends"
    said = "; ".join(
        f"{each.get('name')}: {_said(each)}"
        if each.get("health") == "ok"
        else f"{each.get('name')} is {state_line(each)}".replace(" is refuses ", " refuses ")
        for each in sorted(troubled, key=lambda each: each.get("health") == "ok")
    )
    return said if len(troubled) == len(backends) else f"{said}; {len(backends) - len(troubled)} ok"


def _unsent(state: dict[str, Any]) -> dict[str, Any] | None:
    """What is wrong with a deployment itself, however its backends are: nobody sends for it."""
    waiting = state.get("waiting_on")
    if isinstance(waiting, dict) and waiting.get("what") == "deployment" and waiting.get("health") == "down":
        return waiting
    return None


def _said(backend: dict[str, Any]) -> str:
    """What is to be said of a backend that is ok."""
    return _quiet(backend) or held(backend)


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


def watch_states(api: "Api", name: str | None, *, as_json: bool, every: float | None) -> None:
    """Shows how each deployment is, or the one of that name. Does not return by itself.

    At a terminal that is a table which follows them; otherwise a line for each, again whenever that changes, and after `every`
    seconds. A server that is away is waited for, once it has been reached. Raises CallFailed, KeyboardInterrupt.
    """
    if not api.ours:
        fail("only Slackwater's servers say how their deployments are")
    if as_json or not on_terminal():
        _follow(api, name, _Lines(as_json=as_json, every=every))
    else:
        with Screen().shown() as screen:
            _follow(api, name, screen)


class _Lines:
    """Lines of what is new."""

    def __init__(self, *, as_json: bool, every: float | None) -> None:
        self._as_json = as_json
        self._every = every
        self._known: dict[str, tuple[object, float]] = {}

    def draw(self, found: list[tuple[dict[str, Any], str]], *, away: str = "") -> None:
        if away:
            return
        now = time.monotonic()
        for state, words in found:
            name, news = str(state.get("name")), _news(state)
            before = self._known.get(name)
            if before is not None and before[0] == news and (self._every is None or now - before[1] < self._every):
                continue
            self._known[name] = (news, now)
            if self._as_json:
                click.echo(msgspec.json.encode(state).decode())
            else:
                _show(name, words, joined(_backends(state)))
        for gone in self._known.keys() - {str(state.get("name")) for state, _ in found}:
            del self._known[gone]
            if self._as_json:
                click.echo(msgspec.json.encode({"object": "deployment.status", "name": gone, "gone": True}).decode())
            else:
                _show(gone, "gone", joined([]))


def _follow(api: "Api", name: str | None, seen_by: "_Lines | Screen") -> None:
    found: list[tuple[dict[str, Any], str]] = []
    answered = away = False
    while True:
        try:
            states = {str(each.get("name")): each for each in api.deployment_states()}
        except CallFailed as failed:
            if not is_away(api, failed):
                raise
            if not away and isinstance(seen_by, _Lines):
                note(f"{failed.message} (waiting for it)")
            away = True
            seen_by.draw(found, away=f"{failed.message} (waiting for it; this is how it was)")
        else:
            if name is not None and name not in states:
                if not answered:
                    fail(f"there is no deployment '{name}'; there are {', '.join(sorted(states))}")
                states[name] = {"name": name}
            answered, away = True, False
            shown = [states[name]] if name is not None else list(states.values())
            found = [(each, state_of(each)) for each in shown]
            seen_by.draw(found)
        time.sleep(LOOK_SECONDS)


def _news(state: dict[str, Any]) -> object:
    """What of a state is worth a line. The moments of the next tries are not, nor are figures, nor what lasts a moment only."""
    return (
        state.get("pause"),
        _unsent(state),
        [
            (
                each.get("name"),
                each.get("health"),
                None if each.get("health") == "ok" else each.get("reason"),
                bool(_quiet(each)),
                (each.get("pacing") or {}).get("pace"),
                (each.get("pacing") or {}).get("state"),
                held(each) if _lasts((each.get("pacing") or {}).get("frozen_since")) else "",
            )
            for each in _backends(state)
        ],
    )


def _lasts(since: object) -> bool:
    return not isinstance(since, int | float) or time.time() - since >= QUIET_SECONDS


def _show(name: str, now: str, cells: list[str]) -> None:
    click.echo("\t".join(map(safe, (moment(time.time()), name, now, *cells))))


def _backends(state: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in state.get("backends") or [] if isinstance(each, dict)]
