"""A paced engine that members on several hosts share: one window together, within slots that are granted. In virtual time."""

import asyncio
from pathlib import Path

from slackwater.adapters.shared_memory.peer_board import HostBoard
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.peer_words import FarBoard
from slackwater.pipeline.sending.sharing import Sharing
from tests.pipeline.engines import Service
from tests.pipeline.metered_engine import MeteredEngine, SameEngine, paced, serve

NAMES = ("one", "two")


def test_two_members(tmp_path: Path) -> None:
    """With nobody else there they fill it as one would; when one has nothing more to send, the other has all of it."""

    async def story(service: Service) -> None:
        metered = MeteredEngine(service)
        ways = {name: SameEngine(metered) for name in NAMES}
        sharings = {name: Sharing(service.ledger, service.clock, member=name) for name in NAMES}
        engines = {}
        for name, way in ways.items():
            near = HostBoard(tmp_path / name, service.clock, name=name)
            seat = FarBoard(near, sharings[name].words, service.clock).seat("http://engine:8000")
            engine = Engine("http://engine:8000", service.clock, seat=seat, sharing=sharings[name])
            engines[name] = service.engines[id(way)] = engine
            sharings[name].start()
            serve(service, way, deployment=name)
        first = await service.batch([f"one {number}" for number in range(3_000)], deployment="one")
        await service.batch([f"two {number}" for number in range(60_000)], deployment="two", shard_lines=10_000)
        await asyncio.sleep(60.0)
        out = [engine.in_flight for engine in engines.values()]
        assert sum(out) > 2 * 64
        assert min(out) >= 0.5 * max(out)
        assert max(engine.pacing.view().others or 0.0 for engine in engines.values()) <= 2.0
        await service.ended(first)
        await asyncio.sleep(20.0)
        assert engines["two"].in_flight > 2 * 64
        await service.stop()
        for sharing in sharings.values():
            await sharing.close()

    paced(tmp_path / "service", story)
