"""What is asked of PostgreSQL again and again goes by an index, whatever it knows of its tables, and what changes is in none."""

import asyncio
import re

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.text import text_of
from slackwater.core.members import Member
from tests.adapters.ledger_contract import claimed, segment, started
from tests.adapters.test_sqlite_looking import POLLED

pytestmark = pytest.mark.postgresql

# Tables that have a row for each of what there may be ten thousands of.
LARGE = (
    "audit",
    "batch",
    "batch_text",
    "file",
    "kept_text",
    "segment",
    "shard",
    "upload",
    "upload_part",
    "webhook_delivery",
)
# What walks through one nevertheless, and why.
WALKS = {
    # From its oldest end on, as far as its limit goes.
    "audit_to_trim": "audit",
    "trim_audit": "audit",
}


def plan(address: str, name: str) -> str:
    """How a connection of ours goes about a statement, whatever it is asked with."""
    # The names of the parameters become numbers; their types are found out.
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    text = re.sub(r"\bINDEXED BY \w+", "", re.sub(r"--.*", "", text_of(name)))
    text = re.sub(r"(?<![:\w]):(\w+)", number, text)
    while "?" in text:
        names.append("")
        text = text.replace("?", f"${len(names)}", 1)
    db = PgConnection(address, name="plan")
    try:
        db.script(f"PREPARE asked AS {text.strip().rstrip(';')}".encode())
        nothing = f"({', '.join('NULL' for _ in names)})" if names else ""
        return "\n".join(row[0] for row in db.execute(f"EXPLAIN (COSTS OFF) EXECUTE asked{nothing}").fetchall())
    finally:
        db.close()


@pytest.mark.parametrize("name", POLLED)
def test_no_large_table_is_walked(address: str, name: str) -> None:
    """Planned when everything was empty and nothing had ever been counted, as on the first day of a ledger."""
    found = plan(address, name)
    walked = set(re.findall(r"Seq Scan on (\w+)", found)) & set(LARGE)
    assert walked <= {WALKS.get(name, "")}, found


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("claimable_batches", "shard_to_claim"),
        ("claim_shard", "shard_to_claim"),
        ("queued_batches", "batch_queued"),
        ("exhausted", "batch_exhausted"),
        ("ending", "batch_to_end"),
        ("unranked", "batch_unranked"),
        ("elapsed", "batch_to_expire"),
        ("waiting", "batch_waiting"),
        ("lost_leases", "shard_running"),
        ("leases_of_member", "shard_running"),
        ("held_shard", "shard_pkey"),
        ("shard_batch_stage", "shard_pkey"),
        ("held_leases", "shard_pkey"),
        ("last_segment", "segment_of_shard"),
    ],
)
def test_the_index_has_only_what_is_looked_for(address: str, name: str, index: str) -> None:
    """One that merely fits would walk through every running batch, or every shard of one."""
    assert index in plan(address, name)


def test_no_index_of_batches_grows_with_claims_and_ends(address: str) -> None:
    """A claim, results, and the end of a shard change numbers of a batch that no index has: its row is written, and no more."""

    async def story() -> None:
        ledger = SqlLedger.connect(address, member=Member(id="one", host="here", version="0"))
        try:
            await started(ledger, shards=(1, 1, 1))
            before = await _changed(ledger)
            for _ in range(2):
                shard = await claimed(ledger)
                await ledger.commit_segments([segment(shard, 0, ends=True)], now=1.0, lease_seconds=10.0)
            after = await _changed(ledger)
        finally:
            await ledger.bury("one")
            await ledger.close()
        # A claim, results, an end; twice.
        assert after[0] == before[0] + 6
        assert after[1] == before[1]

    asyncio.run(story())


async def _changed(ledger: SqlLedger) -> tuple[int, int]:
    """How often rows of batches have been changed, and how often with their indexes."""
    for fenced in (False, True):
        await ledger.sql.write(lambda db: db.execute("SELECT pg_stat_force_next_flush()"), fenced=fenced)
    query = "SELECT n_tup_upd, n_tup_upd - n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'batch'"
    (row,) = await ledger.sql.database.search(lambda db: db.execute(query).fetchall())
    return row[0], row[1]
