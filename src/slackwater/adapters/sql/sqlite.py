"""A SQLite database opened the way the ledger needs it: durable commits, one writer thread, and a reader on the event loop.

Readers of a WAL database never wait for the writer, and a point read costs about a dozen microseconds, so short reads run
where they are asked; a write waits for fsync and runs on the writer's thread. A search, which may look at many rows,
runs on a thread of its own and has a bound: it holds up neither the event loop nor the writer.
"""

import asyncio
import contextlib
import errno
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from slackwater.adapters.sql.db import Db, Row, SearchTooLong
from slackwater.adapters.sql.identity import damage_in_words, is_damage, refuse_others
from slackwater.adapters.sql.sqlite_pages import give_back_pages, let_shrink, unused_pages
from slackwater.adapters.sql.statements import statement
from slackwater.adapters.sql.writing import Writer
from slackwater.core.errors import DataDirectoryError, StorageFull
from slackwater.telemetry import event

T = TypeVar("T")
MIGRATIONS = sorted((Path(__file__).parent / "migrations").glob("[0-9]*.sql"))
SCHEMA_VERSION = len(MIGRATIONS)
# What one statement of a search may cost, in instructions of SQLite's machine: about ten for each row that is looked at and
# passed over, and some 70 million in a second. A count and not a time, so that a search has the same outcome every time.
SEARCH_STEPS = 50_000_000
# Errors of the file or the disk. All others are about what was asked for.
TROUBLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
# The bound is looked at so many times before it is reached.
SEARCH_LOOKS = 100


def connect(path: Path | str) -> sqlite3.Connection:
    """A connection whose commits survive a power cut. Transactions are opened by hand (`transaction`)."""
    if isinstance(path, Path):
        _make_own(path)
    connection = sqlite3.connect(str(path), isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.row_factory = sqlite3.Row
    for pragma in (
        # Of a new database only: what rows leave behind can be given back to the disk, some pages at a time.
        "auto_vacuum = INCREMENTAL",
        "journal_mode = WAL",
        "synchronous = FULL",
        # Some 16 MB of the log are moved at once, and not 4: a checkpoint is two more fsyncs and writes every page again.
        "wal_autocheckpoint = 4000",
        "foreign_keys = ON",
        "busy_timeout = 10000",
        "cache_size = -4096",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _make_own(path: Path) -> None:
    """Makes a file that is not there the owner's alone, as everything beside it is; SQLite would leave that to the umask.

    What lies beside it takes its mode from it. What cannot be made, SQLite says.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def look(path: Path) -> sqlite3.Connection:
    """A connection that only reads, also while a server writes. Raises DataDirectoryError where it cannot."""
    if not path.exists():
        raise DataDirectoryError(f"there is no {path}; name the data directory of a server with --data")
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA busy_timeout = 10000")
        with damage_in_words(path):
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            refuse_others(connection, path, version)
    except sqlite3.OperationalError as error:
        raise DataDirectoryError(f"{path} cannot be opened: {error}; correct its permissions") from error
    if version != SCHEMA_VERSION:
        raise DataDirectoryError(
            f"{path} is of another version of Slackwater (schema {version}; this version knows {SCHEMA_VERSION}): "
            "use the version that serves it, or start this version's server on it first"
        )
    return connection


def migrate(connection: sqlite3.Connection, path: Path | str) -> None:
    """Brings the schema up to date. Raises DataDirectoryError for a database that a newer version wrote."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise DataDirectoryError(
            f"{path} was written by a newer Slackwater (schema {version}; this version knows {SCHEMA_VERSION}): "
            "upgrade slackwater, or use another --data directory"
        )
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        statements = script.read_text("utf-8")
        connection.executescript(f"BEGIN IMMEDIATE; {statements} PRAGMA user_version = {number}; COMMIT;")
    if 0 < version < SCHEMA_VERSION:
        event("ledger_upgraded", **{"from": version, "to": SCHEMA_VERSION})


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction: all of it, or nothing and the error. A full disk becomes StorageFull."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE) or _no_space(error):
            raise StorageFull(f"no room for the ledger: {error}; free some disk space") from error
        raise


def _no_space(error: BaseException) -> bool:
    cause = error.__cause__ or error.__context__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


class SqliteDatabase:
    """One writer thread with its connection, one connection for short reads on the event loop, one thread for searches."""

    def __init__(
        self, path: Path | str, *, inline: bool, search_steps: int = SEARCH_STEPS, read_only: bool = False
    ) -> None:
        """`inline` does everything on the calling thread with one connection, for simulation and memory databases."""
        if read_only:
            self._writer = look(Path(path))
        else:
            self._writer = connect(path)
            migrate(self._writer, path)
            let_shrink(self._writer)
        self.reader = self._writer if inline else connect(path)
        self._searcher = self._writer if inline else connect(path)
        self._search_steps = search_steps
        self.presence = None
        self.away = None
        self.refuses_writes = False
        """Whether the last write failed for a reason that is the database's or the disk's."""
        self.damaged = False
        """Whether something was read that is not what was written. It stays so: no second try helps."""
        self._thread = None if inline else ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._writing = None if self._thread is None else Writer(self._thread, self._transact)
        self._search_thread = None if inline else ThreadPoolExecutor(1, thread_name_prefix="ledger-search")

    def text(self, name: str) -> str:
        """The statement of that name."""
        return statement(name)

    async def look(self, work: Callable[[Db], T]) -> T:
        """Runs short reads here and now."""
        return work(self.reader)

    async def write(self, work: Callable[[Db], T], *, durable: bool = True, fenced: bool = False) -> T:
        """Runs `work` in one transaction, which may be that of others, too; nothing else ever runs beside it."""
        if self._writing is None:
            return self._transact(work)
        return await self._writing.write(work, durable=durable)

    def _transact(self, work: Callable[[Db], T], *, durable: bool = True) -> T:
        before = self._writer.total_changes
        try:
            if not durable:
                self._writer.execute("PRAGMA synchronous = NORMAL")
            try:
                result = self._in_transaction(work)
            finally:
                if not durable:
                    self._writer.execute("PRAGMA synchronous = FULL")
        except (StorageFull, sqlite3.DatabaseError) as error:
            # The low byte is the kind of an error, the others its detail.
            kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
            self.refuses_writes |= isinstance(error, StorageFull) or kind in TROUBLE
            self.saw(error)
            raise
        # A transaction without a change never reaches the disk, and shows nothing.
        if self._writer.total_changes != before:
            self.refuses_writes = False
        return result

    def _in_transaction(self, work: Callable[[Db], T]) -> T:
        try:
            with transaction(self._writer):
                return work(self._writer)
        except StorageFull:
            # What is in the log is in the database, too: from its beginning on there is room that nobody else can have taken.
            # That is how a deletion goes through on a full disk.
            _, frames, moved = self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if frames != moved or frames <= 0:
                raise
        with transaction(self._writer):
            return work(self._writer)

    def saw(self, error: Exception) -> None:
        """Notes an error that somebody has had with it, and says once that the database is damaged, if that is what it means."""
        if is_damage(error) and not self.damaged:
            self.damaged = True
            event("ledger_damaged", level=logging.ERROR, error=str(error))

    @property
    def writes_alone(self) -> bool:
        """A statement that writes is one step here: nothing is sent anywhere."""
        return False

    async def write_alone(self, name: str, values: Mapping[str, Any], *, again: str) -> list[Row]:
        """No statement is like that."""
        raise NotImplementedError

    async def try_write(self) -> None:
        """Writes the version of the schema over itself, which goes to the disk like any other change."""
        await self.write(lambda db: db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}"))
        self.refuses_writes = False

    async def read(self, work: Callable[[Db], T]) -> T:
        """Runs longer reads on the writer's thread, after the writes that were asked for before."""
        if self._thread is None:
            return work(self._writer)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._writer)

    async def search(self, work: Callable[[Db], T]) -> T:
        """Runs reads that may look at many rows, all on one state of the database. Raises SearchTooLong."""
        if self._search_thread is None:
            return self._search(work)
        return await asyncio.get_running_loop().run_in_executor(self._search_thread, self._search, work)

    def _search(self, work: Callable[[Db], T]) -> T:
        db, looks = self._searcher, 0

        def over() -> bool:
            nonlocal looks
            looks += 1
            return looks > SEARCH_LOOKS

        db.execute("BEGIN")
        db.set_progress_handler(over, max(1, self._search_steps // SEARCH_LOOKS))
        try:
            return work(db)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise SearchTooLong(f"more than {self._search_steps:,} steps") from error
            raise
        finally:
            db.set_progress_handler(None, 0)
            db.execute("ROLLBACK")

    async def give_back_pages(self, limit: int) -> int:
        """Gives pages that are not used back to the disk, at most so many; returns how many."""
        if await self.read(unused_pages) <= 0:
            return 0
        return await self.write(lambda db: give_back_pages(db, limit))

    async def close(self) -> None:
        """Waits for the writer and closes everything."""
        if self._search_thread is not None:
            await asyncio.get_running_loop().run_in_executor(self._search_thread, self._searcher.close)
            self._search_thread.shutdown()
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.close)
            self._thread.shutdown()
            self.reader.close()
        else:
            self._writer.close()
