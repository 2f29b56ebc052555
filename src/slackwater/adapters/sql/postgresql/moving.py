"""A ledger on PostgreSQL as an end of a move: read in one state, or filled in one transaction that is read back before it ends.

Who works on either holds the lock of the one server all the while.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import psycopg

from slackwater.adapters.sql.identity import Found
from slackwater.adapters.sql.moving import STAYS, Table, Values, quoted, tables
from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.line import Line, is_lost, unavailable
from slackwater.adapters.sql.postgresql.looking import find
from slackwater.adapters.sql.postgresql.schema import ONLY_HERE, migrate
from slackwater.adapters.sql.postgresql.standing import stand_alone
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.core.errors import LedgerRefused, MoveError, StorageFull
from slackwater.core.files.belonging import Gone, Mark, name_of_gone

# What the schema calls its kinds, in the words of COPY.
KINDS = {"INTEGER": "int8", "REAL": "float8", "TEXT": "text", "BLOB": "bytea"}
# A move may take hours, and its statements with it.
PATIENT = (
    b"SELECT set_config('statement_timeout', '0', false), set_config('idle_in_transaction_session_timeout', '0', false)"
)
# A server that lost its connections a moment ago, and believes itself to be there, is not: its transactions end without effect.
NOBODY = b"BEGIN; DELETE FROM member; DELETE FROM duty; UPDATE writer SET id = id || ' gone' WHERE id NOT LIKE '% gone'; COMMIT"
OTHERS = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
COUNTED = """SELECT c.relname, a.attname, pg_get_serial_sequence(quote_ident(c.relname), a.attname) AS sequence
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE a.attidentity != '' AND n.nspname = current_schema()"""
LAST = """SELECT last_value FROM pg_sequences
WHERE quote_ident(schemaname) || '.' || quote_ident(sequencename) = ?"""
EMPTY_IT = "name another database, or drop this one and make it again"


class PostgresqlEnd:
    """Either end."""

    takes_zero = False

    def __init__(self, db: PgConnection) -> None:
        self._db = db

    @property
    def db(self) -> PgConnection:
        """The connection, for what else is read in the same state."""
        return self._db

    def found(self) -> Found:
        """What the ledger is. Raises LedgerMoved where it has gone."""
        return find(self._db)

    def begin_reading(self) -> None:
        """All reads are of one state from now on. Raises LedgerRefused where it is of another version."""
        self._refuse_other_versions(self.found().schema)
        self._db.script(NOBODY)
        self._db.script(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def begin_filling(self, source: Mark) -> None:
        """Makes the schema where there is none, and begins to fill it in one transaction.

        Raises LedgerRefused where something is in it, unless that is what an earlier try to move the same ledger has left.
        """
        found = self.found()
        if found.empty:
            if self._db.execute(OTHERS).fetchone()[0]:
                raise LedgerRefused("the database has tables that are no ledger's: name one with nothing in it")
            migrate(self._db)
            found = self.found()
        self._refuse_other_versions(found.schema)
        self._db.script(b"BEGIN; SET LOCAL synchronous_commit = on")
        if not self._left_of(found.mark, source):
            self._refuse_full(found)
        every = [table.name for table in tables()]
        for name in every:
            # Rows come with everything that triggers would do once more.
            self._db.script(f"ALTER TABLE {quoted(name)} DISABLE TRIGGER USER".encode())
        names = ", ".join(quoted(name) for name in (*every, *sorted(STAYS | ONLY_HERE - {"schema_version"})))
        self._db.script(f"TRUNCATE {names} RESTART IDENTITY".encode())

    def _refuse_other_versions(self, version: int) -> None:
        if version != SCHEMA_VERSION:
            raise LedgerRefused(
                f"the ledger in the database is of another version of Slackwater (schema {version}; this version knows "
                f"{SCHEMA_VERSION}): start this version's server on it once, or use the version that serves it"
            )

    def _left_of(self, found: Mark | None, source: Mark) -> bool:
        """Whether it is what an earlier try to move that ledger has left, and nobody has written here since as a server does.

        Each connection that does leaves a row, of which the last one stays.
        """
        if found is None or found.identity != source.identity or found.generation > source.generation:
            return False
        untouched: bool = self._db.execute("SELECT NOT EXISTS (SELECT 1 FROM writer)").fetchone()[0]
        return untouched

    def _refuse_full(self, found: Found) -> None:
        if found.mark is not None and found.mark.generation:
            raise LedgerRefused(f"the database has a ledger that was served: {EMPTY_IT}")
        for table in tables():
            if not table.seeded and self.count(table):
                raise LedgerRefused(f"the database has a ledger with something in it (table {table.name}): {EMPTY_IT}")

    def count(self, table: Table) -> int:
        """How many rows there are."""
        count: int = self._db.execute(f"SELECT count(*) FROM {quoted(table.name)}").fetchone()[0]  # noqa: S608
        return count

    def rows(self, table: Table) -> Iterator[Values]:
        """All rows in the order of their key, as they come over the connection."""
        return self._db.copy_out(table.in_order, [KINDS[column.kind] for column in table.columns])

    def fill(self, table: Table, rows: Iterable[Values]) -> None:
        """Adds rows, as they come."""
        into = f"{quoted(table.name)} ({table.names})"
        self._db.copy_in(into, [KINDS[column.kind] for column in table.columns], rows)

    def numbers(self) -> dict[str, int]:
        """The last numbers that were given."""
        given = {}
        for table, _, sequence in self._db.execute(COUNTED).fetchall():
            row = self._db.execute(LAST, (sequence,)).fetchone()
            if row is not None and row[0] is not None:
                given[str(table)] = int(row[0])
        return given

    def finish(self, numbers: Mapping[str, int]) -> None:
        """Goes on behind all numbers that there were, and lets the planner see what there is."""
        for table, column, sequence in self._db.execute(COUNTED).fetchall():
            largest = self._db.execute(f"SELECT max({quoted(column)}) FROM {quoted(table)}").fetchone()[0]  # noqa: S608
            last = max(largest or 0, numbers.get(table, 0))
            if last:
                self._db.execute("SELECT setval(CAST(? AS regclass), ?)", (sequence, last))
        for each in tables():
            self._db.script(f"ALTER TABLE {quoted(each.name)} ENABLE TRIGGER USER".encode())
            self._db.script(f"ANALYZE {quoted(each.name)}".encode())

    def keep(self) -> None:
        """Makes what was filled durable, all of it at once."""
        self._db.script(b"COMMIT")

    def let_go(self, gone: Gone) -> None:
        """Durably makes the ledger one that is elsewhere. Ends the reading."""
        self._db.script(b"ROLLBACK; BEGIN; SET LOCAL synchronous_commit = on")
        self._db.execute("UPDATE identity SET name = ?", (name_of_gone(gone),))
        self._db.script(b"COMMIT")


@contextlib.contextmanager
def end_at(address: str) -> Iterator[PostgresqlEnd]:
    """The database at `address`, while no server has it. Raises LedgerUnavailable, LedgerRefused, StorageFull, MoveError."""
    line = Line(address, "move", greet=stand_alone)
    try:
        db = line.get()
        db.script(PATIENT)
        yield PostgresqlEnd(db)
    except psycopg.errors.DiskFull as error:
        raise StorageFull(f"no room for the ledger: {error.diag.message_primary}; give PostgreSQL some") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise LedgerRefused(
            f"the role may not do that ({error.diag.message_primary}): move a ledger as the owner of its tables"
        ) from error
    except psycopg.Error as error:
        if is_lost(error) or line.lost:
            raise unavailable(error) from error
        raise MoveError(f"PostgreSQL did not take it: {' '.join(str(error).split())}") from error
    finally:
        line.close()
