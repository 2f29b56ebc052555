"""How quickly a batch gets on, and when it may be done, out of what was seen of it. Pure arithmetic on looks.

What must always hold: nothing is said before two looks, nothing of a batch that stands still, and the range is wide while
the rate changes. A wrong number would be believed.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import pstdev

from msgspec import Struct

from slackwater.core.window import Look, Window

# How far back "now" goes. Batches finish requests in bursts, as engines do; a minute evens those out.
WINDOW_SECONDS = 60.0
# Under that, a rate is one burst or none.
SPAN_SECONDS_MIN = 1.5
# The window is cut into so many parts, and how they differ says how much the rate changes.
PARTS = 4
# More than a month is not a time, it is a sign that the batch hardly moves.
SECONDS_MAX = 30 * 86_400
# However uncertain, the long end of a range is at most so many times the estimate: twenty.
UNCERTAINTY_MAX = 0.95


class Rates(Struct, frozen=True, kw_only=True):
    """What is done in a second, over about the last minute, and how sure that is (0: very, 1: not at all)."""

    requests_per_second: float
    tokens_per_second: float
    uncertainty: float


class TimeLeft(Struct, frozen=True, kw_only=True):
    """Whole seconds until every request has an end: the best guess, and the range that it is likely in."""

    seconds: int
    low: int
    high: int


def rates(window: Window, *, now: float) -> Rates | None:
    """The rates of a batch at a moment, out of looks at its finished requests and tokens; None where too little was seen."""
    kept = window.looks()
    if len(kept) < 2:
        return None
    first, last = kept[0], kept[-1]
    # Time since the last look counts once it is longer than looks are apart: nobody may have looked.
    span = last.at - first.at
    if span < SPAN_SECONDS_MIN or now - last.at > WINDOW_SECONDS:
        return None
    finished, tokens = (new - old for new, old in zip(last.sums, first.sums, strict=True))
    return Rates(
        requests_per_second=finished / span,
        tokens_per_second=tokens / span,
        uncertainty=_uncertainty(kept, finished, span),
    )


def _uncertainty(kept: Sequence[Look], finished: float, span: float) -> float:
    """What is larger: how much the rate has changed inside the window, or how much chance there is in so few results."""
    if finished == 0:
        return 1.0
    parts = _parts(kept, span)
    mean = finished / span
    changes = pstdev(parts) / mean if len(parts) > 1 else 1.0
    chance = 2.0 / math.sqrt(finished)
    # A short look is half a look.
    short = 0.5 * max(0.0, 1.0 - span / WINDOW_SECONDS)
    return min(1.0, max(changes, chance) + short)


def _parts(kept: Sequence[Look], span: float) -> list[float]:
    """The rates of the parts of the window. Between two looks, results are taken to have come evenly."""
    begin, length = kept[0].at, span / PARTS
    sums = [0.0] * PARTS
    for before, after in pairwise(kept):
        seconds = after.at - before.at
        if seconds <= 0:
            continue
        rate = (after.sums[0] - before.sums[0]) / seconds
        for part in range(PARTS):
            overlap = min(after.at, begin + (part + 1) * length) - max(before.at, begin + part * length)
            if overlap > 0:
                sums[part] += rate * overlap
    return [total / length for total in sums]


def time_left(remaining: int, rates: Rates | None) -> TimeLeft | None:
    """When so many requests will have their ends, at these rates; None where that would be nonsense."""
    if rates is None or rates.requests_per_second <= 0:
        return None
    if remaining <= 0:
        return TimeLeft(seconds=0, low=0, high=0)
    seconds = remaining / rates.requests_per_second
    if seconds > SECONDS_MAX:
        return None
    spread = min(UNCERTAINTY_MAX, rates.uncertainty)
    return TimeLeft(
        seconds=_whole(seconds), low=int(seconds / (1 + spread)), high=min(SECONDS_MAX, _whole(seconds / (1 - spread)))
    )


def _whole(seconds: float) -> int:
    return int(seconds) + (seconds % 1 > 0)
