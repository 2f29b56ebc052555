"""Moves every row of a ledger from one kind of database to the other, and compares what has arrived with what was sent.

What there is to move is asked of the schema itself, so that a later migration brings its tables along. Rows go by one at a time,
in the order of their keys, three times: looked at, copied, and read back. Nothing of the source is changed here, and nothing of
the target counts before its last step, which is the caller's.
"""

import contextlib
import functools
import hashlib
import itertools
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from slackwater.adapters.sql.sqlite import migrate
from slackwater.core.errors import MoveError

Values = tuple[Any, ...]
Show = Callable[[int, int], None]
"""Takes the rows that are done, and those that there are."""
# What values of a column are, in the words of the schema.
KINDS: Mapping[str, type] = {"INTEGER": int, "REAL": float, "TEXT": str, "BLOB": bytes}
# Who works with a ledger, what they are doing, what they have of engines and say to each other: over when it is moved.
STAYS = frozenset({"member", "duty", "shared_engine", "engine_slots", "member_word"})
# So many rows that cannot go are named.
NAMED_MAX = 10
# So often somebody is told how far it is, in rows.
TOLD_EVERY = 1_000
ZERO, REPLACEMENT = "\0", "\N{REPLACEMENT CHARACTER}"


class Column(Struct, frozen=True, kw_only=True):
    """A column, and which of `KINDS` its values are."""

    name: str
    kind: str
    may_be_empty: bool


class Table(Struct, frozen=True, kw_only=True):
    """A table, with the columns that it is put in order by. One that is `seeded` has a row in every new ledger."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    seeded: bool

    @property
    def in_order(self) -> str:
        """The statement that reads all of it."""
        return f"SELECT {self.names} FROM {quoted(self.name)} ORDER BY {', '.join(map(quoted, self.key))}"  # noqa: S608

    @property
    def names(self) -> str:
        """The columns, as they stand in a statement."""
        return ", ".join(quoted(column.name) for column in self.columns)

    def row(self, values: Values) -> str:
        """Which row that is, for people: its key, and the id that users know it by."""
        known = {column.name: value for column, value in zip(self.columns, values, strict=True)}
        said = dict.fromkeys((*self.key, "id") if "id" in known else self.key)
        return f"{self.name} ({', '.join(f'{name} {known[name]!r}' for name in said)})"


class Moved(Struct, frozen=True, kw_only=True):
    """A table that has arrived: how many rows, and one checksum over all of them, which both databases have."""

    table: str
    rows: int
    checksum: str


class Source(Protocol):
    """A ledger that is read, in one state of it."""

    def count(self, table: Table) -> int:
        """How many rows there are."""
        ...

    def rows(self, table: Table) -> Iterator[Values]:
        """All rows in the order of their key, without ever having many of them in memory."""
        ...

    def numbers(self) -> dict[str, int]:
        """The last number that was given to a row, by table, where that is known; the row may be gone."""
        ...


class Target(Source, Protocol):
    """A ledger that is filled."""

    takes_zero: bool
    """Whether a text may have a zero character in it."""

    def fill(self, table: Table, rows: Iterable[Values]) -> None:
        """Adds rows to an empty table."""
        ...

    def finish(self, numbers: Mapping[str, int]) -> None:
        """After the last table: rows to come get numbers behind all that there were."""
        ...


def quoted(name: str) -> str:
    """A name of the schema, as it stands in a statement."""
    return f'"{name}"'


@functools.cache
def tables() -> tuple[Table, ...]:
    """The tables of a ledger of this version. One that others refer to comes before them."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db, ":memory:")
        names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY 1")
        waiting = {name: _table(db, name) for (name,) in names.fetchall() if name not in STAYS}
        refers = {
            name: {row[2] for row in db.execute(f"PRAGMA foreign_key_list({quoted(name)})")} - {name}
            for name in waiting
        }
    ordered: list[Table] = []
    while waiting:
        free = [name for name in waiting if not refers[name] & waiting.keys()]
        ordered += [waiting.pop(name) for name in free]
    return tuple(ordered)


def _table(db: sqlite3.Connection, name: str) -> Table:
    rows = db.execute(f"PRAGMA table_info({quoted(name)})").fetchall()
    keys = sorted((place, column) for _, column, _, _, _, place in rows if place)
    return Table(
        name=name,
        columns=tuple(
            Column(name=column, kind=kind, may_be_empty=not (needed or place))
            for _, column, kind, needed, _, place in rows
        ),
        key=tuple(column for _, column in keys),
        seeded=db.execute(f"SELECT count(*) FROM {quoted(name)}").fetchone()[0] > 0,  # noqa: S608
    )


def fault_of(column: Column, value: Any, *, takes_zero: bool) -> str | None:
    """Why a value cannot be in a column of the target, in words; None where it can."""
    if value is None:
        return None if column.may_be_empty else f"{column.name} is empty"
    if type(value) is not KINDS[column.kind]:
        return f"{column.name} is {value!r:.60}, where {column.kind} belongs"
    if value != value:
        return f"{column.name} is not a number"
    if not takes_zero and isinstance(value, str) and ZERO in value:
        return f"{column.name} has a zero character, which PostgreSQL does not take"
    return None


def as_kept(values: Values, *, replace_zeros: bool = False) -> Values:
    """The row as both databases have it: SQLite does not tell 0.0 from -0.0.

    `replace_zeros` puts for zero characters what a server with a ledger on PostgreSQL puts for them.
    """
    return tuple([_as_kept(value, replace_zeros) for value in values])


def _as_kept(value: Any, replace_zeros: bool) -> Any:
    kind = type(value)
    if kind is float:
        return value + 0.0
    return value.replace(ZERO, REPLACEMENT) if replace_zeros and kind is str else value


class Sum:
    """Counts rows and sums them up as they go by."""

    def __init__(self) -> None:
        self.rows = 0
        self._digest = hashlib.blake2b(digest_size=16)
        self._encoder = msgspec.msgpack.Encoder()

    def of(self, rows: Iterable[Values]) -> Iterator[Values]:
        """The same rows."""
        encode, update = self._encoder.encode, self._digest.update
        for values in rows:
            self.rows += 1
            # Kinds and lengths are in it: no two rows look the same.
            update(encode(values))
            yield values

    def of_all(self, rows: Iterable[Values]) -> "Sum":
        """This sum, when all rows have gone by."""
        for _ in self.of(rows):
            pass
        return self

    @property
    def checksum(self) -> str:
        """32 hexadecimal digits."""
        return self._digest.hexdigest()


def move(source: Source, target: Target, *, replace_zeros: bool = False, show: Show) -> list[Moved]:
    """Copies all rows and reads them back. Raises MoveError where one cannot be there, or is not what it was.

    Nothing of it counts when it returns: what the caller does next makes it the ledger.
    """
    counts = {table.name: source.count(table) for table in tables()}
    done, total = itertools.count(1), 3 * sum(counts.values())

    def told(rows: Iterable[Values]) -> Iterator[Values]:
        for values in rows:
            if (number := next(done)) % TOLD_EVERY == 0:
                show(number, total)
            yield values

    def sent(table: Table) -> Iterator[Values]:
        return (as_kept(values, replace_zeros=replace_zeros) for values in source.rows(table))

    with contextlib.closing(_faults(lambda table: told(sent(table)), takes_zero=target.takes_zero)) as faults:
        named = list(itertools.islice(faults, NAMED_MAX + 1))
    if named:
        more = ", and so on" if len(named) > NAMED_MAX else ""
        raise MoveError(f"nothing was moved, because {', '.join(named[:NAMED_MAX])}{more}{_remedy(named)}")
    sums: dict[str, Sum] = {}
    for table in tables():
        sums[table.name] = expected = Sum()
        target.fill(table, expected.of(told(sent(table))))
    target.finish(source.numbers())
    moved = []
    for table in tables():
        expected, found = sums[table.name], Sum().of_all(told(target.rows(table)))
        if (expected.rows, expected.checksum) != (found.rows, found.checksum):
            raise MoveError(
                f"what has arrived is not what was sent: {_difference(table, sent(table), target.rows(table))}"
            )
        moved.append(Moved(table=table.name, rows=found.rows, checksum=found.checksum))
    show(total, total)
    return moved


def _faults(rows: Callable[[Table], Iterator[Values]], *, takes_zero: bool) -> Generator[str, None, None]:
    for table in tables():
        for values in rows(table):
            for column, value in zip(table.columns, values, strict=True):
                if (fault := fault_of(column, value, takes_zero=takes_zero)) is not None:
                    yield f"{table.row(values)}: {fault}"


def _remedy(faults: Iterable[str]) -> str:
    if all("zero character" in fault for fault in faults):
        return (
            "; delete what has it (a file: DELETE /files/ID), or repeat this with --replace-zeros, which puts U+FFFD in its "
            "place, as a server does for what comes later"
        )
    return ""


def _difference(table: Table, sent: Iterator[Values], found: Iterator[Values]) -> str:
    """The first row that is not the same in both."""
    for one, other in itertools.zip_longest(sent, found):
        if one != other:
            return (
                f"{table.row(one or other)} differs"
                if one and other
                else f"{table.row(one or other)} is in one of them"
            )
    return f"{table.name} has other checksums"
