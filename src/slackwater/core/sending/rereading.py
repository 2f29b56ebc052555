"""How often what could not be read is tried again, and when. A disk may come back; bytes that have changed rarely do."""

from msgspec import Struct

# Waits double from the first; seconds.
GAP_FIRST = 1.0
GAP_MAX = 60.0
# Tries over some 15 seconds: bytes are missing, or are not those that were written.
TRIES_DAMAGED = 5
# Tries over some six minutes: the disk or the system said no, which an operator or the network may put right.
TRIES_REFUSED = 12


class Rereading(Struct):
    """One thing that could not be read: how often, and when it is tried again (a monotonic moment)."""

    tries: int = 0
    until: float = 0.0
    since: float = 0.0
    """When it failed first."""
    spent: bool = False
    """The last try has failed once."""

    def failed(self, *, damaged: bool, now: float) -> bool:
        """Another try has failed. Returns whether that was the last one.

        `damaged`: what came is not what was written; otherwise nothing came.
        """
        if not self.tries:
            self.since = now
        self.tries += 1
        last = self.tries >= (TRIES_DAMAGED if damaged else TRIES_REFUSED)
        self.spent = self.spent or last
        self.until = now if last else now + min(GAP_MAX, GAP_FIRST * 2.0 ** min(self.tries - 1, 30))
        return last
