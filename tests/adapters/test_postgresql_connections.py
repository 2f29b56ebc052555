"""Connections to PostgreSQL: how many there are, and what becomes of work when they are lost."""

import asyncio
import select
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.postgresql.address import faults_of
from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.database import READERS
from slackwater.adapters.sql.postgresql.line import is_away, is_lost
from slackwater.adapters.sql.postgresql.trouble import settled
from slackwater.core.errors import LedgerRefused, LedgerUnavailable
from slackwater.core.members import Member
from tests.adapters.asked_postgresql import OURS, rows, told
from tests.adapters.cutting_proxy import Cut, CuttingProxy
from tests.adapters.ledger_contract import claimed, file, segment, started

pytestmark = pytest.mark.postgresql


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
        assert rows(address, counted)[0][0] <= READERS + 5  # type: ignore[operator]
        await ledger.close()
        # A server process ends a moment after its client has gone.
        async with asyncio.timeout(20):
            while rows(address, counted) != [(0,)]:
                await asyncio.sleep(0.01)

    asyncio.run(story())


def test_who_asks_one_thing_at_a_time_has_one_connection_for_it(address: str) -> None:
    """And another one only while that is busy. Each is a process of the database, which finds its caches cold."""

    async def story() -> None:
        ledger = SqlLedger.connect(address, member=Member(id="a", host="", version=""))
        for _ in range(3 * READERS):
            await ledger.file("file-0")
            await ledger.batches(limit=1)
        counted = f"SELECT count(*) {OURS} AND application_name LIKE 'slackwater reader %'"
        assert rows(address, counted) == [(1,)]
        both = threading.Barrier(2, timeout=20)
        await asyncio.gather(*(ledger.sql.database.look(lambda db: both.wait()) for _ in range(2)))
        for _ in range(3 * READERS):
            await ledger.file("file-0")
        assert rows(address, counted) == [(2,)]
        await ledger.bury("a")
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


@pytest.mark.parametrize("asks", ["SELECT 1", ""])
def test_a_transaction_that_the_database_has_waited_for(address: str, asks: str) -> None:
    """It loses its connection and is done again on another one, in a statement or at its end; the database is not away by it."""
    errors: list[Exception] = []

    def slow(db: Db) -> None:
        assert isinstance(db, PgConnection)
        db.execute("SET LOCAL idle_in_transaction_session_timeout = '1ms'")
        select.select([db.fileno()], [], [], 20)
        try:
            db.execute(asks) if asks else db.script(b"COMMIT")
        except psycopg.Error as error:
            errors.append(error)
            raise

    def work(db: Db) -> bool:
        if not errors:
            slow(db)
        return True

    async def story() -> None:
        ledger = SqlLedger.connect(address, alone=True)
        assert await ledger.sql.database.write(work)
        assert ledger.away is None
        await ledger.close()

    asyncio.run(story())
    (error,) = errors
    assert is_lost(error)
    assert not is_away(error)


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
        proxy.cut, proxy.at = cut, b"SKIP LOCKED"
        (other,) = await ledger.claim_shards(["batch-0"], owner="o", now=1.0, lease_seconds=10.0)
        assert other.index == 1
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


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("//slackwater@", "//nobody@", "make the role, or correct its name"),
        (None, "/none?", "make the database, or correct its name"),
        ("?host=", "?sslmode=full&host=", "sslmode has to be disable, allow"),
        ("?host=", "?port=abc&host=", "port has to be a number"),
    ],
)
def test_what_does_not_pass_is_told_at_once(
    address: str, monkeypatch: pytest.MonkeyPatch, before: str | None, after: str, words: str
) -> None:
    """However much patience there is with a database that cannot be reached."""
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.line.PATIENCE_SECONDS", 1e9)
    name = f"/{conninfo_to_dict(address)['dbname']}?"
    wrong = address.replace(before or name, after)
    assert wrong != address
    for ask in (SqlLedger.found_at, SqlLedger.connect):
        with pytest.raises((LedgerUnavailable, LedgerRefused), match=words):
            ask(wrong)


def test_of_several_hosts_one_that_is_away_may_be_back() -> None:
    """So what another one says does not end the waiting; and no limit that is reached does."""
    refused = 'connection to server at "a" failed: FATAL: password authentication failed for user "r"'
    away = 'connection to server at "b" failed: Connection refused Is the server running on that host?'
    full = 'connection to server at "a" failed: FATAL: sorry, too many clients already'
    assert [settled(said) for said in (refused, f"{refused} {refused}", f"{refused} {away}", away, full, "")] == [
        *(True, True),
        *(False, False, False, False),
    ]


def test_an_address_is_looked_at_as_libpq_does() -> None:
    """Each value that it would not take is told, and none is shown: it may be a part of a password."""
    wrong = "postgresql://r:hunter2@a,b:70000/d?sslmode=full&connect_timeout=soon&target_session_attrs=rw&gssencmode=hunter3"
    faults = faults_of(wrong)
    assert [fault.split()[0] for fault in sorted(faults)] == [
        "connect_timeout",
        "gssencmode",
        "port",
        "sslmode",
        "target_session_attrs",
    ]
    assert not any(value in fault for fault in faults for value in ("hunter", "70000", "soon"))
    assert "hunter2" not in str(faults_of("postgresql://r:hunter2/x@db/d"))
    assert faults_of("postgresql://r@a,b:5433/d?sslmode=verify-full&hostaddr=10.0.0.1,10.0.0.2&connect_timeout=5") == ()
    assert faults_of("postgresql:///d?host=/var/run/postgresql") == ()
    assert faults_of("postgresql://a,b/d?port=1,2,3") == ("could not match 3 port numbers to 2 hosts",)


def test_what_the_library_itself_says_is_a_lost_connection() -> None:
    """Of the end of a server it may say so before it takes the connection for lost. What a server says of a row is none."""
    assert is_lost(psycopg.DatabaseError("server closed the connection unexpectedly"))
    assert not is_lost(psycopg.errors.UniqueViolation("twice"))
    assert not is_lost(psycopg.errors.DataCorrupted("a page"))


def test_a_statement_stays_prepared_whatever_becomes_of_a_transaction(address: str) -> None:
    """Reads end with ROLLBACK, and so does what was refused: neither costs the plans of a connection."""
    db = PgConnection(address, name="one")
    db.prepare_at_once()
    known = "SELECT count(*) FROM pg_prepared_statements"
    try:
        db.execute("SELECT id FROM batch WHERE seq = :seq", {"seq": 1})
        count = db.execute(known).fetchone()[0]
        assert count == 2
        db.script(b"BEGIN; SELECT 1; ROLLBACK")
        db.script(b"BEGIN")
        db.execute("SELECT id FROM batch WHERE seq = :seq", {"seq": 1})
        with pytest.raises(psycopg.errors.DivisionByZero):
            db.script(b"SELECT 1; SELECT 1 / 0; SELECT 2")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            db.execute(known)
        db.script(b"ROLLBACK")
        assert db.execute(known).fetchone()[0] == count
        assert db.script(b"BEGIN; UPDATE identity SET one = 1; ROLLBACK") == 0
        assert db.script(b"UPDATE identity SET one = 1") == 1
        with pytest.raises(psycopg.OperationalError):
            db.script(b"SELECT pg_terminate_backend(pg_backend_pid())")
        assert db.lost
        with pytest.raises(psycopg.OperationalError):
            db.script(b"SELECT 1")
    finally:
        db.close()


# Transactions that met another one

MEETS = "DO $$ BEGIN RAISE EXCEPTION 'met' USING ERRCODE = '{code}'; END $$"


@pytest.mark.parametrize("code", ["40001", "40P01"], ids=["serialization", "deadlock"])
@pytest.mark.parametrize("how", ["write", "fenced", "look", "read"])
def test_who_has_met_another_one_is_done_again(address: str, code: str, how: str) -> None:
    """On the same connection: nothing is wrong with it. One that meets every time is given up, and not for ever."""

    async def story() -> None:
        ledger = SqlLedger.connect(address)
        database = ledger.sql.database
        seen: list[int] = []

        def work(db: Db, *, times: int = 3) -> int:
            seen.append(db.execute("SELECT pg_backend_pid()").fetchone()[0])
            if len(seen) <= times:
                db.script(MEETS.format(code=code).encode())  # type: ignore[attr-defined]
            return len(seen)

        async def run(of: Callable[[Db], int]) -> int:
            if how in ("write", "fenced"):
                return await database.write(of, fenced=how == "fenced")
            return await (database.look if how == "look" else database.read)(of)

        assert await run(work) == 4
        assert len(set(seen)) == 1
        # Another read may go over another connection.
        seen.clear()
        with pytest.raises(LedgerUnavailable):
            await run(lambda db: work(db, times=1_000_000))
        assert len(set(seen)) == 1
        await ledger.close()

    asyncio.run(story())
