"""Looks at engines, a few at once: each takes seconds where nobody answers."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable

from slackwater.core.errors import Forbidden, TooBusy
from slackwater.ports import EngineLooker

LOOKS_MAX, EACH_MAX = 8, 2
"""At once: of all, and of those of one resource."""


class Looks:
    """Those that are going on."""

    def __init__(self, make: Callable[[], EngineLooker] | None) -> None:
        """`make` is called when somebody looks for the first time, on another thread; None: nobody may."""
        self._make = make
        self._looker: EngineLooker | None = None
        self._going_on: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def one(self, resource: str) -> AsyncIterator[EngineLooker]:
        """Somebody to look for a resource, as long as not too many do. Raises Forbidden and TooBusy."""
        if self._make is None:
            raise Forbidden("Engines are not looked at here.")
        # Nobody keeps the others from looking.
        if self._going_on[resource] >= EACH_MAX or self._going_on.total() >= LOOKS_MAX:
            raise TooBusy("Several engines are being looked at already. Try again in a moment.", retry_after=5)
        self._going_on[resource] += 1
        try:
            if self._looker is None:
                self._looker = await asyncio.to_thread(self._make)
            yield self._looker
        finally:
            self._going_on[resource] -= 1
            if not self._going_on[resource]:
                del self._going_on[resource]
