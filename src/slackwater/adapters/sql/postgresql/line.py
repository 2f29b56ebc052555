"""One connection of a thread, made again whenever it is lost, and what its loss means.

Each writing connection has a row in the table `writer`. A transaction begins with raising the number in it, which locks the row.
Where the connection is lost while a transaction ends, that row says whether it counts: a new connection asks for it with a
lock, which it gets when the old one's transaction is over, one way or the other.
"""

import random
import secrets
import time
from collections.abc import Callable

import psycopg

from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.trouble import remedy_of, settled, without_advice
from slackwater.core.errors import LedgerUnavailable
from slackwater.core.masking import masked

# How long somebody waits for a ledger that cannot be reached.
PATIENCE_SECONDS = 10.0
# Between two tries to reach it.
GAP_SECONDS = 0.2
GAP_MAX_SECONDS = 1.0

# A transaction in which the server has waited for us for too long: it has ended that connection, and lets in the next one.
DAWDLED = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.TransactionTimeout)
LOST = (psycopg.OperationalError, psycopg.InterfaceError, *DAWDLED)
# Two transactions that met, of which PostgreSQL has ended one: it is repeated, so many times. psycopg knows each by a class of
# its own, and none of them by that of their kind.
MET = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, psycopg.errors.TransactionRollback)
REPEATED_MAX = 12
KEPT_WAITING = (
    "the ledger's database keeps everybody waiting for a lock: see in pg_stat_activity who has it, or whether a standby of "
    "synchronous_standby_names is away"
)
# Errors of that kind that say nothing about the connection.
NOT_LOST = (
    *MET,
    psycopg.errors.QueryCanceled,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DiskFull,
)


def is_lost(error: BaseException) -> bool:
    """Whether the connection is of no use any more, or the server has become one that takes no writes.

    Nor is it of use where a newer version has given a table another column: the plans that it keeps are for what there was.
    """
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction | psycopg.errors.FeatureNotSupported):
        return True
    if type(error) is psycopg.DatabaseError and error.sqlstate is None:
        # It is the library itself that says so, of a connection that it does not take for lost yet.
        return True
    return isinstance(error, LOST) and not isinstance(error, NOT_LOST)


def is_away(error: BaseException) -> bool:
    """Whether the database may be away by it: not where it has ended one connection for the time that we took."""
    return not isinstance(error, DAWDLED) and not isinstance(error.__cause__, DAWDLED)


def unavailable(error: BaseException) -> LedgerUnavailable:
    """The words for a ledger that cannot be reached; nothing of its address that is secret is in them."""
    said = without_advice(masked(" ".join(str(error).split())))
    return LedgerUnavailable(f"the ledger cannot be reached: {said}{remedy_of(said)}")


def kept_waiting(error: BaseException) -> LedgerUnavailable:
    """The words for a lock that somebody does not let go."""
    return LedgerUnavailable(f"{KEPT_WAITING} ({' '.join(str(error).split())})")


def wait_for_others(met: int, error: BaseException) -> None:
    """Waits a moment before a transaction is repeated that has met others so often. Raises LedgerUnavailable after too many."""
    if met > REPEATED_MAX:
        raise LedgerUnavailable(
            f"other work on the ledger came between {met} times: {' '.join(str(error).split())}"
        ) from error
    time.sleep(random.uniform(0, 0.001 * 2 ** min(met, 7)))


class Line:
    """A connection that is there when it is asked for. Used by one thread at a time."""

    def __init__(
        self, address: str, kind: str, *, greet: Callable[[PgConnection], None] | None = None, member: str = ""
    ) -> None:
        """`greet` is done on each new connection, before anything else. `member` is whose it is, where there are several."""
        self._of = f" {member}" if member else ""
        self._address = address
        self._kind = kind
        self._greet = greet
        self._db: PgConnection | None = None
        self._tried_at = self._down_since = 0.0
        self._was_there = False
        self.name = ""
        self.closing = False

    def get(self) -> PgConnection:
        """The connection. Raises psycopg.Error, and LedgerUnavailable at once where it has just been tried for long enough."""
        if self._db is not None and not self._db.lost:
            return self._db
        now = time.monotonic()
        if self._down_since and now - self._down_since > PATIENCE_SECONDS and now - self._tried_at < GAP_MAX_SECONDS:
            raise LedgerUnavailable("the ledger cannot be reached; it has been tried a moment ago")
        self._tried_at = now
        self.name = f"{self._kind} {secrets.token_hex(8)}{self._of}"
        try:
            db = PgConnection(self._address, name=self.name)
            try:
                if self._greet is not None:
                    self._greet(db)
                if self._of:
                    # A member has seen to it that no pooler stands before the database.
                    db.prepare_at_once()
            except BaseException:
                db.close()
                raise
        except psycopg.Error:
            self._down_since = self._down_since or now
            # A server that does not answer has taken its time for it.
            self._tried_at = time.monotonic()
            raise
        self._db, self._down_since, self._was_there = db, 0.0, True
        return db

    @property
    def process(self) -> int:
        """The number of its server process; 0 while there is no connection."""
        db = self._db
        return 0 if db is None else db.process

    @property
    def lost(self) -> bool:
        """Whether there was a connection, and nothing can be asked of it any more."""
        return self._db is not None and self._db.lost

    def drop(self) -> None:
        """Lets go of the connection, in whatever state it is."""
        if self._db is not None:
            self._db.close()
            if self._db.silent_since is not None:
                # Whoever waits behind this one has waited, too.
                self._down_since, self._tried_at = self._db.silent_since, time.monotonic()
            self._db = None

    def close(self) -> None:
        """The same, at the end."""
        self.drop()

    def wait(self, attempt: int, since: float, error: BaseException) -> None:
        """Waits before another try, or raises LedgerUnavailable where there has been enough of that since then.

        At once where nobody is let in, and never was: whoever works with the database may have to wait for a fail-over to end.
        """
        refused = not self._was_there and settled(" ".join(str(error).split()))
        if self.closing or refused or time.monotonic() - since > PATIENCE_SECONDS:
            raise unavailable(error) from error
        time.sleep(min(GAP_MAX_SECONDS, GAP_SECONDS * 2**attempt))
