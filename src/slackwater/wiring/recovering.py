"""Goes on with the ledger that a data directory has, where an operator knows that it is the right one, or the only one left.

What that ledger does not name is put aside, never removed here. Dying in between is harmless: the directory is refused until the
last step, and the same command goes on.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from pathlib import Path

from msgspec import Struct

from slackwater.adapters.backup.store import named_blobs, named_in
from slackwater.adapters.disk.data_directory import DataDirectory, keys_in
from slackwater.adapters.disk.place import Place
from slackwater.adapters.sql.identity import Found, damage_in_words, renew
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.core.errors import DataDirectoryError
from slackwater.core.files.belonging import Fit, Mark
from slackwater.core.files.lost import name_of
from slackwater.core.masking import shown_url
from slackwater.wiring.belonging import ledger_to_look_at, look, open_ledger

# What SQLite keeps beside a database. Without one it may be all that is left of it.
BESIDE = ("", "-wal", "-shm")


class Plan(Struct, frozen=True, kw_only=True):
    """What going on with the present ledger means."""

    fit: Fit
    found: Found
    mark: Mark | None
    unnamed: dict[str, int]
    """Bytes that it does not name, which would be put aside: their sizes by their keys."""
    missing: list[str]
    """What it names and is not there, or not whole."""


def plan(path: Path, database: str = "") -> Plan:
    """What would be done. Changes nothing. Raises DataDirectoryError, and LedgerUnavailable."""
    fit, found, mark = look(path, database)
    if found.schema > SCHEMA_VERSION:
        raise DataDirectoryError(
            f"{shown_url(database) or DataDirectory.ledger_in(path)} was written by a newer Slackwater (schema {found.schema}; "
            f"this version knows {SCHEMA_VERSION}): recover it with that version"
        )
    named: dict[str, int | None] = {}
    if not found.empty:
        named = asyncio.run(_named_at(path, database)) if database else _named(DataDirectory.ledger_in(path))
    sizes = {key: (path / "blobs" / key).stat().st_size for key in keys_in(path)}
    return Plan(
        fit=fit,
        found=found,
        mark=mark,
        unnamed={key: size for key, size in sizes.items() if key not in named},
        missing=sorted(key for key, size in named.items() if sizes.get(key, -1) < (size or 0)),
    )


def _named(path: Path) -> dict[str, int | None]:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with damage_in_words(path), contextlib.closing(sqlite3.connect(uri, uri=True)) as ledger:
        return {each.key: each.size for each in named_blobs(ledger)}


async def _named_at(path: Path, database: str) -> dict[str, int | None]:
    ledger = await asyncio.to_thread(ledger_to_look_at, path, database)
    try:
        named = await ledger.sql.database.read(lambda db: named_in(db, SCHEMA_VERSION))
        return {each.key: each.size for each in named}
    finally:
        await ledger.close()


async def _renewed_at(data: DataDirectory, database: str, above: int) -> Mark:
    ledger = await asyncio.to_thread(open_ledger, data, database, alone=True)
    try:
        return await ledger.raise_generation(above=above)
    finally:
        await ledger.close()


def recover(data: DataDirectory, plan: Plan, database: str = "") -> Path:
    """Does it, and returns where the bytes lie that were put aside. Raises DataDirectoryError, OSError."""
    aside = Place(data.blobs_path).lost / name_of(time.time())
    for key in plan.unnamed:
        _move(data.blobs_path / key, aside / key)
    if plan.found.empty:
        for ending in BESIDE:
            left = data.ledger_path.with_name(data.ledger_path.name + ending)
            if left.exists():
                _move(left, aside / left.name)
        data.remove_mark()
        return aside
    data.give_up(plan.missing)
    above = 0 if plan.mark is None else plan.mark.generation
    mark = asyncio.run(_renewed_at(data, database, above)) if database else renew(data.ledger_path, above=above)
    if mark is None:
        # An older schema has none. Its first start gives it one.
        data.remove_mark()
    else:
        data.write_mark(mark)
    return aside


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.replace(source, target)
