"""What one member has found out of a door, the others know: the whole sending side of two members, in virtual time."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from slackwater.core.sending.door import Door, DoorState
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.sharing import Sharing
from tests.pipeline.engines import GOOD, PROBE, Answer, ScriptedEngine, Service, refusal, served

NAMES = ("one", "two")


class Both:
    """One engine, as two members see it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.answers: Answer = GOOD
        self.lines: Counter[str] = Counter()
        self.probes: Counter[str] = Counter()
        self.upstreams = {name: ScriptedEngine(service.loop, partial(self.answer, name)) for name in NAMES}

    def answer(self, name: str, text: str, engine: ScriptedEngine) -> Answer:
        (self.probes if text == PROBE else self.lines)[name] += 1
        return self.answers

    def door(self, name: str) -> Door:
        return self.service.door_of(self.upstreams[name])

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Each has a deployment of its own, and shares the engine."""
        sharings = {name: Sharing(self.service.ledger, self.service.clock, member=name) for name in NAMES}
        for name, sharing in sharings.items():
            engine = Engine("http://engine", self.service.clock, slots=8, sharing=sharing)
            self.service.engines[id(self.upstreams[name])] = engine
            sharing.start()
            self.service.serve(self.upstreams[name], slots=8, deployment=name)
        try:
            yield
        finally:
            await self.service.stop()
            for sharing in sharings.values():
                await sharing.close()


def test_a_key_that_is_refused(tmp_path: Path) -> None:
    """One finds out, and the other one sends nothing. One looks, and both go on when it comes through."""

    async def story(service: Service) -> None:
        both = Both(service)
        async with both.working():
            both.answers = refusal(401)
            first = await service.batch([f"{number}" for number in range(100)], deployment="one")
            await asyncio.sleep(3.0)
            assert both.door("one").state is DoorState.REFUSING
            second = await service.batch([f"{number}" for number in range(100)], deployment="two")
            await asyncio.sleep(30.0)
            assert both.door("two").state is DoorState.REFUSING
            assert both.lines["one"] > 0
            assert both.probes["one"] > 3
            # It may have begun before it has heard of it for the first time.
            assert both.lines["two"] <= 8
            assert both.probes["two"] <= 1
            both.answers = GOOD
            for each in (first, second):
                await service.ended(each, seconds_max=120)
                assert await service.counts(each) == (100, 0)

    served(tmp_path, story)


def test_a_wait_that_one_was_asked_for(tmp_path: Path) -> None:
    """The other one sends nothing before it is over, either."""

    async def story(service: Service) -> None:
        both = Both(service)
        async with both.working():
            batches = [await service.batch([f"{number}" for number in range(600)], deployment=name) for name in NAMES]
            await asyncio.sleep(1.0)
            both.answers = refusal(429, 20.0)
            await asyncio.sleep(0.05)
            both.answers = GOOD
            begun = service.loop.time()
            await asyncio.sleep(3.0)
            lines = both.lines.copy()
            await asyncio.sleep(14.0)
            assert both.lines == lines
            assert both.door("two").state is both.door("one").state is DoorState.BUSY
            for each in batches:
                await service.ended(each, seconds_max=120)
            assert service.loop.time() > begun + 19.0

    served(tmp_path, story)
