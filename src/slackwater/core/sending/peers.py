"""Several servers of ours at one engine: what each says of itself, and what follows from that for the others.

An engine's counters are everybody's. Whoever takes another server of ours for online users makes room for it, which it does
not need, and counts what it sends as what users are used to, so that together they take more than the pace allows. So they
tell each other how much they have out, have one window together, and share it.

What must hold: a server that says nothing any more is one of the others, who come first.
"""

import math
from collections.abc import Mapping

from msgspec import Struct

# More requests than any server has out, or may have.
OUT_MAX = 1e6
# Who has looked for so long knows as much as anybody.
KNOWS_SECONDS = 60.0


class Word(Struct, frozen=True):
    """What a server says of itself at one engine. Tokens are those of prompts, counted since it has started."""

    out: int
    """Requests that are out."""
    window: float
    """How many may be out of all servers together."""
    seconds: float = 0.0
    """For how long it has looked at the engine: whoever has just come knows little."""
    wants: bool = False
    """Whether it has more to send than it may."""
    reading: int = 0
    """How many of its prompts the engine is reading, and how many tokens that is."""
    reading_tokens: float = 0.0
    sent: float = 0.0
    looked_up: float = 0.0
    """What was looked for in the engine's cache of what it has sent; and how much of that was found."""
    found: float = 0.0


def credible(word: Word) -> bool:
    """Whether a server can be like that. One absurd number would stay in the window of all of us."""
    counts = word.seconds, word.reading, word.reading_tokens, word.sent, word.looked_up, word.found
    return 0 <= word.out <= OUT_MAX and 1.0 <= word.window <= OUT_MAX and all(0.0 <= each < math.inf for each in counts)


class Peers:
    """The other servers of ours at one engine."""

    def __init__(self) -> None:
        self._words: Mapping[str, Word] = {}
        self._counted: Mapping[str, Word] = {}

    def __len__(self) -> int:
        return len(self._words)

    def heard(self, words: Mapping[str, Word]) -> None:
        """What they say now, by name. The later that is before we send, the better."""
        self._words = {name: word for name, word in words.items() if credible(word)}

    @property
    def out(self) -> int:
        """How many requests they have out."""
        return sum(word.out for word in self._words.values())

    @property
    def reading(self) -> tuple[int, float]:
        """How many of their prompts the engine is reading, and how many tokens that is."""
        words = self._words.values()
        if not words:
            # It is asked before each request, and most servers have no peers.
            return 0, 0.0
        return sum(word.reading for word in words), sum(word.reading_tokens for word in words)

    def counted(self) -> tuple[float, float, float]:
        """What they have sent since this was last asked, what of it was looked for, and what was found."""
        before, self._counted = self._counted, self._words
        pairs = [(before[name], word) for name, word in self._words.items() if name in before]
        return (
            sum(max(0.0, later.sent - sooner.sent) for sooner, later in pairs),
            sum(max(0.0, later.looked_up - sooner.looked_up) for sooner, later in pairs),
            sum(max(0.0, later.found - sooner.found) for sooner, later in pairs),
        )

    def agreed(self, window: float, seconds: float) -> float:
        """The window of all of us: the mean of what each has found, by how long it has looked. `window` is ours."""
        found = [(window, seconds), *((word.window, word.seconds) for word in self._words.values())]
        weights = [min(each, KNOWS_SECONDS) for _, each in found]
        total = sum(weights)
        return sum(each * weight for (each, _), weight in zip(found, weights, strict=True)) / total if total else window

    def share(self, window: float) -> float:
        """How many of the window may be ours: an equal part for each who wants one, and what others do not use of theirs."""
        if not self._words:
            return window
        part = window / (len(self._words) + 1)
        left = window - sum(part if word.wants else min(part, word.out) for word in self._words.values())
        return max(1.0, part, left)
