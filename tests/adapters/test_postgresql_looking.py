"""What is asked of PostgreSQL again and again goes by an index, whatever it knows of its tables, and what changes is in none."""

import asyncio
import re
from collections.abc import Iterator

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.text import text_of
from slackwater.core.members import Member
from tests.adapters.ledger_contract import claimed, segment, started
from tests.adapters.test_sqlite_looking import POLLED
from tests.postgresql import Databases

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
# Of both databases; and of this one alone, instead of two that it has no use for.
ASKED = sorted({*POLLED, "claim_shards", "claimable_batches", "claimed_shards"} - {"batch_to_claim", "claim_shard"})


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


@pytest.fixture(scope="module")
def quiet_night(postgresql: Databases) -> Iterator[str]:
    """A ledger that has counted its rows when thousands of batches had ended and none ran."""
    address = postgresql.take()
    db = PgConnection(address, name="night")
    try:
        columns = db.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'batch' "
            "AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' AND is_generated = 'NEVER'"
        ).fetchall()
        told = {"stage": "'ended'", "status": "'completed'", "deployment": "'d' || mod(n, 10)"}
        free = {"text": "'x' || n", "bigint": "n", "double precision": "n", "bytea": "''"}
        values = {name: told.get(name, free[kind]) for name, kind in columns} | told
        db.execute(
            f"INSERT INTO batch ({', '.join(values)}) SELECT {', '.join(values.values())} FROM generate_series(1, 5000) AS n"
        )
        shards = "INSERT INTO shard (batch_seq, idx, offset_, length, lines, tokens, deployment, done, state) "
        db.execute(shards + "SELECT seq, 0, 0, 9, 1, 1, deployment, ''::BYTEA, 'done' FROM batch")
        db.execute("ANALYZE")
    finally:
        db.close()
    yield address
    postgresql.give_back(address)


@pytest.fixture(params=["address", "quiet_night"])
def situation(request: pytest.FixtureRequest) -> str:
    """The address of a ledger on its first day, when nothing has ever been counted, or after a quiet night."""
    address: str = request.getfixturevalue(request.param)
    return address


@pytest.mark.parametrize("name", ASKED)
def test_no_large_table_is_walked(situation: str, name: str) -> None:
    """Nor are all batches that run, where some are named: statistics may say that there are few."""
    found = plan(situation, name)
    walked = set(re.findall(r"Seq Scan on (\w+)", found)) & set(LARGE)
    assert walked <= {WALKS.get(name, "")}, found


@pytest.mark.parametrize("name", ASKED)
def test_no_large_table_is_compared_row_by_row(situation: str, name: str) -> None:
    """An index that is read from end to end, and joined then, is a walk as well."""
    found = plan(situation, name)
    assert not re.search(r"Join Filter: .*\b(batch|shard)\.", found), found


@pytest.mark.parametrize(
    "name",
    [
        "batch",
        "batch_by_seq",
        "batch_histories",
        "batches",
        "claim_shards",
        "claimable_batches",
        "claimed_shards",
        "held_leases",
        "held_shard",
        "overview_rows",
    ],
)
def test_batches_that_are_named_are_found_by_their_name(situation: str, name: str) -> None:
    """Whatever else is asked of them: there may be ten thousand that run."""
    found = plan(situation, name)
    scans = re.findall(r"Scan (?:Backward )?using batch_\w+ on batch\b.*\n\s*Index Cond: \((.*)\)", found)
    assert scans, found
    assert all(re.search(r"\b(id|seq) = ", each) for each in scans), found
    assert len(re.findall(r" on batch\b", found)) == len(scans), found


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("claim_shards", "shard_to_claim"),
        ("claimable_batches", "shard_to_claim"),
        ("claim_shards", "writer_pkey"),
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
def test_the_index_has_only_what_is_looked_for(situation: str, name: str, index: str) -> None:
    """One that merely fits would walk through every running batch, or every shard of one."""
    assert index in plan(situation, name)


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
        # Results and an end; twice. A claim writes none.
        assert after[0] == before[0] + 4
        assert after[1] == before[1]

    asyncio.run(story())


async def _changed(ledger: SqlLedger) -> tuple[int, int]:
    """How often rows of batches have been changed, and how often with their indexes."""
    for fenced in (False, True):
        await ledger.sql.write(lambda db: db.execute("SELECT pg_stat_force_next_flush()"), fenced=fenced)
    query = "SELECT n_tup_upd, n_tup_upd - n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'batch'"
    (row,) = await ledger.sql.database.search(lambda db: db.execute(query).fetchall())
    return row[0], row[1]
