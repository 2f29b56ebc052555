"""How much of an engine's cache is left free, so that what runs has room to grow.

A request takes room for its prompt at once and for its answer little by little, and how long that will be nobody knows: what
was let in while there was room may fill the cache a minute later. Then the engine sets requests back, anybody's. So whenever the
cache was full all the same, more of it is left free the next time, and slowly less again. Where nobody else is there, nobody is
disturbed, and a full cache does more work than one that is half empty.
"""

LEAST, MOST = 0.10, 0.60
# Above this it is full. What was let in before may fill it for so long; it is not held against the reserve twice.
FULL, AGAIN_SECONDS = 0.96, 15.0
RAISED, LOWERED, LOWERED_SECONDS = 0.10, 0.02, 600.0


class CacheReserve:
    """Of one engine. All of it are parts of the cache, 0.0 to 1.0."""

    def __init__(self) -> None:
        self._grown = LEAST
        self._shared = False
        self._changed_at = 0.0

    @property
    def left(self) -> float:
        """What is left free now."""
        return self._grown if self._shared else LEAST

    def seen(self, kv: float | None, *, ours: bool, shared: bool, now: float) -> None:
        """How full it is; `ours`: some of it is ours, or it would not help. `shared`: others are there."""
        self._shared = shared
        since = now - self._changed_at
        if kv is not None and kv > FULL and ours and shared and since > AGAIN_SECONDS:
            self._grown, self._changed_at = min(MOST, self._grown + RAISED), now
        elif since > LOWERED_SECONDS:
            self._grown, self._changed_at = max(LEAST, self._grown - LOWERED), now
