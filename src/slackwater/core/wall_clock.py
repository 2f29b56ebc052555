"""Whether the clock on the wall can be believed, by the other clock, which only counts and which nobody can set.

In a process that runs both go on alike. Where the wall's is suddenly more than an hour ahead or behind, somebody has set it, or
the machine was asleep; what would end by that time may be lost for a mistake. Between two processes only the wall knows how long
it was: a long time in which nobody served is believed, but what users gave an end waits a day more.
"""

JUMP_SECONDS = 3600.0
GRACE_SECONDS = 86_400.0


class WallClock:
    """The clock on the wall, as it has been since the start. Slow corrections are followed."""

    def __init__(self, *, wall: float, monotonic: float) -> None:
        self._ahead = wall - monotonic
        self.jumped = 0.0
        """Seconds by which it has jumped and is still off; negative: back. 0: it is believed."""

    def look(self, *, wall: float, monotonic: float) -> bool:
        """Looks at both. Returns whether it is believed now and was not, or the other way round."""
        off, before = wall - monotonic - self._ahead, self.jumped
        if abs(off) > JUMP_SECONDS:
            self.jumped = off
        else:
            self.jumped = 0.0
            self._ahead += off
        return bool(before) != bool(self.jumped)

    def confirm(self, *, wall: float, monotonic: float) -> None:
        """Somebody who knows says that it is right as it is."""
        self._ahead, self.jumped = wall - monotonic, 0.0


def expire_from(*, alive_at: float, before: float, now: float) -> float:
    """From when on what users gave an end may go. `before`: what the last start has said; `alive_at` 0: there was none."""
    if alive_at and now - alive_at > JUMP_SECONDS:
        return now + GRACE_SECONDS
    # No later than that: what a start has said whose clock was wrong must not hold for years.
    return min(before, now + GRACE_SECONDS)
