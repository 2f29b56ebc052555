"""Held tokens and accounts on PostgreSQL, played by chance: the same machines as on SQLite, in fewer steps."""

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import settings
from hypothesis.stateful import invariant

from slackwater.adapters.sql.ledger import SqlLedger
from tests.adapters.quota_machine import QuotaMachine
from tests.adapters.usage_machine import UsageMachine
from tests.postgresql import Databases

pytestmark = pytest.mark.postgresql

# Batches that have not ended, whose counts are not those of their shards.
WRONG_COUNTS = b"""
SELECT batch.id FROM batch LEFT JOIN shard ON shard.batch_seq = batch.seq WHERE stage != 'ended' GROUP BY batch.seq
HAVING shards != COUNT(shard.idx) OR shards_done != COUNT(*) FILTER (WHERE state = 'done')
    OR (stage = 'ending' AND shards_in_hand != COUNT(*) FILTER (WHERE state = 'running'))
    OR (shards > 0 AND (ranked = 1) != (COUNT(rank) = shards))
"""
LOAD = b"""
(SELECT stage, deployment, COUNT(*), SUM(enqueued_tokens) FROM batch
 WHERE stage != 'ended' AND deployment IS NOT NULL GROUP BY stage, deployment EXCEPT SELECT * FROM batch_load)
UNION ALL
(SELECT * FROM batch_load EXCEPT SELECT stage, deployment, COUNT(*), SUM(enqueued_tokens) FROM batch
 WHERE stage != 'ended' AND deployment IS NOT NULL GROUP BY stage, deployment)
"""
COUNTS = b"""
SELECT resource, status, batches FROM batch_count WHERE batches > 0
EXCEPT SELECT resource, status, COUNT(*) FROM batch GROUP BY resource, status
"""
_databases: list[Databases] = []


@pytest.fixture(autouse=True, scope="module")
def _server(postgresql: Databases) -> Iterator[None]:
    """For machines, which take no fixtures."""
    _databases.append(postgresql)
    yield
    _databases.clear()


class PostgresqlQuotaMachine(QuotaMachine):
    """Over one database for each run."""

    address = ""

    def open(self) -> SqlLedger:
        self.address = self.address or _databases[0].take()
        return SqlLedger.connect(self.address)

    @invariant()
    def what_is_counted_is_what_there_is(self) -> None:
        """Every count that is kept, so that nobody has to look through rows, is what looking through them says."""
        with psycopg.connect(self.address, autocommit=True) as db:
            for query in (WRONG_COUNTS, LOAD, COUNTS):
                assert not db.execute(query).fetchall()

    def teardown(self) -> None:
        super().teardown()
        _databases[0].give_back(self.address)


class PostgresqlUsageMachine(UsageMachine):
    """Over one database for each run."""

    address = ""

    def open(self) -> SqlLedger:
        self.address = self.address or _databases[0].take()
        return SqlLedger.connect(self.address)

    def teardown(self) -> None:
        super().teardown()
        _databases[0].give_back(self.address)


class TestHeldTokens(PostgresqlQuotaMachine.TestCase):
    """Held tokens are those of the batches that have not ended, whatever happens in whatever order."""

    settings = settings(max_examples=6, stateful_step_count=30)


class TestAccounts(PostgresqlUsageMachine.TestCase):
    """Accounts are what was journaled, whatever happens in whatever order."""

    settings = settings(max_examples=6, stateful_step_count=30)
