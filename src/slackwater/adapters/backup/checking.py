"""Checks back-ups, and makes a data directory of one. What is restored is checked on its way: bytes that are not what was
backed up are never served."""

import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from slackwater.adapters.backup.store import (
    LEDGER,
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
)
from slackwater.adapters.disk.data_directory import RESTORING, DataDirectory
from slackwater.adapters.sql.identity import renew
from slackwater.core.errors import BackupError, DataDirectoryError

# What may be in a directory that is to be restored into: a lock of a server that never ran, and what file systems put there.
HARMLESS = frozenset({"slackwater.lock", "lost+found"})


def verify(path: Path, *, show: Show) -> list[tuple[str, Manifest | None, list[str]]]:
    """Every back-up of a store, or the one at `path`: its name, its manifest, and what is wrong with it."""
    store, names = Store.find(path)
    found: list[tuple[str, Manifest | None, list[str]]] = []
    lengths: dict[str, set[int]] = defaultdict(set)
    for name in names:
        try:
            manifest = store.manifest(name)
        except BackupError as error:
            found.append((name, None, [str(error)]))
            continue
        for blob in manifest.blobs:
            lengths[blob.key].add(blob.size)
        found.append((name, manifest, []))
    # Bytes of several back-ups are read once.
    total, done = sum(max(sizes) for sizes in lengths.values()), 0
    actual: dict[tuple[str, int], Sums] = {}
    for key, sizes in lengths.items():
        try:
            actual |= {(key, size): sums for size, sums in sums_of(store.blob(key), list(sizes)).items()}
        except (OSError, BackupError):
            pass
        show(done := done + max(sizes), total)
    for name, readable, faults in found:
        if readable is not None:
            faults += _faults_of(readable, store.backup(name) / LEDGER, actual)
    return found


def _faults_of(manifest: Manifest, ledger: Path, actual: Mapping[tuple[str, int], Sums]) -> list[str]:
    of_ledger, named = _look(manifest, ledger)
    checksums = {each.key: each.checksum for each in named if each.checksum is not None}
    faults = [f"{key} was lost before it could be backed up" for key in manifest.lost]
    for blob in manifest.blobs:
        sums = actual.get((blob.key, blob.size))
        if sums is None:
            faults.append(f"{blob.key} is missing or shorter than {blob.size:,} bytes")
        elif not _as_backed_up(blob, sums, checksums):
            faults.append(f"{blob.key} is not what was backed up (its checksum differs)")
        elif sums.checksum != checksums.get(blob.key, sums.checksum):
            faults.append(f"{blob.key} is not what was written: it was damaged before it was backed up")
    sizes = {blob.key: blob.size for blob in manifest.blobs}
    return [
        *faults,
        *of_ledger,
        *(
            f"{each.key} is named by the ledger with {each.size:,} bytes, and is not in the back-up like that"
            for each in named
            if each.size is not None and sizes.get(each.key) != each.size and each.key not in manifest.lost
        ),
    ]


def _look(manifest: Manifest, ledger: Path) -> tuple[list[str], list[Named]]:
    """What is wrong with a ledger, and what it names where it can be read."""
    try:
        sums = sums_of(ledger, [manifest.ledger.size]).get(manifest.ledger.size)
        if sums is None or sums.sha256 != manifest.ledger.sha256:
            return ["the ledger is not what was backed up (its checksum differs)"], []
        opened = open_ledger(ledger)
    except (OSError, BackupError) as error:
        return [f"the ledger cannot be read: {error}"], []
    try:
        return [f"the ledger is damaged: {fault}" for fault in faults_of_ledger(opened)], named_blobs(opened)
    finally:
        opened.close()


def _as_backed_up(blob: Blob, sums: Sums, checksums: Mapping[str, int]) -> bool:
    """Whether bytes are those of a back-up; or those that were written, which a later back-up has put in their place."""
    return sums.sha256 == blob.sha256 or sums.checksum == checksums.get(blob.key)


def restore(path: Path, data: Path, *, at: str | None, show: Show) -> tuple[str, Manifest, list[str]]:
    """Makes a data directory of a back-up, the newest one without `at`. Raises BackupError, DataDirectoryError.

    Returns its name, its manifest, and the keys of what was damaged before it was backed up.

    Until everything is there, the directory has a mark that no server starts on. The ledger comes last.
    """
    store, names = Store.find(path)
    if at is not None and at not in names:
        raise BackupError(f"{path} has no back-up {at}; it has {', '.join(names)}")
    name = at or names[-1]
    manifest = store.manifest(name)
    opened = open_ledger(store.backup(name) / LEDGER)
    try:
        checksums = {each.key: each.checksum for each in named_blobs(opened) if each.checksum is not None}
    finally:
        opened.close()
    with DataDirectory.open(data, restoring=True, in_use="stop it first, or name a new directory") as directory:
        mark = data / RESTORING
        _claim(data, mark)
        try:
            damaged = _fill(store, name, manifest, checksums, directory, show)
            mark.unlink()
            sync_directory(data)
        except OSError as error:
            raise BackupError(
                f"the restore did not end: {error.filename or data}: {error.strerror}; put that right and repeat it"
            ) from error
    return name, manifest, damaged


def _claim(data: Path, mark: Path) -> None:
    """Marks a directory that has nothing in it, or only what an earlier try has left, which goes."""
    there = [each for each in data.iterdir() if each.name not in HARMLESS]
    if there and not mark.exists():
        raise DataDirectoryError(f"{data} is not empty; name a new directory, or move away what is in it")
    mark.touch(mode=0o600)
    sync_directory(data)
    for each in there:
        if each != mark:
            shutil.rmtree(each) if each.is_dir() else each.unlink()


def _fill(
    store: Store,
    name: str,
    manifest: Manifest,
    checksums: Mapping[str, int],
    directory: DataDirectory,
    show: Show,
) -> list[str]:
    done, total = 0, sum(blob.size for blob in manifest.blobs) + manifest.ledger.size
    damaged: list[str] = []

    def told(count: int) -> None:
        nonlocal done
        show(done := done + count, total)

    def put(blob: Blob, source: Path, target: Path) -> None:
        copied = copy(source, target, blob.size, told=told)
        if copied is not None and copied.checksum != checksums.get(blob.key, copied.checksum):
            damaged.append(blob.key)
        if copied is None or not _as_backed_up(blob, copied, checksums):
            target.unlink(missing_ok=True)
            raise BackupError(
                f"{source} is not what was backed up; restore another back-up of the store with --at, "
                f"and see with 'slackwater backup --verify {store.path}' what else is wrong"
            )

    directory.blobs_path.mkdir(mode=0o700)
    for blob in manifest.blobs:
        source = store.blob(blob.key)
        target = directory.blobs_path / source.relative_to(store.path / "blobs")
        if blob.size == 0:
            # Nothing to copy, and still a file.
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.touch(mode=0o600)
            assert blob.sha256 == hashlib.sha256().hexdigest(), "no bytes have one digest"
        else:
            put(blob, source, target)
    for folder, _, _ in os.walk(directory.blobs_path):
        sync_directory(Path(folder))
    put(manifest.ledger, store.backup(name) / LEDGER, directory.ledger_path)
    # From here on it is another ledger than the one that was backed up, so that neither is taken for the other. One of a schema
    # without a mark belongs to these bytes by being the first that they have.
    restored = renew(directory.ledger_path, identity=True)
    if restored is not None:
        directory.write_mark(restored)
    sync_directory(directory.path)
    return damaged
