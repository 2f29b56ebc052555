"""How far a deployment with dynamic quota may go beyond its limit: as far as its backends have shown that they can finish.

What has been measured is what was finished, so a deployment that has had little to do is believed little. Nothing is
foreseen: until work has been measured, the limit holds.
"""

from msgspec import Struct

from slackwater.core.window import Window

BUCKET_SECONDS = 10
# Five minutes of work. Idle time in between says nothing about what the backends can do.
BUCKETS_MAX = 30
# What is older says nothing about today's backends.
AGE_MAX_SECONDS = 86_400


class Throughput:
    """Tokens of input that were finished, over the last minutes in which any were."""

    def __init__(self) -> None:
        # A look for every bucket in which something was finished, and one before them.
        self._window = Window(seconds=AGE_MAX_SECONDS, looks_max=BUCKETS_MAX + 1)
        self._total = 0

    def add(self, tokens: int, *, now: float) -> None:
        """So many were finished now; `now` is monotonic."""
        bucket = now // BUCKET_SECONDS * BUCKET_SECONDS
        if not self._total:
            self._window.look(0, at=bucket - BUCKET_SECONDS)
        self._total += tokens
        self._window.look(self._total, at=bucket)

    def tokens_per_second(self, *, now: float, work_seconds_min: float = 0.0) -> float:
        """The mean. A bucket counts in full from its first token on, so this is never more than what was there.

        0 where there was work in less than `work_seconds_min`: a mean of little is far less than what there is to be had.
        """
        looks = self._window.looks(since=(now - AGE_MAX_SECONDS) // BUCKET_SECONDS * BUCKET_SECONDS)
        if len(looks) < 2 or BUCKET_SECONDS * (len(looks) - 1) < work_seconds_min:
            return 0.0
        return (looks[-1].sums[0] - looks[0].sums[0]) / (BUCKET_SECONDS * (len(looks) - 1))


class Allowance(Struct, frozen=True, kw_only=True):
    """What a deployment may hold now, and the numbers that say why."""

    limit: int | None
    """Enqueued tokens that it may hold now; None is no limit."""
    configured: int | None
    tokens_per_second: float = 0.0
    seconds_left: float = 0.0
    """Until the first of its open batches should be done."""


def allowance(configured: int, *, tokens_per_second: float, seconds_left: float) -> Allowance:
    """Everything that is held must be done when the first window ends; the limit itself is there in any case."""
    can_finish = int(tokens_per_second * max(0.0, seconds_left))
    return Allowance(
        limit=max(configured, can_finish),
        configured=configured,
        tokens_per_second=tokens_per_second,
        seconds_left=seconds_left,
    )
