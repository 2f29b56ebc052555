"""What becomes of lines whose call is ended because its slot is somebody else's: the whole sending side, in virtual time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from slackwater.core.errors import LedgerUnavailable
from slackwater.core.sending.shared_slots import GRANT_SECONDS, Ask, Grant
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.sharing import Sharing
from slackwater.ports import Heard, Said
from tests.pipeline.engines import ScriptedEngine, Service, served


class Shared:
    """A ledger of slots that may be away."""

    def __init__(self, ledger: Any) -> None:
        self.away = False
        self._ledger = ledger

    async def share_engines(self, member: str, asks: Sequence[Ask], *, seconds: float, now: float) -> list[Grant]:
        if self.away:
            raise LedgerUnavailable("it is away")
        found: list[Grant] = await self._ledger.share_engines(member, asks, seconds=seconds, now=now)
        return found

    async def leave_engines(self, member: str, serials: Mapping[str, int]) -> None:
        await self._ledger.leave_engines(member, serials)

    async def bury_shares(self, member: str, *, gone: bool = False, now: float = 0.0) -> None:
        raise AssertionError("nobody dies here")

    async def exchange_words(
        self, member: str, said: Mapping[str, Said], topics: Collection[str], *, now: float
    ) -> dict[str, list[Heard]]:
        raise AssertionError("nobody speaks here")


@contextlib.asynccontextmanager
async def sharing_in(
    service: Service, upstream: ScriptedEngine, *, slots: int
) -> AsyncIterator[tuple[Shared, Sharing]]:
    """Lets a service share an engine."""
    shared = Shared(service.ledger)
    sharing = Sharing(shared, service.clock, member="m")
    engine = Engine("http://e", service.clock, slots=slots, sharing=sharing)
    service.engines[id(upstream)] = engine
    sharing.start()
    try:
        yield shared, sharing
    finally:
        await service.stop()
        await sharing.close()


def test_lines_that_are_cut_off_go_again(tmp_path: Path) -> None:
    """Nothing is out when the grant is over; each line has its answer once, and none was charged an attempt for it."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, seconds=30.0)
        async with sharing_in(service, engine, slots=8) as (shared, _):
            batch = await service.batch([f"good {number}" for number in range(24)])
            service.serve(engine, slots=8, attempts=1)
            await asyncio.sleep(5.0)
            assert engine.out == 8
            shared.away = True
            await asyncio.sleep(GRANT_SECONDS)
            assert engine.out == 0
            shared.away = False
            await service.ended(batch, seconds_max=300)
            assert await service.counts(batch) == (24, 0)
            assert max(engine.counts.values()) == 2
            assert engine.out_max == 8

    served(tmp_path, story)


def test_a_shard_that_ends_while_it_is_cut_off(tmp_path: Path) -> None:
    """A stop in the same moment: its lanes end, and the shard goes back."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, seconds=30.0)
        async with sharing_in(service, engine, slots=8) as (shared, sharing):
            batch = await service.batch([f"good {number}" for number in range(24)])
            service.serve(engine, slots=8, grace_seconds=0.0)
            await asyncio.sleep(1.0)
            share = sharing._shares["http://e"]
            for lane in list(share.calls):
                service.engines[id(engine)].cut(lane)
            await asyncio.wait_for(service.stop(), 5.0)
            assert engine.out == 0
            shared.away = False
            service.serve(engine, slots=8)
            await service.ended(batch, seconds_max=300)
            assert await service.counts(batch) == (24, 0)

    served(tmp_path, story)


def test_nothing_is_asked_while_there_is_nothing_to_send(tmp_path: Path) -> None:
    """The slots go back, and the first line after a rest waits for one round alone."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop)
        async with sharing_in(service, engine, slots=8) as (_, sharing):
            service.serve(engine, slots=8)
            await service.ended(await service.batch(["good"]))
            await asyncio.sleep(10.0)
            assert service.engines[id(engine)].slots == 0
            asked = sharing._shares["http://e"].serial
            await asyncio.sleep(500.0)
            assert sharing._shares["http://e"].serial == asked
            begun = service.loop.time()
            await service.ended(await service.batch(["good"]))
            assert service.loop.time() - begun < 1.0

    served(tmp_path, story)
