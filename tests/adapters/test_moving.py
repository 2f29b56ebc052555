"""What a move decides, and a move from one embedded ledger into another: each row once, none by hand, and nothing unseen."""

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.sql.moving import KINDS, STAYS, Column, Sum, Table, Values, as_kept, fault_of, move, tables
from slackwater.adapters.sql.sqlite import connect, migrate
from slackwater.adapters.sql.sqlite_moving import SqliteTarget, source_at, target_at
from slackwater.core.errors import DataDirectoryError, MoveError
from slackwater.core.files.belonging import Gone, gone_of_name, name_of_gone
from tests.adapters.filled_ledger import LAST_GIVEN, NEVER_TWICE, fill, rows_of


def shown(done: int, total: int) -> None:
    """Nobody looks."""


def test_the_tables_are_those_of_the_schema() -> None:
    """All of them, with every column and a key to put them in order by; what others refer to comes first."""
    with contextlib.closing(connect(":memory:")) as db:
        migrate(db, ":memory:")
        theirs = {
            name: [row["name"] for row in db.execute(f"PRAGMA table_info({name})")]
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        }
    stays = {name: theirs.pop(name) for name in STAYS}
    assert all(stays.values())
    # Whoever has moved is none of the old members: no table of theirs goes along, whatever it will be.
    assert [name for name, columns in theirs.items() if "member" in columns] == []
    assert {table.name: [column.name for column in table.columns] for table in tables()} == theirs
    assert [table.name for table in tables() if not table.key] == []
    assert {column.kind for table in tables() for column in table.columns} <= KINDS.keys()
    order = [table.name for table in tables()]
    assert order.index("file") < order.index("import")
    assert order.index("webhook_endpoint") < order.index("webhook_delivery")
    assert {table.name for table in tables() if table.seeded} == {"identity", "wall_time", "audit_horizon"}


@pytest.mark.parametrize(
    ("kind", "value", "fault"),
    [
        ("TEXT", "a", None),
        ("TEXT", None, "c is empty"),
        ("TEXT", b"a", "c is b'a', where TEXT belongs"),
        ("TEXT", "a\0b", "c has a zero character, which PostgreSQL does not take"),
        ("INTEGER", 2**63 - 1, None),
        ("INTEGER", 1.5, "c is 1.5, where INTEGER belongs"),
        ("REAL", 1.5, None),
        ("REAL", float("nan"), "c is not a number"),
        ("BLOB", b"\0", None),
    ],
)
def test_what_a_column_takes(kind: str, value: Any, fault: str | None) -> None:
    """SQLite keeps anything anywhere; PostgreSQL does not."""
    assert fault_of(Column(name="c", kind=kind, may_be_empty=False), value, takes_zero=False) == fault
    assert fault_of(Column(name="c", kind=kind, may_be_empty=True), None, takes_zero=False) is None


def test_an_embedded_ledger_takes_a_zero_character() -> None:
    """It has always."""
    assert fault_of(Column(name="c", kind="TEXT", may_be_empty=False), "a\0b", takes_zero=True) is None


def test_how_a_value_is_kept() -> None:
    """Zeros have no sign, and zero characters go where that is asked for."""
    assert str(as_kept((-0.0, 1, "a\0b", b"\0", None))) == str((0.0, 1, "a\0b", b"\0", None))
    assert as_kept(("a\0b", b"\0"), replace_zeros=True) == ("a\N{REPLACEMENT CHARACTER}b", b"\0")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([("ab", "c")], [("a", "bc")]),
        ([("1",)], [(1,)]),
        ([(1,)], [(1.0,)]),
        ([("a",)], [(b"a",)]),
        ([("",)], [(None,)]),
        ([("a",), ("b",)], [("b",), ("a",)]),
        ([("a",), ("b",)], [("a", "b")]),
    ],
)
def test_no_two_tables_have_one_checksum(one: list[Values], other: list[Values]) -> None:
    """Kinds, lengths and the order count."""
    assert Sum().of_all(one).checksum != Sum().of_all(other).checksum
    assert Sum().of_all(one).checksum == Sum().of_all(list(one)).checksum


def test_where_a_ledger_has_gone_is_read_back() -> None:
    """It stands in the place of an identity, which never looks like that."""
    gone = Gone(place="/srv/look at this", at="2026-01-02 03:04:05 UTC")
    assert gone_of_name(name_of_gone(gone)) == gone
    assert gone_of_name("5f3759df5f3759df5f3759df5f3759df") is None


@pytest.mark.parametrize("seed", range(5))
def test_every_row_arrives(tmp_path: Path, seed: int) -> None:
    """Every table has rows, every row is there, numbers go on behind those that were given, and triggers are what they were."""
    fill(tmp_path / "old", seed=seed)
    with source_at(tmp_path / "old") as source, target_at(tmp_path / "new") as target:
        moved = move(source, target, show=shown)
    assert {each.table for each in moved if each.rows} == {table.name for table in tables()}
    assert rows_of(tmp_path / "new") == rows_of(tmp_path / "old")
    assert (NEVER_TWICE, LAST_GIVEN) in rows_of(tmp_path / "new")["sqlite_sequence"]
    schema = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%' ORDER BY 1, 2"
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "old")) as old,
        contextlib.closing(connect(tmp_path / "new")) as new,
    ):
        assert [tuple(row) for row in new.execute(schema)] == old.execute(schema).fetchall()
        assert new.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


class _Loses(SqliteTarget):
    """A target that goes wrong: what it does with rows of `batch` is another thing than what it was told."""

    def __init__(self, path: Path, wrong: str) -> None:
        super().__init__(path)
        self._wrong = wrong

    def fill(self, table: Table, rows: Iterable[Values]) -> None:
        super().fill(table, rows)
        if table.name == "batch":
            self._db.execute(self._wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("DELETE FROM batch WHERE seq = 4", r"batch \(seq 4, id .*\) differs"),
        ("UPDATE batch SET total = 42 WHERE seq = 3", r"batch \(seq 3, id .*\) differs"),
        ("DELETE FROM batch WHERE seq = 7", r"batch \(seq 7, id .*\) is in one of them"),
        ("UPDATE batch SET model = CAST('a' AS BLOB) WHERE seq = 1", r"batch \(seq 1, id .*\) differs"),
    ],
)
def test_what_has_not_arrived_is_named(tmp_path: Path, wrong: str, said: str) -> None:
    """The first row that is not what was sent."""
    fill(tmp_path / "old", seed=1)
    with (
        source_at(tmp_path / "old") as source,
        contextlib.closing(_Loses(tmp_path / "new", wrong)) as target,
        pytest.raises(MoveError, match=said),
    ):
        move(source, target, show=shown)


def test_rows_that_cannot_go_are_named(tmp_path: Path) -> None:
    """All of them, up to a bound, before anything is copied; the source is as it was."""
    fill(tmp_path / "old", seed=1)
    with contextlib.closing(connect(tmp_path / "old")) as db:
        db.execute("UPDATE file SET filename = 'a' || char(0) || 'b' WHERE seq IN (2, 5)")
    before = rows_of(tmp_path / "old")

    with (
        source_at(tmp_path / "old") as source,
        target_at(tmp_path / "new") as target,
    ):
        target.takes_zero = False
        with pytest.raises(MoveError) as raised:
            move(source, target, show=shown)
        assert target.count(next(table for table in tables() if table.name == "file")) == 0
    said = str(raised.value)
    assert "file (seq 2, id 'file c 6'): filename has a zero character" in said
    assert "file (seq 5, " in said
    assert "--replace-zeros" in said
    assert rows_of(tmp_path / "old") == before


def test_another_version_is_refused(tmp_path: Path) -> None:
    """With both numbers, and what to do."""
    fill(tmp_path / "old", seed=1)
    with contextlib.closing(connect(tmp_path / "old")) as db:
        db.execute("PRAGMA user_version = 20")
    with pytest.raises(DataDirectoryError, match="schema 20; this version knows"), source_at(tmp_path / "old"):
        pass


def test_what_an_earlier_try_has_left_goes(tmp_path: Path) -> None:
    """Also half a database, and what lay beside it; and a try that goes wrong leaves nothing."""
    fill(tmp_path / "old", seed=1)
    for name in ("new", "new-wal", "new-journal"):
        (tmp_path / name).write_bytes(b"half")
    with source_at(tmp_path / "old") as source, target_at(tmp_path / "new") as target:
        move(source, target, show=shown)
    assert rows_of(tmp_path / "new") == rows_of(tmp_path / "old")
    with pytest.raises(ZeroDivisionError), target_at(tmp_path / "new"):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.glob("new*")] == []
