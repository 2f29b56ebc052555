"""A sliding window over sums that only grow, such as answers and tokens: what was seen of them lately.

Whoever watches looks now and then and says what the sums are; what they have grown by, and in what time, comes out.
"""

from collections import deque
from collections.abc import Sequence

from msgspec import Struct


class Look(Struct, frozen=True):
    """What the sums were at a monotonic moment."""

    at: float
    sums: tuple[float, ...]


class Window:
    """The looks of the last `seconds`, and the newest one before them, so that the whole window is covered.

    At most `looks_max` of them, if that is given. Moments are monotonic.
    """

    __slots__ = ("_looks", "_looks_max", "_seconds")

    def __init__(self, *, seconds: float = 60.0, looks_max: int | None = None) -> None:
        self._seconds = seconds
        self._looks_max = looks_max
        self._looks: deque[Look] = deque()

    def look(self, *sums: float, at: float) -> None:
        """What the sums are now; a second look at one moment takes the place of the first.

        Where one has become less, somebody else counts from here on (another life of a batch, a new worker).
        """
        looks = self._looks
        if looks and any(new < old for new, old in zip(sums, looks[-1].sums, strict=True)):
            looks.clear()
        if looks and looks[-1].at == at:
            looks.pop()
        looks.append(Look(at, sums))
        while len(looks) > 2 and looks[1].at <= at - self._seconds:
            looks.popleft()
        while self._looks_max is not None and len(looks) > self._looks_max:
            looks.popleft()

    def looks(self, *, since: float = float("-inf")) -> Sequence[Look]:
        """What is kept, oldest first; with `since`, the looks from then on and the newest one before them."""
        kept = list(self._looks)
        while len(kept) > 1 and kept[1].at < since:
            del kept[0]
        return kept

    def grown(self) -> tuple[float, tuple[float, ...]] | None:
        """In how many seconds, and by how much each sum has grown; None before the second look."""
        if len(self._looks) < 2:
            return None
        first, last = self._looks[0], self._looks[-1]
        return last.at - first.at, tuple(new - old for new, old in zip(last.sums, first.sums, strict=True))
