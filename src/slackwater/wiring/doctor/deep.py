"""Reads every byte that has a checksum, and compares: files, parts of uploads, and the results of batches that run."""

import io
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from zlib_ng.zlib_ng import crc32

from slackwater.adapters.backup.store import pieces
from slackwater.core.sending.checksums import packed
from slackwater.wiring.doctor.finding import Finding, fault, ok

NAMED_MAX = 5
# The first schemas that have checksums of lines, and of files.
LINES_SINCE, FILES_SINCE = 16, 20


def deep_findings(ledger: sqlite3.Connection, schema: int, directory: Path) -> list[Finding]:
    """What is to be said of the bytes. One that goes while it is read, because a server runs, is not missed."""
    blobs = directory / "blobs"
    looked, damaged = 0, set()
    for key, sound in _looked_at(ledger, schema, blobs):
        looked += 1
        if not sound:
            damaged.add(key)
    # A server may have taken some of them away meanwhile.
    if damaged:
        damaged &= {key for key, sound in _looked_at(ledger, schema, blobs, only=frozenset(damaged)) if not sound}
    if not damaged:
        return [ok("bytes", f"{looked} files, parts and segments are what was written")]
    some = ", ".join(sorted(damaged)[:NAMED_MAX])
    fix = "look at the disk, and take them from a back-up (its directory blobs)"
    return [fault("bytes", f"{len(damaged)} of {looked} are missing or are not what was written: {some}", fix)]


def _looked_at(
    ledger: sqlite3.Connection, schema: int, blobs: Path, *, only: frozenset[str] | None = None
) -> Iterator[tuple[str, bool]]:
    """Each key, and whether its bytes are what was written."""
    if schema >= FILES_SINCE:
        rows = ledger.execute(
            "SELECT blob, size, checksum FROM file WHERE status = 'processed' AND checksum IS NOT NULL"
            " UNION ALL SELECT blob, part.size, part.checksum FROM upload_part AS part"
            " JOIN upload ON upload.id = part.upload_id WHERE upload.ended_at IS NULL AND part.checksum IS NOT NULL"
        ).fetchall()
        for key, size, checksum in rows:
            if only is None or key in only:
                yield key, _whole(blobs / key, size) == checksum
    if schema >= LINES_SINCE:
        rows = ledger.execute(
            "SELECT output_key, output_offset, output_length, output_checksums FROM segment WHERE output_key IS NOT NULL"
            " UNION ALL SELECT error_key, error_offset, error_length, error_checksums FROM segment WHERE error_key IS NOT NULL"
        ).fetchall()
        for key, offset, length, checksums in rows:
            if checksums and (only is None or key in only):
                yield key, _lines(blobs / key, offset, length) == checksums


def _whole(path: Path, size: int) -> int | None:
    """The checksum of a file of that size; None where it has another one, or cannot be read."""
    try:
        if path.stat().st_size != size:
            return None
        checksum = 0
        for piece in pieces(path, size):
            checksum = crc32(piece, checksum)
        return checksum
    except OSError:
        return None


def _lines(path: Path, offset: int, length: int) -> bytes:
    """The checksums of the lines of a range, as far as there are any. A segment has a few mebibytes at most."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return packed(list(map(crc32, io.BytesIO(file.read(length)))))
    except OSError:
        return b""
