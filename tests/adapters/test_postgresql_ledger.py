"""What the ledger on PostgreSQL promises beyond the contract: many at once, lost connections, its schema, few rights."""

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.postgresql.database import READERS, PostgresqlDatabase
from slackwater.adapters.sql.postgresql.schema import ONLY_HERE, OWN
from slackwater.adapters.sql.postgresql.text import OVERRIDDEN
from slackwater.adapters.sql.sqlite import MIGRATIONS, SCHEMA_VERSION, connect, migrate
from slackwater.adapters.sql.statements import QUERIES
from slackwater.core.errors import InvalidRequest, LedgerRefused, LedgerUnavailable, QuotaExceeded
from slackwater.core.files.file import FileLimits
from slackwater.core.members import Member
from slackwater.core.watching.listing import BatchQuery, Condition, Field, Operator
from tests.adapters.cutting_proxy import Cut, CuttingProxy
from tests.adapters.ledger_contract import batch, claimed, file, segment, started
from tests.postgresql import Databases

pytestmark = pytest.mark.postgresql


@pytest.fixture
def address(postgresql: Databases) -> Iterator[str]:
    """A ledger with nothing in it."""
    taken = postgresql.take()
    yield taken
    postgresql.give_back(taken)


def rows(address: str, query: str) -> list[tuple[object, ...]]:
    """What a statement gives."""
    with psycopg.connect(address, autocommit=True) as db:
        return db.execute(query.encode()).fetchall()


def told(address: str, *statements: str) -> None:
    """Runs statements that give no rows."""
    with psycopg.connect(address, autocommit=True) as db:
        for each in statements:
            db.execute(each.encode())


# Connections of a ledger.
OURS = "FROM pg_stat_activity WHERE application_name LIKE 'slackwater %' AND datname = current_database()"

# The schema


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
    """Of the same kind, empty where the other may be, and in the key where the other is; all text is in order by its bytes."""
    query = """
    SELECT c.table_name, c.column_name, c.data_type, c.is_nullable = 'NO', EXISTS (
        SELECT 1 FROM information_schema.key_column_usage AS k JOIN information_schema.table_constraints AS t
        USING (constraint_name, table_name) WHERE t.constraint_type = 'PRIMARY KEY'
        AND k.table_name = c.table_name AND k.column_name = c.column_name)
    FROM information_schema.columns AS c WHERE c.table_schema = 'public'
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
    """A statement that is nobody else's would never be run on SQLite."""
    assert {name for name in OVERRIDDEN if not hasattr(QUERIES, name)} == set()


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
    broken.write_text(OWN[25].read_text() + "\nCREATE TABLE file (seq INTEGER PRIMARY KEY);")
    with monkeypatch.context() as patched:
        patched.setitem(OWN, 25, broken)
        with pytest.raises(psycopg.errors.DuplicateTable):
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


# Many at once


def test_quotas_hold_among_several(address: str) -> None:
    """Of 40 files that come at once over four connections, as many are let in as there may be."""
    limits = FileLimits(lasting=10)

    async def story() -> None:
        ledgers = [SqlLedger.connect(address) for _ in range(4)]
        adding = (ledgers[number % 4].add_file(file(number), limits=limits) for number in range(40))
        outcomes = await asyncio.gather(*adding, return_exceptions=True)
        assert [type(each) for each in outcomes if each is not None] == [QuotaExceeded] * 30
        assert len(await ledgers[0].files(purpose=None, after=None, limit=50, descending=True, now=0)) == 10
        await asyncio.gather(*(ledger.close() for ledger in ledgers))

    asyncio.run(story())


def test_a_shard_is_claimed_once(address: str) -> None:
    """Four claim from the same batch at the same time, until nothing is left: each shard goes to one of them."""

    async def story() -> None:
        ledgers = [SqlLedger.connect(address) for _ in range(4)]
        await started(ledgers[0], shards=(1,) * 40)

        async def claim_all(ledger: SqlLedger, owner: str) -> list[int]:
            mine = []
            while shards := await ledger.claim_shards(["batch-0"], owner=owner, now=0.0, lease_seconds=10.0):
                mine += [shard.index for shard in shards]
            return mine

        claims = await asyncio.gather(*(claim_all(each, f"owner-{number}") for number, each in enumerate(ledgers)))
        assert sorted(index for mine in claims for index in mine) == list(range(40))
        await asyncio.gather(*(ledger.close() for ledger in ledgers))

    asyncio.run(story())


def test_results_of_several_are_all_counted(address: str) -> None:
    """Two commit for the same batch and the same day beside each other: every result counts, once."""

    async def story() -> None:
        ledgers = [SqlLedger.connect(address) for _ in range(2)]
        await started(ledgers[0], shards=(1,) * 30)
        shards = [
            (await ledgers[0].claim_shards(["batch-0"], owner="o", now=0.0, lease_seconds=10.0))[0] for _ in range(30)
        ]

        async def commit(ledger: SqlLedger, part: int) -> None:
            for shard in shards[part::2]:
                assert await ledger.commit_segments([segment(shard, 0)], now=1.0, lease_seconds=10.0) == []
                assert await ledger.finish_shard("batch-0", shard.index, epoch=shard.epoch)

        await asyncio.gather(*(commit(ledger, part) for part, ledger in enumerate(ledgers)))
        done = await ledgers[1].batch("batch-0")
        assert done is not None
        assert done.counts.completed == 30
        ending = await ledgers[1].begin_finalizing(now=2)
        assert ending is not None
        await asyncio.gather(*(ledger.close() for ledger in ledgers))

    asyncio.run(story())


def test_connections_have_a_bound(address: str) -> None:
    """However much is asked at once, a server has no more of them."""

    async def story() -> None:
        ledger = SqlLedger.connect(address, member=Member(id="a", host="", version=""))
        await ledger.add_file(file(0))
        await asyncio.gather(
            *(ledger.file("file-0") for _ in range(100)),
            *(ledger.batches(limit=1) for _ in range(10)),
            *(ledger.add_file(file(number)) for number in range(1, 30)),
        )
        counted = f"SELECT count(*) {OURS}"
        assert rows(address, counted)[0][0] <= READERS + 4  # type: ignore[operator]
        await ledger.close()
        # A server process ends a moment after its client has gone.
        async with asyncio.timeout(20):
            while rows(address, counted) != [(0,)]:
                await asyncio.sleep(0.01)

    asyncio.run(story())


def test_one_has_a_ledger_alone(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is the connection's: it goes with it."""
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.standing.TAKE_OVER_SECONDS", 0.0)

    async def story() -> None:
        first = SqlLedger.connect(address, alone=True)
        with pytest.raises(LedgerUnavailable, match="in use by another slackwater"):
            SqlLedger.connect(address, alone=True)
        await first.close()
        await SqlLedger.connect(address, alone=True).close()

    asyncio.run(story())


# Searches


def test_a_search_has_a_bound(address: str) -> None:
    """One that takes too long is refused, says what to do, and leaves no trace."""

    async def story() -> None:
        ledger = SqlLedger(PostgresqlDatabase(address, search_seconds=0.05))
        with pytest.raises(InvalidRequest, match=r"Narrow '\$filter' down"):
            conditions = (Condition(Field.ENDPOINT, Operator.EQ, "/embeddings"),)
            async with asyncio.timeout(20):
                # Somebody keeps the table for himself for a while.
                with psycopg.connect(address) as other:
                    other.execute("LOCK TABLE batch IN ACCESS EXCLUSIVE MODE")
                    await ledger.batches(BatchQuery(conditions=conditions), limit=10)
        await ledger.add_batch(batch(7))
        assert [each.id for each in await ledger.batches(limit=1)] == ["batch-7"]
        await ledger.close()

    asyncio.run(story())


def test_a_long_search_keeps_nobody_waiting(address: str) -> None:
    """While one runs, others read and write."""

    async def story() -> None:
        ledger = SqlLedger.connect(address)
        begun, go_on = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def long(_: object) -> None:
            loop.call_soon_threadsafe(begun.set)
            go_on.wait(20)

        search = asyncio.ensure_future(ledger.sql.database.search(long))
        await begun.wait()
        await ledger.add_batch(batch())
        assert await ledger.batch("batch-0") == batch()
        assert not search.done()
        go_on.set()
        await search
        await ledger.close()

    asyncio.run(story())


# Lost connections


@pytest.fixture
def proxy(address: str) -> Iterator[CuttingProxy]:
    """Between the ledger and its database."""
    between = CuttingProxy(Path(address.partition("host=")[2]))
    yield between
    between.close()


def through(address: str, proxy: CuttingProxy) -> str:
    """The address of the same database behind the proxy."""
    return f"{address.partition('host=')[0]}host=127.0.0.1&port={proxy.port}&sslmode=disable&gssencmode=disable"


@pytest.mark.parametrize("cut", Cut)
def test_a_commit_whose_outcome_is_not_known(address: str, proxy: CuttingProxy, cut: Cut) -> None:
    """The connection goes while a transaction ends. It is found out whether it counts, and what was asked for happens once."""

    async def story() -> None:
        ledger = SqlLedger.connect(through(address, proxy), alone=True)
        await started(ledger, shards=(1, 1))
        shard = await claimed(ledger, now=0.0)
        proxy.cut = cut
        assert await ledger.commit_segments([segment(shard, 0)], now=1.0, lease_seconds=10.0) == []
        proxy.cut = cut
        await ledger.add_file(file(1))
        proxy.cut = cut
        (other,) = await ledger.claim_shards(["batch-0"], owner="o", now=1.0, lease_seconds=10.0)
        assert (other.index, other.epoch) == (1, 1)
        assert proxy.cuts == 3
        done = await ledger.batch("batch-0")
        assert done is not None
        assert done.counts.completed == 1
        assert len(await ledger.segments("batch-0")) == 1
        await ledger.close()

    asyncio.run(story())


def test_numbers_of_connections_that_live_are_kept(address: str) -> None:
    """However long one has written nothing; and where its number is gone nevertheless, it takes another connection."""

    async def story() -> None:
        ledger = SqlLedger.connect(address)
        await ledger.add_file(file(1))
        told(address, "UPDATE writer SET at = 0", "INSERT INTO writer (id, number, at) VALUES ('gone', 1, 0)")
        other = SqlLedger.connect(address)
        await other.close()
        assert ("gone",) not in rows(address, "SELECT id FROM writer")
        assert (1,) in rows(address, "SELECT number FROM writer")
        told(address, "DELETE FROM writer")
        await ledger.add_file(file(2))
        assert (1,) in rows(address, "SELECT number FROM writer")
        await ledger.close()

    asyncio.run(story())


def test_a_connection_that_is_lost_between_two_statements(address: str) -> None:
    """Whatever is under way is done again on another connection, reads and writes alike."""

    async def story() -> None:
        ledger = SqlLedger.connect(address, alone=True)
        await started(ledger, shards=(1,))
        shard = await claimed(ledger, now=0.0)
        for number in range(3):
            end = f"SELECT pg_terminate_backend(pid) {OURS}"
            assert len(rows(address, end)) >= 2
            await asyncio.gather(ledger.add_file(file(number)), ledger.batch("batch-0"), ledger.batches(limit=3))
        assert await ledger.commit_segments([segment(shard, 0)], now=1.0, lease_seconds=10.0) == []
        assert len(await ledger.files(purpose=None, after=None, limit=9, descending=True, now=0)) == 3
        await ledger.close()

    asyncio.run(story())


def test_a_database_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is told in words, without what is secret in its address."""
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.line.PATIENCE_SECONDS", 0.0)
    with pytest.raises(LedgerUnavailable, match="the ledger cannot be reached") as caught:
        SqlLedger.connect(f"postgresql://role:correct-horse@/name?host={tmp_path}")
    assert "correct-horse" not in str(caught.value)


def test_a_text_with_a_zero_character(address: str) -> None:
    """PostgreSQL has none: it is kept as what stands for a character that cannot be shown, and never found by another's name."""

    async def story() -> None:
        ledger = SqlLedger.connect(address)
        await ledger.add_file(file(1, filename="a\0b"))
        kept = await ledger.file("file-1")
        assert kept is not None
        assert kept.filename == "a\N{REPLACEMENT CHARACTER}b"
        assert await ledger.file("file-1\0") is None
        await ledger.close()

    asyncio.run(story())


def test_the_audit_log_is_only_added_to(address: str) -> None:
    """Whatever asks for it, the database refuses."""
    told(
        address,
        "INSERT INTO audit (at, resource, who, action, object, detail, request_id) VALUES (9, '', '', '', '', '', '')",
    )
    for statement in ("UPDATE audit SET who = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(psycopg.errors.RaiseException, match="only ever added to"):
            told(address, statement)
    with psycopg.connect(address, autocommit=True) as db:
        db.execute("UPDATE audit_horizon SET kept_from = 10")
        assert db.execute("DELETE FROM audit").rowcount == 1
