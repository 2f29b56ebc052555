"""What an operator watches of the ledger: right sums, found without reading what has ended."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.statements import QUERIES
from slackwater.ports import Readings
from tests.adapters.ledger_contract import batch, claimed, segment, started


def look(play: Callable[[SqlLedger], Awaitable[None]], *, now: int = 1_500) -> Readings:
    """The readings after something has happened."""

    async def go() -> Readings:
        ledger = SqlLedger.open(":memory:")
        try:
            await play(ledger)
            return await ledger.readings(now=now)
        finally:
            await ledger.close()

    return asyncio.run(go())


def test_nothing_is_zero() -> None:
    """A new ledger has every last status, with none in it, and nothing else."""

    async def play(ledger: SqlLedger) -> None:
        """Nothing."""

    readings = look(play)
    assert (readings.open, readings.webhooks_pending, readings.webhook_pending_since) == ([], 0, None)
    assert readings.ended == {"cancelled": 0, "completed": 0, "expired": 0, "failed": 0}


def test_sums_by_deployment_and_status() -> None:
    """Batches, tokens, those past their window, and the oldest that has no result; a result takes a batch out of that."""

    async def play(ledger: SqlLedger) -> None:
        await ledger.add_batch(batch(9, created_at=900))
        await started(ledger, 1, created_at=1_010, expires_at=1_400)
        shard = await claimed(ledger)
        await ledger.commit_segments([segment(shard, 0)], now=1_200.0, lease_seconds=10.0)
        await started(ledger, 2, created_at=1_020)
        await started(ledger, 3, created_at=1_030)

    by_key = {(each.deployment, each.status): each for each in look(play).open}
    new, running = by_key["", "validating"], by_key["d", "in_progress"]
    assert len(by_key) == 2
    assert (new.batches, new.unbegun_since, new.overdue) == (1, 900, 0)
    assert (running.batches, running.enqueued_tokens, running.overdue) == (3, 9, 1)
    # The first one has a result already.
    assert running.unbegun_since == 1_020


def test_what_ends_is_counted_by_its_end() -> None:
    """A cancelled batch is open until its files are published, waits for nothing, and has ended then."""

    async def cancel(ledger: SqlLedger) -> None:
        await started(ledger, 1)
        await ledger.request_cancel("batch-1", now=1_200)

    (reading,) = look(cancel).open
    assert (reading.status, reading.batches, reading.unbegun_since) == ("cancelling", 1, None)

    async def publish(ledger: SqlLedger) -> None:
        await cancel(ledger)
        ending = await ledger.begin_finalizing(now=1_300)
        assert ending is not None
        assert await ledger.publish_files("batch-1", output=None, error=None, now=1_300) is not None

    readings = look(publish)
    assert (readings.open, readings.ended["cancelled"]) == ([], 1)


@pytest.mark.parametrize("name", ["open_readings", "ended_readings", "pending_reading"])
def test_no_row_of_what_has_ended_is_read(tmp_path: Path, name: str) -> None:
    """Each statement goes by an index: what has ended is counted in it, and only open batches have their rows read."""
    asyncio.run(SqlLedger.open(tmp_path / "ledger.sqlite").close())
    with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {getattr(QUERIES, name).sql}", {"now": 0})]
    for step in plan:
        if step.startswith(("SCAN batch", "SCAN webhook")):
            # The second index has nothing but what is pending.
            assert "COVERING INDEX batch_by_status" in step or "INDEX webhook_delivery_waiting" in step, step


def test_a_claim_says_whether_the_batch_has_begun() -> None:
    """Who claims a shard learns when its batch was created, and whether any request of it has had a result."""

    async def play(ledger: SqlLedger) -> None:
        await started(ledger, 1, shards=(1, 1), created_at=1_010)
        first = await claimed(ledger)
        assert (first.batch_created_at, first.batch_unbegun) == (1_010, True)
        await ledger.commit_segments([segment(first, 0)], now=1_200.0, lease_seconds=10.0)
        assert not (await claimed(ledger)).batch_unbegun

    look(play)
