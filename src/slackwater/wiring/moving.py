"""Moves the ledger of a data directory into a PostgreSQL database, or back into the directory; and its files, with it or alone.

Without a move of files they stay where they are. One rename in the data directory decides which ledger counts. Before it, the new
one is whole, compared and durable, and nobody takes it for the ledger of these files; after it, nobody takes the old one for it.
Dying before it has changed nothing, and dying after it is to have moved. The same command begins again, or finishes.
"""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from slackwater.adapters.disk.data_directory import DataDirectory, gone_from, refuse_gone
from slackwater.adapters.sql.identity import find
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.moving import Moved, Show, move
from slackwater.adapters.sql.sqlite_moving import source_at, target_at
from slackwater.core.errors import DataDirectoryError, LedgerMoved, MoveError, StorageTrouble
from slackwater.core.files.belonging import Fit, Gone
from slackwater.core.masking import shown_url
from slackwater.wiring.belonging import look, refusal_of
from slackwater.wiring.moving_files import FilesArrived, FilesMove

if TYPE_CHECKING:
    from slackwater.adapters.object_store.blobs import ObjectBlobs


class Outcome(Struct, frozen=True, kw_only=True):
    """How a move went that has ended well."""

    tables: list[Moved]
    """What was compared; nothing where the ledger had been there already."""
    aside: Path | None = None
    """The file that the old ledger is, where it was one."""
    untold: str = ""
    """Why the database could not be told that its ledger has gone; it is refused for these files all the same."""
    files: FilesArrived | None = None
    """How the files went, where they were to move."""


def files_move(
    data: DataDirectory,
    source: "ObjectBlobs | None",
    target: "ObjectBlobs | None",
    *,
    database: str,
    show: Show,
    now: float,
) -> FilesMove:
    """A move of files that is to be made now. No `source` and no `target` are the folder of the data directory."""
    return FilesMove(data, source, target, database=database, show=show, at=_said(now), stamp=_stamp(now))


def _at(now: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(now, datetime.UTC)


def _gone(place: str, now: float, *, aside: str = "") -> Gone:
    return Gone(place=place, at=_said(now), aside=aside)


def _said(now: float) -> str:
    return _at(now).strftime("%Y-%m-%d %H:%M:%S UTC")


def _stamp(now: float) -> str:
    return _at(now).strftime("%Y%m%dT%H%M%SZ")


def _free_name(path: Path, now: float) -> str:
    """Under which the old ledger is kept."""
    name = taken = f"ledger-moved-{_stamp(now)}"
    number = 1
    while (path / f"{name}.sqlite").exists():
        name = f"{taken}-{(number := number + 1)}"
    return f"{name}.sqlite"


def _refuse_strangers(path: Path, database: str, files: FilesMove | None = None) -> None:
    """Raises DataDirectoryError where the ledger that is to move is not the one of the files, or there is none."""
    fit, found, _ = look(path, database, files="" if files is None else files.origin)
    refusal = refusal_of(fit, found, path, database)
    if refusal is not None:
        raise DataDirectoryError(refusal)
    if found.empty:
        place = shown_url(database) or DataDirectory.ledger_in(path)
        raise DataDirectoryError(f"there is no ledger in {place}, and so nothing to move: start the server")


def to_postgresql(
    data: DataDirectory,
    database: str,
    *,
    replace_zeros: bool = False,
    files: FilesMove | None = None,
    show: Show,
    now: float,
) -> Outcome:
    """Moves an embedded ledger to the address `database`. Raises DataDirectoryError, StorageTrouble, MoveError, OSError."""
    data.settle_files()
    there = SqlLedger.found_at(database)
    if gone_from(data.path) is not None:
        if look(data.path, database)[0] is Fit.FITS and not there.empty:
            return Outcome(tables=[], files=None if files is None else move_files(data, database, files))
        refuse_gone(data.path)
    _refuse_strangers(data.path, "", files)
    # What needs psycopg is imported where it is there.
    from slackwater.adapters.sql.postgresql.moving import end_at

    aside = _free_name(data.path, now)
    moving = None if files is None or files.decided else files
    with source_at(data.ledger_path) as source:
        found = find(data.ledger_path)
        mark = found.mark
        assert mark is not None, "a ledger of this version has a mark"
        # They take longest, and the database is not to be held for it.
        if moving is not None:
            moving.copy(source, found)
        with end_at(database) as target:
            target.begin_filling(mark)
            tables = move(source, target, replace_zeros=replace_zeros, show=show)
            target.keep()
            source.fold()
            if moving is not None:
                moving.decide(once=aside)
            data.let_ledger_go(_gone(shown_url(database), now, aside=aside))
    return Outcome(tables=tables, aside=data.path / aside, files=None if files is None else files.finish(mark))


def to_embedded(
    data: DataDirectory, database: str, *, files: FilesMove | None = None, show: Show, now: float
) -> Outcome:
    """Moves the ledger at `database` into the data directory. Raises DataDirectoryError, StorageTrouble, MoveError, OSError."""
    data.settle_files()
    gone = _gone(str(data.path.resolve()), now)
    if data.ledger_path.exists():
        told = _told(data, database, gone)
        return told if files is None else msgspec.structs.replace(told, files=move_files(data, "", files))
    found = SqlLedger.found_at(database)
    from slackwater.adapters.sql.postgresql.moving import end_at

    tables: list[Moved] = []
    untold, moving = "", None if files is None or files.decided else files
    try:
        with end_at(database) as source:
            source.begin_reading()
            _refuse_strangers(data.path, database, files)
            found = source.found()
            if moving is not None:
                moving.copy(source, found)
            with target_at(data.arriving_path) as target:
                tables = move(source, target, show=show)
            if moving is not None:
                moving.decide(once=data.ledger_path.name)
            data.let_ledger_in()
            source.let_go(gone)
    except (DataDirectoryError, StorageTrouble, MoveError) as error:
        if not data.ledger_path.exists():
            raise
        untold = str(error)
    return Outcome(tables=tables, untold=untold, files=None if files is None else files.finish(found.mark))


def move_files(data: DataDirectory, database: str, files: FilesMove) -> FilesArrived:
    """Moves the files alone, while nobody works with their ledger. Raises as those above."""
    # What an earlier move has left of a note that was to come with the ledger.
    data.settle_files()
    if not database:
        refuse_gone(data.path)
    found = SqlLedger.found_at(database) if database else find(data.ledger_path)
    if files.decided:
        return files.finish(found.mark)
    _refuse_strangers(data.path, database, files)
    if not database:
        with source_at(data.ledger_path) as source:
            files.copy(source, found)
            files.decide()
        return files.finish(found.mark)
    from slackwater.adapters.sql.postgresql.moving import end_at

    with end_at(database) as end:
        end.begin_reading()
        found = end.found()
        files.copy(end, found)
        # Whoever has lost the connection meanwhile does not know who has had the ledger since.
        end.found()
        files.decide()
    return files.finish(found.mark)


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
