"""Looks at the metrics page of one engine while there is something to send.

Before: the engine, which says what uses it. After: its pacing, which is told what a page says, or that there is none.
What must hold: a page that nobody can read, or an error of ours in what follows from it, never ends the looking.
"""

import asyncio
import logging
from typing import Protocol

from slackwater.core.errors import BackendError
from slackwater.core.sending.engine_counters import Counters, credible
from slackwater.core.sending.metrics_page import counters_in, of_an_engine
from slackwater.core.sending.pause import Pause
from slackwater.core.sending.reach import Reach
from slackwater.pipeline.sending.engine_use import Use
from slackwater.pipeline.sending.lease import Item
from slackwater.ports import Clock
from slackwater.telemetry import event

# How often the page is read while something of ours is out or wants to go.
LOOK_SECONDS = 0.5
# Where there is no page, it is asked for again after so long; where nothing came, sooner.
ABSENT_SECONDS, FAILED_SECONDS = 300.0, 30.0
# With several credentials for one engine, so many are tried at a look.
TRIED_MAX = 3
# Answers of an engine, or of what stands before it, that is in trouble for a moment.
MOMENTARY = frozenset({408, 429, 500, 502, 503, 504, *range(520, 531)})
# What is said where nothing is wrong: most engines that have no page answer so.
NO_PAGE = "status 404"


class Looked(Protocol):
    """An engine, for who looks at its page."""

    name: str
    reach: Reach[Item]
    uses: list[Use]

    @property
    def held(self) -> Pause | None:
        """Why an operator has paused it."""
        ...


class Told(Protocol):
    """Who wants to know what the page says."""

    @property
    def off(self) -> bool:
        """Whether nobody wants to know now."""
        ...

    @property
    def paced(self) -> bool:
        """Whether the page counts: then a look that brought nothing is followed by another one soon."""
        ...

    def looking(self) -> None:
        """A look begins."""
        ...

    def found(self, found: Counters) -> None:
        """This is what it says."""
        ...

    @property
    def undecided(self) -> bool:
        """Whether it is not known yet if there is a page: the same holds."""
        ...

    def failed(self, why: str, *, reached: bool, lasting: bool) -> None:
        """It said nothing, and this is why; empty where nobody has a page.

        `reached`: the engine has answered. `lasting`: as one does that has none, and not as one that is in trouble for a moment.
        """
        ...

    def broke(self) -> None:
        """An error of ours came of what it said."""
        ...


class PageWatch:
    """The one that looks."""

    def __init__(self, engine: Looked, clock: Clock, told: Told) -> None:
        self._engine = engine
        self._clock = clock
        self._told = told
        self._stirred = asyncio.Event()
        self.asleep = False
        """Whether whoever has work has to say so (`stir`)."""

    def stir(self) -> None:
        """There may be something to look for."""
        self._stirred.set()

    async def watch(self) -> None:
        """Looks for as long as it is not cancelled."""
        while True:
            self._stirred.clear()
            if not self.wanted:
                # Who has no page for us need not call each time.
                self.asleep = not self._told.off and any(use.metered for use in self._engine.uses)
                await self._stirred.wait()
                self.asleep = False
                continue
            rest = FAILED_SECONDS
            try:
                rest = await self._look()
            except Exception as error:
                event("engine_unlooked", level=logging.ERROR, engine=self._engine.name, error=repr(error))
                self._told.broke()
            await self._pause(rest)

    @property
    def wanted(self) -> bool:
        """Whether there is something to look for: then a look is under way or comes soon, or there is no page."""
        engine = self._engine
        if self._told.off or engine.held is not None or not engine.reach.listens:
            return False
        return any(use.metered and (use.in_flight or use.has_work) for use in engine.uses)

    async def _pause(self, seconds: float) -> None:
        stirred = asyncio.ensure_future(self._stirred.wait())
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((stirred, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stirred.cancel()
            sleeping.cancel()

    async def _look(self) -> float:
        """One look. Returns after how many seconds the next one is due."""
        self._told.looking()
        why, reached, lasting = "", True, True
        for use in [use for use in self._engine.uses if use.metered][:TRIED_MAX]:
            try:
                reply = await use.metrics()
            except BackendError as error:
                why, reached, lasting = str(error), False, False
                continue
            if reply is None:
                continue
            found = counters_in(reply.body) if reply.status == 200 else None
            if self._told.off:
                # That was said while the page was on its way.
                return LOOK_SECONDS
            if found is not None and credible(found):
                self._told.found(found)
                return LOOK_SECONDS
            if reply.status == 200 and of_an_engine(reply.body):
                why, lasting = "the page says what no engine can be", False
                continue
            why = f"status {reply.status}" if reply.status != 200 else "the page has no counters that are known"
            lasting = lasting and reply.status not in MOMENTARY
        self._told.failed(why, reached=reached, lasting=lasting)
        if self._told.paced or self._told.undecided:
            return LOOK_SECONDS
        return ABSENT_SECONDS if lasting else FAILED_SECONDS
