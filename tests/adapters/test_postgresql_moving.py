"""A move to PostgreSQL and back, with rows in every table: what has arrived is what was sent, and nothing is taken for empty."""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from slackwater.adapters.sql.identity import find
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.moving import STAYS, move, tables
from slackwater.adapters.sql.postgresql.moving import KINDS, end_at
from slackwater.adapters.sql.postgresql.schema import ONLY_HERE
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION, connect
from slackwater.adapters.sql.sqlite_moving import source_at, target_at
from slackwater.core.errors import LedgerMoved, LedgerRefused, LedgerUnavailable, MoveError
from slackwater.core.files.belonging import Gone, Mark
from tests.adapters.filled_ledger import LAST_GIVEN, NEVER_TWICE, fill, rows_of
from tests.postgresql import Databases

pytestmark = pytest.mark.postgresql


@pytest.fixture
def address(postgresql: Databases) -> str:
    """A database that nothing is in, not even a schema."""
    return postgresql.new(template="template1")


def shown(done: int, total: int) -> None:
    """Nobody looks."""


def asked(address: str, query: str) -> list[tuple[object, ...]]:
    """What a statement gives."""
    with psycopg.connect(address, autocommit=True) as db:
        cursor = db.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def there(old: Path, address: str, *, replace_zeros: bool = False) -> None:
    """Moves to PostgreSQL."""
    mark = find(old).mark
    assert mark is not None
    with source_at(old) as source, end_at(address) as target:
        target.begin_filling(mark)
        move(source, target, replace_zeros=replace_zeros, show=shown)
        target.keep()


def back(address: str, new: Path) -> None:
    """Moves from PostgreSQL."""
    with end_at(address) as source, target_at(new) as target:
        source.begin_reading()
        move(source, target, show=shown)


def test_every_table_is_moved(address: str) -> None:
    """Those of PostgreSQL are those of an embedded ledger, and those that are about this database alone."""
    asyncio.run(SqlLedger.connect(address).close())
    theirs = {row[0] for row in asked(address, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert theirs - ONLY_HERE - STAYS == {table.name for table in tables()}
    assert theirs >= ONLY_HERE
    of_members = {
        row[0]
        for row in asked(address, "SELECT table_name FROM information_schema.columns WHERE column_name = 'member'")
    }
    assert of_members & theirs <= ONLY_HERE | STAYS
    assert {column.kind for table in tables() for column in table.columns} == KINDS.keys()


@pytest.mark.parametrize("seed", range(5))
def test_there_and_back(tmp_path: Path, address: str, seed: int) -> None:
    """Every row of every table, to the bit."""
    fill(tmp_path / "old", seed=seed)
    there(tmp_path / "old", address)
    back(address, tmp_path / "new")
    old, new = rows_of(tmp_path / "old"), rows_of(tmp_path / "new")
    numbers = dict(old.pop("sqlite_sequence"))
    assert new.pop("sqlite_sequence") == sorted(numbers.items())
    assert new == old


def test_what_dead_members_have_left_stays_behind(tmp_path: Path, address: str) -> None:
    """Slots and words of those who were killed a moment ago, and their graves: nobody would ever bury them there."""
    asyncio.run(SqlLedger.connect(address).close())
    slots = "INSERT INTO engine_slots VALUES ('{}', 'dead', 1, 4, 9, 1, 9e9, 60, 1, 0, 1)"
    left = (
        "INSERT INTO member (id, host, version, kind, started_at, until) VALUES ('dead', 'h', '1', 'server', 0, 0)",
        "INSERT INTO duty VALUES ('end', 'batch_1', 'dead')",
        slots.format("http://a"),
        slots.format(""),
        "INSERT INTO shared_engine VALUES ('http://a', 7)",
        "INSERT INTO member_word VALUES ('doors', 'dead', '{}', 3, 9e9)",
        "INSERT INTO standing VALUES ('dead', '', 0, '{}')",
    )
    for statement in left:
        asked(address, statement)
    back(address, tmp_path / "new")
    with contextlib.closing(connect(tmp_path / "new")) as new:
        names = [row["name"] for row in new.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert {"engine_slots", "member_word", "duty"} <= set(names)
        text = [tuple(row) for name in names for row in new.execute(f"SELECT * FROM {name}")]
    assert [row for row in text if "dead" in row or "http://a" in row] == []


def test_numbers_go_on_and_triggers_count(tmp_path: Path, address: str) -> None:
    """No number is given twice, also not one whose row is gone; what triggers keep is kept from the first row on."""
    fill(tmp_path / "old", seed=3)
    there(tmp_path / "old", address)
    one = f"INSERT INTO {NEVER_TWICE} (id, seq, resource) VALUES ('y', 1, 'y') RETURNING number"
    assert asked(address, one) == [(LAST_GIVEN + 1,)]
    assert asked(address, "INSERT INTO engine (name) VALUES ('new') RETURNING number") == [(8,)]
    with pytest.raises(psycopg.errors.RaiseException, match="only ever added to"):
        asked(address, "UPDATE audit SET who = 'nobody'")
    asked(address, "DELETE FROM batch_count")
    asked(address, "UPDATE batch SET status = 'other' WHERE seq = 1")
    assert asked(address, "SELECT status, batches FROM batch_count") == [("other", 1)]


def test_a_zero_character_is_found_before(tmp_path: Path, address: str) -> None:
    """It is named and nothing is kept; where it may be replaced, everything else is as it was."""
    fill(tmp_path / "old", seed=1)
    with contextlib.closing(connect(tmp_path / "old")) as db:
        db.execute("UPDATE file SET filename = 'a' || char(0) || 'b' WHERE seq = 2")
    with pytest.raises(MoveError, match=r"file \(seq 2, id .*zero character"):
        there(tmp_path / "old", address)
    assert asked(address, "SELECT count(*) FROM batch") == [(0,)]
    there(tmp_path / "old", address, replace_zeros=True)
    assert asked(address, "SELECT filename FROM file WHERE seq = 2") == [("a\N{REPLACEMENT CHARACTER}b",)]


def test_a_move_that_was_broken_off_begins_again(tmp_path: Path, address: str) -> None:
    """What it has left goes, also where all of it was there: the source has gone on since."""
    fill(tmp_path / "old", seed=1)
    there(tmp_path / "old", address)
    with contextlib.closing(connect(tmp_path / "old")) as db:
        db.execute("DELETE FROM file WHERE id NOT IN (SELECT file_id FROM import) OR seq = 1")
        db.execute("UPDATE identity SET generation = generation + 3")
    there(tmp_path / "old", address)
    assert asked(address, "SELECT generation FROM identity") == [(3,)]
    back(address, tmp_path / "new")
    assert rows_of(tmp_path / "new") == rows_of(tmp_path / "old")


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Path]:
    """A ledger to be moved, which nothing happens to."""
    fill(tmp_path / "old", seed=1)
    before = rows_of(tmp_path / "old")
    yield tmp_path / "old"
    assert rows_of(tmp_path / "old") == before


def test_a_ledger_that_was_worked_with_is_not_taken_for_a_try(old: Path, address: str) -> None:
    """The same ledger, and somebody has served it since."""
    there(old, address)
    asyncio.run(SqlLedger.connect(address, alone=True).close())
    with pytest.raises(LedgerRefused, match=r"has a ledger with something in it .*: name another database"):
        there(old, address)
    assert asked(address, "SELECT count(*) FROM file") != [(0,)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO engine (name) VALUES ('e')", r"something in it \(table engine\)"),
        ("UPDATE identity SET generation = 1", "has a ledger that was served"),
        (
            f"UPDATE schema_version SET version = {SCHEMA_VERSION - 1}",
            f"schema {SCHEMA_VERSION - 1}; this version knows",
        ),
        (
            f"UPDATE schema_version SET version = {SCHEMA_VERSION + 1}",
            f"schema {SCHEMA_VERSION + 1}; this version knows",
        ),
    ],
)
def test_a_target_with_something_in_it_is_refused(old: Path, postgresql: Databases, statement: str, said: str) -> None:
    """Whatever it is, it stays."""
    address = postgresql.new()
    asked(address, statement)
    with pytest.raises(LedgerRefused, match=said):
        there(old, address)
    assert asked(address, "SELECT count(*) FROM file") == [(0,)]


def test_tables_of_others_are_refused(old: Path, address: str) -> None:
    """A ledger has a database, or a schema, of its own."""
    asked(address, "CREATE TABLE payroll (id BIGINT)")
    with pytest.raises(LedgerRefused, match="tables that are no ledger's"):
        there(old, address)
    assert asked(address, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("payroll",)]


def test_a_schema_with_nothing_in_it_will_do(tmp_path: Path, postgresql: Databases) -> None:
    """Such as a try leaves that died early."""
    fill(tmp_path / "old", seed=2)
    address = postgresql.new()
    there(tmp_path / "old", address)
    back(address, tmp_path / "new")
    assert rows_of(tmp_path / "new") == rows_of(tmp_path / "old")


def test_a_server_at_work_is_left_alone(old: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is written to what it serves, nor is that read."""
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.standing.TAKE_OVER_SECONDS", 0.0)
    ledger = SqlLedger.connect(address, alone=True)
    with pytest.raises(LedgerUnavailable, match="in use by"), end_at(address):
        pass
    asyncio.run(ledger.close())


def test_a_role_that_owns_nothing(old: Path, address: str) -> None:
    """It is told who may."""
    name = re.search(r"/(t\d+_\d+)\?", address)
    assert name is not None
    asyncio.run(SqlLedger.connect(address).close())
    asked(address, "DELETE FROM writer")
    asked(address, f"CREATE ROLE mover_{name[1]} LOGIN")
    asked(address, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO mover_{name[1]}")
    with pytest.raises(LedgerRefused, match="move a ledger as the owner of its tables"):
        there(old, address.replace("slackwater@", f"mover_{name[1]}@"))


def test_a_ledger_that_has_gone_is_not_opened(old: Path, address: str) -> None:
    """Whoever looks at what is left is told where it is."""
    there(old, address)
    with end_at(address) as end:
        end.begin_reading()
        end.let_go(Gone(place="/srv/data", at="2026-01-02 03:04:05 UTC"))
    said = "moved to the data directory /srv/data at 2026-01-02 03:04:05 UTC: take"
    with pytest.raises(LedgerMoved, match=said):
        SqlLedger.found_at(address)
    with pytest.raises(LedgerMoved, match=said):
        SqlLedger.connect(address, read_only=True)
    with pytest.raises(LedgerMoved, match=said), end_at(address) as end:
        end.begin_filling(Mark("x", 0))


def test_a_table_is_never_all_in_memory(tmp_path: Path, address: str) -> None:
    """Some hundred thousand rows go through in as much memory as few."""
    fill(tmp_path / "old", seed=1)
    with contextlib.closing(connect(tmp_path / "old")) as db:
        db.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
            "INSERT INTO kept_text (batch_seq, key, offset_, text) SELECT 1, 'k', i, zeroblob(1000) FROM n"
        )
    most = 0

    def look(done: int, total: int) -> None:
        nonlocal most
        status = Path("/proc/self/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        most = max(most, int(found[1]) << 10)

    look(0, 0)
    before, mark = most, find(tmp_path / "old").mark
    assert mark is not None
    with source_at(tmp_path / "old") as source, end_at(address) as target:
        target.begin_filling(mark)
        move(source, target, show=look)
        target.keep()
    with end_at(address) as source_there, target_at(tmp_path / "new") as target_here:
        source_there.begin_reading()
        move(source_there, target_here, show=look)
    # All of them are a hundred million bytes.
    assert most - before < 50 << 20
