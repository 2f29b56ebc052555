"""Goes on with the ledger that a data directory has, where an operator knows that it is the right one, or the only one left.

What that ledger does not name is put aside, never removed here. Dying in between is harmless: the directory is refused until the
last step, and the same command goes on.
"""

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from msgspec import Struct

from slackwater.adapters.backup.store import named_blobs
from slackwater.adapters.disk.data_directory import DataDirectory, keys_in
from slackwater.adapters.disk.place import Place
from slackwater.adapters.sql.identity import Found, damage_in_words, renew
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.core.errors import DataDirectoryError
from slackwater.core.files.belonging import Fit, Mark
from slackwater.core.files.lost import name_of
from slackwater.wiring.belonging import look

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


def plan(path: Path) -> Plan:
    """What would be done. Changes nothing. Raises DataDirectoryError."""
    fit, found, mark = look(path)
    if found.schema > SCHEMA_VERSION:
        raise DataDirectoryError(
            f"{DataDirectory.ledger_in(path)} was written by a newer Slackwater (schema {found.schema}; this version knows "
            f"{SCHEMA_VERSION}): recover it with that version"
        )
    named = {} if found.empty else _named(DataDirectory.ledger_in(path))
    sizes = {key: (path / "blobs" / key).stat().st_size for key in keys_in(path)}
    return Plan(
        fit=fit,
        found=found,
        mark=mark,
        unnamed={key: size for key, size in sizes.items() if key not in named},
        missing=sorted(key for key, size in named.items() if size is not None and sizes.get(key, -1) < size),
    )


def _named(path: Path) -> dict[str, int | None]:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with damage_in_words(path), contextlib.closing(sqlite3.connect(uri, uri=True)) as ledger:
        return {each.key: each.size for each in named_blobs(ledger)}


def recover(data: DataDirectory, plan: Plan) -> Path:
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
    mark = renew(data.ledger_path, above=0 if plan.mark is None else plan.mark.generation)
    if mark is None:
        # An older schema has none. Its first start gives it one.
        data.remove_mark()
    else:
        data.write_mark(mark)
    return aside


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.replace(source, target)
