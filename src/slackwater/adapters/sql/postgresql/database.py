"""A PostgreSQL database as the ledger needs it: a few threads, each with a connection that it makes again when it is lost.

What thinks like a single writer runs on one thread, in SERIALIZABLE transactions; what is fenced by a shard's epoch, on another
one, in READ COMMITTED. Works that wait for the same thread share a transaction, as on SQLite. Short reads run on some threads
more, searches on one. So a server has `READERS` + 3 connections at most, besides one that listens (together), and none of the
methods holds up the event loop.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg

from slackwater.adapters.sql.db import Db, Row, SearchTooLong
from slackwater.adapters.sql.postgresql.absence import Absence
from slackwater.adapters.sql.postgresql.line import MET, Line, is_lost, kept_waiting, wait_for_others
from slackwater.adapters.sql.postgresql.presence import PgPresence
from slackwater.adapters.sql.postgresql.schema import migrate, refuse_without_rights, without_right
from slackwater.adapters.sql.postgresql.standing import stand_alone, stand_together
from slackwater.adapters.sql.postgresql.text import text_of
from slackwater.adapters.sql.postgresql.writing_line import SERIALIZABLE, WritingLine
from slackwater.adapters.sql.writing import TOGETHER_MAX, Writer
from slackwater.core.errors import LedgerRefused, LedgerUnavailable, StorageFull
from slackwater.core.members import Member
from slackwater.ports import Away
from slackwater.telemetry import event

T = TypeVar("T")
READERS = 4
SEARCH_SECONDS = 2.0
DAMAGE = (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted)


class PostgresqlDatabase:
    """The threads, and what they do."""

    def __init__(
        self,
        address: str,
        *,
        alone: bool = False,
        member: Member | None = None,
        read_only: bool = False,
        search_seconds: float = SEARCH_SECONDS,
    ) -> None:
        """Brings the schema up to date, unless it is `read_only`; `alone` refuses a ledger that a server has.

        As a `member` it works with the ledger beside others. Raises LedgerUnavailable and LedgerRefused.
        """
        self.refuses_writes = False
        """Whether the last write found no room. Whatever else keeps it from being used is in `away`."""
        self.damaged = False
        self._absence = Absence()
        self._search_seconds = search_seconds
        self._lines: list[Line] = []
        self._unused: list[Line] = []
        self._address = address
        greet, name = (stand_together, member.id) if member else (stand_alone if alone else None, "")
        self._writer: Writer
        self._worker: Writer
        self._writing, self._fenced = (
            WritingLine(
                address, kind, isolation=isolation, greet=greets, member=name, behind=self._fell_behind, stuck=stuck
            )
            for kind, isolation, greets, stuck in (
                ("writer", SERIALIZABLE, greet, lambda error: self._writer.refuse(error)),
                ("worker", "READ COMMITTED", None, lambda error: self._worker.refuse(error)),
            )
        )
        self._member = name
        self.presence = PgPresence(address, member, self._absence) if member else None
        if not read_only:
            try:
                self._prepare()
            except BaseException:
                self._leave()
                raise
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-read")
        self._searcher = ThreadPoolExecutor(1, thread_name_prefix="ledger-search")
        self._threads = tuple(ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("ledger", "ledger-worker"))
        # Locks of several works that are fenced would not be in one order.
        self._writer = Writer(self._threads[0], _Watched(self, self._writing, "writer"), together=TOGETHER_MAX)
        together = 1 if member else TOGETHER_MAX
        self._watched = _Watched(self, self._fenced, "worker")
        self._worker = Writer(self._threads[1], self._watched, together=together)

    def _prepare(self) -> None:
        """On a connection of its own: the others begin with what the schema has."""
        line, since, tries = Line(self._address, "schema"), time.monotonic(), 0
        while True:
            try:
                migrate(line.get())
                refuse_without_rights(line.get())
                line.close()
                if self.presence is not None:
                    # Before anything is written in its name.
                    self.presence.join()
                self._writing.line.get()
                return
            except psycopg.errors.InsufficientPrivilege as error:
                raise without_right(error) from error
            except psycopg.Error as error:
                line.drop()
                if not is_lost(error):
                    raise
                line.wait(tries, since, error)
                tries += 1

    @property
    def address(self) -> str:
        """Where it is. Not to be shown: it may have a password."""
        return self._address

    @property
    def away(self) -> Away | None:
        """For how long it cannot be used, and why."""
        return self._absence.now

    def senders(self) -> tuple[int, ...]:
        """The server processes of the connections that write, and so of all that is said here."""
        return self._writing.line.process, self._fenced.line.process, *(line.process for line in self._lines)

    def text(self, name: str) -> str:
        """The statement of that name."""
        return text_of(name)

    def saw(self, error: Exception) -> None:
        """Notes an error that somebody has had with it, and says once that the database is damaged, if that is what it means."""
        if isinstance(error, DAMAGE) and not self.damaged:
            self.damaged = True
            event("ledger_damaged", level=logging.ERROR, error=str(error))

    async def look(self, work: Callable[[Db], T]) -> T:
        """Runs short reads. Each statement sees what was committed when it began."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work, b"", b"")

    async def read(self, work: Callable[[Db], T]) -> T:
        """Runs longer reads, all on one state of the database."""
        begin = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work, begin, b"ROLLBACK")

    async def search(self, work: Callable[[Db], T]) -> T:
        """Runs reads that may look at many rows, all on one state of the database. Raises SearchTooLong.

        And LedgerUnavailable where it waits for a lock: that is sooner over, and nobody's search is to blame for it.
        """
        longest = max(2, int(self._search_seconds * 1000))
        begin = (
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
            # What is searched for decides how.
            "SET LOCAL plan_cache_mode = auto; SET LOCAL enable_seqscan = on; "
            "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; "
            f"SET LOCAL lock_timeout = {longest // 2}; SET LOCAL statement_timeout = {longest}"
        ).encode()
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._searcher, self._read, work, begin, b"ROLLBACK"
            )
        except psycopg.errors.QueryCanceled as error:
            raise SearchTooLong(f"more than {self._search_seconds} s") from error

    def _read(self, work: Callable[[Db], T], begin: bytes, end: bytes) -> T:
        since = time.monotonic()
        try:
            result = self._read_to_its_end(work, begin, end, since=since)
        except LedgerUnavailable as error:
            self._absence.failed("reads", error, since=since)
            raise
        self._absence.worked("reads")
        return result

    def _read_to_its_end(self, work: Callable[[Db], T], begin: bytes, end: bytes, *, since: float) -> T:
        try:
            # The one that was used last: whoever asks one thing at a time has one connection, which finds its caches warm.
            line = self._unused.pop()
        except IndexError:
            line = Line(self._address, "reader", member=self._member)
            self._lines.append(line)
        try:
            return self._read_on(line, work, begin, end, since=since)
        finally:
            self._unused.append(line)

    def _read_on(self, line: Line, work: Callable[[Db], T], begin: bytes, end: bytes, *, since: float) -> T:
        tries, met = 0, 0
        while True:
            try:
                db = line.get()
                try:
                    if begin:
                        db.script(begin)
                    return work(db)
                finally:
                    if end and not db.lost:
                        db.script(end)
            except MET as error:
                # A step of the schema had the tables in another order.
                met += 1
                wait_for_others(met, error)
            except psycopg.errors.LockNotAvailable as error:
                raise kept_waiting(error) from error
            except psycopg.Error as error:
                if not is_lost(error) and not line.lost:
                    raise
                line.drop()
                line.wait(tries, since, error)
                tries += 1

    async def write(self, work: Callable[[Db], T], *, durable: bool = True, fenced: bool = False) -> T:
        """Runs `work` in one transaction, which may be that of others, too; it may be run again."""
        return await (self._worker if fenced else self._writer).write(work, durable=durable)

    @property
    def writes_alone(self) -> bool:
        """Each step of a transaction is a way to the server and back."""
        return True

    async def write_alone(self, name: str, values: Mapping[str, Any], *, again: str) -> list[Row]:
        """Runs a statement that is a fenced transaction of its own, and waits for no disk."""
        text, asked_again = self.text(name), self.text(again)

        def call() -> list[Row]:
            return self._watched.state(text, values, again=asked_again)

        return await self._worker.write_alone(call)

    async def try_write(self) -> None:
        """Commits a transaction that has changed but its connection's number, on either connection that writes; and reads.

        Whoever could not use it last may have nothing to do now, and it would be away until then.
        """
        for fenced in (False, True):
            await self.write(lambda db: None, fenced=fenced)
        await self.look(lambda db: None)
        self.refuses_writes = False

    async def give_back_pages(self, limit: int) -> int:
        """PostgreSQL does that itself."""
        return 0

    async def close(self) -> None:
        """Waits for what is being written and closes everything. What waits for a server that is gone waits no longer."""
        lines = [self._writing.line, self._fenced.line, *self._lines]
        for line in lines:
            line.closing = True
        await asyncio.to_thread(self._end, lines)

    def _end(self, lines: list[Line]) -> None:
        for executor in (*self._threads, self._readers, self._searcher):
            executor.shutdown()
        for line in lines:
            line.close()
        self._leave()

    def _fell_behind(self) -> None:
        if self.presence is not None:
            self.presence.fell_behind()

    def _leave(self) -> None:
        if self.presence is not None:
            self.presence.close()


class _Watched:
    """Transactions of a connection, and whether the database takes writes."""

    def __init__(self, database: PostgresqlDatabase, line: WritingLine, who: str) -> None:
        self._database = database
        self._line = line
        self._who = who

    def __call__(self, work: Callable[[Db], T], /, *, durable: bool) -> T:
        return self._noted(lambda: self._line.transact(work, durable=durable))

    def state(self, text: str, values: Mapping[str, Any], *, again: str) -> list[Row]:
        """A statement that is a transaction of its own."""
        return self._noted(lambda: self._line.state(text, values, again=again))

    def _noted(self, write: Callable[[], T]) -> T:
        since = time.monotonic()
        try:
            result = write()
        except (LedgerUnavailable, LedgerRefused, StorageFull, psycopg.Error) as error:
            self._database.saw(error)
            if isinstance(error, StorageFull):
                self._database.refuses_writes = True
            elif not isinstance(error, psycopg.Error) or isinstance(error, psycopg.OperationalError):
                self._database._absence.failed(self._who, error, since=since)
            raise
        self._database.refuses_writes = False
        self._database._absence.worked(self._who)
        return result
