"""What the log says of a database that is away: that it is, now and then that it still is, and that it is back."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.core.members import Kind
from slackwater.pipeline.watching.ledger_watch import BACK_SECONDS, LOOK_SECONDS, SAID_SECONDS, LedgerWatch
from slackwater.pipeline.watching.readiness import Readiness
from slackwater.ports import Away
from tests.pipeline.test_progress import Clock


class Place:
    """One who looks, at a database that may be away."""

    def __init__(self, kind: Kind = Kind.SERVER) -> None:
        self.clock = Clock()
        self.since: float | None = None
        self.watch = LedgerWatch(self.clock, kind, self.away)

    def away(self) -> Away | None:
        """For how long it is."""
        return None if self.since is None else Away(seconds=self.clock.at - self.since, why="it is off")

    def look(self, seconds: float) -> None:
        """Looks again and again for so long."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.clock.at += LOOK_SECONDS
            asyncio.run(self.watch.step())


def said(caplog: pytest.LogCaptureFixture) -> Sequence[str]:
    """The lines so far, and from now on only others."""
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return lines


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    """When it is lost, with what goes on meanwhile; each half a minute, with how long; when it is back, with how long it was."""
    place = Place()
    place.look(9)
    place.since = place.clock.at
    place.look(LOOK_SECONDS)
    (line,) = said(caplog)
    assert line == (
        "ledger_unavailable reason=it is off meanwhile=after some ten seconds nothing new is sent to engines, "
        "answers that come are kept in memory; calls are answered with 503"
    )
    place.look(SAID_SECONDS - LOOK_SECONDS)
    assert said(caplog) == []
    place.look(3 * SAID_SECONDS + 1)
    assert said(caplog) == [
        f"ledger_unavailable for_seconds={seconds} reason=it is off" for seconds in (30, 60, 90, 120)
    ]
    place.since = None
    place.look(LOOK_SECONDS)
    assert said(caplog) == ["ledger_back away_seconds=122"]
    place.look(99)
    assert said(caplog) == []


def test_who_stood_still_itself_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It finds an answer that it has not had, and the next look finds it there: nothing is said, not even that it is back."""
    place = Place()
    for _ in range(5):
        place.since = place.clock.at
        place.clock.at += 20
        place.look(LOOK_SECONDS)
        place.since = None
        place.look(1)
    assert (said(caplog), place.watch.is_away) == ([], False)
    place.since = place.clock.at
    place.clock.at += 20
    place.look(2 * LOOK_SECONDS)
    assert [line.split()[0] for line in said(caplog)] == ["ledger_unavailable"]


def test_one_that_comes_and_goes_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """There is no line for each time: when it has gone again at once, it is back when it stays. Readiness says the same."""
    place = Place()
    for _ in range(12):
        place.since = place.clock.at
        place.look(1)
        assert place.watch.is_away
        place.since = None
        place.look(BACK_SECONDS - 1)
    lines = [line.split()[0] for line in said(caplog)]
    assert lines == ["ledger_unavailable", "ledger_back", "ledger_unavailable", "ledger_unavailable"]
    assert place.watch.is_away
    place.look(BACK_SECONDS)
    assert [line.split()[0] for line in said(caplog)] == ["ledger_back"]
    assert not place.watch.is_away


def test_readiness_says_what_the_log_says(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In the same look, at the beginning and at the end, whatever the ledger itself knows by then."""
    place = Place()
    blobs = DiskBlobs(tmp_path)
    readiness = Readiness(stores={"ledger": blobs}, room=blobs, free_bytes_min=0)
    readiness.started(lambda: (), ledger_away=lambda: place.watch.is_away)
    story = []
    for since in (None, place.clock.at, None):
        place.since = since
        story += [(said(caplog), [each.code for each in readiness.reasons()])]
        place.look(LOOK_SECONDS)
        story += [([line.split()[0] for line in said(caplog)], [each.code for each in readiness.reasons()])]
    away = ["ledger_not_writable"]
    assert story == [([], []), ([], []), ([], []), (["ledger_unavailable"], away), ([], away), (["ledger_back"], [])]


@pytest.mark.parametrize(("kind", "words"), [(Kind.API, "calls are answered"), (Kind.WORKER, "after some ten seconds")])
def test_each_says_what_it_does(caplog: pytest.LogCaptureFixture, kind: Kind, words: str) -> None:
    """A worker answers no calls, and a server without sending sends nothing anyhow."""
    place = Place(kind)
    place.since = place.clock.at
    place.look(3)
    (line,) = said(caplog)
    assert line.partition("meanwhile=")[2].startswith(words)
    assert ";" not in line
