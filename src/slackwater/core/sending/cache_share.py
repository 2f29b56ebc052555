"""How much of an engine's cache may be ours, where others come back for what they have left in it.

An agent sends its whole conversation with each turn and pays for the new part alone, as long as the rest is still in the
cache. Between its turns nobody seems to be there, and the cache says that it is empty: what is kept for the next turn is not
counted as used. Whatever we write pushes out what was used longest ago. So where others find much, what we write within a
minute may only be a part of the cache; a smaller one as soon as they find less.
"""

import math

# What somebody comes back for has been used within this time.
MEMORY_SECONDS = 60.0
# Others live by the cache where they find so much of what they send.
REUSE = 0.2
SHARE_FIRST, SHARE_MIN, SHARE_MAX = 0.15, 0.02, 1.0
# Less is found: by so much, and the share is cut to this, at most once in the time that it takes to be seen.
LOST, CUT, CUT_SECONDS = 0.05, 0.6, 60.0
# Nothing is lost: in so long the share grows by a tenth of itself.
GROW_SECONDS = 60.0
# As many of others' tokens say what they find now, and ten times as many what they usually find.
TOKENS, TOKENS_USUAL, TOKENS_MIN = 200_000.0, 2_000_000.0, 20_000.0


class CacheShare:
    """For one engine. All counts are tokens."""

    def __init__(self) -> None:
        self.share = SHARE_FIRST
        self.now: float | None = None
        """The part of others' prompts that was found lately."""
        self.usual: float | None = None
        """And that is found when we are not in the way."""
        # What was looked for and found lately, less what was ours: either may be below zero for a look or two, because an
        # engine counts later than we send.
        self._looked_up = self._found = 0.0
        self._written = 0.0
        self._written_at = 0.0
        self._cut_at = -math.inf

    @property
    def matters(self) -> bool:
        """Whether others live by what they find."""
        return self.usual is not None and self.usual > REUSE

    def room(self, kv_tokens: float, now: float) -> float:
        """How much more may be written now into a cache of that size; infinite where nobody comes back for anything."""
        if not self.matters:
            return math.inf
        return self.share * kv_tokens - self._left(now)

    def wrote(self, tokens: float, now: float) -> None:
        """A request of ours with so many tokens, or a part of its answer."""
        self._written, self._written_at = self._left(now) + tokens, now

    def seen(self, looked_up: float, found: float, *, seconds: float, now: float) -> None:
        """What others looked for and found within the last `seconds`, as far as is known."""
        keep = max(0.0, 1.0 - abs(looked_up) / TOKENS)
        self._looked_up = self._looked_up * keep + looked_up
        self._found = self._found * keep + found
        if self._looked_up >= TOKENS_MIN:
            self.now = min(1.0, max(0.0, self._found / self._looked_up))
            if self.usual is None or self.now > self.usual:
                self.usual = self.now
            else:
                self.usual += min(1.0, abs(looked_up) / TOKENS_USUAL) * (self.now - self.usual)
        if self.now is None or self.usual is None:
            return
        if self.now < self.usual - LOST:
            if now - self._cut_at > CUT_SECONDS:
                self.share, self._cut_at = max(SHARE_MIN, CUT * self.share), now
        else:
            self.share = min(SHARE_MAX, self.share * (1.0 + 0.1 * seconds / GROW_SECONDS))

    def _left(self, now: float) -> float:
        return self._written * math.exp(-max(0.0, now - self._written_at) / MEMORY_SECONDS)
