"""How many enqueued tokens a file weighs: counted exactly on a sample of its lines, and scaled by bytes for the rest.

What counts is what a model reads of a request: the text of messages, prompts, inputs, queries and documents, and tool
definitions roughly. JSON syntax, keys and base64 do not; an image has a fixed weight for its detail. A file of at most 768 lines
and 768 KiB of text is counted exactly. For larger ones, 95 of 100 estimates were within 2.6 % of the exact count on English prose
and code, and within 3.5 % on ten scripts mixed (docs/decisions/tokenizer.md); files whose lines are less alike, such as images
beside text, do worse.
"""

import heapq
import re
from collections.abc import Iterator, Sequence
from itertools import compress, repeat
from typing import Any, Protocol

import msgspec

from slackwater.core.input.payloads import IMAGE_PARTS

# Lines in a sample. The error falls with the square root of this, the time grows with it.
SAMPLE_LINES = 768
# Stirred into the marks of lines.
SEED = 0x5EED
# Bytes of lines that a sample holds; where they are longer, it holds excerpts.
HELD_BYTES_MAX = 4 << 20
# Bytes of text that are counted; takes a tokenizer less than a tenth of a second.
TEXT_BYTES_MAX = 768 << 10
# Lines above this size are searched for base64, which is not text.
LONG_LINE_BYTES = 16 << 10
SOURCE = re.compile(rb'"data"\s*:\s*"([A-Za-z0-9+/=]{64,})"')
# What an image of 1024 x 1024 at high detail weighs with the GPT-4o family; the dearest common case. At low detail, any.
IMAGE_TOKENS = 765
LOW_IMAGE_TOKENS = 85
# What the chat format adds around each message.
MESSAGE_TOKENS = 4
# Bytes of a line per token where no tokenizer counts; on English and code within 10 % or so, on other scripts not.
BYTES_PER_TOKEN = 4

# The keys of a body that a model reads, and the keys of messages and parts in which text may lie.
BODY_KEYS = (
    *("messages", "input", "prompt", "instructions", "system", "query", "documents"),
    *("text_1", "text_2", "queries", "items", "data_1", "data_2", "images", "input_reference"),
)
TOOL_KEYS = ("tools", "functions", "response_format", "text")
PART_KEYS = ("content", "text", "refusal", "name", "arguments", "output", "function", "tool_calls")


class TokenCounter(Protocol):
    """Counts the tokens of texts, exactly, in some encoding. Picklable, so that it can go to an Offload."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has. All texts of a sample come in one call."""
        ...


class TooManyWords(Exception):
    """These texts are not to be counted by a QuickCounter: there is too much in them, or something that it does not know."""


class QuickCounter(Protocol):
    """Counts the tokens of short texts, exactly, in some encoding, where everybody else waits meanwhile."""

    @property
    def ready(self) -> bool:
        """Whether it has been opened."""
        ...

    def open(self) -> None:
        """Gets ready to count; may take some tens of milliseconds the first time."""
        ...

    def counting(self, texts: Sequence[str]) -> Iterator[int | None]:
        """How many tokens each text has, and None wherever somebody else may have a turn. Raises TooManyWords."""
        ...


class _Reading:
    """What a model reads of one request: texts, and a weight in tokens for what is no text.

    `scale` is how many times longer the text was before it was cut to an excerpt.
    """

    __slots__ = ("fixed", "scale", "texts")

    def __init__(self, line: bytes) -> None:
        self.texts: list[str] = []
        self.fixed = 0
        self.scale = 1.0
        try:
            self._read(line)
        except (msgspec.ValidationError, RecursionError):
            # Valid JSON that Python has no value for: a number without bounds, or nesting without end. An engine may read it.
            self.texts, self.fixed = [line.decode()], 0

    def _read(self, line: bytes) -> None:
        body = msgspec.json.decode(line)["body"]
        for key in BODY_KEYS:
            if key in body:
                self.fixed += _collect(body[key], self.texts)
        # A tool or schema is rendered for the model in some form of its own; its JSON is about as long.
        self.texts.extend(msgspec.json.encode(body[key]).decode() for key in TOOL_KEYS if key in body)

    def cut(self, place: int, bytes_max: int) -> None:
        """Keeps an excerpt of about `bytes_max` bytes of UTF-8, from anywhere: texts often begin alike."""
        whole = "".join(self.texts)
        size = _utf8_bytes(whole)
        if size <= bytes_max:
            return
        length = max(1, len(whole) * bytes_max // size)
        start = _mark(place, salt=bytes_max) % (len(whole) - length + 1)
        self.texts = [whole[start : start + length]]
        self.scale *= len(whole) / length

    def size(self) -> int:
        """Bytes of its texts in UTF-8."""
        return sum(map(_utf8_bytes, self.texts))


class TokenSample:
    """A sample of a file's lines, of bounded memory: those with the lowest hashes of their place in the file.

    Every line has the same chance, no rhythm in the file can hide from it, and the same file always gives the same sample.
    """

    def __init__(self) -> None:
        self._bytes = 0
        self._lines = 0
        # A heap with the highest mark on top: (-mark, place, bytes that count of the line, the line or what is read of it).
        self._held: list[tuple[int, int, int, bytes | _Reading]] = []
        self._held_bytes = 0
        self._line_bytes_max = HELD_BYTES_MAX
        self._mark_max = -1

    def offer(self, line: bytes) -> None:
        """Shows the next valid line of the file."""
        place = self._lines
        self._lines = place + 1
        size = len(line) if len(line) <= LONG_LINE_BYTES else len(line) - base64_bytes(line)
        self._bytes += size
        # The hash of a tuple of integers is a good mixer, is the same in every process, and costs next to nothing.
        mark = hash((place, SEED))
        if self._lines <= SAMPLE_LINES:
            self._hold(heapq.heappush, mark, place, size, line)
        elif mark < self._mark_max:
            self._held_bytes -= _held_size(self._held[0][3])
            self._hold(heapq.heapreplace, mark, place, size, line)

    def offer_all(self, lines: Sequence[bytes]) -> None:
        """Shows the next valid lines of the file."""
        if self._lines < SAMPLE_LINES or max(map(len, lines), default=0) > LONG_LINE_BYTES:
            for line in lines:
                self.offer(line)
            return
        # Of a long file hardly any is held, so most is done for all at once.
        first = self._lines
        places = range(first, first + len(lines))
        self._lines += len(lines)
        self._bytes += sum(map(len, lines))
        marks = list(map(hash, zip(places, repeat(SEED))))
        below = map(self._mark_max.__gt__, marks)
        for place in compress(places, below):
            # Each that is held lowers the bar for those after it.
            if (mark := marks[place - first]) < self._mark_max:
                line = lines[place - first]
                self._held_bytes -= _held_size(self._held[0][3])
                self._hold(heapq.heapreplace, mark, place, len(line), line)

    def _hold(self, put: Any, mark: int, place: int, size: int, line: bytes) -> None:
        held = self._shortened(place, line)
        put(self._held, (-mark, place, size, held))
        self._held_bytes += _held_size(held)
        self._mark_max = -self._held[0][0]
        while self._held_bytes > HELD_BYTES_MAX:
            self._line_bytes_max //= 2
            self._held = [(key, at, weight, self._shortened(at, it)) for key, at, weight, it in self._held]
            self._held_bytes = sum(_held_size(entry[3]) for entry in self._held)

    def _shortened(self, place: int, held: bytes | _Reading) -> bytes | _Reading:
        if _held_size(held) <= self._line_bytes_max:
            return held
        reading = _Reading(held) if isinstance(held, bytes) else held
        reading.cut(place, self._line_bytes_max)
        return reading

    def tokens(self, counter: TokenCounter | None) -> int:
        """The tokens of the whole file, at least 1. Without a counter, by bytes alone."""
        if counter is None or not self._held:
            return self.by_bytes()
        weighing = self.weighing()
        return weighing.tokens(counter.count(weighing.texts))

    def by_bytes(self) -> int:
        """About how many tokens the file has, by its bytes alone."""
        return max(1, self._bytes // BYTES_PER_TOKEN)

    def weighing(self) -> "Weighing":
        """What is to be counted of it."""
        readings = [(place, _Reading(held) if isinstance(held, bytes) else held) for _, place, _, held in self._held]
        if sum(reading.size() for _, reading in readings) > TEXT_BYTES_MAX:
            for place, reading in readings:
                reading.cut(place, TEXT_BYTES_MAX // len(readings))
        scale = 1.0
        if len(self._held) < self._lines:
            scale = self._bytes / sum(entry[2] for entry in self._held)
        return Weighing([reading for _, reading in readings], scale)


class Weighing:
    """The texts of a sample, and what the file weighs once they are counted."""

    def __init__(self, readings: Sequence[_Reading], scale: float) -> None:
        self._readings = readings
        self._scale = scale
        self.texts = [text for reading in readings for text in reading.texts]

    def tokens(self, counts: Sequence[int]) -> int:
        """The tokens of the whole file, at least 1."""
        left = iter(counts)
        weight = sum(each.fixed + each.scale * sum(next(left) for _ in each.texts) for each in self._readings)
        return max(1, round(weight * self._scale))


def characters_as_tokens(line: bytes) -> int:
    """About how many tokens a line has, by the number of characters alone."""
    reading = _Reading(line)
    return reading.fixed + sum(map(len, reading.texts)) // BYTES_PER_TOKEN


def base64_bytes(line: bytes) -> int:
    """How much of a line is base64 of pictures."""
    # Anthropic has it apart from its type.
    found = sum(len(piece) for piece in SOURCE.findall(line)) if b'"base64"' in line else 0
    position = line.find(b";base64,")
    while position >= 0:
        end = line.find(b'"', position)
        if end < 0:
            break
        found += end - position
        position = line.find(b";base64,", end)
    return found


def _utf8_bytes(text: str) -> int:
    # The copy that encoding makes is spared where it can be: a text may be as large as the file.
    return len(text) if text.isascii() else len(text.encode())


def _mark(place: int, *, salt: int) -> int:
    return hash((place, salt)) & 0xFFFFFFFF


def _held_size(held: bytes | _Reading) -> int:
    return len(held) if isinstance(held, bytes) else held.size()


def _collect(value: Any, texts: list[str]) -> int:
    """Adds the texts in a value of `messages`, `input` or `prompt` to the list; returns what it weighs besides them."""
    if isinstance(value, str):
        texts.append(value)
        return 0
    if isinstance(value, int):
        # Inputs may be given as token ids.
        return 1
    if isinstance(value, list):
        return sum(_collect(part, texts) for part in value)
    if not isinstance(value, dict):
        return 0
    if value.get("image_url") is not None or value.get("type") in IMAGE_PARTS:
        return _image_tokens(value)
    weight = MESSAGE_TOKENS if "role" in value else 0
    return weight + sum(_collect(value[key], texts) for key in PART_KEYS if key in value)


def _image_tokens(part: dict[str, Any]) -> int:
    """What an image weighs. Chat says its detail beside the url, responses one level higher."""
    image = part.get("image_url")
    detail = image.get("detail") if isinstance(image, dict) else part.get("detail")
    return LOW_IMAGE_TOKENS if detail == "low" else IMAGE_TOKENS


def shares(tokens: int, lengths: Sequence[int]) -> Iterator[int]:
    """Splits tokens in proportion to lengths; the parts add up to the whole."""
    whole = sum(lengths)
    end = given = 0
    for length in lengths:
        end += length
        share = tokens * end // whole - given
        given += share
        yield share
