"""What part of a vendor's rate limits is this member's: they are divided by what each has to send, as slots of an engine are.

Before: the quota of a door, which keeps within its part. After: `sharing`, which asks the ledger. The vendor itself enforces the
limit, so a part needs no end: who cannot reach the ledger keeps the one that it has.
"""

from slackwater.core.sending.door import Door
from slackwater.core.sending.shared_slots import RENEW_SECONDS, Ask, Grant
from slackwater.pipeline.sending.engine_share import NEVER, WAITING_SECONDS
from slackwater.ports import Clock

# Parts are thousandths.
WHOLE = 1000
# Of a limit that nobody waits for, so much more than was used is wanted, and this at least.
HEADROOM, LEAST = 1.25, 20
# Who has sent nothing for so long wants nothing.
IDLE_SECONDS = 60.0
# A part that is nearly the same is the same: each change costs what was learned of others.
CHANGE = 0.05


class QuotaShare:
    """That of one door (a Share of `sharing`)."""

    def __init__(self, door: Door, name: str, clock: Clock) -> None:
        """`name` is the same for the same door on every member."""
        self.name = f"quota {name}"
        self.held = False
        self.serial = 0
        self.calls: tuple[()] = ()
        self._door = door
        self._clock = clock
        self._due = 0.0

    def due(self, now: float) -> float:
        """Seconds until there is something to ask."""
        if not self.held and not self._wants(now):
            return NEVER
        return max(0.0, self._due - now)

    def _wants(self, now: float) -> bool:
        quota = self._door.quota
        return quota is not None and (quota.waited or now - quota.idle_since < IDLE_SECONDS)

    def ask(self, now: float) -> Ask | None:
        """What is wanted now; None where that is nothing."""
        quota = self._door.quota
        if quota is None or not self._wants(now):
            return None
        waited, quota.waited = quota.waited, False
        wanted = WHOLE if waited else min(WHOLE, max(LEAST, int(HEADROOM * WHOLE * quota.own_use)))
        self.serial += 1
        return Ask(engine=self.name, wanted=wanted, held=0, limit=WHOLE, serial=self.serial, longest=0.0)

    def unanswered(self, now: float) -> None:
        """The ledger has not answered: it is asked again soon."""
        self._due = now + WAITING_SECONDS

    def granted(self, grant: Grant, *, asked: float) -> None:
        """This was granted."""
        self._due = self._clock.monotonic() + (WAITING_SECONDS if grant.slots < grant.part else RENEW_SECONDS)
        quota = self._door.quota
        if not grant.heard or quota is None:
            return
        self.held = True
        # With nobody else there, all of it is ours, whatever was used until now.
        part = 1.0 if not grant.others else max(1, grant.slots) / WHOLE
        if abs(part - quota.part) > CHANGE * quota.part:
            quota.divided(part)

    def left(self) -> None:
        """It has been given back: whoever sends again has all of it until it is told otherwise."""
        self.held = False

    def close(self) -> None:
        """Nothing waits."""
