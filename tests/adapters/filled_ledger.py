"""Ledgers with rows in every table, made of the schema itself: a table that comes later is filled, too."""

import contextlib
import random
import sqlite3
from pathlib import Path
from typing import Any

from slackwater.adapters.sql.moving import Column, Table, quoted, tables
from slackwater.adapters.sql.sqlite import connect, migrate

ROWS = 7
WHOLE = (0, 1, -1, 2**63 - 1, -(2**63), 1_764_000_000)
REAL = (0.0, 0.1, -1.5, 1e308, 5e-324, 1_764_000_000.123456, float("inf"))
TEXT = ("", "plain", "ünïcode 𝄞", "two\nlines\t'quoted' \"twice\" \\n", "{}", "\u2028", "%s ? :name")
BYTES = (b"", b"\x00\x01\xff", b"plain", bytes(range(256)))
# A table that never gives a number twice, and has given this one to a row that is gone.
NEVER_TWICE, LAST_GIVEN = "deleted_file", 1_000


def fill(path: Path, *, seed: int) -> None:
    """Makes a ledger whose rows have whatever a column takes: the largest and the smallest, nothing, and every kind of text."""
    chosen = random.Random(seed)
    with contextlib.closing(connect(path)) as db:
        migrate(db, path)
        # They would add up numbers that are too large for it.
        triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {quoted(name)}")
        for table in tables():
            if table.seeded:
                continue
            parents = {
                row[3]: [each[0] for each in db.execute(f"SELECT {row[4]} FROM {row[2]}")]
                for row in db.execute(f"PRAGMA foreign_key_list({quoted(table.name)})")
            }
            for number in range(1, ROWS + 1):
                values = [_value(table, column, number, parents, chosen) for column in table.columns]
                places = ", ".join("?" for _ in values)
                db.execute(f"INSERT INTO {quoted(table.name)} ({table.names}) VALUES ({places})", values)
        db.execute(f"INSERT INTO {NEVER_TWICE} (number, id, seq, resource) VALUES ({LAST_GIVEN}, 'x', 1, 'x')")
        db.execute(f"DELETE FROM {NEVER_TWICE} WHERE number = {LAST_GIVEN}")
        for _, text in triggers:
            db.execute(text)


def _value(table: Table, column: Column, number: int, parents: dict[str, list[Any]], chosen: random.Random) -> Any:
    if column.name in parents:
        return parents[column.name][number - 1]
    if column.name in table.key or column.name in ("id", "name"):
        # Unique, and not in the order in which they come.
        return number * 3 % 8 if column.kind == "INTEGER" else f"{table.name} {chr(97 + number * 3 % 8)} {number}"
    if column.may_be_empty and chosen.random() < 0.3:
        return None
    if column.name == "idempotency_key":
        return f"key {number}"
    return chosen.choice({"INTEGER": WHOLE, "REAL": REAL, "TEXT": TEXT, "BLOB": BYTES}[column.kind])


def rows_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All of it, by table."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        found = {table.name: db.execute(table.in_order).fetchall() for table in tables()}
        found["sqlite_sequence"] = db.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name").fetchall()
    return found
