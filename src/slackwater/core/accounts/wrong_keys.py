"""How long the answer to a wrong key waits, by how many came from the same place lately.

Keys are far too long to be guessed; this is against what guessing costs everybody else. A good key is never asked about here,
so nobody who has one waits, whoever else is behind the same proxy.
"""

from collections import OrderedDict

# So many from one place are answered at once: people mistype, and a rotated key lives on in somebody's job for a while.
FREE = 20
# One of them is forgiven in this time.
FORGIVEN_SECONDS = 3.0
# Each one beyond makes the next wait so much longer, up to the most.
STEP_SECONDS = 0.1
WAIT_SECONDS_MAX = 2.0
LEVEL_MAX = 60.0
PLACES_MAX = 4096


class WrongKeys:
    """The places from which wrong keys came last; the one that has been quiet for longest is forgotten first."""

    def __init__(self) -> None:
        self._places: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def refused(self, place: str, *, now: float) -> float:
        """A key from a place was refused now; for how many seconds its answer waits."""
        level, then = self._places.pop(place, (0.0, now))
        level = min(LEVEL_MAX, max(0.0, level - (now - then) / FORGIVEN_SECONDS) + 1)
        self._places[place] = (level, now)
        if len(self._places) > PLACES_MAX:
            self._places.popitem(last=False)
        return min(WAIT_SECONDS_MAX, max(0.0, level - FREE) * STEP_SECONDS)
