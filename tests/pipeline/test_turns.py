"""Whose turn it is, with workers, a ledger and engines: short ones wait for little, nobody is starved, tenants share."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from slackwater.core.sending.pause import Pause, Target
from slackwater.pipeline.sending.claims import OPEN_MAX
from tests.pipeline.engines import Call, ScriptedEngine, Service, served


def lines(name: str, count: int) -> list[str]:
    """Texts that say whose they are."""
    return [f"{name} {number}" for number in range(count)]


def by_batch(calls: list[Call]) -> Counter[str]:
    """How many calls each name had."""
    return Counter(call.text.split()[0] for call in calls if " " in call.text)


def test_three_lines_wait_for_a_handful(tmp_path: Path) -> None:
    """A large batch has all slots and its shards open; three lines of another go next, all three of them."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, seconds=0.1)
        await service.batch(lines("large", 20_000))
        service.serve(engine, slots=8)
        await asyncio.sleep(20.0)
        before = len(engine.calls)
        batch = await service.batch(lines("small", 3))
        begun = service.loop.time()
        ended = await service.ended(batch)
        assert ended - begun < 1.0
        # Eight are out already, and one of four that follow is the oldest's.
        calls = engine.calls[before:]
        last = max(number for number, call in enumerate(calls) if call.text.startswith("small"))
        assert last <= 8 + 4 + 1

    served(tmp_path, story)


def test_a_flood_of_small_ones_leaves_the_oldest_its_quarter(tmp_path: Path) -> None:
    """And the small ones are through in the order in which they came, where they are alike."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, seconds=0.1)
        await service.batch(lines("large", 3_000))
        service.serve(engine, slots=8)
        await asyncio.sleep(2.0)
        before = len(engine.calls)
        names = [await service.batch(lines(f"small{number}", 5)) for number in range(60)]
        for each in names:
            await service.ended(each)
        calls = by_batch(engine.calls[before:])
        assert calls["large"] >= 0.9 * sum(calls.values()) / 4
        firsts = [call.text for call in engine.calls if call.text.endswith(" 0") and call.text.startswith("small")]
        assert firsts == [f"small{number} 0" for number in range(60)]

    served(tmp_path, story)


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_tenants_share_an_engine_by_weight(tmp_path: Path, weight: float) -> None:
    """One has a hundred batches in two deployments, the other a single one: they share by weight, and nothing is idle."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, seconds=0.1)
        for number in range(100):
            await service.batch(lines("flood", 60), deployment=f"flood{number % 2}")
        await service.batch(lines("single", 5_000), deployment="single")
        for name in ("flood0", "flood1"):
            service.serve(engine, deployment=name, slots=8, tenant="flood")
        service.serve(engine, deployment="single", slots=8, tenant="single", weight=weight)
        await asyncio.sleep(30.0)
        calls = by_batch(engine.calls)
        assert sum(calls.values()) >= 0.95 * 8 * 300
        assert calls["single"] / sum(calls.values()) == pytest.approx(weight / (1 + weight), rel=0.05)

    served(tmp_path, story)


def test_who_is_alone_has_everything(tmp_path: Path) -> None:
    """What another does not use is not kept for it; when it comes back, it has its share at once, and no more."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, seconds=0.1)
        await service.batch(lines("always", 8_000), deployment="a")
        service.serve(engine, deployment="a", slots=8, tenant="a")
        service.serve(engine, deployment="b", slots=8, tenant="b")
        await asyncio.sleep(20.0)
        assert by_batch(engine.calls)["always"] >= 0.95 * 8 * 200
        before = len(engine.calls)
        await service.batch(lines("back", 2_000), deployment="b")
        await asyncio.sleep(10.0)
        calls = by_batch(engine.calls[before:])
        assert calls["back"] == pytest.approx(calls["always"], rel=0.1)

    served(tmp_path, story)


def test_many_open_batches_hold_little(tmp_path: Path) -> None:
    """Of hundreds of batches a slow engine has as many shards in hand as it needs, and never more than the bound."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, seconds=1.0)
        for number in range(300):
            await service.batch(lines(f"b{number}", 40), shard_lines=10)
        worker = service.serve(engine, slots=4)
        for _ in range(50):
            await asyncio.sleep(0.5)
            assert worker._feed.fresh.shards <= OPEN_MAX
            assert worker._feed.fresh._unread <= 2 * worker._feed.fresh.wanted + 10

    served(tmp_path, story)


def test_a_batch_that_cannot_go_stands_in_nobody_s_way(tmp_path: Path) -> None:
    """The shortest is paused before it is claimed, the next one cancelled: the third goes, and the first once it is resumed."""

    async def story(service: Service) -> None:
        engine = ScriptedEngine(service.loop, seconds=0.1)
        paused = await service.batch(lines("paused", 2))
        cancelled = await service.batch(lines("cancelled", 3))
        third = await service.batch(lines("third", 400))
        pause = Pause(what=Target.BATCH, target=paused, resource="default", who="x", reason="", since=0)
        assert await service.ledger.pause(pause) is not None
        service.serve(engine, slots=4)
        await service.ledger.request_cancel(cancelled, now=1)
        await asyncio.sleep(3.0)
        calls = by_batch(engine.calls)
        assert calls["third"] >= 100
        assert not calls["paused"]
        assert await service.ledger.resume(Target.BATCH, paused) is not None
        service.hint.notify()
        begun = service.loop.time()
        assert await service.ended(paused) - begun < 1.0
        await service.ended(third)

    served(tmp_path, story)
