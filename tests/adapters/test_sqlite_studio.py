"""The SQLite ledger keeps its promises to those who watch."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.errors import InvalidRequest
from slackwater.ports import Ledger
from tests.adapters.ledger_contract import batch
from tests.adapters.studio_contract import StudioContract


class TestOnDisk(StudioContract):
    """With its writer thread, as a service has it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(place / "ledger.sqlite")


class TestInMemory(StudioContract):
    """On the caller's thread, as simulations have it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(":memory:")


def test_a_search_has_a_bound(tmp_path: Path) -> None:
    """Looking for what is nowhere ends, and says what to do; a page without a search is not bounded by what lies behind it."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l", search_steps=1_500)
        for number in range(300):
            await ledger.add_batch(batch(number, metadata={"a": "b"}))
        with pytest.raises(InvalidRequest, match="status"):
            await ledger.batch_overview(resource="default", search="nowhere", limit=20)
        page = await ledger.batch_overview(resource="default", limit=20)
        assert len(page.rows) == 20
        await ledger.close()

    asyncio.run(story())


def test_pages_and_queues_are_read_from_indexes(tmp_path: Path) -> None:
    """No plan sorts or reads a table from its beginning: what is polled costs the same with 100,000 batches."""

    async def story() -> None:
        await SqlLedger.open(tmp_path / "l").close()

    asyncio.run(story())
    with sqlite3.connect(tmp_path / "l") as database:
        for query in (
            "SELECT seq FROM batch INDEXED BY batch_newest WHERE resource = 'r' AND seq < 9 ORDER BY seq DESC LIMIT 9",
            "SELECT seq FROM batch INDEXED BY batch_newest_of_status WHERE resource = 'r' AND seq < 9 AND status = 'failed' "
            "ORDER BY seq DESC LIMIT 9",
            "SELECT seq FROM batch INDEXED BY batch_newest_of_deployment WHERE resource = 'r' AND seq < 9 "
            "AND deployment = 'd' ORDER BY seq DESC LIMIT 9",
            "SELECT seq FROM batch INDEXED BY batch_with_failures WHERE resource = 'r' AND seq < 9 AND status = 'completed' "
            "AND failed > 0 ORDER BY seq DESC LIMIT 9",
            "SELECT COUNT(*) FROM batch WHERE deployment = 'd' AND stage = 'waiting' AND seq < 9",
            "SELECT id FROM batch WHERE stage = 'running' ORDER BY seq LIMIT 9",
            "SELECT status, batches FROM batch_count WHERE resource = 'r'",
            "SELECT 1 FROM batch INDEXED BY batch_with_failures WHERE resource = 'r' AND status = 'completed' AND failed > 0",
        ):
            plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query}")]
            assert all(step.startswith("SEARCH") for step in plan), (query, plan)
