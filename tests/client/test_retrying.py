"""When a call is tried again: only where that is safe, and as the server asks."""

import email.utils
import time

import pytest

from slackwater.client.retrying import ATTEMPTS, LONGEST_SECONDS, Outcome, seconds_before_next

LOST = Outcome(status=None)
REFUSED = Outcome(status=None, sent=False)


def answered(status: int, **headers: str) -> Outcome:
    return Outcome(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("outcome", "repeatable", "again"),
    [
        (answered(429), False, True),
        (answered(503), False, False),
        (answered(503), True, True),
        (answered(500), True, True),
        (answered(400), True, False),
        (answered(409), True, False),
        (LOST, False, False),
        (LOST, True, True),
        (REFUSED, False, True),
        (answered(429, x_should_retry="false"), True, False),
    ],
)
def test_which_outcomes_are_tried_again(outcome: Outcome, repeatable: bool, again: bool) -> None:
    """What may have been done is repeated only where twice is as good as once; what was not begun, always."""
    seconds = seconds_before_next(outcome, attempt=1, repeatable=repeatable, chance=0.5)
    assert (seconds is not None) is again


def test_waits_grow_and_end() -> None:
    """Each wait is longer than the one before, none is over the bound, and the last attempt is the last."""
    waits = [
        seconds_before_next(LOST, attempt=attempt, repeatable=True, chance=0.5) for attempt in range(1, ATTEMPTS + 1)
    ]
    assert waits[-1] is None
    known = [wait for wait in waits if wait is not None]
    assert known == sorted(known)
    assert len(known) == ATTEMPTS - 1
    assert known[-1] <= LONGEST_SECONDS * 1.25


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after": email.utils.formatdate(0)}, 0.0),
    ],
)
def test_the_server_says_when(headers: dict[str, str], seconds: float) -> None:
    """`Retry-After` counts, in seconds or as a date, and its finer form before it."""
    assert seconds_before_next(answered(429, **headers), attempt=1, repeatable=False, chance=0.5) == seconds


def test_a_server_that_wants_a_long_rest_gets_it() -> None:
    """Nobody sits at a terminal for an hour: the user is told instead."""
    far = email.utils.formatdate(time.time() + 3600)
    for text in ("3600", far):
        assert seconds_before_next(answered(429, retry_after=text), attempt=1, repeatable=True, chance=0.5) is None
