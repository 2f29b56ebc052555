"""A database that has lost its last moments, under members that live: claims and burials wait for no disk."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.members import Member
from tests.cluster.cluster import Cluster, ended, until, whole
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Databases, running

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

# What a crash leaves: no connection, and the rows of a moment before. No trigger says a word of that.
CRASH = """
SET session_replication_role = replica;
UPDATE shard SET state = 'queued', owner = NULL, lease_until = NULL, epoch = epoch - 1;
UPDATE batch SET shards_in_hand = 0 {more};
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid();
"""


@pytest.mark.parametrize("more", ["", ", queued_number = 1"])
def test_a_claim_that_is_forgotten_is_made_again(tmp_path: Path, postgresql: Databases, more: str) -> None:
    """Nobody hears of it: who has claimed believes to have it, and the others know that it was claimed. Nor by its number."""
    address = postgresql.new(template="template1")
    with CountingBackend(latency=8.0) as backend, Cluster(tmp_path, address, backend) as cluster:
        servers = [cluster.start(), cluster.start()]
        # Numbers that everybody has seen.
        for prefix in ("first", "second"):
            batch_id = servers[0].create_batch(servers[0].upload("in.jsonl", input_lines(prefix, 1)))
            until(lambda prefix=prefix: backend.received[f"{prefix} 0"])
        with psycopg.connect(address) as db:
            db.execute(CRASH.format(more=more).encode())
        cluster.connect()
        until(lambda: ended(servers[0], batch_id))
        whole(servers[1], batch_id, 1, "second", account=False)


def test_for_whom_a_member_sends_is_kept() -> None:
    """It says it once. A database that had forgotten it would tell everybody that nobody sends."""

    async def story() -> None:
        # What waits for no disk comes there much later.
        with running(careless=False, settings={"wal_writer_delay": "10s"}) as server:
            ledger = SqlLedger.connect(
                server.address("postgres"), member=Member(id="m", host="", version="", sends_for=())
            )
            await ledger.send_for("m", ["a"])
            server.kill()
            server.start()
            assert [each.sends_for for each in await ledger.members()] == [("a",)]
            await ledger.close()

    asyncio.run(story())
