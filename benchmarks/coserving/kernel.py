"""Virtual time: events at moments, taken in order. One run is a pure function of what was put in."""

import heapq
from collections.abc import Callable
from typing import Any


class Kernel:
    """A heap of (moment, number, what to call, with what). Those of one moment come as they were asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, moment: float, call: Callable[..., None], *values: Any) -> None:
        """Calls it then; at once, after what is due already, for a moment that has passed."""
        self._count += 1
        heapq.heappush(self._events, (max(moment, self.now), self._count, call, values))

    def run(self, until: float) -> None:
        """Goes on to that moment."""
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, call, values = heapq.heappop(events)
            call(*values)
        self.now = until
