"""What to make of a backend's answer. Comes after every call to a backend; breaker.py says when to leave a backend alone.

Two kinds of trouble are kept apart. Trouble of one request (a 500, a timeout, a broken answer) costs it one of its
attempts. Trouble of the backend (429, Retry-After, nobody listening) costs nothing: the request waits until the backend
takes requests again, because an engine that restarts must not fail a hundred thousand lines.
"""

from enum import Enum

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
