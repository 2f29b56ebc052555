"""Input files on the user's disk: what their first line says, what is wrong with them, and copies with a model or ids filled in.

A copy is made line by line, and only what was asked for is different: every other value stays as it is written.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from slackwater.core.batch import BatchError
from slackwater.core.endpoints import normalised
from slackwater.core.input.excerpt import Excerpt, excerpt_of
from slackwater.core.input.line_judge import Rules
from slackwater.core.input.validation import BOM_MESSAGE, InputChecker, is_blank
from slackwater.core.input.whole_file import BOM

BYTE_ORDER_MARK = "The file begins with a byte order mark; save it as UTF-8 without one."
CHAT = "/v1/chat/completions"
READ_BYTES = 1 << 20
# What a piece of input may have at Azure and at OpenAI.
UPLOAD_BYTES_MAX = 200 << 20


class _NamedBody(Struct):
    model: str


class _Named(Struct):
    body: _NamedBody


class Fault(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a file, and the place on its line."""

    error: BatchError
    excerpt: Excerpt | None


class Checked(Struct, frozen=True, kw_only=True):
    """What a look at a whole file found. `faults` may be fewer than there are."""

    faults: list[Fault]
    fault_count: int
    requests: int
    model: str | None
    endpoint: str


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, each with its line end."""
    with path.open("rb", buffering=READ_BYTES) as file:
        yield from file


def without_mark(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file, the first without a byte order mark."""
    each = iter(lines)
    for first in each:
        yield first.removeprefix(BOM)
        break
    yield from each


def first_url(path: Path) -> str:
    """The url of the first request; validation says what is wrong where there is none, or where others differ."""

    class First(Struct):
        url: str

    for line in without_mark(lines_of(path)):
        if line.strip():
            try:
                return msgspec.json.decode(line, type=First).url
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                break
    return CHAT


def first_model(path: Path) -> str | None:
    """The model that the first request names; None where that cannot be told."""
    for line in without_mark(lines_of(path)):
        if not is_blank(line):
            try:
                return msgspec.json.decode(line, type=_Named).body.model
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                break
    return None


def check(path: Path, rules: Rules) -> Checked:
    """Checks a file as a server would, without one."""
    checker = InputChecker(rules)
    for line in lines_of(path):
        checker.feed(line)
    verdict = checker.finish()
    excerpts = _excerpts(path, verdict.errors)
    return Checked(
        faults=[Fault(error=_named(error), excerpt=excerpts.get(error.line or 0)) for error in verdict.errors],
        fault_count=verdict.error_count,
        requests=verdict.total,
        model=verdict.deployment,
        # As it was written: its spelling is what the lines were compared with.
        endpoint=rules.endpoint if normalised(rules.endpoint) == verdict.endpoint else verdict.endpoint,
    )


def _named(error: BatchError) -> BatchError:
    """Azure's words for a byte order mark do not name it."""
    if error.message != BOM_MESSAGE:
        return error
    return msgspec.structs.replace(error, message=f"{BYTE_ORDER_MARK} A server says: {error.message}")


def _excerpts(path: Path, errors: list[BatchError]) -> dict[int, Excerpt]:
    """A second reading, only where something is wrong: a good file is read once, and no line is kept."""
    wanted = {error.line: error for error in errors if error.line is not None}
    found: dict[int, Excerpt] = {}
    if wanted:
        last = max(wanted)
        for number, line in enumerate(lines_of(path), 1):
            if number in wanted:
                found[number] = excerpt_of(line, wanted[number])
            if number == last:
                break
    return found


def copy_filled(source: Path, target: Path, *, model: str | None, number: bool) -> None:
    """Writes a copy whose lines name this model, and whose lines without a custom_id have one by their number.

    A line that cannot be read is copied as it is: validation will say what is wrong with it, under the same number.
    """
    with target.open("wb", buffering=READ_BYTES) as out:
        for count, line in enumerate(without_mark(lines_of(source)), 1):
            out.write(line if is_blank(line) else _filled(line, model, f"line-{count}" if number else None))


def _filled(line: bytes, model: str | None, custom_id: str | None) -> bytes:
    try:
        fields = msgspec.json.decode(line, type=dict[str, Raw])
        if custom_id is not None and "custom_id" not in fields:
            fields = {"custom_id": Raw(msgspec.json.encode(custom_id)), **fields}
        if model is not None and "body" in fields:
            body = msgspec.json.decode(fields["body"], type=dict[str, Raw])
            body["model"] = Raw(json.dumps(model, ensure_ascii=False).encode())
            fields["body"] = Raw(msgspec.json.encode(body))
        return msgspec.json.encode(fields) + b"\n"
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return line
