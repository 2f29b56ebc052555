"""Looks for a text in prompts and answers: in any case, and in any normal form of Unicode.

What is looked for is compared as NFKC without case, so that composed and decomposed letters, ligatures and wide letters are the
same. It is a text and no pattern. Most lines are passed over by their bytes; only what may have the text is read as JSON.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Self
from unicodedata import combining

from msgspec import Struct

from slackwater.core.normal_form import nfkc

AROUND = 80
"""Characters that an excerpt has on either side of what was found."""
FOUND_MAX = 80
# What every writer of JSON writes as it is.
PLAIN = re.compile(r"[ !#-.0-\[\]-~]+")


class Excerpt(Struct, frozen=True):
    """A piece of a text, and where in it lies what was found."""

    text: str
    start: int
    end: int


def folded(text: str) -> str:
    """A text as it is compared."""
    return text.lower() if text.isascii() else nfkc(nfkc(text).casefold())


class Needle(Struct, frozen=True):
    """What is looked for."""

    text: str
    """Folded."""
    probe: bytes
    """Bytes that a line in ASCII without escapes has, in lower case, where it has the text; empty where there are none."""

    @classmethod
    def of(cls, text: str) -> Self:
        """A needle of what somebody has typed."""
        wanted = folded(text)
        runs = PLAIN.findall(wanted)
        return cls(wanted, max(runs, key=len, default="").encode())

    def may_be_in(self, line: bytes) -> bool:
        """Whether a line of JSON has to be read to know. Where not, it has the text nowhere."""
        if not line.isascii() or b"\\u" in line:
            return True
        return self.text.isascii() and self.probe in line.lower()

    def find_in(self, texts: Iterable[str]) -> Excerpt | None:
        """The first place in some texts."""
        for text in texts:
            compared = folded(text)
            at = compared.find(self.text)
            if at >= 0:
                return _excerpt(text, compared, at, at + len(self.text))
        return None


def _excerpt(text: str, compared: str, start: int, end: int) -> Excerpt:
    if len(text) != len(compared) or not text.isascii():
        start, end = _unfolded(text, start), max(_unfolded(text, start) + 1, _unfolded(text, end - 1) + 1)
    while end < len(text) and combining(text[end]):
        end += 1
    end = min(end, start + FOUND_MAX)
    first, last = max(0, start - AROUND), min(len(text), end + AROUND)
    before, after = "…" if first else "", "…" if last < len(text) else ""
    return Excerpt(f"{before}{text[first:last]}{after}", len(before) + start - first, len(before) + end - first)


def _unfolded(text: str, at: int) -> int:
    """Which character of a text a place in its folded form comes from, about: letters may join over the edge of a prefix."""
    return max(0, bisect_right(range(len(text) + 1), at, key=lambda length: len(folded(text[:length]))) - 1)
