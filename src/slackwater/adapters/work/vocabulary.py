"""The vocabularies that are shipped with Slackwater, as they lie in memory: a few megabytes, opened in some milliseconds.

The data is three little-endian counts (bytes of the pattern, tokens, spaced tokens), the pattern, the places of tokens that
white space divides or that are nothing else, three bytes of each token's rank (all the low ones, all the middle ones, all the
high ones), a byte with the length of each token, and the tokens, sorted.
"""

import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path

# Every so many tokens one is kept as a value: between two of those there are few steps to look for another.
STRIDE = 16
TOKENIZERS = Path(__file__).parent / "tokenizers"


class Vocabulary:
    """The tokens of one encoding and their ranks."""

    __slots__ = ("_data", "_ends", "_posts", "_ranks", "pattern", "spaced")

    def __init__(self, encoding: str) -> None:
        data = zlib.decompress((TOKENIZERS / f"{encoding}.z").read_bytes())
        pattern_bytes, tokens, spaced = struct.unpack_from("<III", data)
        position = 12 + pattern_bytes
        self.pattern = data[12:position].decode()
        """How texts are split before they are encoded, as tiktoken writes it."""
        self.spaced = struct.unpack_from(f"<{spaced}I", data, position)
        """Places of tokens that white space divides, or that are nothing else."""
        position += 4 * spaced
        ranks = bytearray(4 * tokens)
        for plane in range(3):
            ranks[plane::4] = data[position : position + tokens]
            position += tokens
        self._ranks = array("I", bytes(ranks))
        self._ends = array("I", accumulate(data[position : position + tokens], initial=position + tokens))
        self._data = data
        self._posts = list(map(self.token, range(0, tokens, STRIDE)))

    def token(self, place: int) -> bytes:
        """The token at a place of the sorted order."""
        return self._data[self._ends[place] : self._ends[place + 1]]

    def rank_at(self, place: int) -> int:
        """The rank of the token at a place."""
        return self._ranks[place]

    def rank(self, token: bytes) -> int | None:
        """The rank of a token; None for bytes that are none. Some microseconds."""
        post = bisect_right(self._posts, token)
        places = range(max(0, post - 1) * STRIDE, min(post * STRIDE, len(self._ranks)))
        step = bisect_left(places, token, key=self.token)
        if step == len(places) or self.token(place := places[step]) != token:
            return None
        return self._ranks[place]

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        """All tokens with their ranks."""
        words = map(self._data.__getitem__, map(slice, self._ends, islice(self._ends, 1, None)))
        return zip(words, self._ranks, strict=True)
