"""What the log says of an engine and its doors: one line for each change of state, however many calls bring the news.

A warning where something does not go any more, a plain line where it goes again. A door that only tells us again and again to
wait a little is told once a minute: that is how a loaded engine works, and no news.
"""

import logging
from collections.abc import Callable, Sequence

from slackwater.core.sending.door import Door, DoorState
from slackwater.core.sending.engine_names import where_else
from slackwater.telemetry import counters, event

# How often it is told that a door is busy again, at most.
BUSY_SECONDS = 60.0


class StateLog:
    """The log of one engine."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._told: dict[Door, DoorState] = {}
        self._busy_told: dict[Door, float] = {}
        self._listened = True

    def door(self, door: Door, backends: Callable[[], Sequence[str]], *, now: float) -> None:
        """Tells how a door is, where that is news. `backends` are the names of those that use it."""
        state = door.state
        told = self._told.get(door, DoorState.OK)
        if told is state:
            return
        if state is DoorState.BUSY and told is DoorState.OK:
            if now - self._busy_told.get(door, -BUSY_SECONDS) < BUSY_SECONDS:
                counters["backend_busy_again"] += 1
                return
            self._busy_told[door] = now
        self._told[door] = state
        level = logging.INFO if state is DoorState.OK else logging.WARNING
        # An empty reason is left out: the line of a recovery has none.
        names = backends()
        said = door.reason + (where_else(names[0], door.reason) if names else "")
        reason = {"reason": said} if said else {}
        event("backend_state", level=level, backend=",".join(names), state=state.value, **reason)

    def listens(self, listens: bool, *, reason: str) -> None:
        """Tells whether the engine listens, where that is news."""
        if listens is self._listened:
            return
        self._listened = listens
        if listens:
            event("engine_listens", engine=self._engine)
        else:
            event("engine_silent", level=logging.WARNING, engine=self._engine, reason=reason)
