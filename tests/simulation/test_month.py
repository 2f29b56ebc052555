"""A day of a cluster in virtual time, with the scheduler of the service (benchmarks/scale/month.py)."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from benchmarks.scale import month as script
from benchmarks.scale.memory_ledger import MemoryLedger, OpenBatch
from benchmarks.scale.month import month

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.ports import Shard
from tests.adapters.ledger_contract import started


@pytest.mark.long
def test_a_day_of_a_small_cluster_ends_every_shard_once() -> None:
    """Engines and members die, a tenant floods, all members are deployed anew: each shard ends once, nobody is starved."""
    cluster, found = month(days=1.0, scale=0.01, seed=1)
    tally = cluster.tally
    assert tally.ended_shards == tally.shards > 1_000
    assert not tally.starved
    assert found["jain"] > 0.95
    # Whoever wants no more than its part is not kept waiting by who floods.
    assert not tally.late_within


def test_members_that_die_lose_and_double_nothing() -> None:
    """Deaths of both kinds, of members and of engines, every few minutes; what must hold is asserted as it runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "MEMBER_LIVES_DAYS", 0.02)
        patch.setattr(script, "ENGINE_LIVES_DAYS", 0.02)
        cluster, _ = month(days=0.2, scale=0.01, seed=3)
    deaths = cluster.tally.deaths
    assert deaths["killed"] > 10
    assert deaths["lost"] > 5
    assert deaths["engine"] > 30
    # Who woke up when it had been buried could write nothing.
    assert cluster.tally.fenced > 50


def test_its_ledger_answers_as_the_one_on_sql_does(tmp_path: Path) -> None:
    """The same steps, drawn by lot: news, looks, claims, what is given back and what ends."""

    async def story() -> None:
        chance = random.Random(7)
        sql = SqlLedger.open(tmp_path / "l", inline=True)
        sql.act_as("a")
        memory = MemoryLedger()
        names: list[str] = []
        held: list[tuple[Shard, Shard]] = []
        seen = 0
        for _ in range(300):
            step = chance.randrange(5)
            if step == 0 and len(names) < 12:
                shards = tuple(1 for _ in range(chance.randint(1, 5)))
                await started(sql, len(names), shards=shards)
                name = f"batch-{len(names)}"
                names.append(name)
                memory.start(OpenBatch(name, "d", len(shards), cut=1, tokens_a_line=1, created=0.0), 0.0)
            elif step == 1 and names:
                picked = chance.sample(names, chance.randint(1, min(8, len(names))))
                most = chance.choice([None, 1, 3])
                theirs = await sql.claim_shards(picked, owner="a-0", now=0.0, lease_seconds=9.0, most=most)
                ours = memory.claim(picked, most=most)
                assert [_known(each) for each in theirs] == [_known(each) for each in ours]
                held += zip(theirs, ours, strict=True)
            elif step == 2 and held:
                theirs_one, ours_one = held.pop(chance.randrange(len(held)))
                assert await sql.release_shard(theirs_one.batch_id, theirs_one.index, epoch=theirs_one.epoch)
                assert memory.release(ours_one)
            elif step == 3:
                news = await sql.queued_batches("d", after=seen, limit=3)
                assert _news(news) == _news(await memory.queued_batches("d", after=seen, limit=3))
                seen = news[-1].number if news and chance.random() < 0.8 else 0
            elif step == 4 and held:
                stale = held[0]
                assert not await sql.release_shard(stale[0].batch_id, stale[0].index, epoch=stale[0].epoch + 1)
        assert held or names

    asyncio.run(story())


def _known(shard: Shard) -> tuple[Any, ...]:
    return shard.batch_id, shard.index, shard.epoch, shard.lines, shard.batch_queued


def _news(found: Any) -> list[tuple[Any, ...]]:
    return [(each.number, each.batch_id, each.lines) for each in found]
