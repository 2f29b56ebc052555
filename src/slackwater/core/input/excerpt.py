"""Where in a line its fault lies, for people who look at it: a piece of the line, and the place in it to be marked.

Only wrong lines come here, a bounded number of a file, so a slow and careful reading does. Positions are in characters of
the piece, and may be empty: something that is missing has a place too, the object that lacks it.
"""

import json
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from slackwater.core.batch import BatchError
from slackwater.core.input.json_faults import BYTES_MAX, json_fault

TEXT_MAX = 240
# So much is shown before the fault.
BEFORE = 60
PATH_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
SPACE = re.compile(r"[ \t\r\n]*")
_decoder = json.JSONDecoder()


class Excerpt(Struct, frozen=True, kw_only=True):
    """A piece of a line. `start` and `end` mark the fault in it, where it is known."""

    text: str
    start: int | None = None
    end: int | None = None


def excerpt_of(line: bytes, error: BatchError) -> Excerpt:
    """The piece of a line that an error is about."""
    text = line[:BYTES_MAX].decode("utf-8", "replace").rstrip("\r\n")
    fault = json_fault(line)
    span = None if fault is None else (fault.start, fault.end)
    if span is None and error.param is not None:
        span = _place(text, _path(error.param))
    return _cut(text, span)


def _cut(text: str, span: tuple[int, int] | None) -> Excerpt:
    if span is None:
        return Excerpt(text=text[:TEXT_MAX])
    # Near the end of a line, more of what comes before is shown instead.
    begin = max(0, min(span[0] - BEFORE, len(text) - TEXT_MAX))
    piece = text[begin : begin + TEXT_MAX]
    start = span[0] - begin
    return Excerpt(text=piece, start=start, end=max(start, min(span[1] - begin, len(piece))))


def _path(param: str) -> list[str | int]:
    """`body.messages[0].content` in parts."""
    return [int(index) if index else name for name, index in PATH_PART.findall(param)]


def _place(text: str, path: Sequence[str | int]) -> tuple[int, int] | None:
    """Where a member lies; where it is missing, the beginning of the innermost object that lacks it."""
    start = _skip(text, 0)
    end = len(text.rstrip())
    try:
        for part in path:
            inside = _member(text, start, part)
            if inside is None:
                return start, min(start + 1, end)
            start, end = inside
    except (ValueError, IndexError, RecursionError):
        return None
    return start, end


def _member(text: str, start: int, part: str | int) -> tuple[int, int] | None:
    """Where the value of a member, or an item, begins and ends. Of several members of one name, the last counts."""
    found = None
    if isinstance(part, int):
        if text[start] == "[":
            for index, (_, begin, end) in enumerate(_items(text, start, keyed=False)):
                if index == part:
                    return begin, end
    elif text[start] == "{":
        for key, begin, end in _items(text, start, keyed=True):
            if key == part:
                found = begin, end
    return found


def _items(text: str, start: int, *, keyed: bool) -> Iterator[tuple[str, int, int]]:
    """What an object or an array holds: the key (empty in an array), where the value begins, and where it ends."""
    at = _skip(text, start + 1)
    while text[at] not in "}]":
        key = ""
        if keyed:
            key, at = _decoder.raw_decode(text, at)
            # Behind the colon.
            at = _skip(text, _skip(text, at) + 1)
        _, end = _decoder.raw_decode(text, at)
        yield key, at, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = SPACE.match(text, at)
    return at if match is None else match.end()
