"""Looks through whole lines for a text, within bounds. Runs in an Offload, a piece at a time."""

import time
from collections.abc import Collection
from enum import StrEnum
from pickle import PickleBuffer

from msgspec import Struct

from slackwater.core.watching.line_texts import id_and_texts_answered, id_and_texts_asked
from slackwater.core.watching.text_search import Excerpt, Needle

# Between two looks at the clock.
LINES = 32


class Place(StrEnum):
    """Where a text is looked for."""

    CUSTOM_ID = "custom_id"
    ANSWER = "answer"
    PROMPT = "prompt"


class Hit(Struct, frozen=True):
    """A line that has it."""

    line: int
    """Its number in the piece, from 0."""
    custom_id: str
    place: Place
    excerpt: Excerpt


class Looked(Struct, frozen=True):
    """What was found, and how much was looked through: at least one line."""

    hits: list[Hit]
    lines: int
    bytes: int


def look_through(
    piece: bytes | PickleBuffer, needle: Needle, places: frozenset[Place], hits_max: int, lines_max: int, seconds: float
) -> Looked:
    """Whole lines of a file of results, or (only `prompt` in places) of an input file."""
    until = time.monotonic() + seconds
    data = bytes(piece)
    hits: list[Hit] = []
    begin = number = 0
    while begin < len(data):
        end = data.find(b"\n", begin)
        line = data[begin:end]
        if needle.may_be_in(line) and (hit := _hit(number, line, needle, places)) is not None:
            hits.append(hit)
        number, begin = number + 1, end + 1
        if len(hits) >= hits_max or number >= lines_max or (number % LINES == 0 and time.monotonic() > until):
            break
    return Looked(hits, number, begin)


def _hit(number: int, line: bytes, needle: Needle, places: frozenset[Place]) -> Hit | None:
    if Place.PROMPT in places:
        custom_id, texts = id_and_texts_asked(line)
        found = needle.find_in(texts)
        return None if found is None else Hit(number, custom_id, Place.PROMPT, found)
    custom_id, texts = id_and_texts_answered(line)
    if Place.CUSTOM_ID in places and (found := needle.find_in([custom_id])) is not None:
        return Hit(number, custom_id, Place.CUSTOM_ID, found)
    if Place.ANSWER in places and (found := needle.find_in(texts)) is not None:
        return Hit(number, custom_id, Place.ANSWER, found)
    return None


def is_found_in(line: bytes, needle: Needle, places: Collection[Place]) -> bool:
    """Whether a line of results has a text in its id or its answer, as far as these are wanted."""
    return _hit(0, line, needle, frozenset(places) - {Place.PROMPT}) is not None
