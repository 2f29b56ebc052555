"""Looks at what is shut at an engine: sends requests of our own where they are due, and lets lanes look when a wait is over.

Before: the engine, which hears that something is wrong. After: its reach and its doors, which are told what was said.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

from slackwater.core.sending.door import Door, DoorState
from slackwater.core.sending.evidence import Kind
from slackwater.core.sending.pause import Pause
from slackwater.core.sending.reach import Reach
from slackwater.pipeline.loops import ended_from_outside
from slackwater.pipeline.sending.engine_use import Use
from slackwater.pipeline.sending.lease import Item
from slackwater.ports import Clock
from slackwater.telemetry import counters, event

# How often a shut door is looked at, at least, to see whether its time has come.
LOOK_SECONDS = 5.0
# After a look that went wrong, the next one comes so much later, and later each time.
FAILURE_SECONDS = 1.0


class Looked(Protocol):
    """An engine, for who looks at it."""

    name: str
    reach: Reach[Item]
    uses: list[Use]
    doors: dict[tuple[str, str], Door]
    others_until: float
    """When suspects may go alone again."""

    @property
    def held(self) -> Pause | None:
        """Why an operator has paused it."""
        ...

    def call_where_open(self, now: float) -> None:
        """Lets a lane look where there is work and a way to send it."""
        ...

    def reached(self, suspects: Sequence[Item], now: float) -> None:
        """Whether it listens may have changed."""
        ...

    def tell(self, door: Door) -> None:
        """Tells people how a door is, where that has changed."""
        ...

    def look(self) -> None:
        """Something has changed."""
        ...


class Looks:
    """Those at one engine."""

    def __init__(self, engine: Looked, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self.changed = asyncio.Event()
        """Set by whoever wants a look at once."""
        self.failures = 0
        """Looks that went wrong, in a row."""
        self.probes: set[asyncio.Task[None]] = set()
        """Requests of our own that are out."""
        # Doors that an operator wants to be tried.
        self._asked: set[Door] = set()

    def ask(self, doors: Iterable[Door]) -> None:
        """These are tried at the next look, also where nothing is to be sent."""
        self._asked.update(doors)

    async def watch(self) -> None:
        """Sends requests of our own where they are due, and lets lanes look when a wait is over."""
        engine = self._engine
        while True:
            self.changed.clear()
            now = self._clock.monotonic()
            try:
                self._ask_where_due(now)
                engine.call_where_open(now)
                self.failures = 0
            except Exception as error:
                # Without it nothing that is shut would ever be opened again.
                self.failures += 1
                event("engine_unwatched", level=logging.ERROR, engine=engine.name, error=repr(error))
                await self._clock.sleep(min(LOOK_SECONDS, FAILURE_SECONDS * self.failures))
                continue
            changed = asyncio.ensure_future(self.changed.wait())
            sleeping = asyncio.ensure_future(self._clock.sleep(self._rest(now)))
            try:
                await asyncio.wait((changed, sleeping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                sleeping.cancel()

    def _rest(self, now: float) -> float:
        """Seconds until something here may be due."""
        engine = self._engine
        moments = [engine.others_until]
        moments += [] if engine.reach.listens else [engine.reach.until]
        moments += [door.until for door in engine.doors.values() if door.state is not DoorState.OK]
        moments += [door.look_at for door in engine.doors.values()]
        for door in engine.doors.values():
            if door.quota is not None:
                moments += [door.quota.wait_until, door.quota.look_at]
        later = [moment - now for moment in moments if moment > now]
        return min([LOOK_SECONDS, *(seconds + 0.001 for seconds in later)])

    def _ask_where_due(self, now: float) -> None:
        engine = self._engine
        if engine.held is not None:
            return
        asked, self._asked = self._asked, set()
        down = not engine.reach.listens
        if down and (not engine.reach.due(now) or any(door.probing for door in engine.doors.values())):
            return
        for door in engine.doors.values():
            if not (down or door.due(now)):
                continue
            use = next((use for use in engine.uses if use.door is door and (use.has_work or door in asked)), None)
            if use is None:
                continue
            door.probing = True
            if door.quota is not None:
                door.quota.looks(now)
            task = asyncio.create_task(self._probe(use))
            self.probes.add(task)
            task.add_done_callback(self.probes.discard)
            if down:
                # One is enough to see whether anybody listens.
                return

    async def _probe(self, use: Use) -> None:
        """Sends one request of our own, and tells what it says."""
        engine, door, begun = self._engine, use.door, self._clock.monotonic()
        try:
            found = await use.probe()
        except (Exception, asyncio.CancelledError) as error:
            door.unprobed()
            if ended_from_outside(error):
                raise
            event("probe_broke", level=logging.ERROR, engine=engine.name, error=repr(error))
            return
        now = self._clock.monotonic()
        if found is None:
            # There is no such request for this endpoint: lines find out.
            door.unprobed()
            engine.reach.answered(begun, now)
            engine.reached((), now)
            door.try_with_lines(now)
            engine.tell(door)
            engine.look()
            return
        evidence, answered = found
        counters["probes_sent"] += 1
        if evidence.kind is Kind.UNREACHED:
            door.unprobed()
            engine.reached(engine.reach.silent(evidence, now), now)
        else:
            engine.reach.answered(begun, now)
            if evidence.kind is Kind.SUCCESS:
                engine.reach.works(begun)
            engine.reached((), now)
            door.probed(evidence, begun=begun, now=now, answered=answered)
        engine.tell(door)
        engine.look()
