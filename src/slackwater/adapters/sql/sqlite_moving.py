"""The embedded ledger as an end of a move: read in one transaction, or made anew in a file that nobody takes for a ledger yet."""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from slackwater.adapters.sql.identity import damage_in_words
from slackwater.adapters.sql.moving import Table, Values, quoted, tables
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION, migrate
from slackwater.core.errors import DataDirectoryError, MoveError

# What SQLite may have laid beside a file.
BESIDE = ("-wal", "-shm", "-journal")


class _Rows:
    """What both ends read."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    @property
    def db(self) -> sqlite3.Connection:
        """The connection, for what else is read in the same state."""
        return self._db

    def count(self, table: Table) -> int:
        """How many rows there are."""
        count: int = self._db.execute(f"SELECT count(*) FROM {quoted(table.name)}").fetchone()[0]  # noqa: S608
        return count

    def rows(self, table: Table) -> Iterator[Values]:
        """All rows in the order of their key; SQLite gives one after the other."""
        return iter(self._db.execute(table.in_order))

    def numbers(self) -> dict[str, int]:
        """The last numbers of tables that never give one twice."""
        return dict(self._db.execute("SELECT name, seq FROM sqlite_sequence").fetchall())

    def close(self) -> None:
        """Ends it; what was not kept is gone."""
        self._db.close()


class SqliteSource(_Rows):
    """A ledger that is read. Whoever makes one has the data directory: nobody writes meanwhile."""

    def __init__(self, path: Path) -> None:
        """Raises DataDirectoryError where it is of another version."""
        self._path = path
        super().__init__(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None))
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            self.close()
            raise DataDirectoryError(
                f"{path} is of another version of Slackwater (schema {version}; this version knows {SCHEMA_VERSION}): start this "
                "version's server on it once, or move it with the version that serves it"
            )
        self._db.execute("BEGIN")

    def fold(self) -> None:
        """Brings all of it into its one file, so that nothing lies beside it. Ends the reading."""
        self.close()
        with contextlib.closing(sqlite3.connect(self._path, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = FULL")
            busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            (mode,) = db.execute("PRAGMA journal_mode = DELETE").fetchone()
        if busy or mode != "delete":
            raise DataDirectoryError(f"somebody has {self._path} open: end that (sqlite3, a back-up), and repeat this")


class SqliteTarget(_Rows):
    """A ledger that is made. Until its file gets the name of the ledger, it is nothing; so it needs no transactions."""

    takes_zero = True

    def __init__(self, path: Path) -> None:
        """Takes away what an earlier try has left at `path`."""
        discard(path)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        super().__init__(sqlite3.connect(path, isolation_level=None))
        for pragma in ("auto_vacuum = INCREMENTAL", "journal_mode = OFF", "synchronous = OFF"):
            self._db.execute(f"PRAGMA {pragma}")
        migrate(self._db, path)
        # Rows come with everything that triggers would do once more.
        self._triggers = self._db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in self._triggers:
            self._db.execute(f"DROP TRIGGER {quoted(name)}")
        for table in tables():
            self._db.execute(f"DELETE FROM {quoted(table.name)}")  # noqa: S608
        self._db.execute("BEGIN")

    def fill(self, table: Table, rows: Iterable[Values]) -> None:
        """Adds rows, one after the other."""
        places = ", ".join("?" for _ in table.columns)
        self._db.executemany(f"INSERT INTO {quoted(table.name)} ({table.names}) VALUES ({places})", rows)  # noqa: S608

    def finish(self, numbers: Mapping[str, int]) -> None:
        """The last numbers of tables that never give one twice, and the triggers."""
        never_twice = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
        for (name,) in self._db.execute(never_twice).fetchall():
            if name not in numbers:
                continue
            changed = "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?"
            if not self._db.execute(changed, (numbers[name], name)).rowcount:
                self._db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, numbers[name]))
        for _, text in self._triggers:
            self._db.execute(text)
        self._db.execute("COMMIT")


def discard(path: Path) -> None:
    """Takes a database away that never was a ledger."""
    for ending in ("", *BESIDE):
        path.with_name(path.name + ending).unlink(missing_ok=True)


@contextlib.contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        with damage_in_words(path):
            yield
    except sqlite3.Error as error:
        raise MoveError(f"{path}: {error}; put that right and repeat it") from error


@contextlib.contextmanager
def source_at(path: Path) -> Iterator[SqliteSource]:
    """A ledger to be read. Raises DataDirectoryError, also where it is damaged, and MoveError."""
    with _in_words(path), contextlib.closing(SqliteSource(path)) as source:
        yield source


@contextlib.contextmanager
def target_at(path: Path) -> Iterator[SqliteTarget]:
    """A ledger to be filled; it goes again where that does not end well. Raises DataDirectoryError and MoveError."""
    with _in_words(path):
        target = SqliteTarget(path)
        try:
            with contextlib.closing(target):
                yield target
        except BaseException:
            discard(path)
            raise
