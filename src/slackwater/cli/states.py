"""How backends, engines and batches are, in plain words on one line: health, why, since when, and the next look."""

import time
from collections.abc import Mapping
from typing import Any

from slackwater.cli.output import moment

# Calls that are out for longer without any coming back are worth a word.
QUIET_SECONDS = 10.0
WORDS = {
    "ok": "ok",
    "busy": "busy",
    "refusing": "refuses the service's calls",
    "blocked": "blocked: its account may not go on",
    "down": "down",
    "paused": "paused by an operator",
}
# Of a batch that is held back although others of its deployment are answered.
ALONE = {
    "busy": "the engine has told this batch alone to wait",
    "refusing": "the engine refuses what is left of it, and answers others",
    "blocked": "the engine says to what is left of it that the account may not go on, and answers others",
    "down": "what is left of it has failed, and waits for another try",
}


def state_line(state: Mapping[str, Any], *, health: str = "health", words: str = "") -> str:
    """A state of the API in words; `health` is the name of its field, `words` stand for its usual ones."""
    said = str(state.get(health) or "")
    pause = state.get("pause") if isinstance(state.get("pause"), dict) else None
    who = state.get("who") or (pause or {}).get("who")
    line = words or WORDS.get(said, said)
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
    what, health = str(waiting_on.get("what") or "backend"), str(waiting_on.get("health") or "")
    if what == "batch" and health in ALONE:
        return state_line(waiting_on, words=ALONE[health])
    if what == "disk":
        return state_line(waiting_on, words="the service waits for its disk")
    if what == "engine" and health == "busy":
        return state_line(waiting_on, words="the engine is taken")
    what, name = what.replace("_", " "), waiting_on.get("backend")
    subject = f"the {what}" if not name or what in ("batch", "deployment") else f"the {what} {name}"
    return f"{subject} is {state_line(waiting_on)}".replace(" is refuses ", " refuses ")


def quiet_line(since: object, out: object) -> str:
    """That calls are out and none has come back, `since` a moment of the API; empty where that is not so, or not for long."""
    if not isinstance(since, int | float) or time.time() - since < QUIET_SECONDS:
        return ""
    calls = f" ({out:,} out)" if isinstance(out, int) and out else ""
    return f"no answer since {moment(since)}{calls}"


def delay_line(state: Mapping[str, Any]) -> str:
    """Why a batch does not get on, of its progress or its row in the overview; empty while it does, as far as is known."""
    waiting_on = state.get("waiting_on")
    if isinstance(waiting_on, dict):
        return waiting_line(waiting_on)
    return quiet_line(state.get("quiet_since"), state.get("requests_out"))


def _no_page(pacing: Mapping[str, Any]) -> str:
    why = pacing.get("why")
    return f"its metrics page cannot be read: {why}" if why else "it has no metrics page"


def pace_line(pacing: Mapping[str, Any]) -> str:
    """The pace of an engine, and where it comes from where that is not the configuration. Empty where nobody knows."""
    pace = str(pacing.get("pace") or "")
    if pacing.get("pace_from") != "command" or not pace:
        return pace
    configured = pacing.get("configured_pace")
    return f"{pace} (by command" + (")" if configured == pace else f"; configured: {configured})")


def _felt(pacing: Mapping[str, Any]) -> str:
    """What was measured of how others feel us; empty where it has not been yet."""
    slower, most = pacing.get("slower"), pacing.get("slower_most")
    if not isinstance(slower, int | float):
        return ""
    allowed = f" (of {most:.2f} allowed)" if isinstance(most, int | float) else ""
    return f"others' slow steps {slower:.2f} times as long as without us{allowed}"


def pacing_line(pacing: Mapping[str, Any]) -> str:
    """How an engine is paced, on one line: `gentle: 12 may be out, others 31, step 23.1 of 24.0 ms`. Empty where nobody knows."""
    pace, state = pace_line(pacing), pacing.get("state")
    if not pace:
        return ""
    if state not in ("paced", "lost", "answers"):
        why = {"absent": _no_page(pacing), "looking": "its metrics page is being looked for"}.get(str(state))
        return f"{pace}, not paced: {why}" if why else pace
    said = [f"{pacing.get('window')} may be out"]
    if state == "lost":
        return f"{pace}: {said[0]}; its metrics page cannot be read"
    if state == "answers":
        said[0] += f", by how long answers take ({_no_page(pacing)})"
    if pacing.get("others"):
        said.append(f"others {pacing['others']}")
    if pacing.get("step_ms") is not None:
        target = pacing.get("target_ms")
        said.append(f"step {pacing['step_ms']}" + (" ms" if target is None else f" of {target} ms"))
    if felt := _felt(pacing):
        said.append(felt)
    if pacing.get("slice_tokens"):
        said.append(f"long prompts in slices of {pacing['slice_tokens']} tokens")
    if pacing.get("frozen"):
        said.append(f"nothing new: {pacing['frozen']}")
    return f"{pace}: {', '.join(said)}"
