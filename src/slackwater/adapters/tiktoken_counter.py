"""Counts tokens with tiktoken, from vocabularies that are shipped with Slackwater: nothing is downloaded.

An encoder is built for each count and dropped after it, with only those tokens that can occur in the texts: a token with a
byte that no text has is never looked up, so leaving it out changes no count. For English or code that is half of the
vocabulary, half of the time to build, and half of the memory.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path

from tiktoken._tiktoken import CoreBPE

TOKENIZERS = Path(__file__).parent / "tokenizers"


class TiktokenCounter:
    """The TokenCounter of one encoding: `o200k_base` or `cl100k_base`."""

    def __init__(self, encoding: str) -> None:
        """Raises ValueError for an encoding that is not shipped."""
        if not (TOKENIZERS / f"{encoding}.z").is_file():
            raise ValueError(f"there is no encoding {encoding!r}; there are o200k_base and cl100k_base")
        self._encoding = encoding

    def count(self, texts: Sequence[str]) -> int:
        """How many tokens the texts have together; special tokens are taken as plain text."""
        present: set[int] = set()
        for text in texts:
            # Lone surrogates cannot be in a JSON file; what gets here by other ways counts as a replacement character.
            present.update(text.encode("utf-8", "replace"))
        encoder = _encoder(self._encoding, bytes(present))
        return sum(len(encoder.encode_ordinary(text)) for text in texts)


def _encoder(encoding: str, present: bytes) -> CoreBPE:
    """The encoder for texts of these bytes, without tiktoken's wrapper, which would keep the vocabulary a second time."""
    data = zlib.decompress((TOKENIZERS / f"{encoding}.z").read_bytes())
    position = 2 + int.from_bytes(data[:2], "big")
    pattern = data[2:position].decode()
    ranks: dict[bytes, int] = {}
    end, rank = len(data), 0
    while position < end:
        start = position + 1
        position = start + data[position]
        token = data[start:position]
        if not token.translate(None, present):
            ranks[token] = rank
        rank += 1
    return CoreBPE(ranks, {}, pattern)
