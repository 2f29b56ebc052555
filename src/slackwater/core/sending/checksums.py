"""Checksums of lines: of each line of an input, made when it is validated, and of each line of a log, made when it is written.

A line and not a range has one, so that a byte which has changed costs the line that it is in and no other, and so that the
others are found again where bytes were put in or taken out before them. CRC-32 (why: docs/decisions/damage.md). The end of a
line counts as one LF, whether the last line of a file has it or not.
"""

import io
import struct
from collections.abc import Sequence

import msgspec
from zlib_ng.zlib_ng import crc32

# Bytes that one checksum takes where it is kept.
CHECKSUM_BYTES = 4
# How far the id of a damaged line is looked for, and how many quotes may be in it.
ID_LOOKED_AT = 2048
ID_QUOTES_MAX = 16
_MARK = b'"custom_id"'
_COLON = b" \t:"


def checksum_of(line: bytes) -> int:
    """That of one line, with or without its end."""
    return crc32(line) if line.endswith(b"\n") else crc32(b"\n", crc32(line))


def packed(checksums: Sequence[int]) -> bytes:
    """How checksums are kept: one after the other, the same on every machine."""
    return struct.pack(f"<{len(checksums)}I", *checksums)


def unpacked(checksums: bytes) -> tuple[int, ...]:
    """The same the other way round."""
    return struct.unpack(f"<{len(checksums) // CHECKSUM_BYTES}I", checksums)


def lines_of(data: bytes) -> list[bytes]:
    """The lines that are none of white space only, each with its end if it has one."""
    return [line for line in io.BytesIO(data) if not line.isspace()]


def intact(data: bytes, checksums: bytes) -> bool:
    """Whether these are exactly the lines that had these checksums; blank ones do not count."""
    lines = lines_of(data)
    if lines and not lines[-1].endswith(b"\n"):
        lines[-1] += b"\n"
    return packed(list(map(crc32, lines))) == checksums


def found_again(there: Sequence[int], checksums: bytes) -> list[int | None]:
    """For each checksum, which of those that are there it is; None where it is not."""
    wanted = unpacked(checksums)
    # The first place comes last, to be taken first where two lines are the same.
    places: dict[int, list[int]] = {}
    for place in range(len(wanted) - 1, -1, -1):
        places.setdefault(wanted[place], []).append(place)
    found: list[int | None] = [None] * len(wanted)
    for number, checksum in enumerate(there):
        if places.get(checksum):
            found[places[checksum].pop()] = number
    return found


def custom_id_in(text: bytes) -> str:
    """The id that a damaged line seems to have; empty where none can be read."""
    _, mark, rest = text.partition(_MARK)
    if not mark:
        return ""
    rest = rest[:ID_LOOKED_AT].lstrip(_COLON)
    end = 1
    for _ in range(ID_QUOTES_MAX):
        end = rest.find(b'"', end) + 1
        if not end:
            break
        try:
            # A quote that is escaped is not the end: what is before it is no JSON then.
            return msgspec.json.decode(rest[:end], type=str)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return ""
