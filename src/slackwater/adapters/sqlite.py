"""A SQLite database opened the way the ledger needs it: durable commits, one writer thread, and a reader on the event loop.

Readers of a WAL database never wait for the writer, and a point read costs about a dozen microseconds, so short reads run
where they are asked; a write waits for fsync and runs on the writer's thread.
"""

import asyncio
import contextlib
import errno
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from slackwater.core.errors import DataDirectoryError, StorageFull

T = TypeVar("T")
MIGRATIONS = sorted((Path(__file__).parent / "migrations").glob("[0-9]*.sql"))
SCHEMA_VERSION = len(MIGRATIONS)


def connect(path: Path | str) -> sqlite3.Connection:
    """A connection whose commits survive a power cut. Transactions are opened by hand (`transaction`)."""
    connection = sqlite3.connect(str(path), isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.row_factory = sqlite3.Row
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "busy_timeout = 10000",
        "cache_size = -4096",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")
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


class Database:
    """One writer thread with its connection, and one connection for short reads on the event loop."""

    def __init__(self, path: Path | str, *, inline: bool) -> None:
        """`inline` does everything on the calling thread with one connection, for simulation and memory databases."""
        self._writer = connect(path)
        migrate(self._writer, path)
        self.reader = self._writer if inline else connect(path)
        self._thread = None if inline else ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in one transaction. Its outcome is known: a cancelled caller waits until the transaction has ended."""
        if self._thread is None:
            return self._transact(work)
        return await _finish(asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work))

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with transaction(self._writer):
            return work(self._writer)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs longer reads on the writer's thread, after the writes that were asked for before."""
        if self._thread is None:
            return work(self._writer)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._writer)

    async def close(self) -> None:
        """Waits for the writer and closes everything."""
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.close)
            self._thread.shutdown()
            self.reader.close()
        else:
            self._writer.close()


async def _finish(future: Awaitable[T]) -> T:
    """Awaits to the end even when cancelled meanwhile, then passes the cancellation on."""
    task = asyncio.ensure_future(future)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task])
        raise
