"""Quotas of files and keys of batches in SQLite, and the way that older data directories come along."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.sqlite import MIGRATIONS, SCHEMA_VERSION
from slackwater.core.batch import Status
from slackwater.core.files.file import Purpose
from slackwater.ports import Ledger
from tests.adapters.order_contract import OrderContract


class TestOnDisk(OrderContract):
    """With its writer thread, as a service has it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(place / "ledger.sqlite")


class TestInMemory(OrderContract):
    """On the caller's thread, as simulations have it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(":memory:")


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_older_schema_comes_along(tmp_path: Path, version: int) -> None:
    """A data directory of any earlier schema is brought up to date on opening, with everything in it."""
    with sqlite3.connect(tmp_path / "l") as database:
        for script in MIGRATIONS[:version]:
            database.executescript(script.read_text())
        database.execute(f"PRAGMA user_version = {version}")
        database.execute(
            "INSERT INTO file (id, filename, purpose, size, created_at, status, blob)"
            " VALUES ('file-1', 'in.jsonl', 'batch', 10, 5, 'processed', 'files/file-1')"
        )
        database.execute(
            "INSERT INTO batch (id, input_file_id, input_blob, endpoint, completion_window, status, stage, created_at,"
            " expires_at, expires, policies) VALUES ('batch-1', 'file-1', 'files/file-1', '/chat/completions', '24h',"
            " 'in_progress', 'running', 6, 7, 0, '{}')"
        )

    async def look() -> None:
        ledger = SqlLedger.open(tmp_path / "l")
        file, batch = await ledger.file("file-1"), await ledger.batch("batch-1")
        assert file is not None
        assert (file.purpose, file.size) == (Purpose.BATCH, 10)
        assert batch is not None
        assert batch.status is Status.IN_PROGRESS
        assert [each.id for each in await ledger.batches(limit=10)] == ["batch-1"]
        await ledger.close()

    asyncio.run(look())
    with sqlite3.connect(tmp_path / "l") as database:
        assert database.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
