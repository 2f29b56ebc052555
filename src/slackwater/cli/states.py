"""How backends, engines and batches are, in plain words on one line: health, why, since when, and the next look."""

from collections.abc import Mapping
from typing import Any

from slackwater.cli.output import moment

WORDS = {
    "ok": "ok",
    "busy": "busy",
    "refusing": "refuses the service's calls",
    "blocked": "blocked: its account may not go on",
    "down": "down",
    "paused": "paused by an operator",
}


def state_line(state: Mapping[str, Any], *, health: str = "health") -> str:
    """A state of the API in words; `health` is the name of the field that has it."""
    said = str(state.get(health) or "")
    pause = state.get("pause") if isinstance(state.get("pause"), dict) else None
    who = state.get("who") or (pause or {}).get("who")
    line = WORDS.get(said, said)
    if who:
        line += f" ({who})"
    if reason := state.get("reason") or (pause or {}).get("reason"):
        line += f": {reason}"
    if since := moment(state.get("since")):
        line += f", since {since}"
    if until := moment(state.get("until")):
        line += f", looked at again at {until}"
    elif said == "paused":
        line += ", until it is resumed"
    return line


def waiting_line(waiting_on: Mapping[str, Any]) -> str:
    """What a batch waits for."""
    what = str(waiting_on.get("what") or "backend")
    name = waiting_on.get("backend")
    subject = f"the {what}" if not name or what in ("batch", "deployment") else f"the {what} {name}"
    return f"{subject} is {state_line(waiting_on)}".replace(" is refuses ", " refuses ")
