"""Checks back-ups, and makes a data directory of one. What is restored is checked on its way: bytes that are not what was
backed up are never served."""

import hashlib
import os
import shutil
from collections import defaultdict
from pathlib import Path

from slackwater.adapters.backup.store import (
    LEDGER,
    Blob,
    Manifest,
    Show,
    Store,
    copy,
    digests,
    faults_of_ledger,
    named_blobs,
    open_ledger,
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
    actual: dict[tuple[str, int], str] = {}
    for key, sizes in lengths.items():
        try:
            actual |= {(key, size): digest for size, digest in digests(store.blob(key), list(sizes)).items()}
        except (OSError, BackupError):
            pass
        show(done := done + max(sizes), total)
    for name, readable, faults in found:
        if readable is not None:
            faults += _faults_of(readable, store.backup(name) / LEDGER, actual)
    return found


def _faults_of(manifest: Manifest, ledger: Path, actual: dict[tuple[str, int], str]) -> list[str]:
    faults = []
    for blob in manifest.blobs:
        digest = actual.get((blob.key, blob.size))
        if digest is None:
            faults.append(f"{blob.key} is missing or shorter than {blob.size:,} bytes")
        elif digest != blob.sha256:
            faults.append(f"{blob.key} is not what was backed up (its checksum differs)")
    try:
        if digests(ledger, [manifest.ledger.size]).get(manifest.ledger.size) != manifest.ledger.sha256:
            return [*faults, "the ledger is not what was backed up (its checksum differs)"]
        opened = open_ledger(ledger)
    except (OSError, BackupError) as error:
        return [*faults, f"the ledger cannot be read: {error}"]
    try:
        faults += [f"the ledger is damaged: {fault}" for fault in faults_of_ledger(opened)]
        sizes = {blob.key: blob.size for blob in manifest.blobs}
        faults += [
            f"{named.key} is named by the ledger with {named.size:,} bytes, and is not in the back-up like that"
            for named in named_blobs(opened)
            if named.size is not None and sizes.get(named.key) != named.size and named.key not in manifest.lost
        ]
    finally:
        opened.close()
    return faults


def restore(path: Path, data: Path, *, at: str | None, show: Show) -> tuple[str, Manifest]:
    """Makes a data directory of a back-up, the newest one without `at`. Raises BackupError, DataDirectoryError.

    Until everything is there, the directory has a mark that no server starts on. The ledger comes last.
    """
    store, names = Store.find(path)
    if at is not None and at not in names:
        raise BackupError(f"{path} has no back-up {at}; it has {', '.join(names)}")
    name = at or names[-1]
    manifest = store.manifest(name)
    opened = open_ledger(store.backup(name) / LEDGER)
    opened.close()
    with DataDirectory.open(data, restoring=True) as directory:
        mark = data / RESTORING
        _claim(data, mark)
        try:
            _fill(store, name, manifest, directory, show)
            mark.unlink()
            sync_directory(data)
        except OSError as error:
            raise BackupError(
                f"the restore did not end: {error.filename or data}: {error.strerror}; put that right and repeat it"
            ) from error
    return name, manifest


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


def _fill(store: Store, name: str, manifest: Manifest, directory: DataDirectory, show: Show) -> None:
    done, total = 0, sum(blob.size for blob in manifest.blobs) + manifest.ledger.size

    def told(count: int) -> None:
        nonlocal done
        show(done := done + count, total)

    def put(blob: Blob, source: Path, target: Path) -> None:
        copied = copy(source, target, blob.size, told=told)
        if copied is None or copied.sha256 != blob.sha256:
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
