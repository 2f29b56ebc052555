"""The last minute of numbers that only grow, such as answers and tokens, out of looks at them every few seconds."""

from collections import deque
from collections.abc import Sequence

WINDOW_SECONDS = 60.0


class Lately:
    """Sums at moments. Moments are monotonic."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, tuple[float, ...]]] = deque()

    def look(self, sums: Sequence[float], *, now: float) -> None:
        """What the sums are now. Where one has become less, somebody else counts from here on."""
        looks = self._looks
        if looks and any(new < old for new, old in zip(sums, looks[-1][1], strict=True)):
            looks.clear()
        looks.append((now, tuple(sums)))
        while len(looks) > 2 and looks[1][0] <= now - WINDOW_SECONDS:
            looks.popleft()

    def grown(self) -> tuple[float, tuple[float, ...]] | None:
        """In how many seconds, and by how much each sum has grown; None before the second look."""
        if len(self._looks) < 2:
            return None
        (begin, before), (end, after) = self._looks[0], self._looks[-1]
        if end <= begin:
            return None
        return end - begin, tuple(new - old for new, old in zip(after, before, strict=True))
