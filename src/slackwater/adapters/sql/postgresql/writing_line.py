"""Transactions that write, on one connection: repeated where they met another one, and with a known outcome where it was lost."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psycopg

from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.line import (
    GAP_MAX_SECONDS,
    MET,
    PATIENCE_SECONDS,
    REPEATED_MAX,
    Line,
    is_lost,
    kept_waiting,
    unavailable,
    wait_for_others,
)
from slackwater.core.errors import Buried, LedgerBehind, LedgerRefused, LedgerUnavailable, StorageFull

T = TypeVar("T")
# Rows of connections that are gone are of use only to those who lost them.
FORGOTTEN_AFTER_SECONDS = 86_400
NOW = "extract(epoch FROM clock_timestamp())"
FORGET = f"""DELETE FROM writer WHERE at < {NOW} - ? AND NOT EXISTS (
    SELECT 1 FROM pg_stat_activity WHERE application_name = 'slackwater ' || writer.id)"""  # noqa: S608 - no name of a user
# Whoever buries a member has its row first, and removes the rows of its connections after that.
BY_MEMBER = f"""INSERT INTO writer (id, number, at)
SELECT CAST(? AS TEXT), 0, {NOW} FROM member WHERE id = ? AND dead_at IS NULL FOR KEY SHARE"""  # noqa: S608
BEHIND = (
    "the ledger's database has lost what it had confirmed to this server, as a standby has that was promoted and had not got "
    "all of it"
)
# Each transaction begins with it, so it is parsed and planned once for each connection.
RAISED = f"PREPARE raised (BIGINT, TEXT) AS UPDATE writer SET number = $1, at = {NOW} WHERE id = $2"  # noqa: S608
NO_NUMBER = "the number of this connection is gone"
BURIED = "others who work with the ledger took this server for dead, and have freed what it had in hand"
# Where several do what thinks like a single writer, they take turns: else nearly every two would meet, and one be repeated.
# Taken before the transaction sees anything. The table has one row, which nobody writes to in any other transaction.
SERIALIZABLE, TURN = "SERIALIZABLE", "; LOCK TABLE identity IN EXCLUSIVE MODE"
# A transaction of a thread that stands still, perhaps with its whole process, keeps others waiting no longer. It is done again.
STANDS = "SET idle_in_transaction_session_timeout = '5s'"
END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ?"


class WritingLine:
    """A connection for transactions of one kind of isolation."""

    def __init__(
        self,
        address: str,
        kind: str,
        *,
        isolation: str,
        greet: Callable[[PgConnection], None] | None = None,
        member: str = "",
        behind: Callable[[], None] = lambda: None,
        stuck: Callable[[LedgerUnavailable], None] = lambda error: None,
    ) -> None:
        """`member` is whose it is, where there are several: one that was buried has no number any more, and gets none.

        `behind` is told, on the thread of whoever writes, that the database has lost what a member knows to be kept; `stuck`,
        there and again and again, that there is no end to asking what became of a transaction, and others wait in vain.
        """
        self.line = Line(address, kind, greet=lambda db: self._greet(db, greet), member=member)
        self._member = member
        self._begin = f"BEGIN ISOLATION LEVEL {isolation}{TURN if member and isolation == SERIALIZABLE else ''}"
        self._number = 0
        # The last one of this connection that the database has promised to keep, and when it did.
        self._kept, self._kept_at = 0, 0.0
        self._behind, self._stuck = behind, stuck
        # The name of the connection before this one. The server may believe it to be there still, with all that it has locked.
        self._former = ""

    def _greet(self, db: PgConnection, greet: Callable[[PgConnection], None] | None) -> None:
        if self._former:
            db.execute(END, (f"slackwater {self._former}",))
        if greet is not None:
            greet(db)
        db.execute(STANDS)
        if not self._member:
            db.execute(f"INSERT INTO writer (id, number, at) VALUES (?, 0, {NOW})", (self.line.name,))  # noqa: S608
        elif not db.execute(BY_MEMBER, (self.line.name, self._member)).rowcount:
            raise Buried(BURIED)
        elif self._kept and self._is_behind(db):
            self._behind()
            raise LedgerBehind(BEHIND)
        db.script(RAISED.encode())
        self._former, self._number, self._kept = self.line.name, 0, 0
        db.execute(FORGET, (FORGOTTEN_AFTER_SECONDS,))

    def _is_behind(self, db: PgConnection) -> bool:
        """Whether the last transaction of the connection before this one that was to be kept is not there any more."""
        row = db.execute("SELECT number FROM writer WHERE id = ?", (self._former,)).fetchone()
        if row is None:
            # Others forget the numbers of those who write seldom.
            return time.monotonic() - self._kept_at < FORGOTTEN_AFTER_SECONDS / 2
        return bool(row[0] < self._kept)

    def transact(self, work: Callable[[Db], T], *, durable: bool) -> T:
        """Runs `work` in one transaction. Raises LedgerUnavailable and StorageFull, then nothing of it counts; and its errors."""
        return self._until_done(lambda: self._once(work, durable=durable))

    def state(self, text: str, values: Mapping[str, Any], *, again: str) -> list[Any]:
        """Runs one statement that is a transaction of its own; raises the same. Returns its rows.

        It raises the `number` of this `writer` itself, where it changes anything, and waits for no disk; each of its rows has the
        new `epoch`, or none where nobody has that number. Where its answer was lost and it counts, they are those of `again`.
        """
        return self._until_done(lambda: self._state(text, values, again))

    def _state(self, text: str, values: Mapping[str, Any], again: str) -> list[Any]:
        db = self.line.get()
        name, number = self.line.name, self._number + 1
        began = time.monotonic()
        try:
            rows = db.execute(text, {**values, "writer": name, "number": number}).fetchall()
        except psycopg.Error as error:
            if not is_lost(error):
                raise
            self.line.drop()
            if not self._committed(name, number, error, began):
                raise
            return self.line.get().execute(again, values).fetchall()
        if any(row["epoch"] is None for row in rows):
            raise psycopg.OperationalError(NO_NUMBER)
        self._number = number if rows else self._number
        return rows

    def _until_done(self, once: Callable[[], T]) -> T:
        since, tries, met = time.monotonic(), 0, 0
        while True:
            try:
                return once()
            except (*MET, psycopg.errors.UniqueViolation) as error:
                # PostgreSQL may also tell it as a key that is there twice.
                met += 1
                if met > REPEATED_MAX and isinstance(error, psycopg.errors.UniqueViolation):
                    raise
                wait_for_others(met, error)
            except psycopg.errors.DiskFull as error:
                raise StorageFull(
                    f"no room for the ledger: {error.diag.message_primary}; give PostgreSQL some"
                ) from error
            except psycopg.errors.LockNotAvailable as error:
                # Whoever waits for a standby that is away has its locks meanwhile.
                raise kept_waiting(error) from error
            except psycopg.Error as error:
                if not is_lost(error) and not self.line.lost:
                    raise
                self.line.drop()
                self.line.wait(tries, since, error)
                tries += 1

    def _once(self, work: Callable[[Db], T], *, durable: bool) -> T:
        db = self.line.get()
        name, number = self.line.name, self._number + 1
        relaxed = "" if durable else "; SET LOCAL synchronous_commit = off"
        raised = f"EXECUTE raised ({number}, '{name}')"
        try:
            if db.script(f"{self._begin}{relaxed}; {raised}".encode()) != 1:
                # Nobody could say what became of this transaction.
                raise psycopg.OperationalError(NO_NUMBER)
            result = work(db)
        except BaseException:
            self._roll_back(db)
            raise
        ends_since = time.monotonic()
        try:
            db.script(b"COMMIT")
        except psycopg.Error as error:
            if not is_lost(error):
                self._roll_back(db)
                raise
            self.line.drop()
            if not self._committed(name, number, error, ends_since):
                raise
            return result
        self._number = number
        if durable:
            self._kept, self._kept_at = number, time.monotonic()
        return result

    def _roll_back(self, db: PgConnection) -> None:
        try:
            if not db.lost:
                db.script(b"ROLLBACK")
        except psycopg.Error:
            self.line.drop()

    def _committed(self, name: str, number: int, lost: psycopg.Error, since: float) -> bool:
        """Whether that transaction of a connection that is gone counts. Asks until it is told: nobody else knows."""
        while True:
            try:
                db = self.line.get()
                row = db.execute("SELECT number FROM writer WHERE id = ? FOR UPDATE", (name,)).fetchone()
                return row is not None and row[0] >= number
            except psycopg.Error as error:
                if not is_lost(error) and not isinstance(error, psycopg.errors.LockNotAvailable):
                    raise
                self.line.drop()
            except (Buried, LedgerBehind):
                # What it had in hand is somebody else's now, and whether it counts they have seen.
                raise
            except (LedgerRefused, LedgerUnavailable):
                # Another one has it now, or it has been tried a moment ago.
                pass
            if self.line.closing:
                raise unavailable(lost) from lost
            if time.monotonic() - since > PATIENCE_SECONDS:
                self._stuck(unavailable(lost))
            time.sleep(GAP_MAX_SECONDS)
