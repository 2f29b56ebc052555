"""How far a deployment with dynamic quota may go beyond its limit: as far as its backends have shown that they can finish.

What has been measured is what was finished, so a deployment that has had little to do is believed little. Nothing is
foreseen: until work has been measured, the limit holds.
"""

from msgspec import Struct

BUCKET_SECONDS = 10
# Five minutes of work. Idle time in between says nothing about what the backends can do.
BUCKETS_MAX = 30
# What is older says nothing about today's backends.
AGE_MAX_SECONDS = 86_400


class Throughput:
    """Tokens of input that were finished, over the last minutes in which any were."""

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}

    def add(self, tokens: int, *, now: float) -> None:
        """So many were finished now; `now` is monotonic."""
        bucket = int(now // BUCKET_SECONDS)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + tokens
        if len(self._buckets) > BUCKETS_MAX:
            del self._buckets[next(iter(self._buckets))]

    def tokens_per_second(self, *, now: float) -> float:
        """The mean. A bucket counts in full from its first token on, so this is never more than what was there."""
        oldest = (now - AGE_MAX_SECONDS) // BUCKET_SECONDS
        counted = [tokens for bucket, tokens in self._buckets.items() if bucket >= oldest]
        return sum(counted) / (BUCKET_SECONDS * len(counted)) if counted else 0.0


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
