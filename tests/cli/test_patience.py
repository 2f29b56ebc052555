"""When a run stops although lines are left, and what it says it waits for. Pure: moments and counts in, a decision out."""

from typing import Any

import pytest

from slackwater.cli.patience import REFUSALS_MAX, Cause, Patience, Seen, gives_way, waiting
from slackwater.core.sending.door import DoorState
from slackwater.core.sending.evidence import Evidence, Kind, evidence_of

WRONG_KEY = evidence_of(401, b"", retry_after=None)
PAGE = Evidence(Kind.TROUBLE, "status 200: HTML", None, 200)
PATIENCE = Patience(slots=64, give_up_seconds=600.0)
NOW = 10_000.0


def seen(**what: object) -> Seen:
    """A run that goes well, but for `what`."""
    usual: dict[str, object] = {
        "now": NOW,
        "news": NOW - 1,
        "left": 100,
        "in_flight": 64,
        "state": DoorState.OK,
        "reason": "",
        "since": NOW - 100,
        "until": None,
        "refused": None,
        "readable": True,
    }
    return Seen(**usual | what)  # type: ignore[arg-type]


def cause(patience: Patience = PATIENCE, **what: object) -> Cause | None:
    """Why it stops."""
    stop = patience.stop(seen(**what))
    return None if stop is None else stop.cause


def test_a_run_that_goes_well_goes_on() -> None:
    """With nothing left, too: it is about to end."""
    assert cause() is None
    assert cause(left=0, in_flight=0, news=0.0, refused=(WRONG_KEY, 99), state=DoorState.REFUSING) is None


@pytest.mark.parametrize(
    ("slots", "left", "enough"), [(64, 1000, REFUSALS_MAX), (64, 3, 3), (4, 1000, 4), (1, 1000, 1), (64, 1, 1)]
)
def test_refusals(slots: int, left: int, enough: int) -> None:
    """Twenty that are alike, or as many as can be had at once; and a request of our own was refused with them."""
    patience = Patience(slots=slots, give_up_seconds=600.0)
    shut = {"left": left, "state": DoorState.REFUSING}
    assert cause(patience, refused=(WRONG_KEY, enough), **shut) is Cause.REFUSED
    assert cause(patience, refused=(WRONG_KEY, enough - 1), **shut) is None
    assert cause(patience, refused=(WRONG_KEY, 1_000), left=left) is None


def test_an_account_that_may_not_go_on() -> None:
    """One refusal is enough where the door is shut for it: then a request of our own has heard the same."""
    no_money = evidence_of(402, b"", retry_after=None)
    assert cause(refused=(no_money, 1), state=DoorState.BLOCKED) is Cause.REFUSED
    assert cause(refused=(no_money, 1), state=DoorState.OK) is None


@pytest.mark.parametrize(("left", "enough"), [(1000, REFUSALS_MAX), (3, 6), (1, 2)])
def test_what_is_no_answer(left: int, enough: int) -> None:
    """Twice for each line at most, whatever is known of the door, where nothing readable has ever come.

    Where something has, the endpoint has turned into something else if a request of our own is told so, too.
    """
    assert cause(refused=(PAGE, enough), left=left, readable=False) is Cause.REFUSED
    assert cause(refused=(PAGE, enough - 1), left=left, readable=False) is None
    assert cause(refused=(PAGE, 1_000), left=left, readable=True) is None
    assert cause(refused=(PAGE, enough), left=left, readable=True, state=DoorState.DOWN) is Cause.REFUSED
    assert cause(refused=(PAGE, enough - 1), left=left, readable=True, state=DoorState.DOWN) is None


@pytest.mark.parametrize("state", [DoorState.OK, DoorState.BUSY, DoorState.DOWN, DoorState.REFUSING])
def test_nothing_succeeds(state: DoorState) -> None:
    """However the endpoint is, and never where that was wanted."""
    assert cause(state=state, news=NOW - 600) is Cause.UNANSWERED
    assert cause(state=state, news=NOW - 599) is None
    assert cause(Patience(slots=64, give_up_seconds=0), state=state, news=0.0) is None


@pytest.mark.parametrize(
    ("amount", "answered", "in_flight", "left", "stops"),
    [
        (1000, 10, 0, 5, True),
        (901, 11, 0, 5, False),
        (920, 10, 0, 5, True),
        (950, 10, 10, 50, False),
        (1000, 10, 10, 50, True),
        (2000, 10, 5, 5, False),
        (0, 0, 64, 100, False),
    ],
)
def test_what_may_be_spent(amount: int, answered: int, in_flight: int, left: int, stops: bool) -> None:
    """It ends once another would be too much and none is out; when all that is left is out, there is nothing to spare."""
    patience = Patience(slots=64, give_up_seconds=600.0, amount_max=1000)
    found = cause(patience, amount=amount, answered=answered, tokens=answered, in_flight=in_flight, left=left)
    assert found is (Cause.SPENT if stops else None)


def test_a_guard_that_cannot_guard_stops() -> None:
    """Answers that do not say what they took cannot be reckoned with."""
    patience = Patience(slots=64, give_up_seconds=600.0, amount_max=1000)
    stop = patience.stop(seen(answered=1, tokens=0))
    assert stop is not None
    assert "do not say how many tokens" in stop.said


def test_what_it_waits_for() -> None:
    """Health and reason in one text that stays, the moments in one that changes."""
    down = seen(state=DoorState.DOWN, reason="status 500 (dead)", since=NOW - 90, until=NOW + 20, news=NOW - 90)
    assert waiting(down) == ("the endpoint is down: status 500 (dead)", "for 1 min 30 s, next try in 20 s")
    page = seen(state=DoorState.DOWN, reason="status 200: HTML", since=NOW - 3, refused=(PAGE, 9))
    assert waiting(page) == ("the endpoint gives no readable answer: status 200: HTML", "for 3 s")
    assert (
        waiting(seen(refused=(PAGE, 9), readable=False))[0] == "the endpoint gives no readable answer: status 200: HTML"
    )
    silent = seen(news=NOW - 42, in_flight=3)
    assert waiting(silent) == ("the endpoint has not answered", "for 42 s")
    assert waiting(seen()) == ("", "")
    assert waiting(seen(state=DoorState.BUSY, since=NOW - 1, news=NOW - 2)) == ("", ""), "a moment is not worth a word"
    busy = seen(state=DoorState.BUSY, reason="status 429", since=NOW - 30, until=NOW + 30, news=NOW - 40)
    assert waiting(busy) == ("the endpoint is busy: status 429", "for 30 s, next try in 30 s")


@pytest.mark.parametrize(
    ("what", "gives"),
    [
        ({"reason": "The engine is left to its online users: others wait for capacity."}, True),
        ({"reason": "leaves 100 tokens of this minute to others"}, True),
        ({"reason": ""}, False),
        ({"reason": "status 500", "state": DoorState.REFUSING}, False),
        ({"reason": "leaves 100 tokens of this minute to others", "in_flight": 1}, False),
    ],
)
def test_who_gives_way_to_others(what: dict[str, Any], gives: bool) -> None:
    """That is told as it is, and is no silence of the endpoint."""
    given = seen(**{"state": DoorState.OK, "in_flight": 0} | what)
    assert gives_way(given) is gives
    if gives:
        assert waiting(given)[0] == what["reason"].rstrip(".")
