"""Where those wait who want to ask a classifier while its breaker is open."""

import asyncio

from slackwater.core.filtering.breaker import Breaker
from slackwater.ports import Clock


class Gate:
    """Where texts wait while the breaker of their classifier is open. One of them is let through as the probe."""

    def __init__(self, breaker: Breaker, clock: Clock) -> None:
        self.breaker = breaker
        self._clock = clock
        self._changed: asyncio.Event = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether calls may go out without waiting."""
        return self.breaker.closed

    @property
    def admits(self) -> bool:
        """Whether somebody who came now would be let through at once, if only as the probe."""
        return self.breaker.closed or self.breaker.ready(self._clock.monotonic())

    async def enter(self) -> None:
        """Returns when the caller may send: at once, or as the probe."""
        while (wait := self.breaker.wait(self._clock.monotonic())) != 0.0:
            changed = self._changed
            waiting = asyncio.ensure_future(changed.wait())
            # None: a probe is out, and its end will be told.
            sleeping = None if wait is None else asyncio.ensure_future(self._clock.sleep(wait))
            pending = {waiting} if sleeping is None else {waiting, sleeping}
            try:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for future in pending:
                    future.cancel()

    def changed(self) -> None:
        """Wakes those who wait, to look at the breaker again."""
        self._changed.set()
        self._changed = asyncio.Event()
