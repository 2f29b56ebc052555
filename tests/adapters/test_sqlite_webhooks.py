"""The SQLite ledger keeps the Ledger's promises about webhooks, and a batch ends with its deliveries or not at all."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import Status
from slackwater.ports import Ledger
from tests.adapters.ledger_contract import batch, started
from tests.adapters.webhook_contract import NOW, WebhookContract, heard, listening


class TestOnDisk(WebhookContract):
    """With its writer thread, as a service has it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(place / "ledger.sqlite")


class TestInMemory(WebhookContract):
    """On the caller's thread, as simulations have it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(":memory:")


def test_one_transaction(tmp_path: Path) -> None:
    """Where the outbox cannot be written, the batch has not ended: neither rejected nor finished."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l")
        await listening(ledger, 0)
        await ledger.add_batch(batch(0))
        await started(ledger, 1)
        await ledger.request_cancel("batch-1", now=NOW)
        with sqlite3.connect(tmp_path / "l") as other:
            other.execute("CREATE TRIGGER no BEFORE INSERT ON webhook_delivery BEGIN SELECT RAISE(ABORT, 'no'); END")
        with pytest.raises(sqlite3.IntegrityError):
            await ledger.reject_batch("batch-0", errors=[], now=NOW)
        with pytest.raises(sqlite3.IntegrityError):
            await ledger.publish_files("batch-1", output=None, error=None, now=NOW)
        found = [await ledger.batch(f"batch-{number}") for number in (0, 1)]
        assert [each and each.status for each in found] == [Status.VALIDATING, Status.CANCELLING]
        with sqlite3.connect(tmp_path / "l") as other:
            other.execute("DROP TRIGGER no")
        assert await ledger.reject_batch("batch-0", errors=[], now=NOW)
        assert await ledger.publish_files("batch-1", output=None, error=None, now=NOW)
        assert await heard(ledger) == [("batch-1", "batch.cancelled"), ("batch-0", "batch.failed")]
        await ledger.close()

    asyncio.run(story())
