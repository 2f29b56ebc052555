"""What an index has of one result: which request it answers, how long the answer is, how long it took, and two fingerprints.

The line is one of ours; its body is somebody else's, so that nothing of it is taken for granted. Fingerprints tell texts apart
that are not the same (64 bits of a hash): those of ids find a line, those of answers say whether two jobs got the same.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Raw, Struct

from slackwater.core.sending.lines import milliseconds_in
from slackwater.core.watching.result_lines import read_result_line, whole_answer

NONE = 2**32 - 1
"""In a column: it is not known."""
ID = "batch_req_"
DIGEST_DIGITS, LINE_DIGITS = 24, 8
UNREADABLE = ("result_unreadable", None)
"""The group of a line that has been damaged on the disk."""
Code = tuple[str, int | None]


class _Response(Struct, gc=False):
    status_code: int
    body: Raw
    request_id: str = ""


class _Line(Struct, gc=False):
    custom_id: str
    id: str = ""
    response: _Response | None = None


_line = msgspec.json.Decoder(_Line).decode


class Entry(Struct, frozen=True, gc=False):
    """One result. Numbers that are not known are NONE."""

    place: tuple[str, int] | None
    """The digest of its shard and its line in there, from 0; None for a line that is not of ours."""
    tokens: int
    """Output tokens."""
    milliseconds: int
    error: Code | None
    """What went wrong; None where it was answered."""
    id: int
    answer: int


def read_entry(line: bytes, *, failed: bool) -> Entry:
    """What there is to be kept of a line of the output file, or (`failed`) of the error file."""
    try:
        read = _line(line)
        response = read.response
        error: Code | None = None
        tokens, answer = NONE, 0
        if failed:
            short = read_result_line(line, failed=True)
            error = (short.code or "unknown", short.status_code)
            answer = fingerprint(repr(error).encode())
        elif response is not None:
            said, written = whole_answer(response.body)
            tokens = written if written is not None and 0 <= written < NONE else NONE
            answer = fingerprint(said)
        took = None if response is None else milliseconds_in(response.request_id)
        return Entry(
            _place(read.id), tokens, NONE if took is None else took, error, fingerprint(read.custom_id.encode()), answer
        )
    except (msgspec.MsgspecError, UnicodeError):
        return Entry(None, NONE, NONE, UNREADABLE, 0, 0)


def fingerprint(text: bytes) -> int:
    """64 bits that another text does not have."""
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def _place(text: str) -> tuple[str, int] | None:
    digits = text[len(ID) :]
    if not text.startswith(ID) or len(digits) != DIGEST_DIGITS + LINE_DIGITS:
        return None
    try:
        return digits[:DIGEST_DIGITS], int(digits[DIGEST_DIGITS:], 16)
    except ValueError:
        return None


class Numbers:
    """The numbers of requests, from the digests of their shards.

    While a batch runs, its ledger says how many lines each shard has. When it has ended nobody does; then every line has a
    result, and the order is enough: whoever has all of them counts.
    """

    def __init__(self, digest_of: Callable[[int], str], sizes: Sequence[int] | None) -> None:
        """`digest_of` a shard's index, at least the digits that ids have. `sizes` are lines of shards, None: not known."""
        self._digest_of = digest_of
        self._indices: dict[str, int] = {}
        self._starts: list[int] | None = None
        if sizes is not None:
            self._starts = [0]
            for size in sizes:
                self._starts.append(self._starts[-1] + size)

    def of(self, place: tuple[str, int] | None) -> int:
        """From 1; or, where sizes are not known, something that has the same order. 2**64 - 1 for one of no known shard."""
        if place is None:
            return UNPLACED
        digest, line = place
        index = self._indices.get(digest)
        if index is None:
            index = self._found(digest)
            if index is None:
                return UNPLACED
        return index << 32 | line if self._starts is None else self._starts[index] + line + 1

    def _found(self, digest: str) -> int | None:
        # Shards come about in their order, so that the one that is asked for is not far behind those that are known.
        most = SHARDS_MAX if self._starts is None else len(self._starts) - 1
        while len(self._indices) < most:
            index = len(self._indices)
            found = self._digest_of(index)[:DIGEST_DIGITS]
            self._indices[found] = index
            if found == digest:
                return index
        return None


UNPLACED = 2**64 - 1
# More than a batch can have: a line of somebody else's making is not looked for further.
SHARDS_MAX = 1 << 20
