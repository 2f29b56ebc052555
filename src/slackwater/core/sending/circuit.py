"""A batch has a circuit, too: when its lines fail while others' succeed, it alone is slowed.

A slowed batch keeps ending its lines at their own attempts, and costs the others at most a twentieth of their throughput:
it may use so much of the engine's slot time, however long its calls take and however few slots there are.
"""

from collections.abc import Sized

from slackwater.core.sending.door import Door

# So many lines in a row, with none between them that succeeded, and the batch is slowed.
SLOWED_AFTER = 10
# What a slowed batch may take of an engine that others want, and of one that nobody else wants.
SHARE = 0.05
SHARE_ALONE = 0.25
# What it may save up while it does not use its share, in seconds of the share.
SAVED_SECONDS = 2.0
# Who was told to wait lets others go first for so long at most when that is over, in seconds, and not for longer than it waited.
YIELDS_SECONDS = 15.0
# A slowed batch begins no new line while so many of its lines wait.
WAITING_MAX = 256


class Circuit:
    """One batch on one engine. Moments are monotonic."""

    __slots__ = (
        "_asked_at",
        "_asked_until",
        "_at",
        "_saved",
        "calls",
        "noted",
        "since",
        "slowed",
        "streak",
        "until",
        "waiting",
    )

    def __init__(self) -> None:
        self.streak = 0
        """Calls in a row that did not succeed."""
        self.slowed = False
        self.noted = False
        """Whether there is anything that may hold it back, now or later: for nearly every batch there never is."""
        self.until = 0.0
        """It was told to wait, it alone."""
        self.since: float | None = None
        """Since when nothing of it has succeeded, of what has come back; None where something has since."""
        self.calls: list[Sized] = []
        """The calls that are out, of each of its open shards."""
        self.waiting = 0
        """Lines that wait for another try."""
        self._saved = 0.0
        self._at = 0.0
        # The last wait that this batch was asked for, without a success of its own since.
        self._asked_at = self._asked_until = -1.0

    def succeeded(self) -> None:
        """A line of it came through."""
        self.streak = 0
        self.slowed = False
        self.since = None
        self._asked_at = self._asked_until = -1.0
        self.noted = self.until > 0.0

    def failed(self, *, others: bool, now: float) -> None:
        """A line of it did not come through. `others`: whether others did, about then."""
        self.streak += 1
        if self.since is None:
            self.since = now
        if self.streak >= SLOWED_AFTER and others and not self.slowed:
            self.slowed = self.noted = True
            self._saved, self._at = 0.0, now

    def asked_to_wait(self, door: Door, *, until: float, begun: float, now: float) -> bool:
        """A line of it was told to wait until then. Returns whether that is this batch's affair alone.

        It is where this batch was told so before, has had no success since, and others have: then the door is left alone.
        """
        if begun < self._asked_until:
            # Sent before the wait that is known already.
            if self.until > now:
                self.until = max(self.until, until)
                return True
            return False
        before = self._asked_at
        self.noted = True
        self._asked_at, self._asked_until = now, until
        if before >= 0.0 and door.pulse.between(before, now):
            self.until = until
            return True
        return False

    @property
    def in_flight(self) -> int:
        """How many calls are out. Counted when it matters, which it does for hardly any batch."""
        return sum(map(len, self.calls))

    @property
    def trying(self) -> bool:
        """Whether it was told to wait and has had no success since: where others wait beside it, it tries with one line.

        If it filled all slots again, nobody else's success could ever show whose wait that is.
        """
        return self._asked_at >= 0.0

    def yields(self, door: Door, now: float) -> bool:
        """Whether it was told to wait, and nobody has come through since that was over: others go first then.

        If they are answered and it is told to wait again, the wait is its own, and theirs was the only one. Went all of them at
        once, it might be told so before they are answered, and the door would have to be left alone a second time.
        """
        over = self._asked_until
        if self._asked_at < 0.0 or door.pulse.since(over):
            return False
        return over <= now < over + min(YIELDS_SECONDS, over - self._asked_at)

    def try_now(self) -> None:
        """It was told to wait, and is to be looked at at once. That it is slowed stays."""
        self.until = 0.0
        self._asked_until = -1.0

    def admits(self, now: float, *, slots: int, others: bool) -> bool:
        """Whether a line of it may be sent now. `slots` are the engine's; `others`: whether anybody else wants them."""
        if now < self.until:
            return False
        if not self.slowed:
            return True
        share = slots * (SHARE if others else SHARE_ALONE)
        self._saved = min(SAVED_SECONDS * share, self._saved + share * (now - self._at))
        self._at = now
        return self._saved >= 0.0 and self.in_flight < max(1.0, share)

    def used(self, seconds: float) -> None:
        """A call of it took so long. Only what a slowed batch uses is counted."""
        if self.slowed:
            self._saved -= seconds

    def holds_back(self, now: float) -> bool:
        """Whether it is slowed or told to wait: others may use what it leaves."""
        return self.slowed or now < self.until

    @property
    def begins(self) -> bool:
        """Whether new lines of it may be begun, and not only those that wait be tried again."""
        return not self.slowed or self.waiting < WAITING_MAX
