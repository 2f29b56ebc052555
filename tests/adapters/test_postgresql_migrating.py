"""A schema that is changed while others work with it: whoever keeps a table is named, and nobody waits long behind the step."""

import asyncio
import threading
from pathlib import Path

import psycopg
import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.postgresql import connection, schema
from slackwater.adapters.sql.postgresql.making import OURS
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.core.errors import LedgerRefused, LedgerUnavailable
from tests.adapters.asked_postgresql import rows
from tests.adapters.ledger_contract import file, started
from tests.postgresql import Databases

pytestmark = pytest.mark.postgresql

NUMBER = SCHEMA_VERSION + 1
STEP = "CREATE TABLE later (name TEXT); ALTER TABLE file ADD COLUMN later INTEGER NOT NULL DEFAULT 0;"


@pytest.fixture
def address(postgresql: Databases) -> str:
    """A database with this version's schema."""
    return postgresql.new()


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This version knows one step more, and is less patient."""
    step = tmp_path / f"{NUMBER:04}_later.sql"
    step.write_text(STEP)
    monkeypatch.setitem(schema.OWN, NUMBER, step)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", NUMBER)
    monkeypatch.setattr(schema, "GAP_SECONDS", 0.1)
    monkeypatch.setattr(schema, "TRIES", 2)


@pytest.mark.usefixtures("newer")
def test_who_has_changed_the_schema_says_so(address: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once, with both numbers; whoever finds it done says nothing, and neither does who makes it."""
    with caplog.at_level("INFO"):
        for _ in range(2):
            asyncio.run(SqlLedger.connect(address).close())
    assert [each.getMessage() for each in caplog.records] == [f"ledger_upgraded from={SCHEMA_VERSION} to={NUMBER}"]


def version(address: str) -> object:
    return rows(address, "SELECT version FROM schema_version")[0][0]


@pytest.mark.usefixtures("newer")
def test_whoever_keeps_a_table_is_named(address: str) -> None:
    """The start gives up in bounded time and says whom it waited for; meanwhile others read that table between its tries."""
    reads, done = 0, threading.Event()

    def read() -> None:
        nonlocal reads
        with psycopg.connect(address, autocommit=True) as db:
            db.execute(f"SET lock_timeout = '{3 * schema.LOCK_SECONDS}s'".encode())
            while not done.is_set():
                db.execute(b"SELECT count(*) FROM file")
                reads += 1

    keeping = psycopg.connect(address, application_name="a report")
    keeping.execute(b"SELECT count(*) FROM file")
    reading = threading.Thread(target=read)
    reading.start()
    try:
        with pytest.raises(LedgerRefused) as caught:
            SqlLedger.connect(address)
    finally:
        done.set()
        reading.join()
    said = str(caught.value)
    assert (
        f"process {keeping.info.backend_pid} (a report, role slackwater, idle in transaction) has had file for " in said
    )
    assert "nothing was changed" in said
    assert "\n" not in said
    assert version(address) == SCHEMA_VERSION
    assert rows(address, "SELECT to_regclass('later') IS NULL") == [(True,)]
    assert reads > 0
    keeping.close()
    asyncio.run(SqlLedger.connect(address).close())
    assert version(address) == NUMBER


@pytest.mark.usefixtures("newer")
def test_a_prepared_transaction_is_named(address: str) -> None:
    """Nobody's process has it, so it is looked for by its own name."""
    with psycopg.connect(address, autocommit=True) as db:
        db.execute(b"BEGIN")
        db.execute(b"LOCK TABLE file IN ROW EXCLUSIVE MODE")
        db.execute(b"PREPARE TRANSACTION 'forgotten'")
        with pytest.raises(LedgerRefused, match="the prepared transaction forgotten has had file"):
            SqlLedger.connect(address)
        db.execute(b"ROLLBACK PREPARED 'forgotten'")
    asyncio.run(SqlLedger.connect(address).close())
    assert version(address) == NUMBER


@pytest.mark.usefixtures("newer")
def test_one_that_changes_it_for_too_long_is_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several who start together one does it. Where that takes too long, the others say that it does, and give up."""
    monkeypatch.setattr(schema, "TURN_SECONDS", schema.LOCK_SECONDS + 1)
    with psycopg.connect(address, application_name="another start") as changing:
        changing.execute(f"SELECT pg_advisory_xact_lock({schema.LOCK})".encode())
        with pytest.raises(
            LedgerRefused, match=r"process \d+ \(another start, .*has been changing the schema for \d+ s"
        ):
            SqlLedger.connect(address)
    assert version(address) == SCHEMA_VERSION


def test_a_read_that_met_a_step_is_done_again(address: str) -> None:
    """A step locks one table after the other, and a read had them in the other order: PostgreSQL ends one of both."""

    async def story() -> None:
        ledger = SqlLedger.connect(address)
        await started(ledger, shards=(1,))
        stepping = psycopg.connect(address)
        stepping.execute(b"ALTER TABLE file ADD COLUMN later BIGINT NOT NULL DEFAULT 0")
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'file'::regclass"
        reads = 0

        def read(db: object) -> int:
            nonlocal reads
            reads += 1
            db.execute("SELECT count(*) FROM batch").fetchone()  # type: ignore[attr-defined]
            return int(db.execute("SELECT count(*) FROM file").fetchone()[0])  # type: ignore[attr-defined]

        reading = asyncio.ensure_future(ledger.sql.database.read(read))
        while await asyncio.to_thread(rows, address, waits) != [(1,)]:
            await asyncio.sleep(0)
        # It waits first, and so it is the one that PostgreSQL ends.
        await asyncio.to_thread(stepping.execute, b"ALTER TABLE batch ADD COLUMN later BIGINT NOT NULL DEFAULT 0")
        stepping.commit()
        stepping.close()
        assert await reading >= 0
        assert reads > 1
        await ledger.close()

    asyncio.run(story())


def test_two_versions_that_start_together(postgresql: Databases) -> None:
    """The older one has waited for the newer one: it finds a schema that it does not know, and leaves its number as it is."""
    address = postgresql.new(template="template1")

    async def story() -> None:
        newer = psycopg.connect(address)
        newer.execute(f"SELECT pg_advisory_xact_lock({schema.LOCK})".encode())
        starting = asyncio.ensure_future(asyncio.to_thread(SqlLedger.connect, address))
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        while await asyncio.to_thread(rows, address, waits) != [(1,)]:
            await asyncio.sleep(0)
        # By these it is known for one of ours.
        for name in OURS:
            newer.execute(f"CREATE TABLE {name} (seq BIGINT)".encode())
        newer.execute(b"CREATE TABLE schema_version (version BIGINT NOT NULL)")
        newer.execute(f"INSERT INTO schema_version VALUES ({NUMBER})".encode())
        newer.commit()
        newer.close()
        with pytest.raises(LedgerRefused, match=rf"schema {NUMBER}; this version knows {SCHEMA_VERSION}"):
            await starting

    asyncio.run(story())
    assert version(address) == NUMBER


@pytest.mark.parametrize("how", ["write", "look"])
def test_a_table_that_is_locked_for_long(address: str, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """By a step or by anybody: who needs it is told that the ledger is not to be had, as users are then."""
    assert b"'20000'" in connection.SETTINGS
    monkeypatch.setattr(connection, "SETTINGS", connection.SETTINGS.replace(b"'20000'", b"'200'"))

    async def story() -> None:
        ledger = SqlLedger.connect(address)
        with psycopg.connect(address) as other:
            other.execute(b"LOCK TABLE file")
            with pytest.raises(LedgerUnavailable, match="lock timeout"):
                await (ledger.add_file(file(0)) if how == "write" else ledger.file("file-0"))
        await ledger.add_file(file(1))
        assert await ledger.file("file-1") is not None
        await ledger.close()

    asyncio.run(story())
