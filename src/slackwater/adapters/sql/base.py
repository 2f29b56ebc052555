"""What every part of the SQL ledger is built on: one database, and its statements by name."""

from collections.abc import Callable
from typing import Any, TypeVar

from slackwater.adapters.sql.db import Database, Db, Row, SearchTooLong
from slackwater.core.errors import LedgerSlow

T = TypeVar("T")


def slow(error: SearchTooLong) -> LedgerSlow:
    """What is to be said of a search that its caller cannot narrow down: it is the ledger that is slow."""
    return LedgerSlow(f"the ledger takes longer for a page than it may: {error}")


class SqlBase:
    """Statements by their names on one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.member: str | None = None
        """In whose name something is done; None where nobody else works with this ledger."""
        self._texts: dict[str, str] = {}

    def text(self, name: str) -> str:
        """The text of a statement."""
        text = self._texts.get(name)
        if text is None:
            text = self._texts[name] = self.database.text(name)
        return text

    def one(self, db: Db, name: str, values: dict[str, Any]) -> Row | None:
        """The first row of a statement."""
        try:
            row: Row | None = db.execute(self.text(name), values).fetchone()
        except Exception as error:
            self.database.saw(error)
            raise
        return row

    def all(self, db: Db, name: str, values: dict[str, Any]) -> list[Row]:
        """Every row of a statement."""
        try:
            return db.execute(self.text(name), values).fetchall()
        except Exception as error:
            self.database.saw(error)
            raise

    def number(self, db: Db, name: str, values: dict[str, Any]) -> int:
        """The only value of a statement that always has a row."""
        row = self.one(db, name, values)
        assert row is not None, f"{name} always has a row"
        number: int = row[0]
        return number

    def run(self, db: Db, name: str, values: dict[str, Any]) -> int:
        """Runs a statement and returns how many rows it changed."""
        try:
            return db.execute(self.text(name), values).rowcount
        except Exception as error:
            self.database.saw(error)
            raise

    async def look_one(self, name: str, values: dict[str, Any]) -> Row | None:
        """The first row of a short read."""
        return await self.database.look(lambda db: self.one(db, name, values))

    async def look_all(self, name: str, values: dict[str, Any]) -> list[Row]:
        """Every row of a short read."""
        return await self.database.look(lambda db: self.all(db, name, values))

    async def look_number(self, name: str, values: dict[str, Any]) -> int:
        """The only value of a short read that always has a row."""
        return await self.database.look(lambda db: self.number(db, name, values))

    async def search(self, work: Callable[[Db], T]) -> T:
        """Reads that look at no more than they return, of which there may be much. Raises LedgerSlow."""
        try:
            return await self.database.search(work)
        except SearchTooLong as error:
            raise slow(error) from error

    async def write(self, work: Callable[[Db], T], *, durable: bool = True, fenced: bool = False) -> T:
        """Runs `work` in one transaction, which may be that of others, too: it may run twice, and does nothing but ask `db`."""
        return await self.database.write(work, durable=durable, fenced=fenced)


class SqlPart:
    """Some methods of the port, on a base that all parts share."""

    def __init__(self, base: SqlBase) -> None:
        self._sql = base
