"""Held tokens in SQLite, played by chance over a file that survives every crash."""

import tempfile
from pathlib import Path

from hypothesis import settings

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.ports import Ledger
from tests.adapters.quota_machine import QuotaMachine


class SqliteQuotaMachine(QuotaMachine):
    """Over one file for each run."""

    def open(self) -> Ledger:
        if not hasattr(self, "directory"):
            self.directory = tempfile.TemporaryDirectory()
        return SqlLedger.open(Path(self.directory.name) / "ledger.sqlite", inline=True)

    def teardown(self) -> None:
        super().teardown()
        self.directory.cleanup()


class TestHeldTokens(SqliteQuotaMachine.TestCase):
    """Held tokens are those of the batches that have not ended, whatever happens in whatever order."""

    settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
