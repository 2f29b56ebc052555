"""The failed lines of a run that has ended, sent again: they are picked out of the input, and what comes joins the answers.

What must hold: an answer that was there is there afterwards, once, whenever the process ends between two steps.
"""

import os
import shutil
from pathlib import Path

import msgspec
from msgspec import Struct

from slackwater.cli.input_files import READ_BYTES, lines_of, without_mark
from slackwater.cli.run_input import left_out_line
from slackwater.core.errors import UserError
from slackwater.core.input.validation import is_blank

NAMED_MAX = 3


class OtherFiles(UserError):
    """The files are not those of the run whose failed lines are to be sent again."""

    code = "other_files"


class NothingToSend(UserError):
    """What has failed cannot be sent again as it is."""

    code = "nothing_to_send"


class _Id(Struct):
    custom_id: str


_decode = msgspec.json.Decoder(_Id).decode


def copy_failed(source: Path, errors: Path, target: Path, *, answers: Path, still_wrong: Path) -> int:
    """Writes those lines of the input `source` to `target` that have failed, or were left out; returns how many.

    The others become blank ones, so that a line keeps its number. Of an error file with lines that were left out, the input may
    have been corrected meanwhile: all goes that is not in `answers` yet. What was left out and has not been corrected (its id
    is taken) goes to the file `still_wrong`. Ids are held in memory. Raises OtherFiles, NothingToSend, and OSError.
    """
    missing, left_out = _named_in(errors)
    answered = _ids_in(answers) if left_out else set()
    found = number = 0
    with target.open("wb", buffering=READ_BYTES) as out:
        for number, line in enumerate(without_mark(lines_of(source)), 1):
            custom_id = "" if is_blank(line) else _id_of(line)
            again = custom_id in missing
            missing.discard(custom_id)
            if again or (left_out and not is_blank(line) and custom_id not in answered):
                left_out.pop(number, None)
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
    wrong = [line for place, line in left_out.items() if place <= number]
    if not found:
        raise NothingToSend(
            f"nothing was sent: the {len(wrong):,} lines that were left out have a custom_id that is answered already; give each "
            "one of its own"
        )
    with still_wrong.open("wb") as out:
        out.writelines(wrong)
    return found


def _named_in(errors: Path) -> tuple[set[str], dict[int, bytes]]:
    """The ids of requests that have failed, and the error lines of those that were never sent, by their number in the input."""
    failed: set[str] = set()
    left_out: dict[int, bytes] = {}
    for number, line in enumerate(lines_of(errors), 1):
        if is_blank(line):
            continue
        if (left := left_out_line(line)) is not None:
            left_out[left] = line
        elif custom_id := _id_of(line):
            failed.add(custom_id)
        else:
            raise OtherFiles(f"{errors}:{number} is no line of an error file; is it the one of that run?")
    return failed, left_out


def _ids_in(answers: Path) -> set[str]:
    return {_id_of(line) for line in lines_of(answers)} - {""} if answers.exists() else set()


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
