"""What an engine counts from its start, in the way that vLLM's metrics page does."""

from bisect import bisect_left
from dataclasses import dataclass, field

# The bounds of vLLM's histograms.
STEP_TOKENS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
FIRST_TOKEN_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
TOKEN_SECONDS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
REQUEST_SECONDS = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0),
    *(40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)


class Histogram:
    """How many values were at most each of `bounds`, how many in all, and their sum."""

    __slots__ = ("bounds", "buckets", "count", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.count = 0
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """The value was seen, `times` times over."""
        self.buckets[bisect_left(self.bounds, value)] += times
        self.count += times
        self.sum += value * times

    def cumulative(self) -> list[tuple[float, int]]:
        """Each bound, infinity last, with how many values were at most that."""
        total = 0
        rows = []
        for bound, count in zip((*self.bounds, float("inf")), self.buckets, strict=True):
            total += count
            rows.append((bound, total))
        return rows


@dataclass(slots=True)
class Counters:
    """All but `busy_seconds` and `prefilled_tokens` is on the metrics page; those an engine keeps to itself."""

    steps: int = 0
    busy_seconds: float = 0.0
    prompt_tokens: int = 0
    """Of admitted requests, cached ones included; once for each request."""
    cached_tokens: int = 0
    generated_tokens: int = 0
    prefilled_tokens: int = 0
    """Computed for prompts: with what preemptions make it compute again, without what was cached."""
    preemptions: int = 0
    finished: int = 0
    aborted: int = 0
    step_tokens: Histogram = field(default_factory=lambda: Histogram(STEP_TOKENS))
    first_token: Histogram = field(default_factory=lambda: Histogram(FIRST_TOKEN_SECONDS))
    """Seconds from arrival to the first token."""
    inter_token: Histogram = field(default_factory=lambda: Histogram(TOKEN_SECONDS))
    """Seconds between tokens of a request; the gap that a preemption makes is left out."""
    whole_request: Histogram = field(default_factory=lambda: Histogram(REQUEST_SECONDS))
    """Seconds from arrival to the last token."""
