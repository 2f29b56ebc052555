"""A rate that goes up and down with the hours and the days of a week, and when so much of it has passed."""

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from math import cos, pi

STEP_SECONDS = 600.0
DAY_SECONDS = 86_400.0
WEEK_SECONDS = 7 * DAY_SECONDS


def hours(low: float, high: float, *, at: float, weekend: float) -> Callable[[float], float]:
    """Between two values, the higher one at an hour of the day; Saturday and Sunday have a part of it."""

    def of(moment: float) -> float:
        swing = (1 + cos((moment / 3_600 - at) / 24 * 2 * pi)) / 2
        return (low + (high - low) * swing) * (weekend if moment % WEEK_SECONDS >= 5 * DAY_SECONDS else 1.0)

    return of


class Rhythm:
    """Repeated each week, from Monday on; constant for ten minutes each."""

    def __init__(self, of: Callable[[float], float]) -> None:
        self._rates = [of((step + 0.5) * STEP_SECONDS) for step in range(int(WEEK_SECONDS / STEP_SECONDS))]
        self._sums = [0.0, *accumulate(rate * STEP_SECONDS for rate in self._rates)]
        self.mean = self._sums[-1] / WEEK_SECONDS

    def passed(self, moment: float) -> float:
        """How much there was from the beginning to a moment."""
        weeks, rest = divmod(moment, WEEK_SECONDS)
        step = int(rest / STEP_SECONDS)
        return weeks * self._sums[-1] + self._sums[step] + (rest - step * STEP_SECONDS) * self._rates[step]

    def moment(self, passed: float) -> float:
        """When so much has been there."""
        weeks, rest = divmod(passed, self._sums[-1])
        step = min(bisect_right(self._sums, rest) - 1, len(self._rates) - 1)
        return weeks * WEEK_SECONDS + step * STEP_SECONDS + (rest - self._sums[step]) / self._rates[step]

    def after(self, moment: float, amount: float) -> float:
        """When so much more will have been there."""
        return self.moment(self.passed(moment) + amount)
