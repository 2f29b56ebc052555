"""The lines of a shard, from the places where they lie, in the order in which they are to be sent.

A shard names places in the input file, not a stretch of it: today validation cuts a stretch, which is one place; another
order inside a batch only means other places. Whoever numbers lines (journal, `done` bits) counts along this order.
"""

from collections.abc import Sequence
from hashlib import blake2b

from slackwater.ports import BlobRange, BlobStore


async def read_shard(blobs: BlobStore, places: Sequence[BlobRange]) -> bytes:
    """The lines of all places, one place after the other. Raises OSError where the input has become shorter."""
    parts = []
    for place in places:
        data = await blobs.read(place)
        if len(data) < place.length:
            raise OSError(f"{place.key} ends before byte {place.offset + place.length}, which a shard names")
        parts.append(data)
    if len(parts) == 1:
        return parts[0]
    # The last line of a file may come without its end, and need not be the last one here.
    return b"".join(part if part.endswith(b"\n") else part + b"\n" for part in parts)


async def read_line(blobs: BlobStore, places: Sequence[BlobRange], start: int, stop: int) -> bytes:
    """The bytes from `start` to `stop` of what `read_shard` gives, without reading the others."""
    before = 0
    for place in places:
        if start < before + place.length:
            offset = place.offset + start - before
            length = min(stop - start, place.offset + place.length - offset)
            return await blobs.read(BlobRange(key=place.key, offset=offset, length=length))
        before += place.length
        if len(places) > 1:
            last = await blobs.read(BlobRange(key=place.key, offset=place.offset + place.length - 1, length=1))
            before += last != b"\n"
    return b""


def shard_digest(batch_id: str, index: int) -> str:
    """Hex digits that name a shard in the ids of its lines."""
    return blake2b(f"{batch_id}/{index}".encode(), digest_size=16).hexdigest()
