"""What an operator says of how much of an engine batches may take, in one word: `gentle`, `strict`, `full`, `fixed` or `50ms`."""

import re

from msgspec import Struct

from slackwater.core.sending.step_target import Point

# What the cap of requests out is at an engine that is paced, where nobody has named one: what engines run at once by default.
PACED_CONCURRENCY = 256
SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)")
SECONDS_MIN, SECONDS_MAX = 0.001, 10.0
WORDS = (Point.GENTLE, Point.STRICT, Point.FULL, Point.FIXED)


class EnginePace(Struct, frozen=True):
    """How an engine is to be shared with others."""

    point: Point
    slo: float | None = None
    """Seconds between tokens that others may see at their slowest, for `Point.SLO`."""

    def __str__(self) -> str:
        return self.point.value if self.slo is None else f"{self.slo * 1000:g}ms"


class SaidPace(Struct, frozen=True, kw_only=True):
    """What an operator has said of an engine while it ran. It goes before the configuration."""

    engine: str
    """Its name."""
    pace: str
    who: str
    since: int
    """In seconds since 1970."""


USUAL = EnginePace(Point.GENTLE)


def pace_of(text: str) -> EnginePace:
    """The pace that somebody has written. Raises ValueError with what there is."""
    said = text.strip().lower()
    for point in WORDS:
        if said == point.value:
            return EnginePace(point)
    found = SECONDS.fullmatch(said)
    if found is not None:
        seconds = float(found[1]) / (1000 if found[2] == "ms" else 1)
        if SECONDS_MIN <= seconds <= SECONDS_MAX:
            return EnginePace(Point.SLO, seconds)
    raise ValueError(
        f"there is no pace '{text[:40]}'; it is gentle, strict, full, fixed, or the time between two tokens that others may see "
        "at their slowest, such as 50ms (1ms to 10s)"
    )
