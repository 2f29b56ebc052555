"""Which shards are claimed next, where other members claim, too."""

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.pipeline.sending.claims import LOOKED_AHEAD, Claims
from tests.adapters.ledger_contract import started


class _Hungry:
    """A feed that has nothing open, and wants one line."""

    shards = bytes = 0
    low, wanted = True, 1

    @property
    def fresh(self) -> "_Hungry":
        return self


class _Member:
    """One that claims what its turn is, and counts how often it asks."""

    def __init__(self, ledger: SqlLedger, feed: Any) -> None:
        self._ledger = ledger
        self.claims = Claims("d", ledger, feed)
        self.asked = 0

    async def claim(self, skip: Collection[str] = ()) -> list[str]:
        """The batches of the next shards; none where nothing is left."""
        while (picked := self.claims.pick(skip)).batch_ids:
            self.asked += 1
            assert self.asked < 100, "claims without end"
            shards = await self._ledger.claim_shards(
                picked.batch_ids, owner="a-0", now=0.0, lease_seconds=9.0, most=picked.most
            )
            self.claims.claimed(picked, shards, 0.0)
            if shards:
                return [shard.batch_id for shard in shards]
        return []


def test_what_others_have_claimed_to_the_end_costs_few_claims(tmp_path: Path) -> None:
    """A member that comes late finds the first batch that has something in two, however many are gone, and forgets them."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l", inline=True)
        ledger.act_as("a")
        feed: Any = _Hungry()
        member = _Member(ledger, feed)
        for number in range(LOOKED_AHEAD + 2):
            # The one with the least left goes first.
            await started(ledger, number, shards=(1 + number, 1, 1))
        await member.claims.learn(0.0)
        assert await member.claim() == ["batch-0"]
        assert member.asked == 1
        gone = [f"batch-{number}" for number in range(LOOKED_AHEAD)]
        while await ledger.claim_shards(gone, owner="b-0", now=0.0, lease_seconds=9.0):
            pass
        assert await member.claim() == [f"batch-{LOOKED_AHEAD}"]
        assert member.asked == 1 + 2
        # One that is freed is news, and goes first again.
        assert await ledger.release_shard("batch-3", 1, epoch=1)
        await member.claims.learn(0.0)
        assert "batch-3" not in member.claims.pick({"batch-3"}).batch_ids
        await member.claims.learn(0.0)
        assert await member.claim({f"batch-{LOOKED_AHEAD}"}) == ["batch-3"]
        last = [f"batch-{number}" for number in (LOOKED_AHEAD, LOOKED_AHEAD + 1)]
        while await ledger.claim_shards(last, owner="b-0", now=0.0, lease_seconds=9.0):
            pass
        assert await member.claim() == []
        await ledger.close()

    asyncio.run(story())


@pytest.mark.parametrize("wanted", [80, 120, 300, 2000])
def test_a_claim_is_enough_whoever_has_the_next_turn(tmp_path: Path, wanted: int) -> None:
    """Every fourth turn is the oldest's, and several batches are claimed from at once: where others have taken from them, too."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l", inline=True)
        ledger.act_as("a")
        feed: Any = _Hungry()
        feed.wanted = wanted
        member = _Member(ledger, feed)
        for number in range(14):
            # The oldest has the most left.
            await started(ledger, number, shards=(50 if number else 1000, *(1,) * 18))
        await member.claims.learn(0.0)
        for turn in range(9):
            claimed = await member.claim()
            assert claimed
            assert member.asked == turn + 1
            # Others take one more of one of them before the next turn.
            await ledger.claim_shards(claimed[:1], owner="b-0", now=0.0, lease_seconds=9.0)
        await ledger.close()

    asyncio.run(story())


def test_news_of_what_was_passed_over_count(tmp_path: Path) -> None:
    """A batch of which a claim found nothing, and which has a shard again before anybody has looked, is not forgotten then."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l", inline=True)
        ledger.act_as("a")
        feed: Any = _Hungry()
        member = _Member(ledger, feed)
        await started(ledger, shards=(1,))
        await member.claims.learn(0.0)
        (taken,) = await ledger.claim_shards(["batch-0"], owner="b-0", now=0.0, lease_seconds=9.0)
        assert await member.claim() == []
        assert await ledger.release_shard("batch-0", taken.index, epoch=taken.epoch)
        await member.claims.learn(0.5)
        await member.claims.learn(5.0)
        assert await member.claim() == ["batch-0"]
        await ledger.close()

    asyncio.run(story())


def test_a_turn_is_not_lost_with_a_batch_that_is_gone(tmp_path: Path) -> None:
    """Where the oldest is at its turn and others have claimed all of it, the next oldest has it."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l", inline=True)
        ledger.act_as("a")
        feed: Any = _Hungry()
        member = _Member(ledger, feed)
        for number in range(6):
            # The older, the more is left.
            await started(ledger, number, shards=(60 - 10 * number,) * 4)
        await member.claims.learn(0.0)
        while await ledger.claim_shards(["batch-5"], owner="b-0", now=0.0, lease_seconds=9.0):
            pass
        assert [await member.claim() for _ in range(3)] == [["batch-4"]] * 3
        while await ledger.claim_shards(["batch-0"], owner="b-0", now=0.0, lease_seconds=9.0):
            pass
        assert await member.claim() == ["batch-1"]
        await ledger.close()

    asyncio.run(story())
