"""What kind of limit a server has: one that is whole again at once when its window ends, or a bucket that fills all the time.

And how long its window is, and when it ends. Servers do not say so: it shows in how what remains and the time to the reset
change from one answer to the next.
"""

import math

from msgspec import Struct

from slackwater.core.sending.rate_limit_headers import DAY, MINUTE

# The lengths that windows have.
PERIODS = (1.0, 10.0, MINUTE, 3600.0, DAY)
# Two answers so far apart tell one kind from the other; so many that agree, and it is believed.
APART_SECONDS = 3.0
BELIEVED, VOTES_MAX = 2, 6
# A rise of what remains by this part of the limit is the end of a window.
RISE = 0.1
# The times to a reset of two answers differ by no more than rounding and the way of the answer.
DRIFT_SECONDS = 1.1


class Sent(Struct, frozen=True, gc=False, eq=False):
    """One request that went out: when, and how much had gone out until then, with it, of tokens and of requests."""

    at: float
    tokens: float
    total_tokens: float
    total_requests: float


class _Seen(Struct, frozen=True, gc=False):
    """What one answer showed."""

    at: float
    remaining: float
    number: float
    heard_at: float


class LimitShape:
    """The kind, the length and the phase of one limit. All moments are monotonic."""

    __slots__ = ("_ends", "_last", "_newest", "_risen_at", "_settled", "_votes", "bucket", "known", "named", "period")

    def __init__(self, period: float | None) -> None:
        """`period` in seconds, where the name of the limit says it."""
        self.period = period or MINUTE
        self.named = period is not None
        self.bucket = False
        self.known = False
        """Whether it is known when a window ends."""
        self._votes = 0
        # Between these moments a window ended, or will.
        self._ends: tuple[float, float] | None = None
        self._newest: _Seen | None = None
        self._settled: _Seen | None = None
        self._last: tuple[float, float, float] | None = None
        self._risen_at = -math.inf

    def heard(
        self, sent: Sent, remaining: float, reset: float | None, limit: float, now: float
    ) -> tuple[float, float] | None:
        """What an answer shows. Returns the moments between which a window ends, where it shows that."""
        self._notice_rise(sent, remaining, limit, now)
        if reset is not None and remaining < limit:
            self._notice_reset(sent, reset, limit * reset / (limit - remaining))
        ended = self._notice_end(sent, remaining, limit, now)
        if self.bucket:
            return None
        if ended is not None:
            return ended
        if reset is not None and reset <= self.period * 1.02:
            # Whole seconds are rounded up, or down.
            rounded = 1.0 if reset == int(reset) else 0.0
            return sent.at + reset - rounded, now + reset + rounded
        return None

    def narrowed(self, earliest: float, latest: float) -> float:
        """A window ends between these moments. Returns the last moment at which it may: what goes out then is in the next."""
        if self._ends is not None:
            # The same end, some windows later.
            low, high = self._ends
            later = round((earliest + latest - low - high) / 2 / self.period) * self.period
            first, last = max(low + later, earliest), min(high + later, latest)
            if first <= last + 0.05:
                earliest, latest = first, max(first, last)
        self._ends, self.known = (earliest, latest), True
        return latest

    def _notice_end(self, sent: Sent, remaining: float, limit: float, now: float) -> tuple[float, float] | None:
        newest = self._newest
        if newest is not None and sent.total_requests <= newest.number:
            return None
        self._newest = _Seen(sent.at, remaining, sent.total_requests, now)
        if newest is None or sent.at - newest.at >= self.period or remaining - newest.remaining <= RISE * limit:
            return None
        # More is left than before, which others cannot have brought: it has ended in between.
        return newest.at, sent.at

    def _notice_rise(self, sent: Sent, remaining: float, limit: float, now: float) -> None:
        """What remains of a bucket rises again and again, and little by little."""
        settled = self._settled
        if settled is not None and sent.at < settled.heard_at:
            # One may have overtaken the other.
            return
        self._settled = _Seen(sent.at, remaining, sent.total_requests, now)
        if settled is None or remaining <= settled.remaining or sent.at - settled.at >= self.period / 2:
            return
        refilled = 2 * limit * (sent.at - settled.at) / self.period
        if sent.at - self._risen_at < self.period / 2 and remaining - settled.remaining <= refilled:
            self._vote(1)
        self._risen_at = sent.at

    def _notice_reset(self, sent: Sent, reset: float, period: float) -> None:
        """The reset of a window is a moment; that of a bucket is proportional to what is missing."""
        last = self._last
        if last is None:
            self._last = (sent.at, reset, period)
            return
        apart = sent.at - last[0]
        if apart < APART_SECONDS:
            return
        self._last = (sent.at, reset, period)
        drift = (sent.at + reset - last[0] - last[1]) % self.period
        if min(drift, self.period - drift) <= max(DRIFT_SECONDS, 0.1 * apart):
            self._vote(-1)
            if not self.named and reset > 1.1 * self.period:
                self.period = next((each for each in PERIODS if each >= reset), reset)
        elif abs(math.log(period / last[2])) < 0.25:
            self._vote(1)
            if not self.named and self.bucket:
                self.period = min(PERIODS, key=lambda each: abs(math.log(each / period)))

    def _vote(self, bucket: int) -> None:
        self._votes = max(-VOTES_MAX, min(VOTES_MAX, self._votes + bucket))
        self.bucket = self._votes >= BELIEVED or (self.bucket and self._votes > -BELIEVED)
