"""What became of an engine in a minute, and of several minutes together. Kept for pictures and forecasts.

A minute is what one process saw; another process, or the next life, adds one of its own. So everything here can be added up:
sums, seconds, and the calls between bounds, out of which latencies are read.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

MINUTE = 60
KEPT_DAYS = 35


class EngineMinute(Struct, frozen=True, kw_only=True):
    """What one process saw of an engine in some time, most often a minute. Moments are seconds since 1970."""

    engine: str
    at: int
    """When it began."""
    owner: str
    """Which process saw it; empty for several."""
    state: str
    """The state that it was in longest."""
    seconds: float
    """For how long it was looked at."""
    paused_seconds: float
    """For how long of these nothing could be sent, whatever the reason."""
    slots: int
    in_flight_seconds: float
    """Calls out, summed over these seconds: divided by them, the mean."""
    in_flight_max: int
    calls: int
    """Those that ended by themselves."""
    failed: int
    """Of these, those that brought no usable answer."""
    tokens: int
    """Read and written, of calls that succeeded."""
    call_seconds: float
    call_counts: tuple[int, ...] = ()
    """How many of the calls took how long, between bounds that whoever counts has; empty where there were none."""
    paced_seconds: float = 0.0
    """For how long its metrics page was read: what comes next is summed over these seconds."""
    window_seconds: float = 0.0
    """Requests that might be out."""
    others_seconds: float = 0.0
    """Requests of others that ran or waited there."""
    waiting_seconds: float = 0.0
    """Requests of anybody that it had not begun with."""
    frozen_seconds: float = 0.0
    """For how long nothing new was sent, because others waited or its cache was nearly full."""
    cache_full_seconds: float = 0.0
    """The second of these alone."""
    lost_seconds: float = 0.0
    """For how long its page could not be read, after it had been."""
    shared_seconds: float = 0.0
    """For how long others were there whose steps were seen: the next two are summed over these seconds."""
    step_sum: float = 0.0
    """Seconds that a step took, as whoever waits for an answer feels it."""
    alone_sum: float = 0.0
    """Seconds that it would have taken without us."""
    target_seconds: float = 0.0
    """For how long there was a step up to which the window grew."""
    target_sum: float = 0.0
    """That step, over these seconds."""


# What is added up and nothing else.
SUMS = (
    "seconds",
    "paused_seconds",
    "in_flight_seconds",
    "calls",
    "failed",
    "tokens",
    "call_seconds",
    "paced_seconds",
    "window_seconds",
    "others_seconds",
    "waiting_seconds",
    "frozen_seconds",
    "cache_full_seconds",
    "lost_seconds",
    "shared_seconds",
    "step_sum",
    "alone_sum",
    "target_seconds",
    "target_sum",
)


def merged(minutes: Sequence[EngineMinute], *, at: int) -> EngineMinute:
    """Several together, as of one that began then. There must be one."""
    states: dict[str, float] = {}
    for each in minutes:
        states[each.state] = states.get(each.state, 0.0) + each.seconds
    owners = {each.owner for each in minutes}
    return EngineMinute(
        engine=minutes[0].engine,
        at=at,
        owner=owners.pop() if len(owners) == 1 else "",
        # Of two that are equal, the name decides, so that it does not matter who came first.
        state=max(states, key=lambda state: (states[state], state)),
        slots=max(each.slots for each in minutes),
        in_flight_max=max(each.in_flight_max for each in minutes),
        call_counts=_added(each.call_counts for each in minutes),
        **{name: sum(getattr(each, name) for each in minutes) for name in SUMS},
    )


def _added(counts: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    total: list[int] = []
    for each in counts:
        if len(each) > len(total):
            total += [0] * (len(each) - len(total))
        for place, count in enumerate(each):
            total[place] += count
    return tuple(total)


def in_steps(minutes: Iterable[EngineMinute], *, step: int) -> list[EngineMinute]:
    """One for each step of so many seconds in which there was any, in order. The minutes come in order."""
    found: list[EngineMinute] = []
    together: list[EngineMinute] = []
    for each in minutes:
        at = each.at - each.at % step
        if together and together[0].at - together[0].at % step != at:
            found.append(merged(together, at=together[0].at - together[0].at % step))
            together = []
        together.append(each)
    if together:
        found.append(merged(together, at=together[0].at - together[0].at % step))
    return found


def latency(minute: EngineMinute, part: float, *, bounds: Sequence[float]) -> float | None:
    """The seconds in which that part of the calls (0 to 1) had ended, guessed between the bounds; None without calls.

    Of calls beyond the last bound only that is known.
    """
    if len(minute.call_counts) != len(bounds) + 1 or not (total := sum(minute.call_counts)):
        return None
    wanted, seen = part * total, 0
    for place, count in enumerate(minute.call_counts):
        if count and seen + count >= wanted:
            low = bounds[place - 1] if place else 0.0
            high = bounds[place] if place < len(bounds) else low
            return low + (high - low) * max(0.0, wanted - seen) / count
        seen += count
    return bounds[-1]
