"""Makes a back-up of a data directory, also while a server works on it.

First the ledger, with SQLite's own online copy: one state between two transactions. Then the bytes that this ledger names.
They are durable before any row names them, files never change, and a log only grows behind what is named; so what is copied
later is still what the ledger meant. What can happen in between is that something goes: a file is deleted, a batch ends and
its logs go. Then a newer ledger is taken, which names it no more, and only what is new is copied. Each round is shorter than
the one before, and the back-up is of the moment of the last one. What two ledgers in a row name and nobody has is lost.
"""

import datetime
import os
import shutil
import sqlite3
from pathlib import Path

import msgspec
from msgspec import Struct

from slackwater import __version__
from slackwater.adapters.backup.store import (
    LEDGER,
    MANIFEST,
    UNFINISHED,
    Blob,
    Manifest,
    Named,
    Show,
    Store,
    Sums,
    copy,
    faults_of_ledger,
    named_blobs,
    open_ledger,
    sums_of,
    sync_directory,
    without_secrets,
)
from slackwater.adapters.disk.data_directory import DataDirectory, refuse_gone
from slackwater.adapters.sql.identity import damaged, is_damage, refuse_others
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.core.errors import BackupError, DataDirectoryError

# The second round takes seconds after hours of the first; more rounds than this mean that something else is wrong.
ROUNDS_MAX = 20


class Made(Struct, frozen=True, kw_only=True):
    """What has been made."""

    path: Path
    blobs: int
    bytes: int
    """Of everything that belongs to it."""
    copied: int
    """Bytes that were not in the store before."""
    lost: list[str]
    """What the ledger names and nobody has."""
    damaged: list[str]
    """What is not what was written, neither in the data directory nor in the store."""
    removed: int
    """Older back-ups that were taken away."""


def make_backup(data: Path, output: Path, *, now: float, keep: int, show: Show) -> Made:
    """A back-up of `data` in the store at `output`; with `keep`, only so many stay. Raises BackupError, DataDirectoryError."""
    source = _source(data)
    try:
        if output.resolve().is_relative_to(data.resolve()):
            raise BackupError(f"{output} is inside the data directory; name another place, best on another disk")
        with Store.make(output) as store:
            try:
                return _Making(store, data, show).make(source, now=now, keep=keep)
            except OSError as error:
                raise BackupError(f"the back-up did not end: {error.filename or output}: {error.strerror}") from error
    finally:
        source.close()


def _source(data: Path) -> sqlite3.Connection:
    path = DataDirectory.ledger_in(data)
    refuse_gone(data)
    if not path.exists():
        raise DataDirectoryError(f"there is no {path}; name the data directory of a server with --data")
    source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        source.execute("PRAGMA busy_timeout = 10000")
        (schema,) = source.execute("PRAGMA user_version").fetchone()
        refuse_others(source, path, schema)
    except sqlite3.Error as error:
        source.close()
        if is_damage(error):
            raise damaged(path, error) from error
        raise DataDirectoryError(f"{path} cannot be read: {error}") from error
    # An older one is welcome: before an upgrade is when a back-up is wanted most.
    if not 1 <= schema <= SCHEMA_VERSION:
        source.close()
        raise DataDirectoryError(
            f"{path} is of schema {schema}, and this version knows 1 to {SCHEMA_VERSION}: "
            "back it up with the version that serves it"
        )
    return source


class _Making:
    """One back-up on its way."""

    def __init__(self, store: Store, data: Path, show: Show) -> None:
        self._store = store
        self._data = data
        self._blobs = data / "blobs"
        self._show = show
        self._done = self._total = self._copied = 0
        # What earlier back-ups know of the bytes in the store.
        self._known: dict[tuple[str, int], str] = {}
        # What this one has read, so that no round reads it again; and what of it is not what was written.
        self._read: dict[tuple[str, int], Blob] = {}
        self._damaged: set[str] = set()
        self._keys_left_out: list[str] = []
        for name in store.names():
            self._known |= {(blob.key, blob.size): blob.sha256 for blob in store.manifest(name).blobs}

    def make(self, source: sqlite3.Connection, *, now: float, keep: int) -> Made:
        for left in (self._store.path / "backups").glob("*" + UNFINISHED):
            shutil.rmtree(left)
        name = self._free_name(now)
        unfinished = self._store.backup(name + UNFINISHED)
        unfinished.mkdir(mode=0o700)
        missing: set[str] | None = None
        for _ in range(ROUNDS_MAX):
            named = self._snapshot(source, unfinished / LEDGER)
            copied = [(each.key, self._copy(each)) for each in named]
            missing_before, missing = missing, {key for key, blob in copied if blob is None}
            if missing <= (missing_before or set()):
                break
        else:
            raise BackupError("files went away faster than they could be copied; try again at a quieter time")
        ledger = unfinished / LEDGER
        opened = open_ledger(ledger)
        faults, (schema,) = faults_of_ledger(opened), opened.execute("PRAGMA user_version").fetchone()
        opened.close()
        if faults:
            raise BackupError(f"the ledger is damaged, and so would be its back-up: {'; '.join(faults)}")
        manifest = Manifest(
            made_at=int(now),
            made_by=__version__,
            schema=schema,
            ledger=Blob(LEDGER, size := ledger.stat().st_size, sums_of(ledger, [size])[size].sha256),
            blobs=[blob for _, blob in copied if blob is not None],
            lost=sorted(missing & {each.key for each in named if each.size is not None}),
            keys_left_out=self._keys_left_out,
        )
        self._finish(manifest, unfinished, name)
        removed = self._prune(keep)
        return Made(
            path=self._store.backup(name),
            blobs=len(manifest.blobs),
            bytes=manifest.ledger.size + sum(blob.size for blob in manifest.blobs),
            copied=self._copied + manifest.ledger.size,
            lost=manifest.lost,
            damaged=sorted(self._damaged & {each.key for each in named}),
            removed=removed,
        )

    def _free_name(self, now: float) -> str:
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        taken, number, name = set(self._store.names()), 1, moment
        while name in taken:
            name = f"{moment}-{(number := number + 1)}"
        return name

    def _snapshot(self, source: sqlite3.Connection, target: Path) -> list[Named]:
        """Copies the ledger in one step, as it is between two transactions, and says what it names. Nobody waits for it."""
        target.unlink(missing_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        copied = sqlite3.connect(target)
        try:
            source.backup(copied)
            # One file, with nothing next to it. The server that it is restored for sets the mode again.
            copied.execute("PRAGMA journal_mode = DELETE")
            self._keys_left_out = without_secrets(copied)
            named = named_blobs(copied)
        except sqlite3.Error as error:
            if is_damage(error):
                raise damaged(DataDirectory.ledger_in(self._data), error) from error
            raise BackupError(f"the ledger cannot be copied: {error}") from error
        finally:
            copied.close()
        self._done, self._total = 0, sum(each.size or 0 for each in named)
        return named

    def _copy(self, named: Named) -> Blob | None:
        """Brings one blob into the store, where it is not yet as it should be. None where nobody has it."""
        source, target = self._blobs / named.key, self._store.blob(named.key)
        here = target.stat().st_size if target.exists() else -1
        size = named.size
        try:
            if size is None:
                size = here if here >= 0 else source.stat().st_size
            if (read := self._read.get((named.key, size))) is not None:
                self._tell(size)
                return read
            if here == size or (named.grows and here > size):
                sums = self._kept(named, size, source, target)
            else:
                done = self._done
                copied = copy(source, target, size, told=self._tell)
                if copied is None:
                    self._done = done
                    return None
                sums = copied
                self._copied += size
        except FileNotFoundError:
            return None
        if not self._sound(named, size, sums):
            self._damaged.add(named.key)
        blob = self._read[named.key, size] = Blob(named.key, size, sums.sha256)
        return blob

    def _kept(self, named: Named, size: int, source: Path, target: Path) -> Sums:
        """What the store has already. Where that is not what was written any more, it is copied again if the source is better."""
        sums = sums_of(target, [size])[size]
        self._tell(size)
        # Of a log the store may have more, which belongs to another back-up.
        if self._sound(named, size, sums) or target.stat().st_size > size:
            return sums
        try:
            better = copy(
                source, target, size, told=lambda count: None, fits=lambda read: self._sound(named, size, read)
            )
        except FileNotFoundError:
            better = None
        if better is None:
            return sums
        self._copied += size
        return better

    def _sound(self, named: Named, size: int, sums: Sums) -> bool:
        """Whether bytes are those that were written, or, where no ledger says which those were, what was backed up earlier."""
        if named.checksum is not None:
            return sums.checksum == named.checksum
        return self._known.get((named.key, size), sums.sha256) == sums.sha256

    def _tell(self, count: int) -> None:
        self._done += count
        self._show(self._done, max(self._total, self._done))

    def _finish(self, manifest: Manifest, unfinished: Path, name: str) -> None:
        """Everything on the disk first, then the name that makes it a back-up."""
        written = unfinished / MANIFEST
        with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(manifest))
            file.flush()
            os.fsync(file.fileno())
        with (unfinished / LEDGER).open("rb") as file:
            os.fsync(file.fileno())
        for directory, _, _ in os.walk(self._store.path / "blobs"):
            sync_directory(Path(directory))
        sync_directory(unfinished)
        os.replace(unfinished, self._store.backup(name))
        sync_directory(self._store.path / "backups")
        sync_directory(self._store.path)

    def _prune(self, keep: int) -> int:
        """Takes the oldest back-ups away, then the bytes that none names. Dying in between leaves only bytes.

        There are some also where all back-ups stay: those of files that went while they were copied.
        """
        names = self._store.names()
        gone = names[:-keep] if keep else []
        for name in gone:
            path = self._store.backup(name)
            # First the name: half a back-up must not look like one.
            os.replace(path, left := path.with_name(name + UNFINISHED))
            shutil.rmtree(left)
        used = {blob.key for name in names[len(gone) :] for blob in self._store.manifest(name).blobs}
        root = self._store.path / "blobs"
        for directory, _, files in os.walk(root, topdown=False):
            for file in files:
                path = Path(directory, file)
                if path.relative_to(root).as_posix() not in used:
                    path.unlink()
            if Path(directory) != root and not os.listdir(directory):
                os.rmdir(directory)
        return len(gone)
