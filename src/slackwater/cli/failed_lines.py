"""The failed lines of a run that has ended, sent again: they are picked out of the input, and what comes joins the answers.

What must hold: an answer that was there is there afterwards, once, whenever the process ends between two steps.
"""

import os
import shutil
from pathlib import Path

import msgspec
from msgspec import Struct

from slackwater.cli.input_files import READ_BYTES, lines_of, without_mark
from slackwater.core.errors import UserError
from slackwater.core.input.validation import is_blank

NAMED_MAX = 3


class OtherFiles(UserError):
    """The files are not those of the run whose failed lines are to be sent again."""

    code = "other_files"


class _Id(Struct):
    custom_id: str


class _Anonymous(Struct):
    custom_id: str
    response: None
    error: msgspec.Raw


_decode = msgspec.json.Decoder(_Id).decode


def copy_failed(source: Path, errors: Path, target: Path) -> int:
    """Writes those lines of the input `source` that the error file names to `target`; returns how many.

    The others become blank ones, so that a line keeps its number. The ids of the error file are held in memory. Raises
    OtherFiles, and OSError.
    """
    wanted = _ids(errors)
    found = 0
    missing = set(wanted)
    with target.open("wb", buffering=READ_BYTES) as out:
        for line in without_mark(lines_of(source)):
            custom_id = "" if is_blank(line) else _id_of(line)
            if custom_id in missing:
                missing.discard(custom_id)
                found += 1
                out.write(line if line.endswith(b"\n") else line + b"\n")
            else:
                out.write(b"\n")
        out.flush()
        os.fsync(out.fileno())
    if missing:
        named = ", ".join(sorted(missing)[:NAMED_MAX]) + (", ..." if len(missing) > NAMED_MAX else "")
        raise OtherFiles(
            f"{len(missing):,} of the requests in {errors} are not in {source} ({named}); is it the input of that run?"
        )
    return found


def _ids(errors: Path) -> set[str]:
    found = set()
    for number, line in enumerate(lines_of(errors), 1):
        if is_blank(line):
            continue
        custom_id = _id_of(line)
        if not custom_id and not is_anonymous(line):
            raise OtherFiles(f"{errors}:{number} is no line of an error file; is it the one of that run?")
        if custom_id:
            found.add(custom_id)
    return found


def is_anonymous(line: bytes) -> bool:
    """Whether a line of an error file is about one of the input that has no id, so that it cannot be found there again."""
    try:
        read = msgspec.json.decode(line, type=_Anonymous)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
    return not read.custom_id and read.response is None


def copy_anonymous(errors: Path, target: Path) -> None:
    """Adds these lines to the file `target`: nothing that is sent again can take their place."""
    with target.open("ab") as out:
        out.writelines(line for line in lines_of(errors) if not is_blank(line) and is_anonymous(line))


def _id_of(line: bytes) -> str:
    try:
        return _decode(line).custom_id
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        # What is wrong with a line of the input, validation says if it is one of the failed ones.
        return ""


def join(old: Path, old_bytes: int, new: Path | None) -> None:
    """Puts the answers in `new` behind the first `old_bytes` of the file `old`. Done twice, it is as if it were done once.

    Raises OtherFiles where `old` is not as it was, and OSError.
    """
    if new is None:
        return
    size = old.stat().st_size if old.exists() else 0
    ended = _ends_with_a_line(old, old_bytes)
    joined = old_bytes + new.stat().st_size + (not ended)
    if size == joined:
        return
    if size != old_bytes:
        raise OtherFiles(f"{old} has changed since its failed lines were sent again; their answers are in {new}")
    part = old.with_name(old.name + ".part")
    with part.open("wb", buffering=READ_BYTES) as out:
        if size:
            with old.open("rb") as before:
                shutil.copyfileobj(before, out, READ_BYTES)
        if not ended:
            out.write(b"\n")
        with new.open("rb") as more:
            shutil.copyfileobj(more, out, READ_BYTES)
        out.flush()
        os.fsync(out.fileno())
    if size:
        shutil.copymode(old, part)
    os.replace(part, old)


def _ends_with_a_line(path: Path, size: int) -> bool:
    if not size:
        return True
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) in (b"\n", b"")
