"""Stops what ends by the time of day while that time is not to be believed, and remembers when the service was last alive.

Whoever ends or deletes something by the time asks here first, in the moment in which it would: so nobody is faster than the look.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from slackwater.core.wall_clock import JUMP_SECONDS, WallClock, expire_from
from slackwater.pipeline.loops import Pace
from slackwater.ports import Clock, TimeLedger
from slackwater.telemetry import event, meters

# How often it is noted that the service lives: so much of a gap between two lives is unknown.
NOTE_SECONDS = 60.0
LOOK_SECONDS = 5.0


class Wall(Protocol):
    """Who is asked."""

    skipped: float
    """Seconds by which the clock has gone on while nobody could look: a long time off before the start, and jumps that were
    confirmed."""

    def trusted(self) -> bool:
        """Whether windows may elapse and what is over may go: the clock has not jumped."""
        ...

    def may_expire(self) -> bool:
        """Whether what users gave an end may go, and what is kept for some days: also no long gap was a short while ago."""
        ...


class _Believed:
    skipped = 0.0

    def trusted(self) -> bool:
        return True

    may_expire = trusted


BELIEVED: Wall = _Believed()
"""For those who have no clock to doubt."""


class WallWatch:
    """Watches the clock on the wall."""

    def __init__(
        self,
        ledger: TimeLedger,
        clock: Clock,
        *,
        confirmed: Callable[[], bool] = lambda: False,
        tell: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`confirmed`: whether somebody who knows has just said that the clock is right. `tell` lets other servers know that."""
        self._tell = tell
        self._ledger = ledger
        self._clock = clock
        self._confirmed = confirmed
        self._wall = WallClock(wall=clock.now(), monotonic=clock.monotonic())
        self._expire_from = 0.0
        self.skipped = 0.0
        """See Wall."""
        self._note_at = 0.0

    async def start(self) -> None:
        """How long nobody has served, by the ledger."""
        last, now = await self._ledger.wall_time(), self._clock.now()
        if last.alive_at and now - last.alive_at > JUMP_SECONDS:
            self.skipped = now - last.alive_at
        self._expire_from = expire_from(alive_at=last.alive_at, before=last.expire_from, now=now)
        if self._expire_from > now:
            hours = round((now - last.alive_at) / 3600, 1)
            event("expiry_waits", level=logging.WARNING, hours_away=hours, seconds=round(self._expire_from - now))
        await self._note()

    async def _note(self) -> None:
        await self._ledger.note_alive(self._clock.now(), expire_from=self._expire_from)
        self._note_at = self._clock.monotonic() + NOTE_SECONDS

    @property
    def jumped(self) -> float:
        """Seconds by which the clock has jumped and is still off; 0 where it is believed."""
        if self._wall.look(wall=self._clock.now(), monotonic=self._clock.monotonic()):
            if self._wall.jumped:
                event("clock_jumped", level=logging.ERROR, seconds=round(self._wall.jumped))
            else:
                event("clock_back")
        meters.clock_jump_seconds = self._wall.jumped
        return self._wall.jumped

    def trusted(self) -> bool:
        """See Wall."""
        return not self.jumped

    def may_expire(self) -> bool:
        """See Wall."""
        return self.trusted() and self._clock.now() >= self._expire_from

    def expiry_now(self) -> float:
        """The moment by which it is judged whether something of a user's has expired: now, or never."""
        return self._clock.now() if self.may_expire() else 0.0

    async def confirm(self) -> None:
        """Somebody who knows says that the clock is right as it is."""
        if jumped := self.jumped:
            self.skipped += max(0.0, jumped)
            self._wall.confirm(wall=self._clock.now(), monotonic=self._clock.monotonic())
            event("clock_confirmed", level=logging.WARNING, seconds=round(jumped))

    async def step(self) -> Pace:
        """Looks whether the clock is right again, or said to be; and notes that the service lives."""
        if self._confirmed():
            await self.confirm()
            if self._tell is not None:
                # The word is left for whoever finds it first, and it is about the clock of all.
                await self._tell()
        if self.trusted() and self._clock.monotonic() >= self._note_at:
            await self._note()
        return Pace.IDLE
