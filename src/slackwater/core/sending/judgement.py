"""What to make of a backend's answer, and when to leave a backend alone. Comes after every call to a backend.

Two kinds of trouble are kept apart. Trouble of one request (a 500, a timeout, a broken answer) costs it one of its
attempts. Trouble of the backend (429, Retry-After, nobody listening) costs nothing: the request waits until the backend
takes requests again, because an engine that restarts must not fail a hundred thousand lines.
"""

from enum import Enum, StrEnum

from msgspec import Struct

from slackwater.core.errors import BackendError, BackendUnreachable


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How stubborn to be. Delays are seconds and double per attempt, each drawn between half and all of its value."""

    attempts_max: int = 5
    delay_first: float = 0.5
    delay_max: float = 30.0

    def delay(self, attempt: int, *, chance: float) -> float:
        """Seconds to wait after the `attempt`-th failure (from 1). `chance` in [0, 1) spreads callers apart."""
        return min(self.delay_max, self.delay_first * 2.0 ** min(attempt - 1, 30)) * (0.5 + chance / 2)


class Verdict(Enum):
    """What becomes of a request after one call."""

    DONE = "done"
    FAILED = "failed"
    RETRY = "retry"
    WAIT = "wait"


# Worth another try: the request may be fine. Everything else below 500 is the request's own fault (spec 4.3).
RETRYABLE = frozenset({408, 409, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})


def judge(status: int, *, attempts: int, policy: RetryPolicy, retry_after: float | None) -> Verdict:
    """The verdict on an HTTP answer; `attempts` counts the calls that this request has used up, this one included."""
    if 200 <= status < 300:
        return Verdict.DONE
    if status == 429 or (status == 503 and retry_after is not None):
        return Verdict.WAIT
    if status in RETRYABLE and attempts < policy.attempts_max:
        return Verdict.RETRY
    return Verdict.FAILED


def judge_error(error: BackendError, *, attempts: int, policy: RetryPolicy) -> Verdict:
    """The verdict on a call that brought no answer."""
    if isinstance(error, BackendUnreachable) and not error.sent:
        return Verdict.WAIT
    return Verdict.RETRY if attempts < policy.attempts_max else Verdict.FAILED


class Health(StrEnum):
    """How a backend is, for people."""

    OK = "ok"
    RESTING = "resting"
    """It asked to be left alone for a moment."""
    DOWN = "down"
    """It does not answer, or with errors only."""


class Breaker:
    """Says when a backend may be called. Closed: freely. Open: not before a moment. Then one probe, which decides.

    Every time is a monotonic moment in seconds that the caller brings. `threshold` failures in a row open it, for
    `open_first` seconds, doubling up to `open_max` while probes fail. Retry-After opens it for exactly that long.
    """

    __slots__ = ("_failures", "_opened", "_probing", "_until", "open_first", "open_max", "threshold")

    def __init__(self, *, threshold: int = 10, open_first: float = 0.5, open_max: float = 30.0) -> None:
        self.threshold = threshold
        self.open_first = open_first
        self.open_max = open_max
        self._failures = 0
        self._opened = 0
        self._until = 0.0
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether calls may go out freely."""
        return self._until == 0.0

    @property
    def health(self) -> Health:
        """What the calls so far say of the backend."""
        if self.closed:
            return Health.OK
        return Health.DOWN if self._opened else Health.RESTING

    def wait(self, now: float) -> float | None:
        """Seconds until a call may go out: 0 for at once (the caller then holds the only probe), None while a probe runs."""
        if self._until == 0.0:
            return 0.0
        if now < self._until:
            return self._until - now
        if self._probing:
            return None
        self._probing = True
        return 0.0

    def ready(self, now: float) -> bool:
        """Whether `wait` would answer 0. Changes nothing."""
        return self._until == 0.0 or (now >= self._until and not self._probing)

    def abandon(self) -> None:
        """The caller that held the probe did not call after all; somebody else may."""
        self._probing = False

    def succeeded(self) -> None:
        """An answer came that does not speak against the backend."""
        if self._failures or self._until:
            self._failures = self._opened = 0
            self._until = 0.0
            self._probing = False

    def failed(self, now: float, *, at_once: bool = False) -> None:
        """A call failed in a way that speaks against the backend; `at_once` opens without waiting for more proof."""
        self._failures += 1
        was_probe, self._probing = self._probing, False
        if at_once or was_probe or self._failures >= self.threshold:
            if was_probe or self._until == 0.0:
                self._opened += 1
            self._until = max(self._until, now + min(self.open_max, self.open_first * 2.0 ** (self._opened - 1)))

    def pause(self, until: float) -> None:
        """The backend asked to be left alone until a moment."""
        self._probing = False
        self._until = max(self._until, until)
