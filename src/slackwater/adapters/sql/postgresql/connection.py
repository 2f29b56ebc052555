"""A connection to PostgreSQL that takes the statements of the ledger, and gives rows as SQLite's are.

Numbers go as BIGINT and DOUBLE PRECISION, whatever their size, so that a statement has one plan. A text cannot have a zero
character in it here: it becomes the replacement character.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.generators import execute
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import no_result
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper

from slackwater.adapters.sql.db import Cursor, Values
from slackwater.adapters.sql.postgresql.address import faults_of, parameters_of, systems_authorities
from slackwater.adapters.sql.postgresql.hearing import HearingConnection
from slackwater.adapters.sql.postgresql.text import statement
from slackwater.core.errors import LedgerRefused

OLDEST = 15
# So many results are looked at for what a server has said before it ended a connection.
LAST_RESULTS_MAX = 10
DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY)
# Statements that a connection keeps prepared: more than it ever runs, but for pages of lists.
PREPARED_MAX = 400
# Where the address says nothing else. A host that is gone is noticed in half a minute; of several, only one that takes writes
# is the ledger's.
DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "target_session_attrs": "read-write",
}
# A transaction whose client is gone ends, and a statement that never would; a client whose machine is gone is noticed, too.
# A statement is planned once, and goes by an index wherever there is one, also where its table was empty when it was planned:
# what is asked again and again costs the same whatever statistics say, and nothing to plan.
SETTINGS = b"""SELECT set_config('idle_in_transaction_session_timeout', '30000', false),
set_config('statement_timeout', '60000', false), set_config('lock_timeout', '20000', false), set_config('jit', 'off', false),
set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),
set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false),
set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
set_config('tcp_keepalives_count', '3', false)"""


class PgRow:
    """A row: its values in order, and by the name or the number of their column."""

    __slots__ = ("_columns", "_values")

    def __init__(self, columns: dict[str, int], values: Sequence[Any]) -> None:
        self._columns = columns
        self._values = values

    def __getitem__(self, column: int | str) -> Any:
        return self._values[self._columns[column] if isinstance(column, str) else column]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> list[str]:
        """The names of the columns."""
        return list(self._columns)


def _rows(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], PgRow]:
    result = cursor.pgresult
    if result is None or not result.nfields:
        return no_result
    names = (result.fname(number) for number in range(result.nfields))
    columns = {(name or b"").decode(): number for number, name in enumerate(names)}
    return lambda values: PgRow(columns, values)


class _TextDumper(StrDumper):
    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in obj else obj)


class _NumberLoader(Loader):
    """Sums of whole numbers are whole numbers."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data)
        return float(text) if b"." in text else int(text)


def _words_in(results: Iterable[PGresult]) -> psycopg.Error | None:
    """The first error in results that the server has given a number."""
    said = next((each for each in results if each.error_field(DiagnosticField.SQLSTATE)), None)
    return None if said is None else psycopg.errors.error_from_result(said)


class PgConnection:
    """A connection, one statement at a time."""

    def __init__(self, address: str, *, name: str) -> None:
        """Raises psycopg.Error, and LedgerRefused for what is no address."""
        try:
            asked, faults = parameters_of(address), faults_of(address)
        except ValueError as error:
            raise LedgerRefused(f"[server] database: {error}") from error
        if faults:
            raise LedgerRefused(f"[server] database: {'; '.join(faults)}")
        options = {key: value for key, value in DEFAULTS.items() if key not in asked} | systems_authorities(asked)
        # Each name of its own: whoever has lost a connection ends what is left of it by that.
        options["application_name"] = f"slackwater {name}"
        self._connection = HearingConnection.connect(address, autocommit=True, row_factory=_rows, **options)
        self._connection.prepared_max = PREPARED_MAX
        self.process = self._connection.info.backend_pid
        """The number of its server process."""
        self._connection.adapters.register_dumper(int, Int8Dumper)
        self._connection.adapters.register_dumper(str, _TextDumper)
        self._connection.adapters.register_loader("numeric", _NumberLoader)
        try:
            self._connection.execute(SETTINGS)
        except BaseException:
            self._connection.close()
            raise

    def execute(self, text: str, values: Values = (), /) -> Cursor:
        """Runs a statement."""
        try:
            return self._connection.execute(statement(text), values or None)
        except psycopg.OperationalError as error:
            self._raise_last_words(error)
            raise

    def executemany(self, text: str, values: Sequence[Sequence[Any]], /) -> Cursor:
        """Runs a statement for each of several sets of values."""
        cursor = self._connection.cursor()
        cursor.executemany(statement(text), values)
        return cursor

    def script(self, text: bytes) -> int:
        """Runs several statements without parameters, in one round trip; returns how many rows the last one changed.

        Past psycopg, which forgets all prepared statements of a connection with each ROLLBACK, for the sake of tables that were
        made in such a transaction: all of them would be planned anew.
        """
        line = self._connection.pgconn
        line.send_query(text)
        try:
            results = self._connection.wait(execute(line))
        except psycopg.OperationalError as error:
            self._raise_last_words(error)
            raise
        result = results[-1]
        if result.status in DONE:
            return result.command_tuples or 0
        if line.status == ConnStatus.BAD:
            raise _words_in(results) or psycopg.OperationalError(line.get_error_message())
        raise psycopg.errors.error_from_result(result)

    def _raise_last_words(self, error: psycopg.OperationalError) -> None:
        """Raises what the server has said before it ended a connection, where the library tells only of the end."""
        line = self._connection.pgconn
        results: list[PGresult] = []
        if error.sqlstate is None and line.status == ConnStatus.BAD:
            with contextlib.suppress(psycopg.Error):
                while len(results) < LAST_RESULTS_MAX and (result := line.get_result()) is not None:
                    results.append(result)
        if (words := _words_in(results)) is not None:
            raise words from error

    def copy_out(self, query: str, kinds: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of a query as they come; `kinds` are the types of its columns. No text in it is a user's."""
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)".encode()) as copy,
        ):
            copy.set_types(kinds)
            yield from copy.rows()

    def copy_in(self, into: str, kinds: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Adds rows as they come. `into` is a table and its columns, `kinds` are their types. A zero character is refused."""
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {into} FROM STDIN (FORMAT BINARY)".encode()) as copy,
        ):
            copy.set_types(kinds)
            for row in rows:
                copy.write_row(row)

    def prepare_at_once(self) -> None:
        """Prepares each statement before its first time, and not before its sixth: to plan one costs more than to run it.

        Only where the session is known to be this connection's own: behind a pooler, names of statements are somebody else's.
        """
        self._connection.prepare_threshold = 0

    def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Hears what is said on a channel, whenever something is asked from here on. The name is one of ours."""
        self._connection.add_notify_handler(lambda note: heard(note.payload))
        self._connection.execute(f"LISTEN {channel}".encode())

    def fileno(self) -> int:
        """What can be read from when something has come, or the connection is lost."""
        return self._connection.fileno()

    @property
    def lost(self) -> bool:
        """Whether nothing can be asked of it any more."""
        return self._connection.closed

    @property
    def silent_since(self) -> float | None:
        """Where it was lost because the server did not answer: since when, in monotonic time."""
        return self._connection.silent_since

    def notes(self) -> Iterator[tuple[int, str]]:
        """What has come to a connection that listens: who has said it, by the number of its server process, and what.

        Waits for nothing. Raises psycopg.Error where the connection is lost.
        """
        line = self._connection.pgconn
        line.consume_input()
        while (note := line.notifies()) is not None:
            yield note.be_pid, note.extra.decode()

    @property
    def file_number(self) -> int:
        """That of its socket."""
        return self._connection.fileno()

    @property
    def over_tls(self) -> bool:
        """Whether nobody between here and whom it reaches can read it. Behind that may be a pooler."""
        return self._connection.pgconn.ssl_in_use

    @property
    def server_version(self) -> int:
        """Such as 150004."""
        return self._connection.info.server_version

    def close(self) -> None:
        """Ends it; what it has not committed never was."""
        self._connection.close()
