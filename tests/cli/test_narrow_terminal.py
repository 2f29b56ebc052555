"""`deployments watch` on terminals of any width: nothing that is shown is cut, and what is left out is named."""

import io
from typing import Any

import pytest
from rich.console import Console

from slackwater.cli.batch_names import with_room
from slackwater.cli.deployment_figures import COLUMNS, Screen

FROZEN = "http://engine.local:8000/v1: nothing new is sent: even one request more would be more than the pace allows"


def deployment(name: str, backends: int = 1) -> dict[str, Any]:
    """One that is paced, with figures as long as they get."""
    pacing = {
        "pace": "gentle",
        "state": "paced",
        "window": 256,
        "in_flight": 201,
        "others": 131,
        "waiting": 12,
        "step_ms": 118.24,
        "alone_ms": 115.03,
        "target_ms": 121.9,
        "slower": 1.117,
        "slower_most": 1.25,
    }
    backend = {"requests_per_second": 12.04, "tokens_per_second": 12310.0, "pacing": pacing}
    return {
        "name": name,
        "backends": [{"name": f"http://engine-{each}.local:8000", **backend} for each in range(backends)],
    }


CELLS = ["gentle", "201/256", "131", "12", "118.2", "115.0", "121.9", "12.0", "12310.0", "1.12/1.25"]


def drawn(found: list[tuple[dict[str, Any], str]], width: int, away: str = "") -> list[str]:
    """The lines on a terminal of so many columns."""
    console = Console(file=io.StringIO(), width=width, height=50, force_terminal=True, color_system=None)
    screen = Screen(console)
    screen.draw(found, away=away)
    console.print(screen.shows)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 130, 240])
def test_every_figure_and_word_is_there(width: int) -> None:
    """At 80 columns, too: how a deployment is stands beside its figures where there is room, and above them where not."""
    lines = drawn([(deployment("llama-batch", 2), "ok"), (deployment("another"), FROZEN)], width)
    assert all(len(line.rstrip()) <= width for line in lines)
    text = "\n".join(lines)
    assert "…" not in text
    words = text.split()
    assert {*COLUMNS, "llama-batch", "another"} <= {word.rstrip(":") for word in words}
    assert sum(" ".join(line.split()).find(" ".join(CELLS)) >= 0 for line in lines) == 3
    assert all(word in words for word in FROZEN.split())


@pytest.mark.parametrize("width", [20, 40, 60])
def test_what_has_no_room_is_named(width: int) -> None:
    """The least important figures go first, and how many are out stays."""
    lines = drawn([(deployment("llama-batch"), "ok")], width)
    assert all(len(line.rstrip()) <= width for line in lines)
    text = " ".join(" ".join(lines).split())
    assert "201/256" in text
    assert "115.0" not in text
    assert "no room here for alone, req/s" in text
    assert "online" in text


def test_a_server_that_is_away_is_said() -> None:
    """Under what was known before it went, at any width."""
    for width in (80, 200):
        assert "it is away" in "\n".join(drawn([(deployment("llama-batch"), "ok")], width, away="it is away"))


def test_the_list_of_batches_has_room() -> None:
    """Which batch it is, what it is called, how it is and what it waits for stay at any width; an empty column is none."""
    row = {
        "id": "batch_" + "0" * 36,
        "job": "a name that may be broken into several lines",
        "status": "in_progress",
        "done": "3/4, 1 failed",
        "created": "2026-01-31 14:05:09",
        "deployment": "llama-batch",
        "metadata": "",
        "waits for": "",
    }
    assert with_room([row], 200) == ["id", "job", "status", "done", "created", "deployment"]
    assert with_room([row], 110) == ["id", "job", "status", "done", "deployment"]
    assert with_room([row], 80) == ["id", "job", "status"]
    waits = {**row, "waits for": "llama-batch is paused since 14:05, by ann"}
    assert with_room([row, waits], 80) == ["id", "job", "status", "waits for"]
    assert with_room([], 80) == []
