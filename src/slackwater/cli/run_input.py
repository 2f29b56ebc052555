"""What `slackwater run` makes of its input before anything is validated: standard input becomes a file, a byte order mark
goes, and lines that are wrong are left out where that was asked for.

A copy keeps the number of every line: what is left out becomes a blank one.
"""

import hashlib
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from slackwater.cli.input_files import READ_BYTES, lines_of, without_mark
from slackwater.core.input.line_judge import Rules
from slackwater.core.input.validation import InputChecker, is_blank
from slackwater.core.input.whole_file import BOM
from slackwater.core.sending.lines import LineWriter

STANDARD = Path("-")
# The ids of error lines about lines that were never sent; no shard has this.
_LEFT_OUT = LineWriter("0" * 32)


class _Id(msgspec.Struct):
    custom_id: str


@contextmanager
def spooled(given: Path) -> Iterator[tuple[Path, str | None]]:
    """The input as a file that can be read again, and the digest of what came where that is not the one that was named."""
    if given != STANDARD and stat.S_ISREG(given.stat().st_mode):
        yield given, None
        return
    with tempfile.NamedTemporaryFile(prefix="slackwater-", suffix=".jsonl") as file:
        digest = hashlib.sha256()
        with sys.stdin.buffer if given == STANDARD else given.open("rb") as source:
            _copy(source, file.file, digest)
        yield Path(file.name), digest.hexdigest()


def _copy(source: IO[bytes], target: IO[bytes], digest: "hashlib._Hash") -> None:
    while piece := source.read(READ_BYTES):
        digest.update(piece)
        target.write(piece)
    target.flush()


def begins_with_mark(path: Path) -> bool:
    """Whether a file begins with a byte order mark."""
    with path.open("rb") as file:
        return file.read(len(BOM)) == BOM


def copy_whole(source: Path, target: Path) -> None:
    """A copy without the byte order mark."""
    with source.open("rb") as data, target.open("wb") as out:
        if data.read(len(BOM)) != BOM:
            data.seek(0)
        shutil.copyfileobj(data, out, READ_BYTES)


def copy_valid(source: Path, target: Path, rules: Rules, *, left_out: Path) -> int:
    """A copy in which wrong lines are blank; each has a line in the file `left_out` that says what is wrong. Returns how many.

    A file that is something else than JSON Lines stays as it is: validation says what it is.
    """
    checker = InputChecker(msgspec.structs.replace(rules, errors_max=sys.maxsize))
    count = 0
    with target.open("wb", buffering=READ_BYTES) as out, left_out.open("wb", buffering=READ_BYTES) as errors:
        for number, line in enumerate(without_mark(lines_of(source)), 1):
            checker.feed(line)
            faults = checker.take_errors()
            if not faults:
                out.write(line)
                continue
            if checker.mistake is not None:
                break
            count += 1
            out.write(b"\n")
            for fault in faults:
                message = f"Line {number:,} was not sent: {fault.message}"
                errors.write(_LEFT_OUT.unanswered(number, id_in(line), code=fault.code, message=message))
    if checker.as_a_whole is not None:
        left_out.write_bytes(b"")
        copy_whole(source, target)
        return 0
    return count


def left_out_line(line: bytes) -> int | None:
    """The number in the input of the line that this line of an error file is about, where that one was left out."""
    return _LEFT_OUT.place_of(line)


def id_in(line: bytes) -> str:
    """The `custom_id` of a line; empty where it has none, or cannot be read."""
    try:
        return msgspec.json.decode(line, type=_Id).custom_id
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return ""


def sort_by_input(results: Path, source: Path) -> None:
    """Puts the lines of a results file into the order of the input. Ids that are not there come last, as they were.

    Holds the ids of the input in memory, and the place of each line. Done twice, it is as if it were done once.
    """
    ranks: dict[str, int] = {}
    for number, line in enumerate(without_mark(lines_of(source))):
        if not is_blank(line):
            ranks.setdefault(id_in(line), number)
    places: list[tuple[int, int, int]] = []
    at = 0
    for line in lines_of(results):
        custom_id = id_in(line)
        places.append((ranks.get(custom_id, len(ranks) + len(places)) if custom_id else sys.maxsize, at, len(line)))
        at += len(line)
    part = results.with_name(results.name + ".part")
    with results.open("rb") as data, part.open("wb", buffering=READ_BYTES) as out:
        for _, start, length in sorted(places):
            data.seek(start)
            out.write(data.read(length))
    shutil.copymode(results, part)
    part.replace(results)
