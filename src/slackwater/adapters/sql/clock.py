"""The time of day of a ledger's database: one for all who work with it, whatever the clocks of their machines say.

It is looked at now and then, and goes on between two looks as the machine's steady clock does.
"""

import logging

from slackwater.adapters.sql.db import Database, Db
from slackwater.adapters.system_clock import SystemClock
from slackwater.ports import Clock
from slackwater.telemetry import event

# What took longer on its way says too little of when it was asked, unless nothing better is known: at the start it is asked
# again, so often at most, and the quickest answer counts.
ROUND_TRIP_MAX_SECONDS = 1.0
FIRST_LOOKS = 5
# Clocks of machines that differ by more are worth a word.
DIFFERENCE_SECONDS = 5.0


class DatabaseClock:
    """The time that the database had when it was looked at, and what has passed since. Waiting is the event loop's."""

    def __init__(self, database: Database, machine: Clock | None = None) -> None:
        """`machine` is the clock of the machine; that of the real one without it."""
        self._database = database
        self._machine = machine = machine or SystemClock()
        self.monotonic = machine.monotonic
        self.sleep = machine.sleep
        self._ahead = machine.now() - machine.monotonic()
        self._looked = False

    def now(self) -> float:
        """Seconds since 1970, UTC, as the database has them."""
        return self.monotonic() + self._ahead

    def machine_ahead(self) -> float:
        """By how many seconds the clock of this machine is before that of the database."""
        return self._machine.now() - self.now()

    async def look(self) -> None:
        """Asks the database. Raises what a read of it raises."""
        took, ahead = await self._ask()
        if not self._looked:
            # Until it has been looked at, the time is the machine's, which may be any.
            for _ in range(FIRST_LOOKS - 1):
                if took <= ROUND_TRIP_MAX_SECONDS:
                    break
                took, ahead = min((took, ahead), await self._ask())
        elif took > ROUND_TRIP_MAX_SECONDS:
            return
        self._looked, self._ahead = True, ahead
        difference = -self.machine_ahead()
        if abs(difference) > DIFFERENCE_SECONDS:
            event("clocks_differ", level=logging.WARNING, database_ahead_seconds=round(difference, 1))

    async def _ask(self) -> tuple[float, float]:
        """How long an answer took, and how far the database's time is ahead of the steady clock by it."""
        asked = self.monotonic()
        database: float = await self._database.look(_now)
        answered = self.monotonic()
        return answered - asked, database - (asked + answered) / 2


def _now(db: Db) -> float:
    return float(db.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()[0])
