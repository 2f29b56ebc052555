"""One rate limit of one door: how much of it we have used, how much others use, and when another request may go.

What goes from `remaining` and is not ours is others'. In a *window*, which is whole again at once when it ends, a request may
go while what is used, with it, leaves what others will need until the end: their mean rate times the time that is left *since
it was last known what they had used*, and a reserve that grows with that time. So most of what they leave is sent late in
the window, when little can come any more. In a *bucket*, which is refilled all the time, a large part stays in it: that is
not lost. Before: the quota (rate_limits.py), which knows what we have sent. All moments are monotonic.
"""

import math
from collections import deque
from collections.abc import Mapping

from slackwater.core.sending.late_peers import FarPeer
from slackwater.core.sending.limit_shape import LimitShape, Sent
from slackwater.core.sending.others_apart import OthersApart
from slackwater.core.sending.others_use import OthersUse
from slackwater.core.sending.rate_limit_headers import DAY, MINUTE, Reading

# The reserve for t seconds, in standard deviations of what others use in one second: Z * t ** POWER. With independent requests
# the power would be a half; bursts, and that what is sent late costs nothing, make it more (benchmarks/rate_limits.py).
Z, POWER = 1.75, 0.9
# Of a limit, so much is left in any case.
FLOOR = 0.005
# Of a bucket, these parts are left: what is in it is not lost, so a large reserve costs nothing but the first filling.
BUCKET_LEAST, BUCKET_MOST = 0.5, 0.8
# While nothing of ours goes out, it is looked at what is in a bucket after such a part of the time in which it is filled.
BUCKET_LOOK = 0.25
# In a long window, it is looked so often at least whether things are as they were said to be.
LOOK_MOST_SECONDS = 300.0
# As long as nobody knows what others use, so much of the limit is taken, spread over the window.
UNKNOWN_SHARE = 0.5
# Of a limit that nothing is heard of: what each refusal leaves of the share that is taken, and what a window without adds.
SHARE_KEPT, SHARE_ADDED, SHARE_MIN = 0.7, 0.05, 0.05
# What others have used does not become less; by this part of the limit, it was another window that was counted.
FALL = 0.02
# Windows over which the largest amount that was seen to remain is taken for the limit, where none is named.
LIMITS_KEPT = 10
# Answers that succeed although nothing was left: from so many in a row on, nothing is believed of it.
CONTRADICTIONS_MAX = 3
# For so many windows a request waits for others to leave it room; then it goes at the first moment at which there is any.
PATIENCE_WINDOWS = 2.0
NAMES = {1.0: "second", 10.0: "ten seconds", MINUTE: "minute", 3600.0: "hour", DAY: "day"}


class LimitWindow:
    """One limit."""

    def __init__(
        self,
        *,
        tokens: bool,
        period: float | None,
        log: deque[Sent],
        told: float | None = None,
        shared: bool = True,
    ) -> None:
        """`log` is what has gone out lately, kept by the quota; `told` is the limit that an operator has named; `shared`
        whether anybody else uses it.
        """
        self.tokens = tokens
        self.told = told
        self.part = 1.0
        """What part of it is ours, where members of a cluster divide it."""
        self.limit = told
        """That part of the limit, as far as it is known."""
        self.shared = shared
        self.shape = LimitShape(period)
        self.others = OthersUse()
        self._apart = OthersApart()
        # What others that are no members have used of our part of this window, as far as that is known.
        self._online = 0.0
        # What has gone from a bucket in all, of all of us.
        self._gone = 0.0
        self.ends: float | None = None
        """When it is whole again, as far as is known; None before the first request."""
        self.starts = -math.inf
        self.seen = 0.0
        """What others had used in this window, when that was last known. Below 0 where ours counts for less than was thought."""
        self.seen_at = -math.inf
        self.believed = True
        """Whether what answers say of it is any use."""
        # The beginning of the window may turn out to be another: then what went out since is counted again.
        self._log = log
        # What had gone out before this window, and before what is in the bucket was last known.
        self._own_before = self._own_at = 0.0
        self._level = 0.0
        self._zeros = 0
        self._zero_at = -math.inf
        # Without a word on the limit: the most that it was seen to be in each of the last windows.
        self._limits: deque[float] = deque([0.0], maxlen=LIMITS_KEPT)
        self._share = UNKNOWN_SHARE if shared else 1.0
        self._refused_at = self._heard_at = -math.inf

    @property
    def period(self) -> float:
        """Its length in seconds; of a bucket, the time in which it is filled."""
        return self.shape.period

    @property
    def bucket(self) -> bool:
        """Whether it is refilled all the time."""
        return self.shape.bucket and self.believed

    @property
    def contradicted(self) -> bool:
        """Whether nothing limits but refusals. What half of a minute's limit is says how much may be tried; of a longer one, half
        would be some requests an hour, at a server that serves whatever comes.
        """
        return not self.believed and self.told is None and self.period > MINUTE

    @property
    def silent(self) -> bool:
        """Whether no answer has spoken of it."""
        return self._heard_at == -math.inf

    @property
    def learnt(self) -> bool:
        """Whether it is known what others use."""
        return not self.shared or self.others.known >= min(self.period, MINUTE) / 2

    def words(self, own: float) -> str:
        """Why a request waits for this limit, for people."""
        unit, span = "tokens" if self.tokens else "requests", NAMES.get(self.period, f"{self.period:g} seconds")
        limit = self.limit or 0.0
        left = self._level - (own - self._own_at) if self.bucket else limit - (own - self._own_before) - self.seen
        if left <= FLOOR * limit:
            return f"the {limit:.0f} {unit} of this {span} are used up"
        return f"leaves {left:.0f} {unit} of this {span} to others"

    # What goes out

    def roll(self, now: float, own: float) -> None:
        """Time goes on. `own` is how much of ours has gone out in all."""
        if self.ends is None:
            # Until more is known, it begins with our first request.
            began = next((sent.at for sent in self._log if sent.at > now - self.period), now)
            self.starts, self.ends = began, began + self.period
            self._own_before, self.seen, self.seen_at = own - self._since(began), 0.0, began
        elif now >= self.ends:
            if self._refused_at < self.starts:
                self._share = min(1.0, self._share + SHARE_ADDED)
            self.starts = self.ends + math.floor((now - self.ends) / self.period) * self.period
            self.ends = self.starts + self.period
            self._own_before = own
            self._online = 0.0
            if not self.shape.bucket:
                self.seen, self.seen_at, self._own_at = 0.0, self.starts, own
            self._limits.append(0.0)

    def _since(self, moment: float) -> float:
        """What has gone out since then, as far back as that is known."""
        return sum(sent.tokens if self.tokens else 1.0 for sent in self._log if sent.at >= moment)

    def wait(self, now: float, amount: float, own: float, *, idle_since: float) -> tuple[float, float]:
        """Seconds until a request of so much may go, 0.0 is now; and when a look at what is left would help, or inf.

        `own` is what has gone out in all, `idle_since` when the last of it did.
        """
        limit = self.limit
        if limit is None:
            return 0.0, math.inf
        self.roll(now, own)
        if self.bucket:
            seconds = self._wait_for_level(now, amount, own, limit, idle_since)
            return seconds, max(now, self._heard_at + min(LOOK_MOST_SECONDS, BUCKET_LOOK * self.period))
        assert self.ends is not None, "time has gone on"
        used, left = own - self._own_before, self.ends - now
        if used <= 0.0 and (amount > (1 - FLOOR) * limit or now - idle_since >= PATIENCE_WINDOWS * self.period):
            # It never fits beside others, or has waited for long: it goes as soon as there is room, or alone.
            return (0.0 if self.seen + amount <= limit or self.seen <= 0.0 else left), math.inf
        if self.contradicted:
            return 0.0, math.inf
        if not self.believed or not self.learnt:
            # A minute is soon over. Of a longer window it is looked at whether it is as it was said to be.
            look = math.inf if self.period <= MINUTE else max(now, self._heard_at + LOOK_MOST_SECONDS)
            return self._wait_for_share(now, amount, used, limit), look
        # Who has sent more than its part of what others leave waits for members that have not sent theirs yet.
        room, unseen = limit - used - max(self.seen, self._online) - amount, self.ends - self.seen_at
        floor = FLOOR * limit if self.shared else 0.0
        deviation = Z * math.sqrt(self.others.variance) if self.shared else 0.0
        needed = self.others.mean * unseen if self.shared else 0.0
        if room >= max(floor, needed + deviation * max(0.0, unseen) ** POWER):
            return 0.0, math.inf
        if room < floor or not self.shared:
            return left, max(now, self._heard_at + LOOK_MOST_SECONDS)
        # If others have gone on as they did, what is left is enough from some moment on, and a look would show it. Where it is
        # not, it is seen now and then whether they have, in halves of the time that is left.
        spare = room - needed
        before_end = 0.0 if spare <= 0.0 else math.inf if not deviation else math.pow(spare / deviation, 1 / POWER)
        return left, max(now, min(self.ends - max(before_end, unseen / 2), self._heard_at + LOOK_MOST_SECONDS))

    def _wait_for_share(self, now: float, amount: float, used: float, limit: float) -> float:
        """As much as would be fair, spread over the window, while it is not known what others use."""
        assert self.ends is not None, "time has gone on"
        share, left = self._share * limit, self.ends - now
        if used <= 0.0:
            return 0.0
        if used + amount > share:
            return left
        if not self.shared:
            return 0.0
        spread = min(1.0, (now - self.starts) / self.period + 0.05)
        missing = used + amount - share * spread
        wait = 0.0 if missing <= 0.0 else min(left, missing / share * self.period)
        if not self.believed or self.seen_at <= self.starts:
            return wait
        # Others may go on as fast as that, too, from what is left by now.
        room = limit - used - self.seen - amount
        if room < FLOOR * limit:
            return left
        return max(wait, left - room / (UNKNOWN_SHARE * limit) * self.period)

    def _wait_for_level(self, now: float, amount: float, own: float, limit: float, idle_since: float) -> float:
        rate, mean, variance = limit / self.period, self.others.mean, self.others.variance
        if not self.shared:
            mean = variance = 0.0
        since, spare = max(0.0, now - self.seen_at), rate - mean
        level = min(limit, self._level + spare * since) - (own - self._own_at)
        if now - idle_since >= PATIENCE_WINDOWS * self.period or not self.shared:
            reserve = 0.0
        elif not self.learnt:
            reserve = BUCKET_LEAST * limit
        elif spare > 0.05 * rate:
            # The most that others can be ahead of what is refilled: since it was last known, and from now on.
            deviation = 2 * Z * math.sqrt(variance)
            ahead = max(0.0, (deviation / (2 * spare)) ** 2 - since)
            most = deviation * math.sqrt(since + ahead) - spare * ahead
            reserve = min(BUCKET_MOST * limit, max(BUCKET_LEAST * limit, most))
        else:
            reserve = BUCKET_MOST * limit
        missing = min(amount, limit - reserve) + reserve - level
        return 0.0 if missing <= 0.0 else max(0.01, missing / max(spare, 0.05 * rate))

    def told_of(self, peers: Mapping[str, FarPeer], *, ahead: float) -> None:
        """What members have sent with whom it is divided (others_apart.py)."""
        for used, seconds, window in self._apart.told(peers, ahead=ahead, tokens=self.tokens):
            self.others.add(self.part * used, seconds)
            if window is not None and window == self._window:
                self._online += self.part * used

    @property
    def _window(self) -> int:
        """The number of the window: when it begins is known better and better."""
        return round(self.starts / self.period)

    def own_use(self, own: float) -> float:
        """What of ours has gone out in this window, or since what is in the bucket was last known."""
        return max(0.0, own - (self._own_at if self.shape.bucket else self._own_before))

    def divided(self, part: float) -> None:
        """From now on so much of it is ours, more than nothing: of the limit, of what is left of it, and of what others use."""
        ratio, self.part = part / self.part, part
        if self.limit is not None:
            self.limit *= ratio
        ours = 0.0 if self.shape.bucket else max(0.0, self._own_at - self._own_before)
        self.seen = (self.seen + ours) * ratio - ours
        self._level *= ratio
        self._online *= ratio
        self.others.scale(ratio)

    def took_back(self, sent: Sent) -> None:
        """That was not counted."""
        amount = sent.tokens if self.tokens else 1.0
        if sent.at < self.starts:
            self._own_before -= amount
        if sent.at < self.seen_at:
            self._own_at -= amount

    # What comes back

    def heard(self, sent: Sent, reading: Reading, now: float, own: float, *, served: bool) -> None:
        """An answer to what was sent then says this of it. `served`: it was no refusal."""
        self.roll(now, own)
        if reading.limit is not None and (self.told is None or reading.limit < self.told):
            self.limit = self.part * reading.limit
        remaining, self._heard_at = reading.remaining, now
        if remaining is None:
            return
        if served and remaining <= 0.0:
            # Of a day's limit, what was out already when nothing was left may have been counted before.
            if self.period <= MINUTE or sent.at >= self._zero_at:
                self._zeros, self._zero_at = self._zeros + 1, now
        elif remaining > 0.0:
            self._zeros = 0
        self.believed = self._zeros < CONTRADICTIONS_MAX
        if reading.limit is None and self.told is None:
            amount = sent.tokens if self.tokens else 1.0
            self._limits[-1] = max(self._limits[-1], remaining + amount * served)
            self.limit = self.part * max(self._limits) or None
        limit = self.limit
        if limit is None:
            return
        was_bucket = self.shape.bucket
        ended = self.shape.heard(sent, remaining, reading.reset, limit / self.part, now)
        # Of what is left, as of the limit, a part is ours; and of what others have used, members among them.
        remaining *= self.part
        if self.shape.bucket is not was_bucket:
            self.others = OthersUse()
            self.seen, self.seen_at = 0.0, -math.inf if self.shape.bucket else self.starts
        if ended is not None:
            self._set_end(*ended, now, own)
        total = sent.total_tokens if self.tokens else sent.total_requests
        if sent.at < self.seen_at:
            return
        if self.shape.bucket:
            self._notice_level(sent, remaining, total, limit)
        elif sent.at >= self.starts and served:
            seen = limit - remaining - (total - self._own_before)
            # It is less where ours counts for less than was thought, and not by more than what has gone out since.
            if seen >= self.seen - FALL * limit - max(0.0, total - self._own_at):
                if self.part < 1.0:
                    used = (limit - remaining) / self.part
                    self._apart.note(
                        sent.at, used, total, window=self._window, began=self.starts, before=self._own_before
                    )
                else:
                    self.others.add(seen - self.seen, sent.at - self.seen_at)
                self.seen, self.seen_at, self._own_at = seen, sent.at, total

    def refused(self, sent: Sent, wait: float | None, now: float, own: float) -> None:
        """A request was refused for a limit, perhaps this one: others have used what we did not."""
        self.roll(now, own)
        if self.limit is None or sent.at < self.starts:
            return
        if self._refused_at < self.starts:
            self._share = max(SHARE_MIN, self._share * SHARE_KEPT)
        self._refused_at = now
        if wait is not None and wait <= self.period and not self.shape.bucket and not self.shape.known:
            rounded = 1.0 if wait == int(wait) else 0.0
            self._set_end(sent.at + wait - rounded, now + wait, now, own)

    def _notice_level(self, sent: Sent, remaining: float, total: float, limit: float) -> None:
        since = sent.at - self.seen_at
        if since > 0.0 and self.seen_at > -math.inf and self._level < (1 - FALL) * limit:
            # What was refilled, less what we took: the rest of the change is others'.
            refilled = limit / self.period * since
            if self.part < 1.0:
                self._gone += (self._level + refilled - remaining) / self.part
                self._apart.note(sent.at, self._gone, total)
            else:
                self.others.add(self._level + refilled - (total - self._own_at) - remaining, since)
        self._level, self._own_at, self.seen_at = remaining, total, sent.at

    def _set_end(self, earliest: float, latest: float, now: float, own: float) -> None:
        """A window ends between these moments."""
        assert self.ends is not None, "time has gone on"
        end, period = self.shape.narrowed(earliest, latest), self.period
        ends = end + (math.floor((now - end) / period) + 1) * period
        if abs(ends - self.ends) <= 0.01:
            return
        self.ends, self.starts = ends, ends - period
        self._own_before = own - self._since(self.starts)
        if self.seen_at < self.starts:
            self.seen, self.seen_at, self._own_at = 0.0, self.starts, self._own_before
