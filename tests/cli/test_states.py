"""How backends and batches are, in words. What stands still says why, in every view of the command line."""

import time
from typing import Any

import pytest

from slackwater.cli.deployment_figures import COLUMNS, figures, joined
from slackwater.cli.deployment_states import state_of
from slackwater.cli.states import delay_line, pacing_line, quiet_line, waiting_line

LONG_AGO, MOMENT = 1_790_000_000, "2026-09-21T14:13:20Z"


def waits(what: str, health: str, reason: str | None = "status 500", **more: Any) -> str:
    """What is said of it."""
    return waiting_line({"what": what, "health": health, "reason": reason, "backend": None, **more})


@pytest.mark.parametrize(
    ("what", "health", "begins"),
    [
        ("batch", "paused", "the batch is paused by an operator: "),
        ("batch", "busy", "the engine has told this batch alone to wait: "),
        ("batch", "refusing", "the engine refuses what is left of it, and answers others: "),
        (
            "batch",
            "blocked",
            "the engine says to what is left of it that the account may not go on, and answers others: ",
        ),
        ("batch", "down", "what is left of it has failed, and waits for another try: "),
        ("deployment", "paused", "the deployment is paused by an operator: "),
        ("engine", "paused", "the engine is paused by an operator: "),
        ("engine", "busy", "the engine is taken: "),
        ("content_filter", "down", "the content filter is down: "),
        ("disk", "down", "the service waits for its disk: "),
        ("backend", "refusing", "the backend refuses the service's calls: "),
    ],
)
def test_every_reason_has_words_of_its_own(what: str, health: str, begins: str) -> None:
    """With why, since when, and when it is looked at again."""
    assert waits(what, health).startswith(f"{begins}status 500")
    line = waits(what, health, "why", since=LONG_AGO, until=LONG_AGO)
    assert line == f"{begins}why, since {MOMENT}, looked at again at {MOMENT}"


def test_no_answer() -> None:
    """Where calls are out and none comes back; not for a moment, and not where there is a better reason."""
    assert quiet_line(LONG_AGO, 3) == f"no answer since {MOMENT} (3 out)"
    assert quiet_line(time.time() - 2, 3) == quiet_line(None, None) == ""
    quiet = {"quiet_since": LONG_AGO, "requests_out": 2}
    assert delay_line({"waiting_on": None, **quiet}) == f"no answer since {MOMENT} (2 out)"
    assert delay_line({"waiting_on": None, "quiet_since": None, "requests_out": 0}) == ""
    assert delay_line({"waiting_on": {"what": "batch", "health": "paused"}, **quiet}).startswith("the batch is paused")


def test_a_deployment_whose_engine_is_left_to_others() -> None:
    """That nothing new is sent is said, with why; that it is paced is not worth a word; what is lost is."""

    def backend(**pacing: object) -> dict[str, Any]:
        return {
            "name": "a",
            "health": "ok",
            "quiet_since": None,
            "pacing": {"state": "paced", "frozen": None, **pacing},
        }

    assert state_of({"backends": [backend()]}) == "ok"
    assert state_of({"backends": [backend(frozen="others wait")]}) == "a: nothing new is sent: others wait"
    assert (
        state_of({"backends": [backend(state="lost")]}) == "a: its metrics page cannot be read, half the window goes on"
    )
    assert state_of({"backends": [backend(state="absent"), backend(frozen="others wait")]}).endswith("; 1 ok")


def test_figures_of_an_engine() -> None:
    """In the order of the columns; of all deployments on it where that may be known; what is not known is empty."""
    pacing = {
        "pace": "strict",
        "state": "paced",
        "window": 16,
        "in_flight": 12,
        "others": 31,
        "waiting": 2,
        "step_ms": 18.24,
        "alone_ms": 15.0,
        "target_ms": None,
    }
    backend = {"name": "a", "in_flight": 3, "window": 9, "requests_per_second": 2.04, "tokens_per_second": 310.0}
    cells = ["strict", "12/16", "31", "2", "18.2", "15.0", "", "2.0", "310.0", ""]
    assert figures({**backend, "pacing": pacing}) == cells
    assert len(cells) == len(COLUMNS)
    assert figures({**backend, "pacing": pacing | {"in_flight": None}})[1] == "3/16"
    felt = pacing | {"slower": 1.117, "slower_most": 1.25}
    assert figures({**backend, "pacing": felt})[-1] == "1.12/1.25"
    assert figures({**backend, "pacing": felt | {"slower_most": None}})[-1] == "1.12"
    # An older server says nothing of pacing.
    assert figures(backend) == ["", "3/9", "", "", "", "", "", "2.0", "310.0", ""]
    assert joined([{**backend, "pacing": pacing}, backend])[:2] == ["strict,", "12/16,3/9"]
    assert joined([]) == [""] * len(COLUMNS)


def test_where_a_pace_comes_from() -> None:
    """What an operator has said while the server ran hides the configuration, so both are told; and what others feel."""
    pacing = {"pace": "strict", "pace_from": "configuration", "configured_pace": "strict", "state": "off"}
    assert pacing_line(pacing) == "strict"
    assert pacing_line(pacing | {"pace_from": "command"}) == "strict (by command)"
    said = pacing | {"pace_from": "command", "configured_pace": "fixed", "state": "paced", "window": 3}
    assert pacing_line(said) == "strict (by command; configured: fixed): 3 may be out"
    felt = pacing_line(said | {"slower": 1.117, "slower_most": 1.05})
    assert felt.endswith("3 may be out, others' slow steps 1.12 times as long as without us (of 1.05 allowed)")
    assert pacing_line(said | {"slower": 1.3, "slower_most": None}).endswith("1.30 times as long as without us")
    # An older server does not say.
    assert pacing_line({"pace": "full", "state": "off"}) == "full"


def test_a_deployment_whose_backend_is_silent() -> None:
    """It is not simply ok; the others of it are counted."""
    well = {"name": "a", "health": "ok", "quiet_since": None}
    silent = {"name": "b", "health": "ok", "quiet_since": LONG_AGO, "in_flight": 4}
    down = {"name": "c", "health": "down", "reason": "status 500", "quiet_since": None}
    assert state_of({"backends": [well]}) == "ok"
    assert state_of({"backends": [silent]}) == f"b: no answer since {MOMENT} (4 out)"
    assert state_of({"backends": [silent, down, well]}) == (
        f"c is down: status 500; b: no answer since {MOMENT} (4 out); 1 ok"
    )
