"""The lines of a range of a blob, many at a time: pieces that end with a line, whatever lies between."""

from collections.abc import AsyncGenerator

from slackwater.ports import BlobRange, BlobStore

PIECE = 2 << 20


async def whole_lines(
    blobs: BlobStore,
    where: BlobRange,
    *,
    piece_bytes: int = PIECE,
    line_max: int | None = None,
    open_end: bool = False,
) -> AsyncGenerator[tuple[int, bytes], None]:
    """Where each piece begins, and itself: whole lines of about so many bytes, or one that is longer.

    A line of about `line_max` bytes or more is left out. With `open_end`, what is left at the end is a line, too; otherwise it
    is not whole yet, and not given. Raises FileNotFoundError.
    """
    begin, rest, left_out = where.offset, b"", False
    read, end = where.offset, where.offset + where.length
    while read < end:
        # Of a line that is longer, more is read each time than there is, so that it is not copied again and again.
        length = min(max(piece_bytes, len(rest)), end - read)
        piece = await blobs.read(BlobRange(key=where.key, offset=read, length=length))
        if not piece:
            break
        read += len(piece)
        if left_out:
            cut = piece.find(b"\n") + 1
            if not cut:
                continue
            begin, piece, left_out = read - len(piece) + cut, piece[cut:], False
        data = rest + piece
        cut = data.rfind(b"\n") + 1
        rest = data[cut:]
        if cut:
            yield begin, data[:cut] if rest else data
            begin += cut
        if line_max is not None and len(rest) >= line_max:
            rest, left_out = b"", True
    if rest and open_end:
        yield begin, rest + b"\n"
