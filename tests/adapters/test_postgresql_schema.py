"""The schema on PostgreSQL: that of SQLite, made once, changed under work, and refused where it cannot be."""

import asyncio
import re
from pathlib import Path

import psycopg
import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.postgresql.schema import ONLY_HERE, OWN
from slackwater.adapters.sql.postgresql.text import OVERRIDDEN
from slackwater.adapters.sql.sqlite import MIGRATIONS, SCHEMA_VERSION, connect, migrate
from slackwater.adapters.sql.statements import QUERIES
from slackwater.core.errors import LedgerRefused
from slackwater.core.members import Member
from tests.adapters.asked_postgresql import rows, told
from tests.adapters.ledger_contract import claimed, segment, started
from tests.postgresql import Databases

pytestmark = pytest.mark.postgresql


def columns_of_sqlite() -> set[tuple[str, str, str, bool, bool]]:
    db = connect(":memory:")
    migrate(db, ":memory:")
    kinds = {"INTEGER": "bigint", "REAL": "double precision", "TEXT": "text", "BLOB": "bytea"}
    return {
        (table, row["name"], kinds[row["type"]], bool(row["notnull"] or row["pk"]), bool(row["pk"]))
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        for row in db.execute(f"PRAGMA table_info({table})")
    }


def test_both_databases_have_the_same_columns(address: str) -> None:
    """Of the same kind, empty where the other may be, and in the key where the other is; all text is in order by its bytes.

    But for what PostgreSQL makes of other columns by itself.
    """
    query = """
    SELECT c.table_name, c.column_name, c.data_type, c.is_nullable = 'NO', EXISTS (
        SELECT 1 FROM information_schema.key_column_usage AS k JOIN information_schema.table_constraints AS t
        USING (constraint_name, table_name) WHERE t.constraint_type = 'PRIMARY KEY'
        AND k.table_name = c.table_name AND k.column_name = c.column_name)
    FROM information_schema.columns AS c WHERE c.table_schema = 'public' AND c.is_generated = 'NEVER'
    """
    ours = {row for row in rows(address, query) if row[0] not in ONLY_HERE}
    assert ours == columns_of_sqlite()
    text = "FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'text'"
    assert rows(address, f"SELECT DISTINCT collation_name {text}") == [("C",)]


def test_both_databases_have_the_same_unique_columns(address: str) -> None:
    """What is there once in SQLite is there once here."""
    query = """
    SELECT t.relname, array_agg(a.attname::text ORDER BY a.attname) FROM pg_index AS i
    JOIN pg_class AS t ON t.oid = i.indrelid JOIN pg_namespace AS n ON n.oid = t.relnamespace AND n.nspname = 'public'
    JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = ANY (i.indkey)
    WHERE i.indisunique AND NOT i.indisprimary GROUP BY i.indexrelid, t.relname
    """
    db = connect(":memory:")
    migrate(db, ":memory:")
    theirs = {
        (table, tuple(sorted(row["name"] for row in db.execute(f"PRAGMA index_info({index['name']})"))))
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        for index in db.execute(f"PRAGMA index_list({table})")
        if index["unique"] and index["origin"] != "pk"
    }
    assert {(table, tuple(names)) for table, names in rows(address, query)} == theirs  # type: ignore[arg-type]


def test_every_later_step_is_there_for_both() -> None:
    """One text for both, or one of its own under the same number and name."""
    names = {path.name for path in MIGRATIONS}
    assert all(path.name in names for number, path in OWN.items() if number != min(OWN))
    assert max(OWN) <= SCHEMA_VERSION


def test_every_statement_of_its_own_replaces_one() -> None:
    """A statement that is nobody else's would never be run on SQLite.

    But for a claim: there it is two statements in a transaction, and one contract holds both to the same.
    """
    assert {name for name in OVERRIDDEN if not hasattr(QUERIES, name)} == {
        "claim_shards",
        "claimable_batches",
        "claimed_shards",
    }


def test_many_who_start_together_make_one_schema(postgresql: Databases) -> None:
    """Each waits for the one that makes it."""
    address = postgresql.new(template="template1")

    async def story() -> None:
        opened = await asyncio.gather(*(asyncio.to_thread(SqlLedger.connect, address) for _ in range(5)))
        marks = [await ledger.mark() for ledger in opened]
        assert len(set(marks)) == 1
        await asyncio.gather(*(ledger.close() for ledger in opened))

    asyncio.run(story())
    assert rows(address, "SELECT version FROM schema_version") == [(SCHEMA_VERSION,)]


def test_a_step_that_fails_changes_nothing(
    postgresql: Databases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All steps are one transaction: the next start begins where the one before began."""
    address = postgresql.new(template="template1")
    broken = tmp_path / "0025_first.sql"
    broken.write_text(OWN[25].read_text() + "\nSELECT 1 / 0;")
    with monkeypatch.context() as patched:
        patched.setitem(OWN, 25, broken)
        with pytest.raises(psycopg.errors.DivisionByZero):
            SqlLedger.connect(address)
    assert rows(address, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    asyncio.run(SqlLedger.connect(address).close())


def test_a_schema_changes_under_work(postgresql: Databases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A newer version adds a column while this one reads and writes: nobody fails, and nothing is lost."""
    address, number = postgresql.new(), SCHEMA_VERSION + 1
    later = tmp_path / f"{number:04}_later.sql"
    later.write_text("ALTER TABLE batch ADD COLUMN later INTEGER NOT NULL DEFAULT 0; CREATE TABLE later (name TEXT);")

    async def story() -> None:
        ledger = SqlLedger.connect(address)
        await started(ledger, shards=(1,) * 60)
        begun, changed = asyncio.Event(), asyncio.Event()

        async def work() -> int:
            done = 0
            while shards := await ledger.claim_shards(["batch-0"], owner="o", now=0.0, lease_seconds=10.0):
                assert await ledger.commit_segments([segment(shards[0], 0)], now=1.0, lease_seconds=10.0) == []
                assert await ledger.batch("batch-0") is not None
                done += 1
                if done == 20:
                    # By now every statement of this work has a plan that its connection keeps.
                    begun.set()
                if done == 40:
                    await changed.wait()
            return done

        working = asyncio.ensure_future(work())
        await begun.wait()
        with monkeypatch.context() as patched:
            patched.setitem(OWN, number, later)
            patched.setattr("slackwater.adapters.sql.postgresql.schema.SCHEMA_VERSION", number)
            newer = await asyncio.to_thread(SqlLedger.connect, address)
        changed.set()
        assert await working == 60
        done = await newer.batch("batch-0")
        assert done is not None
        assert done.counts.completed == 60
        await newer.close()
        await ledger.close()

    asyncio.run(story())
    assert rows(address, "SELECT version FROM schema_version") == [(number,)]
    assert rows(address, "SELECT count(*) FROM batch WHERE later = 0") == [(1,)]


def test_a_newer_schema_is_refused(postgresql: Databases) -> None:
    """The message names both versions and the ways out."""
    address = postgresql.new()
    told(address, f"UPDATE schema_version SET version = {SCHEMA_VERSION + 1}")
    with pytest.raises(LedgerRefused, match=rf"schema {SCHEMA_VERSION + 1}; this version knows {SCHEMA_VERSION}"):
        SqlLedger.connect(address)


def test_a_database_of_another_encoding_is_refused(postgresql: Databases) -> None:
    """Names of files are in every script."""
    address = postgresql.new(template="template0 ENCODING 'LATIN1'")
    with pytest.raises(LedgerRefused, match="make one with ENCODING 'UTF8'"):
        SqlLedger.connect(address)


def test_a_role_with_few_rights(postgresql: Databases) -> None:
    """It owns nothing but the tables, which it made; one that may only read and write them serves them, too."""
    address = postgresql.new(template="template1")
    name = re.search(r"/(t\d+_\d+)\?", address)
    assert name is not None
    owner, user = f"owner_{name[1]}", f"user_{name[1]}"
    told(
        address,
        f"CREATE ROLE {owner} LOGIN",
        f"CREATE ROLE {user} LOGIN",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        f"GRANT USAGE, CREATE ON SCHEMA public TO {owner}",
        f"GRANT USAGE ON SCHEMA public TO {user}",
    )
    as_owner, as_user = (address.replace("slackwater@", f"{role}@") for role in (owner, user))
    with pytest.raises(LedgerRefused, match="may not change its schema"):
        SqlLedger.connect(as_user)
    asyncio.run(SqlLedger.connect(as_owner).close())
    told(as_owner, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}")

    async def story() -> None:
        ledger, other = (SqlLedger.connect(as_user, member=Member(id=name, host="", version="")) for name in "ab")
        await started(ledger, shards=(1, 1))
        shard = await claimed(ledger, now=0.0)
        assert await ledger.commit_segments([segment(shard, 0)], now=1.0, lease_seconds=10.0) == []
        assert await ledger.audit(resource=None, limit=1) == []
        # It may bury another one, too.
        await claimed(other, owner="b-0")
        told(as_user, "UPDATE member SET until = 0 WHERE id = 'b'")
        assert await ledger.presence.doom("b")  # type: ignore[union-attr]
        assert await ledger.bury("b") == 1
        await asyncio.gather(ledger.close(), other.close())

    asyncio.run(story())
