"""The SQLite ledger keeps the Ledger's promises about files in parts."""

from pathlib import Path

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.ports import Ledger
from tests.adapters.upload_contract import UploadContract


class TestOnDisk(UploadContract):
    """With its writer thread, as a service has it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(place / "ledger.sqlite")


class TestInMemory(UploadContract):
    """On the caller's thread, as simulations have it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(":memory:")
