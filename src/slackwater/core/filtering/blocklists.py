"""Which blocklists a text trips: thousands of terms in one pass, and patterns in linear time. Pure; used by the content filter.

Terms and texts are folded the same way, so that case, width and invisible characters do not matter. A term is a whole word
where its script has words with spaces between them; in scripts that have none (Chinese, Thai) it may stand anywhere. Why
these libraries: docs/decisions/content-filter.md.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache

import re2
from daachorse import CharwiseDoubleArrayAhoCorasick

from slackwater.core.filtering.content_filter import Blocklist
from slackwater.core.normal_form import nfkc

# Between the texts of one request: neither a letter nor white space, so that no term reaches from one into the next.
SEPARATOR = "\0"
# What a reader never sees and a writer may hide in the middle of a word; Unicode calls these default ignorable.
_INVISIBLE = (
    *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
    *(*range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)),
    *(*range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B)),
    *range(0xE0000, 0xE01F0),
)
_invisible = re.compile(f"[{''.join(map(chr, _INVISIBLE))}]+")
_spaces = re.compile(" {2,}")
# Scripts whose words follow each other without spaces, or (Hangul) with endings written onto them.
_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\u2e80-\ua4cf\ua960-\ua9df\uaa60-\uaa7f"
    "\uac00-\ud7ff\uf900-\ufaff\U00016fe0-\U00018d8f\U0001aff0-\U0001b2ff\U0001f200-\U0001f2ff\U00020000-\U0003ffff]"
).match


def fold(text: str) -> str:
    """The text without what a reader would not call a difference: case, width, invisible characters, runs of white space."""
    return _spaced(_cased(_visible(text)))


def _cased(text: str) -> str:
    return text.lower() if text.isascii() else nfkc(text).casefold()


def _spaced(text: str) -> str:
    text = text.replace("\n", " ").replace("\t", " ").replace("\r", " ")
    # Most texts have no double space, and asking is cheaper than replacing.
    return _spaces.sub(" ", text) if "  " in text else text


def _visible(text: str) -> str:
    return text if text.isascii() else _invisible.sub("", text)


@lru_cache(maxsize=4096)
def _of_a_word(character: str) -> bool:
    """Whether a character is part of a word that has an end: a letter, its mark or a digit of a script with spaces."""
    return unicodedata.category(character)[0] in "LMN" and not _UNSPACED(character)


def _ends_at(text: str, place: int) -> bool:
    """Whether no word goes on across a place in the text."""
    if place in (0, len(text)):
        return True
    return not (_of_a_word(text[place - 1]) and _of_a_word(text[place]))


def searcher(pattern: str) -> Callable[[str], bool]:
    """Says whether a text has the pattern in it, in time linear to the text. Raises ValueError, saying why it is none."""
    options = re2.Options()
    # RE2 would write the pattern to standard error.
    options.log_errors = False
    try:
        search = re2.compile(pattern, options).search  # type: ignore[no-untyped-call]
    except re2.error as error:
        reason = error.args[0] if error.args else "it is not a regular expression"
        raise ValueError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)) from error
    return lambda text: search(text) is not None


class Blocklists:
    """The lists of one policy, looked for together."""

    def __init__(self, lists: Sequence[Blocklist]) -> None:
        """Raises ValueError for a pattern that is none."""
        self.lists = tuple(lists)
        owners: dict[str, set[int]] = {}
        for number, blocklist in enumerate(lists):
            for term in blocklist.terms:
                if folded := fold(term).strip():
                    owners.setdefault(folded, set()).add(number)
        self._owners = list(owners.values())
        self._terms = len(owners)
        self._phrases = any(" " in term for term in owners)
        self._find: Callable[[str], list[tuple[int, int, int]]] | None = None
        if owners:
            # Invisible characters are looked for in the same pass; a text that has some is looked through again without.
            # The corpus says which characters are to lie close together in memory.
            words = [*owners, *map(chr, _INVISIBLE)]
            self._find = CharwiseDoubleArrayAhoCorasick(words, corpus=[*owners]).find_overlapping
        self._patterns = [
            (number, searcher(pattern)) for number, blocklist in enumerate(lists) for pattern in blocklist.patterns
        ]

    def tripped(self, texts: Sequence[str]) -> list[Blocklist]:
        """The lists that have a term or a pattern found in one of the texts, in the order of the policy."""
        found: set[int] = set()
        if self._find is not None:
            joined = SEPARATOR.join(texts)
            text = _spaced(_cased(joined)) if self._phrases else _cased(joined)
            matches = self._find(text)
            if matches and any(term >= self._terms for _, _, term in matches):
                text = fold(joined)
                matches = self._find(text)
            for start, end, term in matches:
                if not self._owners[term] <= found and _ends_at(text, start) and _ends_at(text, end):
                    found |= self._owners[term]
        for number, found_in in self._patterns:
            if number not in found and any(found_in(nfkc(text)) for text in texts):
                found.add(number)
        return [self.lists[number] for number in sorted(found)]
