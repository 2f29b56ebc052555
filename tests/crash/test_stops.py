"""Gentle stops of a real server under load. `make test-stops` makes 200 of them; these few run with the tests."""

from pathlib import Path

import pytest

from tests.crash.stops import KINDS, Stops

# The moments at which most can be lost.
CHOSEN = ("sending", "start", "last", "second")


@pytest.mark.crash
@pytest.mark.parametrize(
    "kinds", [CHOSEN, pytest.param(tuple(dict.fromkeys(KINDS)), marks=pytest.mark.long)], ids=["chosen", "all"]
)
def test_a_stop_costs_nothing_that_was_answered(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    """At each of the moments once: the server ends in time and with code 0, and what it had was not asked for again."""
    report = Stops(tmp_path, seed=3).play(len(kinds), kinds=kinds)
    assert report.sound(), report
    assert report.settled > 0
