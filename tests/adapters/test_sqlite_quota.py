"""Held tokens in SQLite, played by chance over a file that survives every crash."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import invariant

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.ports import Ledger
from tests.adapters.quota_machine import QuotaMachine
from tests.chosen import examples

# Batches that have not ended, whose counts are not those of their shards.
WRONG_COUNTS = """
SELECT batch.id FROM batch LEFT JOIN shard ON shard.batch_seq = batch.seq WHERE stage != 'ended' GROUP BY batch.seq
HAVING shards != COUNT(shard.idx) OR shards_done != COALESCE(SUM(state = 'done'), 0)
    OR (stage = 'ending' AND shards_in_hand != COALESCE(SUM(state = 'running'), 0))
    OR (shards > 0 AND ranked != (COUNT(rank) = shards))
"""
LOAD = """
SELECT stage, deployment, COUNT(*), SUM(enqueued_tokens) FROM batch
WHERE stage != 'ended' AND deployment IS NOT NULL GROUP BY stage, deployment
"""


class SqliteQuotaMachine(QuotaMachine):
    """Over one file for each run."""

    def open(self) -> Ledger:
        if not hasattr(self, "directory"):
            self.directory = tempfile.TemporaryDirectory()
        self.sql = SqlLedger.open(Path(self.directory.name) / "ledger.sqlite", inline=True)
        return self.sql

    @invariant()
    def what_is_counted_is_what_there_is(self) -> None:
        """Every count that is kept, so that nobody has to look through rows, is what looking through them says."""
        db = self.sql.sql.database.reader
        assert not db.execute(WRONG_COUNTS).fetchall()
        kept = db.execute("SELECT stage, deployment, batches, tokens FROM batch_load").fetchall()
        assert sorted(map(tuple, kept)) == sorted(map(tuple, db.execute(LOAD).fetchall()))

    def teardown(self) -> None:
        super().teardown()
        self.directory.cleanup()


class TestHeldTokens(SqliteQuotaMachine.TestCase):
    """Held tokens are those of the batches that have not ended, whatever happens in whatever order."""

    settings = settings(max_examples=examples(50), stateful_step_count=30)
