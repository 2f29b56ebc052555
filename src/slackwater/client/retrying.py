"""When a call is tried again, and after how long: decided from what came of it, without waiting."""

import email.utils
import time
from collections.abc import Mapping

from msgspec import Struct

# Calls in all, before the user is told.
ATTEMPTS = 5
FIRST_SECONDS = 0.5
LONGEST_SECONDS = 20.0
# A server that wants to be left alone for longer gets its wish, and the user the message.
RETRY_AFTER_MAX = 120.0
# Answers after which the same call may well succeed. 429 was not begun; the others may have been.
NOT_BEGUN = frozenset({429})
MAYBE_BEGUN = frozenset({408, 500, 502, 503, 504})


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a call: a status with its headers, or none."""

    status: int | None
    headers: Mapping[str, str] = {}
    sent: bool = True
    """Whether the server may have seen all of the call."""


def seconds_before_next(outcome: Outcome, *, attempt: int, repeatable: bool, chance: float) -> float | None:
    """How long to wait before the next attempt; None where there is to be none. `attempt` counts from 1.

    `repeatable`: whether doing it twice is the same as doing it once. `chance`, from 0 to 1, keeps callers apart.
    """
    if attempt >= ATTEMPTS or outcome.headers.get("x-should-retry") == "false":
        return None
    if outcome.status is None:
        again = repeatable or not outcome.sent
    else:
        again = outcome.status in NOT_BEGUN or (repeatable and outcome.status in MAYBE_BEGUN)
    if not again:
        return None
    asked = _retry_after(outcome.headers)
    if asked is not None:
        return asked if asked <= RETRY_AFTER_MAX else None
    return min(FIRST_SECONDS * 2.0 ** (attempt - 1), LONGEST_SECONDS) * (0.75 + chance / 2)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from either of the two headers, as a number or as a date; None where there is nothing of use."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if text.isdecimal() and text.isascii() and len(text) < 10:
            return int(text) / unit
    try:
        moment = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())
