"""Whether the bytes that a ledger names are there; and, where everything is to be read, whether they are what was written.

Files, parts of uploads, and the results of batches that run, wherever the ledger is. A server may take something away in between,
so whatever is missing is looked for twice.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from zlib_ng.zlib_ng import crc32

from slackwater.adapters.backup.store import Named, pieces
from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.sql.db import Row
from slackwater.config import Config
from slackwater.core.sending.checksums import packed
from slackwater.wiring.doctor.finding import Finding, fault, note, ok

Rows = Callable[[str], Sequence[Row]]
"""All rows of a query of the ledger."""
NAMED_MAX, MISSING_MAX = 5, 1000
# The first schemas that have checksums of lines, and of files.
LINES_SINCE, FILES_SINCE = 16, 20


def byte_findings(
    directory: Path, config: Config, *, schema: int, rows: Rows, named: Callable[[], Sequence[Named]], deep: bool
) -> list[Finding]:
    """What is to be said of them. `named` are those that the ledger names by now; `deep` reads all that have a checksum."""
    elsewhere = config.server.files or DataDirectory.files_of(directory)
    if elsewhere:
        return [note("files", f"those in {elsewhere} are not read: that would be paid for")] if deep else []
    found = _there(named, directory)
    return [*found, *_sound(rows, schema, directory / "blobs")] if deep else found


def _there(named: Callable[[], Sequence[Named]], directory: Path) -> list[Finding]:
    """Whether every byte is there."""
    missing: set[str] = set()
    for again in (False, True):
        looked = [each for each in named() if not again or each.key in missing]
        missing = {each.key for each in looked if _size(directory, each.key) < (each.size or 0)}
        if not missing:
            return [ok("files", "every file that the ledger names is there, with its size")]
    # A start that is refused sends people here for all of them.
    more = f" and {len(missing) - MISSING_MAX} more" if len(missing) > MISSING_MAX else ""
    some = ", ".join(sorted(missing)[:MISSING_MAX]) + more
    fix = "take them from a back-up (its directory blobs)"
    return [fault("files", f"{len(missing)} are missing or cut off: {some}", fix)]


def _size(directory: Path, key: str) -> int:
    try:
        return (directory / "blobs" / key).stat().st_size
    except OSError:
        return -1


def _sound(rows: Rows, schema: int, blobs: Path) -> list[Finding]:
    """Whether they are what was written."""
    looked, damaged = 0, set()
    for key, sound in _looked_at(rows, schema, blobs):
        looked += 1
        if not sound:
            damaged.add(key)
    if damaged:
        damaged &= {key for key, sound in _looked_at(rows, schema, blobs, only=frozenset(damaged)) if not sound}
    if not damaged:
        return [ok("bytes", f"of {looked} files, parts and segments, all are what was written")]
    some = ", ".join(sorted(damaged)[:NAMED_MAX])
    fix = "look at the disk, and take them from a back-up (its directory blobs)"
    return [fault("bytes", f"{len(damaged)} of {looked} are missing or are not what was written: {some}", fix)]


def _looked_at(
    rows: Rows, schema: int, blobs: Path, *, only: frozenset[str] | None = None
) -> Iterator[tuple[str, bool]]:
    """Each key, and whether its bytes are what was written."""
    if schema >= FILES_SINCE:
        files = rows(
            "SELECT blob, size, checksum FROM file WHERE status = 'processed' AND checksum IS NOT NULL"
            " UNION ALL SELECT blob, part.size, part.checksum FROM upload_part AS part"
            " JOIN upload ON upload.id = part.upload_id WHERE upload.ended_at IS NULL AND part.checksum IS NOT NULL"
        )
        for key, size, checksum in files:
            if only is None or key in only:
                yield key, _whole(blobs / key, size) == checksum
    if schema >= LINES_SINCE:
        segments = rows(
            "SELECT output_key, output_offset, output_length, output_checksums FROM segment WHERE output_key IS NOT NULL"
            " UNION ALL SELECT error_key, error_offset, error_length, error_checksums FROM segment WHERE error_key IS NOT NULL"
        )
        for key, offset, length, checksums in segments:
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
