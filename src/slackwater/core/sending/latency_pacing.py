"""How many requests an engine is given of which nobody knows how busy it is: no metrics page, only its answers.

An answer takes longer where others are there, or more of ours. Divided by its tokens, how long it took is comparable with others.
The window grows while that stays near the least that was seen, and is cut where it does not: AIMD, below a cap. It is a poor
guess beside `pacing`: what is ours of the delay is not known, so it stays far below what an engine could do.
"""

from dataclasses import dataclass, field
from statistics import median

from slackwater.core.sending.pacing import FIRST_WINDOW
from slackwater.core.sending.step_target import Point

# So many times the least that was seen may a token take; at `slo` it is the time itself.
LIMITS = {Point.STRICT: 1.2, Point.GENTLE: 1.5}
# So many tokens of a prompt are read in the time in which one is made. A short answer is one of so many tokens at least.
PROMPT_TOKENS, TOKENS_MIN = 150.0, 8.0
# Single answers say little: so many of them are one.
SAMPLES = 8
CUT = 0.7
# The least that was seen is forgotten: it counts as twice as much after so long.
DOUBLE_SECONDS = 3600.0


@dataclass(slots=True)
class LatencyPacer:
    """The window of one engine. Moments are seconds of one clock that never goes back."""

    point: Point = Point.GENTLE
    slo: float | None = None
    """The time between tokens that others may see at their slowest, for `Point.SLO`."""
    window: float = FIRST_WINDOW
    step: float | None = None
    """The time of a token lately."""
    least: float | None = None
    """The least that it has been."""
    _least_at: float = 0.0
    _climbing: bool = True
    _cut_at: float = -1.0
    _samples: list[float] = field(default_factory=list)

    def aim_for(self, point: Point, *, slo: float | None = None) -> None:
        """Another operating point from now on."""
        self.point, self.slo = point, slo

    @property
    def target(self) -> float | None:
        """So long a token may take; None before anything is known, and at a point that looks at no times."""
        if self.point is Point.SLO:
            return self.slo
        limit = LIMITS.get(self.point)
        return None if self.least is None or limit is None else limit * self.least

    def answered(self, begun: float, now: float, *, prompt: int, output: int, most: float) -> None:
        """A request that was sent at `begun` has been answered, with so many tokens. `most` is the cap of the window."""
        if begun < self._cut_at:
            # It was out with more of ours than there are now.
            return
        self._samples.append((now - begun) / (max(TOKENS_MIN, output) + prompt / PROMPT_TOKENS))
        if len(self._samples) < SAMPLES:
            return
        self.step = median(self._samples)
        self._samples.clear()
        least = None if self.least is None else self.least * 2.0 ** ((now - self._least_at) / DOUBLE_SECONDS)
        self.least, self._least_at = self.step if least is None else min(least, self.step), now
        target = self.target
        if target is not None and self.step > target:
            self.window, self._cut_at, self._climbing = max(1.0, CUT * self.window), now, False
        else:
            more = SAMPLES if self._climbing else SAMPLES / self.window
            self.window = min(most, self.window + more)
