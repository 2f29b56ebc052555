"""What this member of a cluster may have out at one engine: so many requests, until a moment.

Before: the engine, whose lanes say what is out. After: `sharing`, which asks the ledger. What must hold: nothing new is sent when
a grant is nearly over, and nothing is out when it is, whatever the ledger, the network or this process did meanwhile.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

from slackwater.core.sending.shared_slots import GRANT_SECONDS, MARGIN_SECONDS, RENEW_SECONDS, Ask, Grant, lasts
from slackwater.ports import Clock
from slackwater.telemetry import counters, event

# What is out when a grant ends is ended so long before: closing connections takes a turn of the event loop or two.
CUT_SECONDS = 0.5
# Who stood still when that moment came has answers to read that have come meanwhile: so long it reads before it ends the rest.
READ_SECONDS = 0.05
# After that nothing is sent for so long: an engine may hear of a new request before it hears that a connection was closed.
SETTLE_SECONDS = 1.0
# Whoever has not got its part yet, or has more, asks again after so long; and nobody sooner than that after the last time.
WAITING_SECONDS, GAP_SECONDS = 1.0, 0.1
# Somewhat more is wanted than was out, so that a request more need not wait for the ledger: this part, and one at least.
HEADROOM = 8
# The longest calls are remembered for so many renewals.
CALLS_REMEMBERED = 200
NEVER = math.inf


class Sharing(Protocol):
    """An engine, for who knows what it may have out."""

    shared_as: str
    """Its name among all members."""

    @property
    def limit_of_all(self) -> int:
        """How many calls it takes, from all members."""
        ...

    @property
    def appetite(self) -> int:
        """How many calls could be out here, if there were slots; 0 while nothing waits to be sent."""
        ...

    def shared(self, slots: int, sends_until: float) -> None:
        """So many calls may be out here, and new ones until a moment."""
        ...

    def look(self) -> None:
        """Something has changed."""
        ...

    def cut(self, lane: "asyncio.Task[None]") -> None:
        """Ends a call at once; its line waits for another try, and nobody holds it against it."""
        ...


class EngineShare:
    """That of one engine."""

    def __init__(
        self, engine: Sharing, clock: Clock, stir: Callable[[], None], *, seconds: float = GRANT_SECONDS
    ) -> None:
        """`stir` says that there is something to ask; `seconds` is how long a grant is good for."""
        self.name = engine.shared_as
        self._engine = engine
        self._clock = clock
        self._stir = stir
        self._seconds = seconds
        self.calls: dict[asyncio.Task[None], float] = {}
        """Each lane that has a call out, and since when."""
        self.slots = 0
        """How many calls may be out."""
        self.others = 0
        """How many other members were at the engine when that was last said."""
        self._ends = -NEVER
        self._timer: asyncio.TimerHandle | None = None
        self.serial = 0
        """That of the last ask."""
        self._wanted = 0
        self._peak = 0
        self._due = 0.0
        self._asked_at = -NEVER
        self._hungry = False
        self._longest: deque[float] = deque(maxlen=CALLS_REMEMBERED)
        self._longest_now = 0.0
        self._settled_at = -NEVER
        self._answered = 0
        self._first_at = NEVER
        self._wants_alone = False
        self.alone = False
        """Whether nobody else has anything out at the engine, nor will have before `together`."""
        self.held = False
        """Whether the ledger has something of ours, as far as is known."""

    # What lanes say

    def began(self, lane: "asyncio.Task[None]", now: float) -> None:
        """A call goes out."""
        calls = self.calls
        calls[lane] = now
        if now < self._first_at:
            self._first_at = now
        if len(calls) > self._peak:
            self._peak = len(calls)
        if len(calls) >= self.slots and not self._hungry:
            self.felt()

    def ended(self, lane: "asyncio.Task[None]") -> None:
        """It is over."""
        took = self._clock.monotonic() - self.calls.pop(lane)
        self._answered += 1
        if took > self._longest_now:
            self._longest_now = took

    def felt(self) -> None:
        """Somebody would send more than may be out. That is asked for at once, unless it is known that there is no more."""
        if self._hungry and self.held:
            return
        self._hungry = True
        if not self.held or self._wanted < self._engine.appetite:
            self.changed()

    def changed(self) -> None:
        """The engine could do with more than it has asked for."""
        self._due = max(self._asked_at + GAP_SECONDS, min(self._due, self._clock.monotonic()))
        self._stir()

    def want_alone(self) -> None:
        """A request is to go while nobody else has anything out."""
        if not self._wants_alone:
            self._wants_alone = True
            self.changed()

    def together(self) -> None:
        """It is over, or there is none any more: the others may go on."""
        if self._wants_alone:
            self._wants_alone = self.alone = False
            self.changed()

    # What is asked

    def due(self, now: float) -> float:
        """Seconds until there is something to ask."""
        if not self.held and not self.calls and not self._engine.appetite:
            return NEVER
        return max(0.0, self._due - now, self._settled_at - now)

    def ask(self, now: float) -> Ask | None:
        """What is wanted now; None where that is nothing, and all of it can be given back."""
        most = self._engine.appetite
        hungry = self._hungry or (len(self.calls) >= self.slots and most > 0)
        self._hungry, self._peak, peak = False, len(self.calls), self._peak
        self._asked_at = now
        if not most and not self.calls:
            self._give(0)
            return None
        wanted = most if hungry else min(max(most, peak), peak + max(1, peak // HEADROOM))
        self._wanted = max(wanted, len(self.calls))
        # From here on not more than is said to be held: what comes of the ask may never be known.
        self._give(min(self.slots, self._wanted))
        self.serial += 1
        longest, known = self._how_long(now)
        return Ask(
            engine=self._engine.shared_as,
            wanted=self._wanted,
            held=max(self.slots, len(self.calls)),
            limit=self._engine.limit_of_all,
            serial=self.serial,
            longest=longest,
            known=known,
            alone=self._wants_alone,
        )

    def _how_long(self, now: float) -> tuple[float, bool]:
        """How long calls may take, and whether that is known."""
        self._longest.append(max(self._longest_now, *(now - begun for begun in self.calls.values()), 0.0))
        self._longest_now = 0.0
        watched = now - min(self._first_at, now)
        return lasts(max(self._longest), ended=self._answered, watched=watched)

    def unanswered(self, now: float) -> None:
        """The ledger has not answered: it is asked again soon."""
        self._due = max(now + WAITING_SECONDS, self._settled_at)

    def granted(self, grant: Grant, *, asked: float) -> None:
        """This was granted to what was asked for at that moment."""
        now = self._clock.monotonic()
        self._due = now + WAITING_SECONDS
        if not grant.heard:
            # What was granted before ends when it was to end.
            self.alone = False
            self._give(0)
            return
        self.held = True
        self.others = grant.others
        short = grant.slots < min(grant.part, self._wanted) or (self._wants_alone and not grant.alone)
        self._due = now + (WAITING_SECONDS if short or grant.slots > grant.part else RENEW_SECONDS)
        self._ends = asked + self._seconds
        if now >= self._ends - MARGIN_SECONDS or now < self._settled_at:
            # It came too late to be of use, or calls that were ended may still be out.
            self._due = max(now, self._settled_at)
            return
        self._set_timer(now)
        if grant.alone and self._wants_alone and not self.alone:
            self.alone = True
            # Somebody waits for that.
            self._engine.look()
        # What is more than the part is not used again; it is given back when it is not needed any more.
        self._give(min(grant.slots, grant.part))
        # The ledger had lost what it had granted: it was over by its clock, or is another one now.
        self._cut(len(self.calls) - grant.slots)

    def left(self) -> None:
        """Everything has been given back."""
        self.held = False

    # When it ends

    def _give(self, slots: int) -> None:
        self.slots = slots
        self._engine.shared(slots, self._ends - MARGIN_SECONDS)

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, self._ends - CUT_SECONDS - now), self._over)

    def _over(self) -> None:
        """The grant is over and was not renewed: the slots are somebody else's, and nothing may be out."""
        now = self._clock.monotonic()
        if now < self._ends - CUT_SECONDS:
            self._set_timer(now)
            return
        self.alone = False
        self._give(0)
        self._timer = asyncio.get_running_loop().call_later(READ_SECONDS, self._cut_rest)

    def _cut_rest(self) -> None:
        self._timer = None
        self._cut(len(self.calls))

    def _cut(self, count: int) -> None:
        """Ends so many calls, the last that began first."""
        if count <= 0:
            return
        counters["calls_cut"] += count
        self._settled_at = self._clock.monotonic() + SETTLE_SECONDS
        event("engine_share_over", level=logging.WARNING, engine=self._engine.shared_as, calls=count)
        for lane in list(self.calls)[-count:]:
            self._engine.cut(lane)

    def close(self) -> None:
        """Nobody waits for its end any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
