"""The time of day of a database, seen over a connection that may be slow, by a machine whose own clock is wrong."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from slackwater.adapters.sql.clock import DatabaseClock

TIME = 1_800_000_000.0


class Machine:
    """A machine whose clock on the wall is an hour late."""

    def __init__(self) -> None:
        self.steady = 100.0

    def now(self) -> float:
        return TIME + self.steady - 3600.0

    def monotonic(self) -> float:
        return self.steady

    async def sleep(self, seconds: float) -> None:
        self.steady += seconds


class SlowDatabase:
    """A database that says what time it is, and each of whose answers takes some time to come back."""

    def __init__(self, machine: Machine, seconds: Sequence[float]) -> None:
        self._machine = machine
        self._seconds = list(seconds)
        self.asked = 0

    async def look(self, work: Callable[[Any], Any]) -> Any:
        self.asked += 1
        found = work(self)
        self._machine.steady += self._seconds.pop(0)
        return found

    def execute(self, text: str) -> "SlowDatabase":
        return self

    def fetchone(self) -> tuple[float]:
        return (TIME + self._machine.steady,)


def seen(*seconds: float, looks: int = 1) -> tuple[float, int]:
    """How far off the clock is when its answers took so long, and how often it has asked."""
    machine = Machine()
    database = SlowDatabase(machine, seconds)
    clock = DatabaseClock(database, machine)  # type: ignore[arg-type]

    async def look() -> None:
        for _ in range(looks):
            await clock.look()

    asyncio.run(look())
    return clock.now() - TIME - machine.steady, database.asked


def test_an_answer_is_half_as_wrong_as_it_took() -> None:
    """One look is enough where it is quick."""
    assert seen(0.5) == (-0.25, 1)


def test_a_first_look_that_takes_long_is_repeated() -> None:
    """Whatever it takes: until there is one, the time is the machine's, which is an hour off."""
    assert seen(4.0, 3.0, 0.5) == (-0.25, 3)
    assert seen(8.0, 2.0, 6.0, 4.0, 5.0) == (-1.0, 5)


def test_a_later_look_that_takes_long_says_nothing() -> None:
    """What is known is better."""
    assert seen(0.5, 30.0, looks=2) == (-0.25, 2)
