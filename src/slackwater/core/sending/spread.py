"""How values of the last hour were spread, weighted, in a few kilobytes."""

import math

# A bin is a fiftieth wider than the one before it: from a millisecond to three seconds.
BINS, LEAST, GROWTH = 400, 1e-3, 1.02
HALF_LIFE_SECONDS = 3600.0


class Spread:
    """Weights of seconds, in bins; what is old counts less."""

    def __init__(self) -> None:
        self._bins = [0.0] * BINS
        self._total = 0.0

    def add(self, value: float, weight: float, *, seconds: float) -> None:
        """So much weight more at a value; everything before is `seconds` older now."""
        keep = 0.5 ** (seconds / HALF_LIFE_SECONDS)
        self._bins = [each * keep for each in self._bins]
        place = int(math.log(max(value, LEAST) / LEAST) / math.log(GROWTH))
        self._bins[min(place, BINS - 1)] += weight
        self._total = self._total * keep + weight

    def quantile(self, share: float) -> float | None:
        """The value below which so much of the weight is, within a hundredth; None before there was any."""
        if self._total <= 0.0:
            return None
        left = share * self._total
        for place, weight in enumerate(self._bins):
            left -= weight
            if left <= 0.0 and weight:
                return float(LEAST * GROWTH ** (place + 0.5))
        return float(LEAST * GROWTH**BINS)
