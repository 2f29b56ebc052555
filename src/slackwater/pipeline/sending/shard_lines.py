"""The lines of a shard, from the places where they lie, in the order in which they are to be sent.

A shard names places in the input file, not a stretch of it: today validation cuts a stretch, which is one place; another
order inside a batch only means other places. Whoever numbers lines (journal, `done` bits) counts along this order.

What is read is compared with the checksums that validation has made, where there are some: an input of an older version has
none. Before: the worker's claim, and the finalizer for lines that never ran.
"""

import io
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Protocol

import msgspec

from slackwater.core.sending.checksums import (
    CHECKSUM_BYTES,
    checksum_of,
    custom_id_in,
    found_again,
    intact,
    lines_of,
)
from slackwater.core.sending.lines import read_input_line
from slackwater.ports import BlobRange, BlobStore

# Around a damaged shard its lines are looked for in so many bytes more: others may have been put in or taken out before them.
AROUND_BYTES = 64 << 10
# How often a piece is read in the last try of all.
LAST_READS = 8


class Damaged(OSError):
    """Bytes are missing, or are not those that were written."""


class Cut(Protocol):
    """A shard, as far as its lines are concerned."""

    @property
    def places(self) -> tuple[BlobRange, ...]:
        """Where its lines lie."""
        ...

    @property
    def lines(self) -> int:
        """How many they are."""
        ...

    @property
    def checksums(self) -> bytes:
        """One for each; empty where there are none."""
        ...


async def read_shard(blobs: BlobStore, shard: Cut) -> bytes:
    """The lines of all places, one place after the other. Raises Damaged where they have changed, OSError where they cannot
    be read.
    """
    parts = []
    for place in shard.places:
        data = await _read(blobs, place)
        if len(data) < place.length:
            raise Damaged(f"{place.key} ends before byte {place.offset + place.length}, which a shard names")
        parts.append(data)
    data = parts[0] if len(parts) == 1 else _joined(parts)
    if shard.checksums and not intact(data, shard.checksums):
        raise Damaged(
            f"{shard.places[0].key} has changed between bytes {place.offset} and {place.offset + place.length}"
        )
    return data


async def salvaged_shard(blobs: BlobStore, shard: Cut) -> tuple[bytes, int]:
    """What is left of a shard that is damaged: as many lines as it had, and how many of them are not what they were.

    Those cannot be parsed as a request; what is left of their id is in them. Without checksums, what is there is what is left.
    """
    middles, every, inside = [], [], []
    for place in shard.places:
        begin = max(0, place.offset - AROUND_BYTES)
        end = place.offset + place.length
        try:
            data = await read_stubbornly(
                blobs, BlobRange(key=place.key, offset=begin, length=end + AROUND_BYTES - begin)
            )
        except OSError:
            data = b""
        middles.append(data[place.offset - begin : end - begin])
        at = begin
        for line in io.BytesIO(data):
            if not line.isspace():
                every.append(line)
                inside.append(place.offset <= at < end)
            at += len(line)
    if not shard.checksums:
        return _joined(middles), 0
    found = found_again([checksum_of(line) for line in every], shard.checksums)
    lines: list[bytes] = [b"" if number is None else every[number] for number in found]
    lost = [place for place, number in enumerate(found) if number is None]
    ids, known = {id_of(line) for line in lines if line}, set(found)
    for first, last in _runs(lost):
        # What lies between the same neighbours now is what they have become.
        start = 0 if first == 0 else (found[first - 1] or 0) + 1
        stop = len(every) if last + 1 == len(found) else found[last + 1]
        left = [
            custom_id_in(every[number]) for number in range(start, stop or 0) if inside[number] and number not in known
        ]
        left = [each for each in left if each and each not in ids]
        names = left if len(left) == last - first + 1 else [""] * (last - first + 1)
        for number, name in enumerate(names, first):
            lines[number] = msgspec.json.encode({"custom_id": name})
    return _joined(lines), len(lost)


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """The first and the last of each run of numbers that follow one another."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def id_of(line: bytes) -> str:
    """The id of a line, or what seems to be left of it."""
    try:
        return read_input_line(line).custom_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
        return custom_id_in(line)


def ids_of(data: bytes, lines: int) -> list[str]:
    """The ids of so many lines, in their order; empty for those that have none or are not there."""
    ids = [id_of(line) for line in lines_of(data)[:lines]]
    return ids + [""] * (lines - len(ids))


def _joined(parts: Sequence[bytes]) -> bytes:
    """The last line of a file may come without its end, and need not be the last one here."""
    return b"".join(part if part.endswith(b"\n") else part + b"\n" for part in parts)


async def _read(blobs: BlobStore, place: BlobRange) -> bytes:
    try:
        return await blobs.read(place)
    except FileNotFoundError as error:
        raise Damaged(f"{place.key} is gone") from error


async def read_stubbornly(blobs: BlobStore, place: BlobRange) -> bytes:
    """As for a last try: a read that fails only now and then is no reason to give up what it would have brought.

    Raises Damaged and OSError as `read_shard` does.
    """
    for _ in range(LAST_READS - 1):
        try:
            return await _read(blobs, place)
        except Damaged:
            raise
        except OSError:
            continue
    return await _read(blobs, place)


async def read_line(blobs: BlobStore, shard: Cut, line: int, start: int, stop: int) -> bytes:
    """The bytes from `start` to `stop` of what `read_shard` gives, where its line number `line` lies, without the others.

    Raises Damaged and OSError as `read_shard` does.
    """
    places, before, text = shard.places, 0, b""
    for place in places:
        if start < before + place.length:
            offset = place.offset + start - before
            length = min(stop - start, place.offset + place.length - offset)
            text = await _read(blobs, BlobRange(key=place.key, offset=offset, length=length))
            break
        before += place.length
        if len(places) > 1:
            last = await _read(blobs, BlobRange(key=place.key, offset=place.offset + place.length - 1, length=1))
            before += last != b"\n"
    wanted = shard.checksums[CHECKSUM_BYTES * line : CHECKSUM_BYTES * (line + 1)]
    if wanted and checksum_of(text) != int.from_bytes(wanted, "little"):
        raise Damaged(f"line {line} of the shard at {shard.places[0].key} has changed")
    return text


async def salvaged_line(blobs: BlobStore, shard: Cut, line: int) -> bytes:
    """A line of a shard that is damaged; where it is not what it was, it cannot be parsed as a request."""
    data, _ = await salvaged_shard(blobs, shard)
    lines = lines_of(data)
    return lines[line] if line < len(lines) else b""


def is_done(done: bytes, line: int) -> bool:
    """Whether the bit of a line is set."""
    return line >> 3 < len(done) and bool(done[line >> 3] >> (line & 7) & 1)


def shard_digest(batch_id: str, index: int) -> str:
    """Hex digits that name a shard in the ids of its lines."""
    return blake2b(f"{batch_id}/{index}".encode(), digest_size=16).hexdigest()
