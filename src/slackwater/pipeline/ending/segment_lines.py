"""The lines of a segment: whether they are what the journal wrote, and where those lie that still are.

A line that has changed is left out and the others stay. Lines of an older version have no checksums: they are believed where
they look like lines of their shard. Before: the journal. After: the finalizer.
"""

import io
from collections.abc import AsyncIterator

import msgspec
from msgspec import Struct
from zlib_ng.zlib_ng import crc32

from slackwater.core.sending.checksums import found_again, packed
from slackwater.core.sending.lines import LineWriter
from slackwater.pipeline.sending.shard_lines import AROUND_BYTES, Damaged, read_stubbornly, shard_digest
from slackwater.ports import BlobRange, BlobStore

# Read at a time: a fraction of a millisecond of work, so that everybody else has a turn in between.
PIECE_BYTES = 256 << 10
# Where a piece cannot be read, it is tried in so small ones.
BLOCK_BYTES = 4 << 10
# A line without a checksum is parsed up to this size; a longer one is believed by its ends.
PARSED_BYTES = 4 << 20
HEAD_BYTES = 64


class Kept(Struct, frozen=True):
    """A line that is what was written."""

    line: int
    """Its number in its shard."""
    place: BlobRange


async def check(blobs: BlobStore, place: BlobRange, checksums: bytes) -> bytes | None:
    """The bytes of a small range; None for a large one, which need not be carried through memory again.

    Raises Damaged where its lines have changed, OSError where they cannot be read.
    """
    if not checksums:
        end = place.offset + place.length
        if not place.length or await _read(blobs, place.key, end - 1, 1) == b"\n":
            return None
        raise Damaged(f"{place.key} does not end with a line at byte {end}")
    piece, at, running = b"", 0, 0
    position, end = place.offset, place.offset + place.length
    while position < end:
        piece = await _read(blobs, place.key, position, min(PIECE_BYTES, end - position))
        if not piece:
            raise Damaged(f"{place.key} ends at byte {position}, and byte {end} is named")
        position += len(piece)
        lines = list(io.BytesIO(piece))
        rest = b"" if piece.endswith(b"\n") else lines.pop()
        if lines:
            sums = packed([crc32(lines[0], running), *map(crc32, lines[1:])])
            if sums != checksums[at : at + len(sums)]:
                raise Damaged(f"{place.key} has changed before byte {position}")
            at, running = at + len(sums), 0
        running = crc32(rest, running)
    if at < len(checksums) or running:
        raise Damaged(f"{place.key} has fewer lines before byte {end} than were written")
    return piece if len(piece) == place.length else None


async def salvaged(blobs: BlobStore, place: BlobRange, checksums: bytes, *, batch_id: str, index: int) -> list[Kept]:
    """The lines of a range that are what was written for this shard. Bytes that cannot be read are as if they had changed."""
    writer = LineWriter(shard_digest(batch_id, index))
    around = place
    if checksums:
        # Bytes that were put in or taken out before them have moved the lines.
        begin = max(0, place.offset - AROUND_BYTES)
        around = BlobRange(key=place.key, offset=begin, length=place.offset + place.length + AROUND_BYTES - begin)
    found = [each async for each in _lines(blobs, around, parse=not checksums)]
    if checksums:
        places = found_again([each.checksum for each in found], checksums)
        found = [found[number] for number in places if number is not None]
    kept = []
    for each in found:
        line = writer.place_of(each.head)
        if line is not None and each.sound:
            kept.append(Kept(line, BlobRange(key=place.key, offset=each.offset, length=each.length)))
    return kept


class _Line(Struct):
    """A line as it is there now."""

    offset: int
    length: int = 0
    checksum: int = 0
    head: bytes = b""
    text: bytes = b""
    sound: bool = True


async def _lines(blobs: BlobStore, place: BlobRange, *, parse: bool) -> AsyncIterator[_Line]:
    line = _Line(place.offset)
    async for piece in _pieces(blobs, place):
        for part in io.BytesIO(piece):
            line.checksum = crc32(part, line.checksum)
            line.length += len(part)
            if len(line.head) < HEAD_BYTES:
                line.head += part[: HEAD_BYTES - len(line.head)]
            if parse and line.length <= PARSED_BYTES:
                line.text += part
            if part.endswith(b"\n"):
                if parse and line.length <= PARSED_BYTES:
                    line.sound = _is_json(line.text)
                line.text = b""
                yield line
                line = _Line(line.offset + line.length)


async def _pieces(blobs: BlobStore, place: BlobRange) -> AsyncIterator[bytes]:
    """The bytes of a range as far as there are any, zeros for those that cannot be read."""
    position, end = place.offset, place.offset + place.length
    while position < end:
        length = min(PIECE_BYTES, end - position)
        try:
            piece = await _read(blobs, place.key, position, length)
        except Damaged:
            return
        except OSError:
            piece = b"".join(
                [
                    await _block(blobs, place.key, at, min(BLOCK_BYTES, position + length - at))
                    for at in range(position, position + length, BLOCK_BYTES)
                ]
            )
        if not piece:
            return
        position += len(piece)
        yield piece


async def _block(blobs: BlobStore, key: str, offset: int, length: int) -> bytes:
    try:
        return await read_stubbornly(blobs, BlobRange(key=key, offset=offset, length=length))
    except OSError:
        return bytes(length)


async def _read(blobs: BlobStore, key: str, offset: int, length: int) -> bytes:
    try:
        return await blobs.read(BlobRange(key=key, offset=offset, length=length))
    except FileNotFoundError as error:
        raise Damaged(f"{key} is gone") from error


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
