"""How many requests an engine runs at once, learned from when it ran no more, and how many of these are left to others.

No engine says it on its page. Where requests wait and always as many run, that is its number; but not where it has no room in
its cache or where most of its time goes into prompts, because then requests wait for that; and not where none is begun, whatever
they wait for. Whoever believes too small a number
would never see that it is wrong, so a number that is not seen again for some minutes grows, and faster each time.
"""

# As many as engines run by default.
SLOTS_USUAL = 256.0
# Of them so many are left to others while they are there, and while nobody is for whoever comes first; at most, and as a part.
LEFT_MOST, LEFT_PART = 32.0, 1 / 4
SPARE_MOST, SPARE_PART = 8.0, 1 / 32
# In so many looks in a row something waits and nearly as many run, and in some of them prompts were begun: it is believed.
LOOKS, NEARLY, BEGUN = 4, 0.05, 2
# The cache is no reason to wait below this, and prompts are none below this part of the time.
KV_FREE, PROMPTS_PART = 0.85, 0.5
# After so long without being seen again it grows: by an eighth, then by twice as much.
SURE_SECONDS, GROWTH = 300.0, 1 / 8


class Slots:
    """Those of one engine."""

    def __init__(self) -> None:
        self.number = SLOTS_USUAL
        self._streak = self._begun = 0
        self._least = self._most = 0.0
        self._sure_at = 0.0
        self._growth = 1.0

    def seen(self, running: float, waiting: float, *, kv: float, prompts: float, now: float) -> None:
        """One look: what runs and waits, how full the cache is, and the part of the time that went into prompts."""
        self.number = max(self.number, running)
        least, most = min(self._least, running), max(self._most, running)
        if waiting < 1.0 or kv > KV_FREE or prompts > PROMPTS_PART:
            self._streak = 0
        elif self._streak and most - least <= max(1.0, NEARLY * most):
            self._streak, self._least, self._most = self._streak + 1, least, most
            self._begun += prompts > 0.0
        else:
            # More and more, or fewer and fewer: that is no bound.
            self._streak, self._begun, self._least, self._most = 1, 0, running, running
        if self._streak >= LOOKS and self._begun >= BEGUN:
            self.number, self._sure_at, self._growth = self._most, now, max(1.0, GROWTH * self._most)
        elif self.number < SLOTS_USUAL and now - self._sure_at > SURE_SECONDS:
            self.number, self._sure_at, self._growth = self.number + self._growth, now, 2.0 * self._growth

    def forget(self) -> None:
        """The engine has started again, perhaps another one."""
        self.number, self._streak = SLOTS_USUAL, 0

    def free(self, used: float, *, shared: bool) -> float:
        """How many more requests it may have of us; one at least where it has none. `shared`: others are there."""
        most, part = (LEFT_MOST, LEFT_PART) if shared else (SPARE_MOST, SPARE_PART)
        free = self.number - min(most, part * self.number) - used
        return free if used > 0.5 else max(1.0, free)
