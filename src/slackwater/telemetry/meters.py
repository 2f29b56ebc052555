"""Where the service counts what it does: plain numbers in the hands of whoever changes them, read when somebody asks.

An update is an addition: no lock, no look-up of labels, no library. What is counted per request lies in one object per
backend; everything else is counted per batch, per commit or per call of the API. All counts are since the start of the process.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from weakref import WeakValueDictionary

# Seconds. Engines answer in some tenths of a second or in minutes; a commit is one fsync; a batch may take its whole day.
REQUEST_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
COMMIT_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FIRST_RESULT_BOUNDS = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0)
BATCH_BOUNDS = (10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 43200.0, 86400.0, 172800.0)
VALIDATION_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
HTTP_BOUNDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LAG_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

# What may be damaged on the disk, and of what lines are lost then.
DAMAGED = ("input", "results", "files")
LOST = ("input", "results")
# What is kept for some time only.
KEPT = ("batches", "results", "inputs")
# How a call to a backend may end; `aborted` is our own doing (cancel, stop).
ATTEMPT_OUTCOMES = ("success", "refused", "error", "busy", "timeout", "unreachable", "broken", "aborted")


class Histogram:
    """How often values fell between bounds. Each value counts in one place; the page adds them up."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def observe(self, value: float) -> None:
        """Adds a value. One that is equal to a bound counts below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def added_to(self, other: "Histogram | None") -> "Histogram":
        """A new one with the values of both, which have the same bounds."""
        both = Histogram(self.bounds)
        both.counts = [a + b for a, b in zip(self.counts, other.counts if other else both.counts, strict=True)]
        both.total = self.total + (other.total if other else 0.0)
        return both


class BackendMeter:
    """What one backend of a deployment was asked and how it went."""

    __slots__ = ("__weakref__", "outcomes", "probes", "resent", "seconds", "sent", "slice_tokens", "slices", "tokens")

    def __init__(self) -> None:
        self.sent = 0
        # Calls whose request is to be sent again.
        self.resent = 0
        # Requests of our own, which tell a door that is shut from lines that are bad.
        self.probes = 0
        # Parts of long prompts that were sent before their requests, and the tokens that were computed for them.
        self.slices = self.slice_tokens = 0
        self.outcomes = dict.fromkeys(ATTEMPT_OUTCOMES, 0)
        # Of every call that has ended by itself.
        self.seconds = Histogram(REQUEST_BOUNDS)
        # Read and written, of calls that succeeded.
        self.tokens = 0

    @property
    def in_flight(self) -> int:
        """Calls that are out: counted by what began and what ended, so that a call pays for no third number."""
        return self.sent - self.seconds.count - self.outcomes["aborted"]


class DeploymentMeter:
    """What became of the requests of a deployment, as far as it is durable."""

    __slots__ = ("cached", "completed", "ended", "failed", "read", "reasoning", "written")

    def __init__(self) -> None:
        self.completed = self.failed = 0
        # Requests that never ran, by the status of their batch.
        self.ended: Counter[str] = Counter()
        self.read = self.cached = self.written = self.reasoning = 0


class Meters:
    """Everything that is counted, besides the names of events."""

    def __init__(self) -> None:
        # Held by those who count: a backend that is gone has no numbers any more. A new worker goes on where the old one was.
        self._backends: WeakValueDictionary[tuple[str, str], BackendMeter] = WeakValueDictionary()
        self._deployments: dict[str, DeploymentMeter] = {}
        self._calls: dict[tuple[str, str], Histogram] = {}
        self.batch_seconds: dict[str, Histogram] = {}
        self.first_result_seconds = Histogram(FIRST_RESULT_BOUNDS)
        self.validation_seconds = Histogram(VALIDATION_BOUNDS)
        self.commit_seconds = Histogram(COMMIT_BOUNDS)
        self.lag_seconds = Histogram(LAG_BOUNDS)
        self.journal_bytes = 0
        self.deadlines_missed = 0
        # Failed tries to read, and lines that ended for it in the end.
        # By how much the clock on the wall has jumped and is still off.
        self.clock_jump_seconds = 0.0
        self.damage_seen = dict.fromkeys(DAMAGED, 0)
        self.lines_lost = dict.fromkeys(LOST, 0)
        # What went because the operator keeps it no longer.
        self.retention_removed = dict.fromkeys(KEPT, 0)
        self.stage_failures: Counter[tuple[str, str]] = Counter()
        # Of the front door: how many connections there were in each phase a moment ago, and what it did by itself.
        self.connections: dict[str, int] = {}
        self.turned_away: Counter[str] = Counter()
        self.keys_refused = 0

    def backend(self, deployment: str, name: str) -> BackendMeter:
        """The meter of a backend. Whoever counts with it has to keep it."""
        meter = self._backends.get((deployment, name))
        if meter is None:
            meter = self._backends[deployment, name] = BackendMeter()
        return meter

    def backends(self) -> dict[tuple[str, str], BackendMeter]:
        """Every meter in use, by deployment and name."""
        return dict(self._backends)

    def deployment(self, key: str) -> DeploymentMeter:
        """The meter of a deployment."""
        meter = self._deployments.get(key)
        if meter is None:
            meter = self._deployments[key] = DeploymentMeter()
        return meter

    def deployments(self) -> dict[str, DeploymentMeter]:
        """Every deployment that is, or was, served and has not been deleted."""
        return dict(self._deployments)

    def forget_deployment(self, key: str) -> None:
        """A deployment has been deleted: names come and go, and their numbers are not kept for ever."""
        self._deployments.pop(key, None)

    def calls(self) -> dict[tuple[str, str], Histogram]:
        """How long calls of the API took to be answered, by operation and class of status."""
        return dict(self._calls)

    def call_ended(self, operation: str, status: int, seconds: float) -> None:
        """A call of the API was answered after so long. Operations are a closed list, so there are few of these."""
        key = (operation, f"{status // 100}xx")
        histogram = self._calls.get(key)
        if histogram is None:
            histogram = self._calls[key] = Histogram(HTTP_BOUNDS)
        histogram.observe(seconds)

    def batch_ended(self, status: str, *, created_at: int, expires_at: int, now: float) -> None:
        """A batch has reached its last status."""
        histogram = self.batch_seconds.get(status)
        if histogram is None:
            histogram = self.batch_seconds[status] = Histogram(BATCH_BOUNDS)
        histogram.observe(now - created_at)
        self.deadlines_missed += now > expires_at


meters = Meters()
