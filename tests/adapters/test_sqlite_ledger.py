"""The SQLite ledger keeps the Ledger's promises, and its own: versions, full disks, interrupted callers."""

import asyncio
import resource
import sqlite3
from pathlib import Path

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.core.errors import DataDirectoryError, StorageFull
from slackwater.ports import Ledger
from tests.adapters.bringing_contract import BringingContract
from tests.adapters.engine_contract import EngineContract
from tests.adapters.ledger_contract import LedgerContract, batch, file
from tests.adapters.pause_contract import PauseContract
from tests.adapters.sharing_contract import SharingContract


class TestOnDisk(LedgerContract, BringingContract, PauseContract, EngineContract, SharingContract):
    """With its writer thread, as a service has it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(place / "ledger.sqlite")


class TestInMemory(LedgerContract, BringingContract, PauseContract, EngineContract, SharingContract):
    """On the caller's thread, as simulations have it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(":memory:")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """The message names both versions and the ways out."""
    with sqlite3.connect(tmp_path / "l") as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(DataDirectoryError, match=rf"schema {SCHEMA_VERSION + 1}; this version knows {SCHEMA_VERSION}"):
        SqlLedger.open(tmp_path / "l")


def test_facts_survive_a_close(tmp_path: Path) -> None:
    """What a method has returned is there for the next incarnation."""

    async def write() -> None:
        ledger = SqlLedger.open(tmp_path / "l")
        await ledger.add_batch(batch())
        await ledger.close()

    async def read() -> None:
        ledger = SqlLedger.open(tmp_path / "l")
        assert await ledger.batch("batch-0") == batch()
        await ledger.close()

    asyncio.run(write())
    asyncio.run(read())


def test_deletions_go_through_on_a_full_disk(tmp_path: Path) -> None:
    """The log has no room to grow in: it begins anew, in the room that it has."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l")
        for number in range(50):
            await ledger.add_file(file(number, filename="x" * 500))
        files = await ledger.files(purpose=None, after=None, limit=50, descending=True, now=0)
        largest = max(path.stat().st_size for path in tmp_path.iterdir())
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, unlimited[1]))
        try:
            for each in files:
                await ledger.delete_file(each.id)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert await ledger.files(purpose=None, after=None, limit=50, descending=True, now=0) == []
        await ledger.close()

    asyncio.run(story())


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    """The transaction that finds no room is rolled back, says so, and can be repeated."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l", inline=True)
        pages = ledger.sql.database.reader.execute("PRAGMA page_count").fetchone()[0]
        ledger.sql.database.reader.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StorageFull, match="free some disk space"):
            for number in range(1000):
                await ledger.add_file(file(number, filename="x" * 500))
        kept = len(await ledger.files(purpose=None, after=None, limit=2000, descending=True, now=0))
        assert kept == number
        ledger.sql.database.reader.execute("PRAGMA max_page_count = 100000")
        await ledger.add_file(file(number))
        await ledger.close()

    asyncio.run(story())


def test_a_cancelled_caller_does_not_cut_a_transaction(tmp_path: Path) -> None:
    """A caller that is cancelled while it waits leaves a whole fact or none, and the ledger works on."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l")
        for number in range(30):
            task = asyncio.ensure_future(ledger.add_file(file(number)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # The outcome is known by now: it was written.
            assert await ledger.file(f"file-{number}") is not None
        await ledger.close()

    asyncio.run(story())
