"""Several of ours at one engine: servers that hear each other or do not, and deployments of one server."""

import asyncio
import logging
from pathlib import Path

import pytest

from slackwater.adapters.shared_memory.peer_board import HostBoard
from slackwater.core.sending.pace import PACED_CONCURRENCY
from slackwater.pipeline.sending.member_words import MemberWords
from slackwater.pipeline.sending.peer_words import FarBoard
from slackwater.ports import PeerSeat
from tests.pipeline.engines import Service
from tests.pipeline.metered_engine import (
    MeteredEngine,
    SameEngine,
    paced,
    serve,
    told,
)


@pytest.mark.parametrize(
    "place",
    [pytest.param("one host", marks=pytest.mark.long), pytest.param("two hosts", marks=pytest.mark.long), "deaf"],
)
def test_two_servers_of_ours(tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str) -> None:
    """Each has half of an engine that nobody else uses, told once; where they do not hear each other, both make room in vain.

    When one has nothing more to send, the other has all of it. On two hosts they hear each other by way of the ledger.
    """
    caplog.set_level(logging.INFO)
    hear = place != "deaf"

    async def story(service: Service) -> None:
        engine = MeteredEngine(service)
        boards = [
            HostBoard(tmp_path / ("board" if place == "one host" else name), service.clock, name=name)
            for name in ("one", "two")
        ]
        words = [MemberWords(service.ledger, service.clock, member=name) for name in ("one", "two")]
        seats: list[PeerSeat] = [board.seat("http://engine:8000") for board in boards]
        if place == "two hosts":
            seats = [
                FarBoard(board, each, service.clock).seat("http://engine:8000")
                for board, each in zip(boards, words, strict=True)
            ]
            for each in words:
                each.start()
        engines = [SameEngine(engine) for _ in seats]
        pacings = [
            serve(service, engine_, seat=seat, deployment=name)
            for engine_, seat, name in zip(engines, seats, ("one", "two"), strict=True)
        ]
        first = await service.batch([f"one {number}" for number in range(3_000)], deployment="one")
        await service.batch([f"two {number}" for number in range(60_000)], deployment="two", shard_lines=10_000)
        # What comes by way of the ledger comes later, and so does the whole engine.
        await asyncio.sleep(75.0 if place == "two hosts" else 60.0)
        out = [service.engines[id(same)].in_flight for same in engines]
        others = max(pacing.view().others or 0.0 for pacing in pacings)
        if hear:
            assert others <= 1.0
            assert min(out) >= (0.9 if place == "one host" else 0.6) * max(out)
            assert sum(out) > 2 * 64
        else:
            assert others > 4.0
        await service.ended(first)
        await asyncio.sleep(20.0)
        assert service.engines[id(engines[1])].in_flight > 2 * 64
        for board in boards:
            board.close()
        for each in words:
            await each.close()

    paced(tmp_path / "service", story)
    # Two come, and one goes; that one does not look any more.
    assert told(caplog, "engine_peers") == (3 if hear else 0)


def test_deployments_of_one_server(tmp_path: Path) -> None:
    """Three on one engine have one window together, take turns in it, and none is taken for somebody else."""

    async def story(service: Service) -> None:
        engine = MeteredEngine(service, others=20)
        names = ("a", "b", "c")
        pacings = {id(serve(service, engine, deployment=name)) for name in names}
        assert len(pacings) == 1
        for name in names:
            await service.batch([f"{name} {number}" for number in range(20_000)], deployment=name, shard_lines=10_000)
        await asyncio.sleep(120.0)
        pacing = service.engines[id(engine)].pacing
        assert pacing.view().others == 20.0
        assert pacing.window is not None
        assert engine.out_max <= PACED_CONCURRENCY
        served = [sum(call.text.startswith(name) for call in engine.calls) for name in names]
        assert min(served) >= 0.95 * max(served) > 0

    paced(tmp_path, story)
