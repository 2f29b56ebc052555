"""What a family of policies reaches within limits: its settings are points on a path, and between two of them it is straight.

The path begins at "no batch". Settings are in order of their parameter, so a family with one parameter gets the benefit of
every value between those that were measured ("best along the sweep").
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

PARTS = 40


class Point(NamedTuple):
    """Batch tokens a second, and online TTFT and TPOT p99 in seconds."""

    batch: float
    ttft: float
    tpot: float

    def within(self, limits: tuple[float, float]) -> bool:
        """Whether neither limit is exceeded."""
        return self.ttft <= limits[0] and self.tpot <= limits[1]


def point_of(figures: dict[str, Any]) -> Point:
    """The point of a cell."""
    return Point(figures["batch_tok_s"], figures["ttft_p99"], figures["tpot_p99"])


def best_along(off: Point, path: Sequence[Point], limits: tuple[float, float]) -> float:
    """The most batch tokens a second within the limits, anywhere on the path."""
    best = 0.0
    for begin, end in zip((off, *path), path, strict=False):
        for part in range(PARTS + 1):
            point = Point(*(low + (high - low) * part / PARTS for low, high in zip(begin, end, strict=True)))
            if point.within(limits):
                best = max(best, point.batch)
    return best


def best_of(tried: Sequence[Point], limits: tuple[float, float]) -> float:
    """The most within the limits at one of the settings: for families whose settings lie on no path."""
    return max((point.batch for point in tried if point.within(limits)), default=0.0)


def kept(point: Point, limits: tuple[float, float], *, slack: float = 1.02) -> float:
    """What a policy reaches that has to keep the limits by itself, or 0 where it does not. Some slack, as p99 is noisy."""
    return point.batch if point.within((limits[0] * slack, limits[1] * slack)) else 0.0
