"""An event loop whose time is a number. When nothing is ready, it jumps to the next timer; an hour takes milliseconds."""

import asyncio
import selectors
from typing import Any

TURNS_MAX = 20_000


class Stuck(Exception):
    """Nobody will ever do anything again, or somebody does it without end."""


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Waits by adding to the time."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is ready and no timer is set")
        if timeout > 0.0:
            self.time += timeout
            self._turns = 0
        self._turns += 1
        if self._turns > TURNS_MAX:
            self._turns = 0
            raise Stuck(f"{TURNS_MAX} turns of the loop at the moment {self.time:.3f}: somebody spins")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for one seed. Everything in it happens on one thread, in an order that depends on the seed alone."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.time


class VirtualClock:
    """The Clock port over a virtual loop. The world began at a round number."""

    BEGINNING = 1_800_000_000.0

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return self.BEGINNING + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
