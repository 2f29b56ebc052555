"""What a back-up is made of, and where its parts lie. `making.py` makes one, `checking.py` checks it and restores from it.

    STORE/
      slackwater-backups             says that this is a store, and is locked while one is being made
      blobs/...                      the bytes of files, each once for all back-ups: a blob never changes, and a log only grows
      backups/20261125T020000Z/      one back-up: the ledger of that moment, and a manifest of the bytes that belong to it

A back-up exists once its directory has that name; before, it has another one. Whatever no manifest names may be removed.
"""

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import msgspec
from msgspec import Struct
from zlib_ng.zlib_ng import crc32

from slackwater.adapters.sql.db import Db
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.core.errors import BackupError

# The first schema that has checksums of files.
CHECKSUMS_SINCE = 20
# The first that has keys in it.
CONNECTIONS_SINCE = 35
MARK = "slackwater-backups"
MARK_TEXT = "Back-ups of a Slackwater data directory, format 1. As secret as the data itself.\n"
LEDGER = "ledger.sqlite"
MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"
PIECE = 1 << 20

Show = Callable[[int, int], None]
"""Told how many bytes are done, of how many."""


class Blob(Struct, frozen=True):
    """Some bytes of the back-up: those of a key, from its start. A log may have more, which are of a later back-up."""

    key: str
    size: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """What belongs to one back-up. `lost` was named by the ledger, and not in the data directory any more."""

    format: int = 1
    made_at: int
    made_by: str
    schema: int
    ledger: Blob
    blobs: list[Blob]
    lost: list[str] = []
    keys_left_out: list[str] = []
    """Connections (`resource/name`) whose stored keys are not in it, and have to be given anew."""


class Sums(Struct, frozen=True):
    """What some bytes are: a digest for back-ups, and the CRC-32 that a ledger has of files."""

    sha256: str
    checksum: int


class Named(Struct, frozen=True):
    """Bytes that a ledger names. No size: an input whose file is deleted, which an open batch may still read.

    No checksum: logs, and what versions before checksums have written.
    """

    key: str
    size: int | None
    checksum: int | None = None

    @property
    def grows(self) -> bool:
        """Whether it is a log, of which only the beginning is named."""
        return self.key.startswith("logs/")


class Store:
    """A directory of back-ups."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1

    @classmethod
    def make(cls, path: Path) -> "Store":
        """Makes the directory if it is missing, and takes its lock. Raises BackupError."""
        store = cls(path)
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (path / MARK).exists() and any(path.iterdir()):
                raise BackupError(f"{path} has something else in it; name an empty directory, or one with back-ups")
            store._lock = os.open(path / MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(store._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(store._lock, MARK_TEXT.encode(), 0)
            (path / "backups").mkdir(mode=0o700, exist_ok=True)
            (path / "blobs").mkdir(mode=0o700, exist_ok=True)
        except BlockingIOError as error:
            store.close()
            raise BackupError(f"another back-up into {path} is under way; wait until it has ended") from error
        except OSError as error:
            store.close()
            raise BackupError(f"{path} cannot be written to: {error.strerror}") from error
        return store

    @classmethod
    def find(cls, path: Path) -> tuple["Store", list[str]]:
        """A store and the names of its back-ups, oldest first; or that of one, where `path` is one. Raises BackupError."""
        if (path / MANIFEST).exists():
            return cls(path.resolve().parent.parent), [path.resolve().name]
        if not (path / MARK).exists():
            raise BackupError(f"{path} is no back-up: name what 'slackwater backup --output' was given")
        store = cls(path)
        names = store.names()
        if not names:
            raise BackupError(f"{path} has no finished back-up; make one with 'slackwater backup --output {path}'")
        return store, names

    def names(self) -> list[str]:
        """Back-ups that are whole, oldest first: their names are moments."""
        return sorted(each.name for each in (self.path / "backups").iterdir() if not each.name.endswith(UNFINISHED))

    def backup(self, name: str) -> Path:
        """The directory of one back-up."""
        return self.path / "backups" / name

    def blob(self, key: str) -> Path:
        """Where a key's bytes lie. Manifests may come from anywhere, so a key must not lead out of here."""
        parts = key.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise BackupError(
                f"the manifest names {key!r}, which is no key of ours; the back-up has been tampered with"
            )
        return self.path.joinpath("blobs", *parts)

    def manifest(self, name: str) -> Manifest:
        """What belongs to a back-up. Raises BackupError for one that cannot be read."""
        path = self.backup(name) / MANIFEST
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError) as error:
            raise BackupError(f"{path} cannot be read: {error}") from error
        if manifest.format != 1:
            raise BackupError(f"{path} is of format {manifest.format}, which a newer Slackwater made: use that one")
        return manifest

    def close(self) -> None:
        """Lets go of the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def named_blobs(ledger: sqlite3.Connection) -> list[Named]:
    """Every blob that an embedded ledger of any schema so far needs, the ones that go soonest first: logs, parts, files."""
    (schema,) = ledger.execute("PRAGMA user_version").fetchone()
    return named_in(ledger, schema)


def named_in(ledger: Db, schema: int) -> list[Named]:
    """The same by any connection to a ledger of that schema."""
    rows = ledger.execute(
        "SELECT output_key, max(output_offset + output_length) FROM segment WHERE output_key IS NOT NULL GROUP BY 1"
        " UNION ALL "
        "SELECT error_key, max(error_offset + error_length) FROM segment WHERE error_key IS NOT NULL GROUP BY 1"
    ).fetchall()
    if schema >= 2:
        # Of an upload that has ended, the bytes go before the rows.
        rows += ledger.execute(
            "SELECT blob, part.size FROM upload_part AS part JOIN upload ON upload.id = part.upload_id"
            " WHERE upload.ended_at IS NULL"
        ).fetchall()
    rows += ledger.execute("SELECT blob, max(size) FROM file WHERE status = 'processed' GROUP BY blob").fetchall()
    rows += ledger.execute(
        "SELECT DISTINCT input_blob, NULL FROM batch"
        " WHERE stage != 'ended' AND input_blob != '' AND input_blob NOT IN (SELECT blob FROM file)"
    ).fetchall()
    checksums: dict[str, int] = {}
    if schema >= CHECKSUMS_SINCE:
        checksums |= ledger.execute(
            "SELECT blob, checksum FROM file WHERE checksum IS NOT NULL"
            " UNION ALL SELECT blob, checksum FROM upload_part WHERE checksum IS NOT NULL"
        ).fetchall()
    return [Named(key, size, checksums.get(key)) for key, size in rows]


def without_secrets(copied: sqlite3.Connection) -> list[str]:
    """Takes stored keys out of a copy of a ledger, with every trace of them, and returns whose they were."""
    (schema,) = copied.execute("PRAGMA user_version").fetchone()
    if schema < CONNECTIONS_SINCE:
        return []
    named = [
        f"{resource}/{name}"
        for resource, name in copied.execute(
            "SELECT resource, name FROM connection WHERE key_stored ORDER BY resource, name"
        )
    ]
    copied.execute("PRAGMA secure_delete = ON")
    copied.execute("DELETE FROM connection_secret")
    copied.commit()
    if copied.execute("SELECT EXISTS (SELECT 1 FROM connection)").fetchone()[0]:
        # What was moved within a page has left bytes behind that nothing names.
        copied.execute("VACUUM")
    return named


def open_ledger(path: Path) -> sqlite3.Connection:
    """A ledger that nobody else has open, only to read. Raises BackupError for what is none of ours."""
    try:
        # Immutable: nothing is written next to it.
        ledger = sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
        (schema,) = ledger.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"{path} is no ledger: {error}") from error
    if not 1 <= schema <= SCHEMA_VERSION:
        ledger.close()
        raise BackupError(
            f"{path} is of schema {schema}, and this version knows 1 to {SCHEMA_VERSION}: use a newer one"
        )
    return ledger


def faults_of_ledger(ledger: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with a database, in its words; empty where all is well."""
    try:
        rows = [row[0] for row in ledger.execute("PRAGMA integrity_check(10)")]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [] if rows == ["ok"] else rows


def pieces(path: Path, length: int) -> Iterator[bytes]:
    """The first `length` bytes of a file; fewer where it ends."""
    with path.open("rb", buffering=0) as file:
        while length > 0 and (piece := file.read(min(PIECE, length))):
            length -= len(piece)
            yield piece


def copy(
    source: Path,
    target: Path,
    length: int,
    *,
    told: Callable[[int], None],
    fits: Callable[[Sums], bool] = lambda sums: True,
) -> Sums | None:
    """Copies the first bytes of a file under a temporary name, which becomes `target` once they are on the disk.

    None where the file is shorter, or what was read does not fit; then nothing is left, and `target` is as it was.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(target.name + UNFINISHED)
    summing, written, done = _Summing(), 0, False
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb", buffering=0) as file:
        try:
            for piece in pieces(source, length):
                summing.add(piece)
                left = memoryview(piece)
                while left:
                    left = left[file.write(left) :]
                written += len(piece)
                told(len(piece))
            sums = summing.sums()
            if written == length and fits(sums):
                os.fsync(file.fileno())
                os.replace(part, target)
                done = True
                return sums
        finally:
            if not done:
                part.unlink(missing_ok=True)
    return None


def sums_of(path: Path, lengths: list[int]) -> dict[int, Sums]:
    """What the first bytes of a file are, for each length that it has."""
    summing, read = _Summing(), 0
    found = {0: summing.sums()}
    with path.open("rb", buffering=0) as file:
        for length in sorted(lengths):
            while read < length and (piece := file.read(min(PIECE, length - read))):
                summing.add(piece)
                read += len(piece)
            if read < length:
                break
            found[length] = summing.sums()
    return found


class _Summing:
    """Bytes that come a piece at a time."""

    def __init__(self) -> None:
        self._digest, self._checksum = hashlib.sha256(), 0

    def add(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._checksum = crc32(piece, self._checksum)

    def sums(self) -> Sums:
        return Sums(self._digest.hexdigest(), self._checksum)


def sync_directory(path: Path) -> None:
    """Returns once the names in a directory are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
