"""Which shards are claimed next, where other members claim, too."""

import asyncio
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


class _Counted:
    """A ledger that counts claims and looks before them."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def claimable_batches(self, batch_ids: Any) -> frozenset[str]:
        self.looks += 1
        assert self.looks < 100, "looks without end"
        return await self._ledger.claimable_batches(batch_ids)


def test_what_others_have_claimed_to_the_end_costs_no_claim(tmp_path: Path) -> None:
    """A member that comes late finds the first batch that has something in few looks, however many are gone, and forgets them."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l", inline=True)
        ledger.act_as("a")
        counted: Any = _Counted(ledger)
        feed: Any = _Hungry()
        claims = Claims("d", counted, feed)
        for number in range(LOOKED_AHEAD + 2):
            # The one with the least left goes first.
            await started(ledger, number, shards=(1 + number, 1))
        await claims.learn()
        assert await claims.pick(()) == ["batch-0"]
        assert counted.looks == 1
        gone = [f"batch-{number}" for number in range(LOOKED_AHEAD)]
        for _ in range(2):
            assert len(await ledger.claim_shards(gone, owner="b-0", now=0.0, lease_seconds=9.0)) == LOOKED_AHEAD
        assert await claims.pick(()) == [f"batch-{LOOKED_AHEAD}"]
        assert counted.looks == 1 + 2
        # One that is freed is news, and goes first again.
        assert await ledger.release_shard("batch-3", 1, epoch=1)
        await claims.learn()
        assert await claims.pick(()) == ["batch-3"]
        assert await claims.pick({"batch-3"}) == [f"batch-{LOOKED_AHEAD}"]
        last = ["batch-3", *(f"batch-{number}" for number in (LOOKED_AHEAD, LOOKED_AHEAD + 1))]
        for _ in range(2):
            await ledger.claim_shards(last, owner="b-0", now=0.0, lease_seconds=9.0)
        assert await claims.pick(()) == []
        await ledger.close()

    asyncio.run(story())


@pytest.mark.parametrize("wanted", [80, 120, 300, 2000])
def test_a_look_is_enough_whoever_has_the_next_turn(tmp_path: Path, wanted: int) -> None:
    """Every fourth turn is the oldest's, and several batches are picked at once: asked again, it would be others."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l", inline=True)
        ledger.act_as("a")
        counted: Any = _Counted(ledger)
        feed: Any = _Hungry()
        feed.wanted = wanted
        claims = Claims("d", counted, feed)
        for number in range(14):
            # The oldest has the most left.
            await started(ledger, number, shards=(50 if number else 1000, 1))
        await claims.learn()
        for turn in range(9):
            picked = await claims.pick(())
            assert picked
            assert counted.looks == turn + 1
            # Others take one of them before the next turn.
            await ledger.claim_shards(picked[:1], owner="b-0", now=0.0, lease_seconds=9.0)
        await ledger.close()

    asyncio.run(story())
