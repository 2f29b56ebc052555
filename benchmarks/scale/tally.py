"""What is counted in a month, and said of it."""

from array import array
from bisect import bisect_left
from math import exp, log
from typing import Any

CLASSES = ((1_000, "100 to 999 lines"), (10_000, "1,000 to 9,999"), (1 << 60, "10,000 and more"))
WINDOW_SECONDS = 86_400.0
# Results are written so often; what was answered since is sent again after a death.
COMMIT_SECONDS = 1.0
# A quantile is found to a fiftieth.
STEP = log(1.02)
BINS = 1_000
SOONEST = 0.1


class Times:
    """Seconds, as counts of bins that grow by a fiftieth each."""

    def __init__(self) -> None:
        self._counts = array("q", bytes(8 * BINS))
        self.count = 0
        self.most = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        place = int(log(max(seconds, SOONEST) / SOONEST) / STEP)
        self._counts[min(place, BINS - 1)] += 1
        self.count += 1
        self.most = max(self.most, seconds)

    def quantile(self, part: float) -> float:
        """Above the middle of how many."""
        seen = 0
        for place, count in enumerate(self._counts):
            seen += count
            if seen >= part * self.count:
                return SOONEST * exp((place + 0.5) * STEP)
        return 0.0


class Tally:
    """Of a run."""

    def __init__(self, tenants: int) -> None:
        self.by_size = [Times() for _ in CLASSES]
        self.beside = {(flooded, within): Times() for flooded in (False, True) for within in (True, False)}
        """Others at the engines where one floods: on the day or not, and whether they want no more than their part."""
        self.late = [0 for _ in CLASSES]
        self.late_within = 0
        """Past their window, of those that want no more than their part, but for who floods and where engines were slow."""
        self.batches = self.lines = self.shards = self.ended_shards = self.calls = 0
        self.lines_twice = self.shards_again = self.fenced = 0
        self.deaths = {"engine": 0, "killed": 0, "lost": 0, "deploy": 0}
        self.puts = 0.0
        self.rounds = self.asks = 0
        self.claims_of_minute: dict[int, int] = {}
        self.news_most = 0
        self.got = [0.0] * tenants
        self.fair = [0.0] * tenants
        self.worst_hour = float("inf")
        self.starved: list[tuple[float, str]] = []
        self.waiting_most = 0
        self.memory_mib: list[float] = []

    def ended(self, lines: int, seconds: float) -> None:
        """A batch has ended, so long after it came."""
        size = bisect_left([most - 1 for most, _ in CLASSES], lines)
        self.by_size[size].add(seconds)
        self.batches += 1
        self.lines += lines
        self.late[size] += seconds > WINDOW_SECONDS

    def jain(self) -> float:
        """Of what each tenant got of its fair part."""
        parts = [got / fair for got, fair in zip(self.got, self.fair, strict=True) if fair]
        return sum(parts) ** 2 / (len(parts) * sum(part**2 for part in parts)) if parts else 1.0

    def worst(self) -> float:
        """The least of these parts."""
        return min((got / fair for got, fair in zip(self.got, self.fair, strict=True) if fair), default=1.0)

    def figures(self) -> dict[str, Any]:
        """All that is not about CPU."""
        sizes = {}
        for (_, name), times, late in zip(CLASSES, self.by_size, self.late, strict=True):
            quantiles = [round(times.quantile(part)) for part in (0.5, 0.9, 0.99)]
            sizes[name] = {
                "batches": times.count,
                "p50_p90_p99_s": quantiles,
                "most_s": round(times.most),
                "late": late,
            }
        return {
            "batches": self.batches,
            "lines": self.lines,
            "shards": self.ended_shards,
            "turnaround": sizes,
            "past_window": sum(self.late),
            "past_window_of_who_wants_no_more_than_its_part": self.late_within,
            "jain": round(self.jain(), 4),
            "worst_tenant": round(self.worst(), 3),
            "worst_tenant_hour": round(self.worst_hour, 3),
            "others_p50_p90_p99_s": {
                f"{'flood' if flooded else 'other'} days, {'within' if within else 'beyond'} their part": [
                    round(times.quantile(part)) for part in (0.5, 0.9, 0.99)
                ]
                for (flooded, within), times in self.beside.items()
            },
            "deaths": self.deaths,
            "lines_sent_twice": self.lines_twice,
            "shards_claimed_again": self.shards_again,
            "stale_results_refused": self.fenced,
            "puts": round(self.puts),
            "share_rounds": self.rounds,
            "share_asks": self.asks,
            "peak_claims_a_second": round(max(self.claims_of_minute.values(), default=0) / 60, 2),
            "waiting_most": self.waiting_most,
            "memory_mib": [round(each) for each in self.memory_mib],
        }
