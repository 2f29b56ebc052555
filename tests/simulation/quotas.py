"""A rate limit of a door that online traffic uses as well: who is let in, what is said of it, and what it costs the others."""

import math
import random

from slackwater.core.sending.rate_limit_headers import Reading

# Of what online traffic asks for, so much may be refused because of us, and so many requests besides: services that are killed
# know nothing of the quota when they begin.
REFUSED_SHARE_MAX, REFUSED_MAX = 0.05, 30


class SharedQuota:
    """So many requests a minute, in windows or as a bucket. Moments are those of the world's loop."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = random.Random(chance.random())
        self.limit = chance.choice((120, 240, 600))
        self._bucket = chance.random() < 0.5
        self._says_reset = chance.random() < 0.7
        self._rate = chance.uniform(0.1, 0.5) * self.limit / 60
        self._phase = chance.uniform(0.0, 60.0)
        self._left, self._at = float(self.limit), 0.0
        self._online_at = self._chance.expovariate(self._rate)
        self.offered = self.refused = 0

    def _go_on(self, now: float) -> None:
        if self._bucket:
            self._left = min(float(self.limit), self._left + (now - self._at) * self.limit / 60)
        elif math.floor((now + self._phase) / 60) != math.floor((self._at + self._phase) / 60):
            self._left = float(self.limit)
        self._at = now

    def _online_until(self, now: float) -> None:
        # Of an outage of days, the last minutes are enough.
        self._online_at = max(self._online_at, now - 300.0)
        while self._online_at <= now:
            self._go_on(self._online_at)
            self.offered += 1
            if self._left >= 1.0:
                self._left -= 1.0
            else:
                self.refused += 1
            self._online_at += self._chance.expovariate(self._rate)
        self._go_on(now)

    def arrives(self, now: float) -> tuple[bool, float, tuple[Reading, ...]]:
        """A request of a service: whether it is let in, when to come again, and what the headers say."""
        self._online_until(now)
        admitted = self._left >= 1.0
        self._left -= admitted
        if self._bucket:
            reset, wait = (self.limit - self._left) * 60 / self.limit, (1.0 - self._left) * 60 / self.limit
        else:
            reset = wait = 60.0 - (now + self._phase) % 60.0
        told = round(reset, 3) if self._says_reset else None
        reading = Reading(False, None, float(self.limit), float(math.floor(self._left)), told or None)
        return admitted, max(0.001, wait), (reading,)

    @property
    def bounded(self) -> bool:
        """Whether others had their room."""
        return self.refused <= REFUSED_MAX + REFUSED_SHARE_MAX * self.offered
