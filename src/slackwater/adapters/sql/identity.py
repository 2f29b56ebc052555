"""Which ledger a database is, read before anybody opens it in earnest: nothing is written here, and damage is told in words."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from slackwater.adapters.sql.db import Db
from slackwater.core.errors import DataDirectoryError
from slackwater.core.files.belonging import Mark, Sample
from slackwater.core.watching.cluster import ClusterReading
from slackwater.ports import Standing

# The first schema that has a mark.
MARKED_SINCE = 19
# The first one whose members are told as they are today.
MEMBERS_SINCE = 30
# Up to this size every page is looked at before a start: some tenths of a second. Of a larger one, the doctor looks at them.
CHECKED_BYTES = 64 << 20
# Tables that ledgers of all schemas have.
TABLES = frozenset({"batch", "file", "segment"})
# Whether a ledger of any schema that has a mark names bytes: files, parts of uploads, results of batches that run, and inputs
# that are no files any more.
NAMES_BYTES = """SELECT EXISTS (SELECT 1 FROM file WHERE status = 'processed')
    OR EXISTS (SELECT 1 FROM segment)
    OR EXISTS (SELECT 1 FROM upload_part JOIN upload ON upload.id = upload_part.upload_id WHERE upload.ended_at IS NULL)
    OR EXISTS (SELECT 1 FROM batch WHERE stage != 'ended' AND input_blob != '')"""
# Of what came last, so many of each kind are looked for before a start.
SAMPLED = 32
# In groups, so that it is the open batches that are gone through, and not all that ever were.
INPUTS = f"""SELECT input_blob, coalesce((SELECT max(size) FROM file WHERE blob = input_blob AND status = 'processed'), 0)
FROM batch WHERE stage != 'ended' AND input_blob != '' GROUP BY input_blob ORDER BY max(seq) DESC LIMIT {SAMPLED}"""  # noqa: S608 - a number
# What a small batch has is not synced before the transaction that has it, too: a power cut may have taken it from the disk.
LOGS = f"""SELECT output_key, output_offset, output_length, error_key, error_offset, error_length FROM segment
WHERE NOT EXISTS (SELECT 1 FROM kept_text WHERE kept_text.batch_seq = segment.batch_seq) ORDER BY seq DESC LIMIT {SAMPLED}"""  # noqa: S608
NEWEST = f"SELECT blob, size FROM file WHERE status = 'processed' ORDER BY seq DESC LIMIT {SAMPLED}"  # noqa: S608
# The first schema that has all of it.
SAMPLED_SINCE = 24
DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Found(Struct, frozen=True, kw_only=True):
    """What a ledger is. Without a `mark` it is empty, or of a schema that had none."""

    empty: bool
    schema: int = 0
    mark: Mark | None = None
    named: bool = False
    """Whether a ledger that has a mark names bytes."""
    sample: Sample = Sample()
    """Some of them."""


class Connections(Struct, frozen=True, kw_only=True):
    """How many connections a database takes from the role of a ledger."""

    most: int
    others: int
    """How many are taken by others than the members of the ledger."""


class ServerFound(Struct, frozen=True, kw_only=True):
    """What the server of a ledger is that is a database. `careless` names settings that are off and must not be."""

    version: str
    tls: bool
    superuser: bool
    remote: bool
    standby: bool
    pooled: bool
    """Whether something stands before it that gives nobody a session of his own."""
    careless: tuple[str, ...]
    hurried: tuple[tuple[str, int], ...]
    """Settings that end a session or a transaction after so many milliseconds, where that is too soon for a server."""
    connections: Connections
    keys: int
    cluster: ClusterReading
    """Who works with the ledger, and what time it is there."""
    said: tuple[Standing, ...] = ()
    """What they have said lately."""


def is_damage(error: BaseException) -> bool:
    """Whether a database is not what was written, and no second try will help."""
    # The low byte is the kind of an error, the others its detail.
    return isinstance(error, sqlite3.DatabaseError) and getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE


def damaged(path: Path | str, error: object) -> DataDirectoryError:
    """The words for a ledger that is damaged."""
    return DataDirectoryError(
        f"the ledger {path} is damaged ({error}): restore a back-up into a new directory with 'slackwater restore', "
        "or see 'A damaged ledger' in docs/operating.md"
    )


def refuse_others(ledger: sqlite3.Connection, path: Path, schema: int) -> None:
    """Raises DataDirectoryError for a database that is none of ours, or only what is left of one."""
    there = {row[0] for row in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    missing = sorted(TABLES.union(("identity",) if schema >= MARKED_SINCE else ()) - there)
    if missing:
        raise DataDirectoryError(
            f"{path} is no ledger: it has no table {', '.join(missing)}; put the ledger back that belongs there, or restore a "
            "back-up into a new directory with 'slackwater restore'; without either, move this file away, and 'slackwater "
            f"recover --data {path.parent}' says what it would mean to go on with an empty ledger"
        )


@contextlib.contextmanager
def damage_in_words(path: Path | str) -> Iterator[None]:
    """Raises DataDirectoryError where what is done inside finds that the ledger is damaged, or that there is no room for it."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
            raise DataDirectoryError(
                f"there is no room for the ledger {path}: free some disk space, then start again"
            ) from error
        if not is_damage(error):
            raise
        raise damaged(path, error) from error


def find(path: Path) -> Found:
    """What the ledger at `path` is. Raises DataDirectoryError where it is damaged or cannot be opened."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = 0
    except OSError as error:
        raise DataDirectoryError(f"the ledger {path} cannot be opened: {error.strerror}") from error
    if not size:
        # A log that lies beside it is left as it is: it may have what is missing.
        return Found(empty=True)
    try:
        with damage_in_words(path), contextlib.closing(_open(path)) as ledger:
            return _look(ledger, path, size)
    except sqlite3.OperationalError as error:
        raise DataDirectoryError(f"the ledger {path} cannot be opened: {error}; correct its permissions") from error


def _open(path: Path) -> sqlite3.Connection:
    ledger = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    ledger.execute("PRAGMA busy_timeout = 10000")
    return ledger


def _look(ledger: sqlite3.Connection, path: Path, size: int) -> Found:
    (schema,) = ledger.execute("PRAGMA user_version").fetchone()
    if size <= CHECKED_BYTES:
        trouble = [row[0] for row in ledger.execute("PRAGMA quick_check(1)")]
        if trouble != ["ok"]:
            raise damaged(path, " ".join(trouble[0].split()))
    (tables,) = ledger.execute("SELECT COUNT(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite%'").fetchone()
    if not schema and not tables:
        return Found(empty=True)
    refuse_others(ledger, path, schema)
    if schema < MARKED_SINCE:
        return Found(empty=False, schema=schema)
    row = ledger.execute("SELECT name, generation FROM identity").fetchone()
    if row is None:
        raise damaged(path, "it does not say which one it is")
    named = bool(ledger.execute(NAMES_BYTES).fetchone()[0])
    return Found(empty=False, schema=schema, mark=Mark(*row), named=named, sample=sample_of(ledger, schema))


def sample_of(ledger: Db, schema: int) -> Sample:
    """Some of the bytes that a ledger of that schema names, as they came last."""
    if schema < SAMPLED_SINCE:
        return Sample()
    needed = dict(map(tuple, ledger.execute(INPUTS).fetchall()))
    for row in ledger.execute(LOGS).fetchall():
        for key, offset, length in (tuple(row)[:3], tuple(row)[3:]):
            if key is not None:
                needed[key] = max(needed.get(key, 0), (offset or 0) + (length or 0))
    return Sample(needed=needed, newest=dict(map(tuple, ledger.execute(NEWEST).fetchall())))


def renew(path: Path, *, identity: bool = False, above: int = 0) -> Mark | None:
    """Raises the generation of a ledger that nobody has open, above `above` too; `identity` makes it another one.

    Returns its mark; None where it is of a schema that has none.
    """
    with damage_in_words(path), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as ledger:
        ledger.execute("PRAGMA synchronous = FULL")
        if ledger.execute("PRAGMA user_version").fetchone()[0] < MARKED_SINCE:
            return None
        if identity:
            ledger.execute("UPDATE identity SET name = lower(hex(randomblob(16)))")
        ledger.execute("UPDATE identity SET generation = max(generation, ?) + 1", (above,))
        return Mark(*ledger.execute("SELECT name, generation FROM identity").fetchone())
