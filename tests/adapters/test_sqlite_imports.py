"""The SQLite ledger keeps the Ledger's promises about imports, and no URL longer than it is needed."""

import asyncio
import sqlite3
from pathlib import Path

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.files.file import FileStatus
from slackwater.ports import Ledger
from tests.adapters.import_contract import ImportContract, ordered


class TestOnDisk(ImportContract):
    """With its writer thread, as a service has it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(place / "ledger.sqlite")


class TestInMemory(ImportContract):
    """On the caller's thread, as simulations have it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(":memory:")


def test_no_row_keeps_a_url(tmp_path: Path) -> None:
    """Its secret opens a store of the user's: with the end of the import, or of the file, the row goes."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l")
        for number in (1, 2, 3):
            await ordered(ledger, number)
        await ledger.finish_import("file-1", status=FileStatus.PROCESSED, size=1)
        await ledger.finish_import("file-2", status=FileStatus.ERROR, status_details="x")
        await ledger.delete_file("file-3")
        await ledger.close()

    asyncio.run(story())
    with sqlite3.connect(tmp_path / "l") as database:
        assert not [line for line in database.iterdump() if line.startswith("INSERT") and "secret" in line]
