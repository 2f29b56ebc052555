"""What every part of the SQL ledger is built on: one database, and its statements by name."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import aiosql

from slackwater.adapters.sql.sqlite import Database

T = TypeVar("T")
QUERIES = aiosql.from_path(Path(__file__).parent / "queries.sql", "sqlite3", mandatory_parameters=False)


class SqlBase:
    """Statements of queries.sql on one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.reader = database.reader
        """For short reads, on the event loop."""
        self._texts: dict[str, str] = {}

    def text(self, name: str) -> str:
        """The text of a statement."""
        text = self._texts.get(name)
        if text is None:
            text = self._texts[name] = getattr(QUERIES, name).sql
        return text

    def one(self, db: sqlite3.Connection, name: str, values: dict[str, Any]) -> sqlite3.Row | None:
        """The first row of a statement."""
        try:
            row: sqlite3.Row | None = db.execute(self.text(name), values).fetchone()
        except sqlite3.DatabaseError as error:
            self.database.saw(error)
            raise
        return row

    def all(self, db: sqlite3.Connection, name: str, values: dict[str, Any]) -> list[sqlite3.Row]:
        """Every row of a statement."""
        try:
            return db.execute(self.text(name), values).fetchall()
        except sqlite3.DatabaseError as error:
            self.database.saw(error)
            raise

    def number(self, db: sqlite3.Connection, name: str, values: dict[str, Any]) -> int:
        """The only value of a statement that always has a row."""
        row = self.one(db, name, values)
        assert row is not None, f"{name} always has a row"
        number: int = row[0]
        return number

    def run(self, db: sqlite3.Connection, name: str, values: dict[str, Any]) -> int:
        """Runs a statement and returns how many rows it changed."""
        try:
            return db.execute(self.text(name), values).rowcount
        except sqlite3.DatabaseError as error:
            self.database.saw(error)
            raise

    async def write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        """Runs `work` in one transaction, which may be that of others, too: it may run twice, and does nothing but ask `db`."""
        return await self.database.write(work, durable=durable)


class SqlPart:
    """Some methods of the port, on a base that all parts share."""

    def __init__(self, base: SqlBase) -> None:
        self._sql = base
