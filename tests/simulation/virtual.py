"""An event loop whose time is a number. When nothing is ready, it jumps to the next timer; an hour takes milliseconds."""

import asyncio
import selectors
from collections.abc import Callable
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
    """The Clock port over a virtual loop. The world began at a round number; the time of the wall may be set."""

    BEGINNING = 1_800_000_000.0

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._set = 0.0
        self.back = 0.0
        """How far it was set back, in all."""

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock on the wall. Nothing else notices."""
        self._set += seconds
        self.back += max(0.0, -seconds)

    def now(self) -> float:
        return self.BEGINNING + self._loop.time() + self._set

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


# A wait of at least so long is one of a stage that looks whether there is something to do.
NAP_FROM_SECONDS = 0.2


class Naps:
    """How long those who only look may wait instead, while it is known that there is nothing to see."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._napping: dict[asyncio.Future[None], None] = {}

    def end(self) -> None:
        """Everybody wakes."""
        self.seconds = 0.0
        for each in self._napping:
            if not each.done():
                each.set_result(None)

    async def nap(self) -> None:
        """Waits for the end of it, or so long."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        timer = loop.call_later(self.seconds, lambda: waiter.done() or waiter.set_result(None))
        self._napping[waiter] = None
        try:
            await waiter
        finally:
            timer.cancel()
            del self._napping[waiter]


class LifeClock:
    """The clock of one life: who is dead sleeps for ever. With `naps`, stages look less often in a long outage."""

    def __init__(self, clock: VirtualClock, alive: Callable[[], bool], naps: Naps | None = None) -> None:
        self._clock = clock
        self._alive = alive
        self._naps = naps
        self.now = clock.now
        self.monotonic = clock.monotonic

    async def sleep(self, seconds: float) -> None:
        if self._naps is not None and NAP_FROM_SECONDS <= seconds < self._naps.seconds:
            await self._naps.nap()
        else:
            await self._clock.sleep(seconds)
        if not self._alive():
            await asyncio.get_running_loop().create_future()
