"""The quota of one door: every rate limit that its answers speak of or an operator has told, and when the next request may go.

Others may use the same quota, and come first: what they use is inferred (limit_window.py) and left to them. Requests are
taken to cost what the caller says, prompt and `max_tokens`, as Azure counts them at arrival. After a refusal nobody goes
before the wait is over; then one, and the rest when that one has been served.

No clock and no I/O: moments are monotonic and come from the caller. What must hold: with work to do, a request always goes
after a finite time, however large it is and whatever is said.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping

from msgspec import Struct

from slackwater.core.sending.late_peers import FarPeer
from slackwater.core.sending.limit_shape import Sent
from slackwater.core.sending.limit_window import LOOK_MOST_SECONDS, LimitWindow
from slackwater.core.sending.rate_limit_headers import DAY, MINUTE, Reading
from slackwater.core.sending.request import Reply

# Some enforce a limit of requests in a minute over ten seconds or less (Azure). Who refuses although enough is left of every
# limit that it speaks of is taken for one of them for a while: so much of those ten seconds is used, others included.
BURST_SECONDS = 10.0
BURST_SHARE = 0.8
BURST_MEMORY_SECONDS = 3600.0
# After a refusal that says no wait and where no reset is known.
GAP_FIRST, GAP_MOST = 1.0, 30.0
# Looks at what is left are so far apart at least, and otherwise by this part of the time to the end of the window.
LOOK_SECONDS = 0.2
LOOK_PART = 4.0
# The longest wait that is answered; then it is asked again.
WAIT_MAX = 60.0
# Requests that are remembered for the case that a window begins at another moment than was thought.
LOG_MAX = 2048
# Somebody who names more limits than this says nothing.
WINDOWS_MAX = 8


class Told(Struct, frozen=True, kw_only=True):
    """What an operator knows of a quota. `shared` is whether anybody but us uses it."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    shared: bool = True


NOTHING_TOLD = Told()


class Quota:
    """The quota of one door."""

    __slots__ = (
        "_burst_until",
        "_gap",
        "_log",
        "_look_at",
        "_looked_at",
        "_recent",
        "_requests",
        "_sent_at",
        "_tokens",
        "_trial",
        "_trying",
        "_until",
        "_waits_for",
        "part",
        "told",
        "wait_until",
        "waited",
        "windows",
    )

    def __init__(self, told: Told = NOTHING_TOLD) -> None:
        self.told = told
        self._log: deque[Sent] = deque(maxlen=LOG_MAX)
        self.windows: dict[tuple[bool, float | None], LimitWindow] = {}
        for tokens, period, limit in (
            (False, MINUTE, told.requests_per_minute),
            (True, MINUTE, told.tokens_per_minute),
            (True, DAY, told.tokens_per_day),
        ):
            if limit is not None:
                self.windows[tokens, None if period == MINUTE else period] = LimitWindow(
                    tokens=tokens, period=period, log=self._log, told=float(limit), shared=told.shared
                )
        self.part = 1.0
        """What part of it is ours, where members of a cluster divide it."""
        self.waited = False
        """Whether somebody had to wait; for whoever divides it, and sets it back."""
        self.wait_until = 0.0
        """Nobody needs to ask before this moment, unless something is heard meanwhile."""
        self._tokens = self._requests = 0.0
        self._sent_at = -math.inf
        # When requests went out in the last seconds.
        self._recent: deque[float] = deque()
        self._until = self._burst_until = 0.0
        self._gap = 0.0
        # One goes first: at the beginning, and after a refusal. That is out.
        self._trying = True
        self._trial: Sent | None = None
        self._look_at = math.inf
        self._looked_at = -math.inf
        self._waits_for: LimitWindow | None = None

    # Sending

    def admits(self, now: float, tokens: float) -> float:
        """Seconds until a request of about so many tokens may go; 0.0 is now. Until then nobody needs to ask again."""
        wait = self._wait(now, tokens)
        self.wait_until = now + wait
        if wait > 0.0:
            self.waited = True
        return wait

    def _wait(self, now: float, tokens: float) -> float:
        self._look_at, self._waits_for = math.inf, None
        if now < self._until:
            return min(WAIT_MAX, self._until - now)
        if self._trying and self._trial is not None:
            # Whoever comes back is heard.
            return WAIT_MAX
        wait, look, only_requests = 0.0, -math.inf, True
        for window in self.windows.values():
            own = self._tokens if window.tokens else self._requests
            seconds, useful = window.wait(now, tokens if window.tokens else 1.0, own, idle_since=self._sent_at)
            if seconds > 0.0:
                look, only_requests = max(look, useful), only_requests and not window.tokens
                if seconds >= wait:
                    wait, self._waits_for = seconds, window
        burst = self._burst(now)
        if burst > wait:
            return burst
        if wait <= 0.0:
            return 0.0
        if look < math.inf:
            left = max(0.0, self._waits_for.ends - now) if self._waits_for and self._waits_for.ends else 0.0
            self._look_at = max(look, self._looked_at + max(LOOK_SECONDS, min(left / LOOK_PART, LOOK_MOST_SECONDS)))
            if only_requests:
                # A request of our own would count for as much as this one: it is the look.
                if now >= self._look_at:
                    self.looks(now)
                    return 0.0
                wait, self._look_at = min(wait, self._look_at - now), math.inf
            wait = min(wait, max(LOOK_SECONDS, self._look_at - now))
        return min(WAIT_MAX, wait + 0.001)

    def _burst(self, now: float) -> float:
        """Seconds until as few went out in the last ones that another one is no burst, where bursts are refused."""
        if now >= self._burst_until:
            return 0.0
        window = self.windows.get((False, None)) or self.windows.get((False, MINUTE))
        if window is None or window.limit is None or window.bucket or window.period != MINUTE:
            return 0.0
        recent = self._recent
        while recent and recent[0] <= now - BURST_SECONDS:
            recent.popleft()
        others = window.others.mean * BURST_SECONDS if window.shared else 0.0
        most = max(1.0, BURST_SHARE * window.limit * BURST_SECONDS / MINUTE - others)
        if len(recent) + 1 <= most:
            return 0.0
        return recent[len(recent) - int(most)] + BURST_SECONDS - now + 0.001

    def took(self, now: float, tokens: float) -> Sent:
        """A request goes out. What comes of it is told with what this returns, and then that it is over."""
        self._tokens += tokens
        self._requests += 1.0
        self._sent_at = now
        self._recent.append(now)
        if len(self._recent) > 100_000:
            self._recent.popleft()
        sent = Sent(now, tokens, self._tokens, self._requests)
        for window in self.windows.values():
            own = self._tokens if window.tokens else self._requests
            window.roll(now, own - (tokens if window.tokens else 1.0))
        self._log.append(sent)
        if self._trying and now >= self._until and self._trial is None:
            self._trial = sent
        return sent

    # Dividing

    def divided(self, part: float) -> None:
        """From now on so much of every limit is ours, more than nothing."""
        self.part = part
        for window in self.windows.values():
            window.divided(part)
        self.wait_until = 0.0

    @property
    def gone(self) -> tuple[float, float]:
        """Tokens and requests that have gone out in all."""
        return self._tokens, self._requests

    def sent_since(self, moment: float, *, step: float) -> list[tuple[float, float, float]]:
        """What had gone out in all, of tokens and of requests, by moments since then that are so far apart at least."""
        found: list[tuple[float, float, float]] = []
        for sent in reversed(self._log):
            if sent.at < moment:
                break
            if not found or found[-1][0] - sent.at >= step:
                found.append((sent.at, sent.total_tokens, sent.total_requests))
        return found[::-1]

    def told_of(self, peers: Mapping[str, FarPeer], *, ahead: float) -> None:
        """What members have sent with whom it is divided; `ahead` is how far the ledger's clock is of ours."""
        for window in self.windows.values():
            window.told_of(peers, ahead=ahead)

    @property
    def own_use(self) -> float:
        """What part of a whole limit has gone out from here in its window, of the one of which that is most."""
        most = 0.0
        for window in self.windows.values():
            if window.limit:
                own = self._tokens if window.tokens else self._requests
                most = max(most, window.own_use(own) * window.part / window.limit)
        return most

    @property
    def idle_since(self) -> float:
        """When the last request went out."""
        return self._sent_at

    # Looking

    def look_due(self, now: float) -> bool:
        """Whether a request of our own, as small as possible, would show that there is room."""
        return now >= self._look_at

    @property
    def look_at(self) -> float:
        """When that will be so; inf while there is no use in it."""
        return self._look_at

    def looks(self, now: float) -> None:
        """It is sent."""
        self._looked_at, self._look_at = now, math.inf

    # Hearing

    def heard(self, sent: Sent, readings: Iterable[Reading], now: float, *, served: bool = True) -> None:
        """An answer has come. `served`: it was no refusal for a limit."""
        for reading in readings:
            window = self._window(reading)
            if window is not None:
                own = self._tokens if window.tokens else self._requests
                window.heard(sent, reading, now, own, served=served)
        self.wait_until = 0.0
        if served and self._trying and sent.at >= self._until:
            self._trying, self._trial, self._gap = False, None, 0.0

    def refused(self, sent: Sent, wait: float | None, readings: Iterable[Reading], now: float) -> None:
        """It was refused for a limit, and asked to come again after `wait` seconds, or said nothing of that."""
        readings = tuple(readings)
        spoken = [(each.remaining, each.tokens) for each in readings if each.remaining is not None]
        if spoken and all(left >= 2 * (sent.tokens if tokens else 1.0) for left, tokens in spoken):
            self.refuses_bursts(now)
        self._take_back(sent)
        for window in self.windows.values():
            window.refused(sent, wait, now, self._tokens if window.tokens else self._requests)
        self.heard(sent, readings, now, served=False)
        if wait is None:
            resets = [
                reading.reset
                for reading in readings
                if reading.reset is not None and not reading.remaining and not self._contradicted(reading)
            ]
            self._gap = min(GAP_MOST, self._gap * 2 or GAP_FIRST)
            wait = max(resets) if resets else self._gap
        # Whoever asks for more than the longest of its windows speaks of something else.
        longest = max((window.period for window in self.windows.values()), default=MINUTE)
        self._until = max(self._until, now + min(wait, longest))
        self._trying, self._trial = True, None
        self.wait_until = 0.0

    @property
    def silent(self) -> bool:
        """Whether answers have said nothing of any limit."""
        return all(window.silent for window in self.windows.values())

    def refuses_bursts(self, now: float) -> None:
        """Somebody was refused although enough was left of every limit."""
        self._burst_until = now + BURST_MEMORY_SECONDS

    def over(self, sent: Sent) -> None:
        """The call has ended, whatever came of it."""
        if sent is self._trial:
            # Nothing was heard of it: another one tries.
            self._trial = None
            self.wait_until = 0.0

    def unsent(self, sent: Sent) -> None:
        """It was not sent after all."""
        self._take_back(sent)
        self.over(sent)

    def _take_back(self, sent: Sent) -> None:
        """What is not counted any more."""
        self._tokens -= sent.tokens
        self._requests -= 1.0
        if sent in self._log:
            self._log.remove(sent)
        for window in self.windows.values():
            window.took_back(sent)

    def _contradicted(self, reading: Reading) -> bool:
        window = self._window(reading)
        return window is not None and window.contradicted

    def _window(self, reading: Reading) -> LimitWindow | None:
        period = None if reading.period == MINUTE else reading.period
        key = (reading.tokens, period)
        window = self.windows.get(key)
        if window is None and len(self.windows) < WINDOWS_MAX:
            window = self.windows[key] = LimitWindow(
                tokens=reading.tokens, period=reading.period, log=self._log, shared=self.told.shared
            )
            window.divided(self.part)
        return window

    # For people

    def reason(self, now: float) -> str:
        """Why the last one who asked has to wait; empty where nobody waits."""
        if now >= self.wait_until:
            return ""
        if now < self._until or self._trying:
            return "waits as long as a refusal asked for; then one request tries"
        window = self._waits_for
        if window is None:
            return "keeps below its requests per ten seconds"
        return window.words(self._tokens if window.tokens else self._requests)


def heard_limits(quota: Quota | None, sent: Sent | None, reply: Reply, *, begun: float, now: float) -> Quota | None:
    """What an answer means for a quota; for a door without one, the one that it has from now on, if any.

    `sent` is None for what went out when nobody knew of limits.
    """
    if quota is None:
        if not reply.limits:
            return None
        quota = Quota()
    # Nothing but a refusal shows what is left of a limit that the server does not speak of.
    spoken = [(each.remaining, each.tokens) for each in reply.limits if each.remaining is not None]
    told_only = not reply.limits and bool(quota.windows) and quota.silent
    if sent is None:
        sent = Sent(begun, 0.0, 0.0, 0.0)
        if reply.status == 429:
            # It was not counted, so there is nothing to take back.
            quota.heard(sent, reply.limits, now, served=False)
            return quota
    if reply.status != 429:
        quota.heard(sent, reply.limits, now)
    elif told_only or any(left < (sent.tokens if tokens else 1.0) for left, tokens in spoken):
        quota.refused(sent, reply.retry_after, reply.limits, now)
    else:
        # Enough is left, or nothing is said of that: one line may hear so always. Whose wait that is, the door judges.
        quota.unsent(sent)
        quota.heard(sent, reply.limits, now, served=False)
        if reply.retry_after is not None and spoken:
            quota.refuses_bursts(now)
    quota.over(sent)
    return quota
