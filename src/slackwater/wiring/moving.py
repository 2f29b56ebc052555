"""Moves the ledger of a data directory into a PostgreSQL database, or back into the directory. The files stay where they are.

One rename in the data directory decides which ledger counts. Before it, the new one is whole, compared and durable, and nobody
takes it for the ledger of these files; after it, nobody takes the old one for it. Dying before it has changed nothing, and dying
after it is to have moved. The same command begins again, or finishes.
"""

import datetime
from pathlib import Path

from msgspec import Struct

from slackwater.adapters.disk.data_directory import DataDirectory, gone_from, refuse_gone
from slackwater.adapters.sql.identity import find
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.moving import Moved, Show, move
from slackwater.adapters.sql.sqlite_moving import source_at, target_at
from slackwater.core.errors import DataDirectoryError, LedgerMoved, MoveError, StorageTrouble
from slackwater.core.files.belonging import Fit, Gone
from slackwater.core.masking import shown_url
from slackwater.wiring.belonging import fault_of, look, remedy_of


class Outcome(Struct, frozen=True, kw_only=True):
    """How a move went that has ended well."""

    tables: list[Moved]
    """What was compared; nothing where the ledger had been there already."""
    aside: Path | None = None
    """The file that the old ledger is, where it was one."""
    untold: str = ""
    """Why the database could not be told that its ledger has gone; it is refused for these files all the same."""


def _at(now: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(now, datetime.UTC)


def _gone(place: str, now: float, *, aside: str = "") -> Gone:
    return Gone(place=place, at=_at(now).strftime("%Y-%m-%d %H:%M:%S UTC"), aside=aside)


def _free_name(path: Path, now: float) -> str:
    """Under which the old ledger is kept."""
    name = taken = f"ledger-moved-{_at(now).strftime('%Y%m%dT%H%M%SZ')}"
    number = 1
    while (path / f"{name}.sqlite").exists():
        name = f"{taken}-{(number := number + 1)}"
    return f"{name}.sqlite"


def _refuse_strangers(path: Path, database: str) -> None:
    """Raises DataDirectoryError where the ledger that is to move is not the one of the files, or there is none."""
    fit, found, _ = look(path, database)
    words = fault_of(fit, path, database)
    if words is not None:
        raise DataDirectoryError(f"{words}; {remedy_of(fit, path, database)}")
    if found.empty:
        place = shown_url(database) or DataDirectory.ledger_in(path)
        raise DataDirectoryError(f"there is no ledger in {place}, and so nothing to move: start the server")


def to_postgresql(
    data: DataDirectory, database: str, *, replace_zeros: bool = False, show: Show, now: float
) -> Outcome:
    """Moves an embedded ledger to the address `database`. Raises DataDirectoryError, StorageTrouble, MoveError, OSError."""
    there = SqlLedger.found_at(database)
    if gone_from(data.path) is not None:
        if look(data.path, database)[0] is Fit.FITS and not there.empty:
            return Outcome(tables=[])
        refuse_gone(data.path)
    _refuse_strangers(data.path, "")
    # What needs psycopg is imported where it is there.
    from slackwater.adapters.sql.postgresql.moving import end_at

    aside = _free_name(data.path, now)
    with source_at(data.ledger_path) as source, end_at(database) as target:
        mark = find(data.ledger_path).mark
        assert mark is not None, "a ledger of this version has a mark"
        target.begin_filling(mark)
        tables = move(source, target, replace_zeros=replace_zeros, show=show)
        target.keep()
        source.fold()
        data.let_ledger_go(_gone(shown_url(database), now, aside=aside))
    return Outcome(tables=tables, aside=data.path / aside)


def to_embedded(data: DataDirectory, database: str, *, show: Show, now: float) -> Outcome:
    """Moves the ledger at `database` into the data directory. Raises DataDirectoryError, StorageTrouble, MoveError, OSError."""
    gone = _gone(str(data.path.resolve()), now)
    if data.ledger_path.exists():
        return _told(data, database, gone)
    SqlLedger.found_at(database)
    from slackwater.adapters.sql.postgresql.moving import end_at

    tables: list[Moved] = []
    try:
        with end_at(database) as source:
            source.begin_reading()
            _refuse_strangers(data.path, database)
            with target_at(data.arriving_path) as target:
                tables = move(source, target, show=show)
            data.let_ledger_in()
            source.let_go(gone)
    except (DataDirectoryError, StorageTrouble, MoveError) as error:
        if not data.ledger_path.exists():
            raise
        return Outcome(tables=tables, untold=str(error))
    return Outcome(tables=tables)


def _told(data: DataDirectory, database: str, gone: Gone) -> Outcome:
    """Finishes a move that died after its decision: the directory has the ledger, and the database may not know it."""
    mine = find(data.ledger_path).mark
    try:
        other = SqlLedger.found_at(database).mark
    except LedgerMoved:
        return Outcome(tables=[])
    if mine is None or other is None or mine.identity != other.identity or mine.generation < other.generation:
        raise DataDirectoryError(
            f"{data.path} has a ledger of its own ({data.ledger_path.name}), and not the one of the database: name another data "
            "directory, or move this file away"
        )
    from slackwater.adapters.sql.postgresql.moving import end_at

    with end_at(database) as there:
        there.let_go(gone)
    return Outcome(tables=[])
