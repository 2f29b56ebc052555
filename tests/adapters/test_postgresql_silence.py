"""A PostgreSQL that is there and says nothing, and one that only takes its time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import psycopg
import pytest

from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.database import PostgresqlDatabase
from slackwater.core.errors import LedgerUnavailable
from slackwater.core.members import YOUNG_SECONDS
from tests.adapters.asked_postgresql import rows
from tests.adapters.ledger_contract import file
from tests.adapters.test_postgresql_members import One, true
from tests.postgresql import Postgresql, running

T = TypeVar("T")
# So long anybody is believed here.
UNTIL_SECONDS = 2.5
pytestmark = pytest.mark.postgresql


@pytest.fixture(scope="module")
def own() -> Iterator[Postgresql]:
    """One for these tests."""
    with running() as server:
        yield server


@pytest.fixture
def server(own: Postgresql, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgresql]:
    """One that a test may stop, and nobody who waits for it for long."""
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.hearing.SILENT_SECONDS", 0.2)
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.hearing.KNOCK_SECONDS", 2)
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.line.PATIENCE_SECONDS", 1.0)
    try:
        yield own
    finally:
        own.thaw()


async def again(call: Callable[[], Awaitable[T]]) -> T:
    """Asks until it is not answered by one who has just tried in vain."""
    while True:
        try:
            return await call()
        except LedgerUnavailable:
            await asyncio.sleep(0.05)


def test_calls_are_answered(server: Postgresql) -> None:
    """Reads, searches and writes, more of them than there are threads. When it goes on, so do they."""

    async def story() -> None:
        ledger = SqlLedger.connect(server.address("postgres"))
        await ledger.add_file(file(0))
        await asyncio.gather(*(ledger.file("file-0") for _ in range(9)), ledger.batches(limit=1))
        server.freeze()
        async with asyncio.timeout(60):
            answers = await asyncio.gather(
                *(ledger.file("file-0") for _ in range(40)),
                *(ledger.batches(limit=1) for _ in range(9)),
                *(ledger.add_file(file(number)) for number in range(1, 9)),
                return_exceptions=True,
            )
        assert {type(each) for each in answers} == {LedgerUnavailable}
        server.thaw()
        async with asyncio.timeout(60):
            # What was answered like this counts nowhere.
            assert await again(lambda: ledger.batches(limit=1)) == []
            await again(lambda: ledger.add_file(file(1)))
            assert (
                len(await again(lambda: ledger.files(purpose=None, after=None, limit=9, descending=True, now=0))) == 2
            )
            await ledger.close()

    asyncio.run(story())


@pytest.mark.parametrize("ends", [True, False])
def test_a_transaction_that_it_stops_in(server: Postgresql, ends: bool) -> None:
    """In a COMMIT nobody knows whether it counts: that is asked, until it is told. Before that, it does not."""

    async def story() -> None:
        database = PostgresqlDatabase(server.address("postgres"))
        await database.write(lambda db: db.execute("CREATE TABLE IF NOT EXISTS kept (number BIGINT)"))
        await database.write(lambda db: db.execute("DELETE FROM kept"))
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()

        def work(db: Db) -> None:
            db.execute("INSERT INTO kept (number) VALUES (1)")
            if not stopped.is_set():
                server.freeze()
                loop.call_soon_threadsafe(stopped.set)
            if not ends:
                db.execute("SELECT 1")

        async with asyncio.timeout(60):
            writing = asyncio.create_task(database.write(work))
            await stopped.wait()
            # By then every wait for an answer has ended.
            with pytest.raises(LedgerUnavailable):
                await database.look(lambda db: db.execute("SELECT 1").fetchone())
            if ends:
                # Those behind it are told all the same.
                behind = [
                    database.write(lambda db: db.execute("INSERT INTO kept (number) VALUES (3)")) for _ in range(9)
                ]
                told = await asyncio.gather(*behind, return_exceptions=True)
                assert {type(each) for each in told} == {LedgerUnavailable}
                assert not writing.done()
                server.thaw()
            (outcome,) = await asyncio.gather(writing, return_exceptions=True)
            server.thaw()
            rows = await again(lambda: database.look(lambda db: db.execute("SELECT number FROM kept").fetchall()))
            # Its connection was ended before it had read the COMMIT, or after that.
            assert [row[0] for row in rows] == ([1] if outcome is None else [])
            assert outcome is None or (type(outcome) is LedgerUnavailable)
            assert ends or outcome is not None
            await database.close()

    asyncio.run(story())


def test_one_that_takes_its_time(server: Postgresql) -> None:
    """Whoever waits for a lock, or for much to be done, keeps the connection, however often somebody has knocked meanwhile."""
    db = PgConnection(server.address("postgres"), name="test")
    assert db.execute("SELECT 1 FROM pg_sleep(1.5)").fetchone()[0] == 1
    db.script(b"BEGIN; SELECT pg_sleep(1); COMMIT")
    assert not db.lost
    db.close()


def test_one_that_lets_nobody_in(server: Postgresql) -> None:
    """It says so, and lives."""
    db = PgConnection(server.address("postgres"), name="test")
    with psycopg.connect(server.address("template1"), autocommit=True) as admin:
        admin.execute("ALTER DATABASE postgres WITH ALLOW_CONNECTIONS false")
        with pytest.raises(psycopg.OperationalError):
            PgConnection(server.address("postgres"), name="other")
        assert db.execute("SELECT 1 FROM pg_sleep(1)").fetchone()[0] == 1
        admin.execute("ALTER DATABASE postgres WITH ALLOW_CONNECTIONS true")
    db.close()


def test_rows_that_stop_coming(server: Postgresql) -> None:
    """A copy, and several sets of values in one round trip."""
    for way in ("copy out", "copy in", "many"):
        db = PgConnection(server.address("postgres"), name="test")
        db.execute("CREATE TEMPORARY TABLE t (number BIGINT)")

        def numbers(db: PgConnection = db) -> Iterator[tuple[int]]:
            yield (1,)
            server.freeze()
            yield (2,)

        with pytest.raises(psycopg.OperationalError):
            if way == "copy in":
                db.copy_in("t (number)", ["int8"], numbers())
            elif way == "many":
                server.freeze()
                db.executemany("INSERT INTO t (number) VALUES (?)", [(1,), (2,)])
            else:
                for _ in db.copy_out("SELECT generate_series(1, 1000000)", ["int8"]):
                    server.freeze()
        assert db.lost
        server.thaw()


@pytest.mark.parametrize("lost", [True, False], ids=["connections are given up", "answers come late"])
def test_nobody_is_buried_for_it(server: Postgresql, monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    """All were equally silent for longer than anybody is believed: when it goes on, they have a while to say that they live."""
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.presence.UNTIL_SECONDS", UNTIL_SECONDS)
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.presence.SAID_SECONDS", UNTIL_SECONDS / 4)
    if not lost:
        monkeypatch.setattr("slackwater.adapters.sql.postgresql.hearing.SILENT_SECONDS", 60.0)
    address = server.address("postgres")

    async def story() -> None:
        # Of a database that has just been started nobody buries anybody anyhow, nor does who has just come.
        up = f"SELECT clock_timestamp() - pg_postmaster_start_time() > interval '{YOUNG_SECONDS} s'"
        members = [await One(address, f"{name}{lost}").begin() for name in ("first", "second", "third")]
        joined = time.monotonic()
        await true(lambda: rows(address, up) == [(True,)] and time.monotonic() - joined > YOUNG_SECONDS)
        server.freeze()
        frozen = time.monotonic()
        await true(lambda: time.monotonic() - frozen > 2 * UNTIL_SECONDS)
        server.thaw()
        thawed = time.monotonic()
        # By then all are judged again as ever.
        await true(lambda: time.monotonic() - thawed > 2 * YOUNG_SECONDS)
        assert not any(each.told_buried for each in members)
        assert len(rows(address, "SELECT 1 FROM member WHERE dead_at IS NULL")) == len(members)
        members[0].die()
        await true(lambda: len(rows(address, "SELECT 1 FROM member WHERE dead_at IS NULL")) == len(members) - 1)
        for each in members:
            await each.end()

    asyncio.run(story())
