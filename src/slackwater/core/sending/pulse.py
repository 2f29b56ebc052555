"""When something has succeeded lately, in coarse steps: whoever compares needs the moments of the others' successes.

A step is a quarter of a second, and two minutes are kept, so a pulse is some hundred numbers however many calls there are.
"""

import math
from bisect import bisect_left, bisect_right
from collections import deque

STEP_SECONDS = 0.25
STEPS_MAX = 480


class Pulse:
    """The moments of successes, rounded down to a step. Moments are monotonic and come in order."""

    __slots__ = ("_edge", "_last", "_latest", "_steps")

    def __init__(self) -> None:
        self._last = -math.inf
        self._latest = -1
        # When the latest step ends.
        self._edge = 0.0
        self._steps: deque[int] = deque(maxlen=STEPS_MAX)

    def beat(self, now: float) -> None:
        """Something has succeeded now."""
        self._last = now
        if now >= self._edge:
            self._latest = step = int(now / STEP_SECONDS)
            self._edge = (step + 1) * STEP_SECONDS
            self._steps.append(step)

    @property
    def last(self) -> float:
        """When something succeeded last; minus infinity where nothing has."""
        return self._last

    @property
    def ever(self) -> bool:
        """Whether there was any success."""
        return self._latest >= 0

    def since(self, moment: float) -> bool:
        """Whether there was a success at or after a moment. This is exact."""
        return self._last >= moment

    def between(self, first: float, last: float) -> bool:
        """Whether there was a success from one moment to the other, give or take a step."""
        begin, end = int(first / STEP_SECONDS), int(last / STEP_SECONDS)
        if self._latest < max(begin, 0):
            return False
        if self._latest <= end:
            return True
        steps = list(self._steps)
        return bisect_left(steps, begin) < bisect_right(steps, end)
