"""Counts the tokens of short texts right here: without an encoder, which takes a hundred times longer to build than a few
lines take to count.

What it says is what the encoder says. Texts are split by tiktoken's own pattern, of which `re` has all but the classes of
Unicode: so it runs over the shape of a text, in which each character that is not ASCII has been replaced by one that stands
for its category. Words that are no token are put together of their bytes as everywhere, pair by pair of the lowest rank; the
counts of words are kept, because texts that come together have most of them in common.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache

from slackwater.adapters.work.vocabulary import Vocabulary
from slackwater.core.input.tokens import TooManyWords

# Words whose counts are kept, and how long they are at most: about two megabytes.
KEPT_WORDS = 16_384
KEPT_BYTES = 64
# Steps between two turns of whoever else wants one: about a millisecond. A word whose count is kept is one.
STEPS_AT_ONCE = 2_000
# And in all of what is counted at once: a tenth of a second. An encoder is built by then.
STEPS_MAX = 200_000
# Of which one look for a token is so many.
LOOK = 10
# Bytes of a word that is no token: the work grows with the square of it.
WORD_MAX = 160

# What stands for the categories of Unicode, outside of ASCII, in the shape of a text.
SHAPES = {"Lu": "\ue000", "Ll": "\ue001", "Lt": "\ue002", "Lm": "\ue003", "Lo": "\ue004"}
MARK, NUMBER, SPACE, OTHER = "\ue005", "\ue006", "\ue007", "\ue008"
SPACES = r"\s"
CLASSES = {
    r"\p{Lu}": "A-Z\ue000",
    r"\p{Ll}": "a-z\ue001",
    r"\p{Lt}": "\ue002",
    r"\p{Lm}": "\ue003",
    r"\p{Lo}": "\ue004",
    r"\p{L}": "A-Za-z\ue000-\ue004",
    r"\p{M}": MARK,
    r"\p{N}": f"0-9{NUMBER}",
    SPACES: rf" \t\n\x0b\x0c\r{SPACE}",
}
# Half of the only pair of an ASCII letter in the patterns and a letter elsewhere that are one without regard to case.
LONG_S = "\u017f"


class QuickCounter:
    """Counts for one encoding, as tiktoken does. It takes a few megabytes once it has been asked."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._vocabulary: Vocabulary | None = None
        self._pattern: re.Pattern[str] | None = None
        self._kept: dict[str, int] = {}
        self._steps = 0

    @property
    def ready(self) -> bool:
        """Whether it has been opened."""
        return self._vocabulary is not None

    def open(self) -> None:
        """Reads the vocabulary: some tens of milliseconds. May be repeated."""
        if self._vocabulary is None:
            vocabulary = Vocabulary(self._encoding)
            self._pattern = _pattern(vocabulary.pattern)
            self._vocabulary = vocabulary

    def counting(self, texts: Sequence[str]) -> Iterator[int | None]:
        """How many tokens each text has, and None wherever somebody else may have a turn. Raises TooManyWords."""
        assert self._pattern is not None, "it has been opened"
        left = STEPS_MAX
        self._steps = 0
        for text in texts:
            clean, shape = _shaped(text)
            tokens = 0
            for found in self._pattern.finditer(shape):
                word = clean[found.start() : found.end()]
                kept = self._kept.get(word)
                tokens += self._count(word) if kept is None else kept
                self._steps += 1
                if self._steps >= STEPS_AT_ONCE:
                    left -= self._steps
                    if left < 0:
                        raise TooManyWords
                    self._steps = 0
                    yield None
            yield tokens

    def _count(self, word: str) -> int:
        data = word.encode()
        tokens = 1 if self._rank(data) is not None else self._merged(data)
        if len(data) <= KEPT_BYTES:
            if len(self._kept) >= KEPT_WORDS:
                self._kept.clear()
            self._kept[word] = tokens
        return tokens

    def _rank(self, token: bytes) -> int | None:
        assert self._vocabulary is not None, "it has been opened"
        self._steps += LOOK
        return self._vocabulary.rank(token)

    def _merged(self, word: bytes) -> int:
        """Of how many tokens a word is made: the pair of neighbours that is the lowest token becomes one, as long as any is."""
        if len(word) > WORD_MAX:
            raise TooManyWords
        rank = self._rank
        parts = [word[start : start + 1] for start in range(len(word))]
        pairs = [rank(first + second) for first, second in zip(parts, parts[1:], strict=False)]
        while any_left := [(each, place) for place, each in enumerate(pairs) if each is not None]:
            _, place = min(any_left)
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
            del pairs[place]
            if place:
                pairs[place - 1] = rank(parts[place - 1] + parts[place])
            if place < len(pairs):
                pairs[place] = rank(parts[place] + parts[place + 1])
        return len(parts)


def _shaped(text: str) -> tuple[str, str]:
    """The text as it is counted, and its shape, which is as long."""
    if text.isascii():
        return text, text
    clean = text.encode("utf-8", "replace").decode()
    if LONG_S in clean:
        raise TooManyWords
    return clean, clean.translate({ord(each): _shape(each) for each in set(clean) if each > "\x7f"})


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    """A pattern of tiktoken's, for shapes."""
    written: list[str] = []
    inside = False
    for piece in re.split(r"(\\\w(?:\{\w+\})?|[\[\]$])", pattern):
        if piece in "[]" and piece:
            inside = piece == "["
        if piece in CLASSES:
            piece = CLASSES[piece] if inside else f"[{CLASSES[piece]}]"
        elif piece == r"\S":
            piece = f"[^{CLASSES[SPACES]}]"
        elif piece == "$":
            # Python's also matches before a last line end.
            piece = r"\Z"
        written.append(piece)
    return re.compile("".join(written), re.ASCII)


def _shape(character: str) -> str:
    """What stands for a character that is not ASCII. Raises TooManyWords for one that this Python does not know."""
    if character.isspace():
        return SPACE
    category = unicodedata.category(character)
    if category == "Cn":
        raise TooManyWords
    if category in SHAPES:
        return SHAPES[category]
    return {"M": MARK, "N": NUMBER}.get(category[0], OTHER)
