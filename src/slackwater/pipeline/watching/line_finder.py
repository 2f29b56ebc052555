"""Finds one request of a batch by its `custom_id`: its line in the input, and its result.

An input file may have hundreds of megabytes, so it is not parsed: the bytes of the id are looked for, piece by piece, and
only lines that have them are read. Whoever writes an id with escapes that nobody expects is found too, more slowly.
"""

import json
import re
from collections.abc import Callable

import msgspec
from msgspec import Struct

from slackwater.core.batch import Batch
from slackwater.core.input.validation import is_blank
from slackwater.core.sending.lines import escape_line_ends, read_input_line
from slackwater.core.watching.result_lines import read_custom_id
from slackwater.pipeline.watching.result_reader import ResultReader
from slackwater.ports import BlobRange, BlobStore, Offload

PIECE = 1 << 20
ESCAPE = re.compile(r"\\u([0-9a-f]{4})")


class Found(Struct, frozen=True, kw_only=True):
    """What there is of one request. Lines are without their ends."""

    line: int | None = None
    """Its number in the input, from 1."""
    request: bytes | None = None
    result: bytes | None = None


class LineFinder:
    """Finds requests of one resource's batches."""

    def __init__(self, blobs: BlobStore, offload: Offload, reader: ResultReader) -> None:
        self._blobs = blobs
        self._offload = offload
        self._reader = reader

    async def find(self, batch: Batch, custom_id: str) -> Found:
        """Its line in the input, and in the results so far. Either is None where there is none, or its file is gone."""
        try:
            # Of one whose input has not come yet there is none.
            found = await self._request(batch.input_blob, custom_id) if batch.input_blob else None
        except FileNotFoundError:
            found = None
        number, request = (None, None) if found is None else found
        return Found(line=number, request=request, result=await self._result(batch, custom_id))

    async def _request(self, key: str, custom_id: str) -> tuple[int, bytes] | None:
        def fits(line: bytes) -> bool:
            return _input_id(line) == custom_id

        spellings = spellings_of(custom_id)
        found = await self._scan(BlobRange(key=key, offset=0, length=1 << 62), spellings, fits)
        if found is not None:
            return found
        return await self._offload.run(find_escaped, self._blobs, key, custom_id)

    async def _result(self, batch: Batch, custom_id: str) -> bytes | None:
        # Result lines are written by us, in one spelling; those of older versions have line ends of Unicode as they are.
        needle = b'"custom_id":' + msgspec.json.encode(custom_id)
        needles = list(dict.fromkeys((escape_line_ends(needle), needle)))
        for run in await self._reader.runs(batch, seen={}):
            try:
                found = await self._scan(run.range, needles, lambda line: _result_id(line) == custom_id)
            except FileNotFoundError:
                # The batch has just ended, or the file was deleted.
                continue
            if found is not None:
                return found[1]
        return None

    async def _scan(
        self, where: BlobRange, needles: list[bytes], fits: Callable[[bytes], bool]
    ) -> tuple[int, bytes] | None:
        """The first line that has one of the needles and fits, and its number from 1."""
        rest, read, number = b"", where.offset, 1
        end = where.offset + where.length
        while read < end:
            piece = await self._blobs.read(BlobRange(key=where.key, offset=read, length=min(PIECE, end - read)))
            read += len(piece)
            data = rest + piece
            # Without more to come, what is left is a line too.
            cut = data.rfind(b"\n") + 1 if piece else len(data)
            found = _first_line(data[:cut], needles, fits)
            if found is not None:
                return number + found[0], found[1]
            number += data.count(b"\n", 0, cut)
            rest = data[cut:]
            if not piece:
                return None
        found = _first_line(rest, needles, fits)
        return None if found is None else (number + found[0], found[1])


def _first_line(data: bytes, needles: list[bytes], fits: Callable[[bytes], bool]) -> tuple[int, bytes] | None:
    """The first whole line of some data that has a needle and fits, and how many lines come before it."""
    # Where each needle comes next. One that is nowhere must not be looked for again behind every hit of another.
    coming = {needle: data.find(needle) for needle in needles}
    while hits := [place for place in coming.values() if place >= 0]:
        hit = min(hits)
        start = data.rfind(b"\n", 0, hit) + 1
        end = data.find(b"\n", hit)
        end = len(data) if end < 0 else end
        if fits(data[start:end]):
            return data.count(b"\n", 0, start), data[start:end].rstrip(b"\r")
        coming = {needle: data.find(needle, end) if 0 <= place < end else place for needle, place in coming.items()}
    return None


def spellings_of(custom_id: str) -> list[bytes]:
    """How programs write an id as JSON: as it is, or with everything outside of ASCII, or slashes, escaped."""
    plain = json.dumps(custom_id, ensure_ascii=False)
    escaped = json.dumps(custom_id)
    upper = ESCAPE.sub(lambda found: "\\u" + found[1].upper(), escaped)
    spellings = [plain, escaped, upper]
    spellings += [each.replace("/", "\\/") for each in spellings]
    # Half a surrogate pair has no bytes of its own; a file in UTF-8 can have it escaped only.
    return [each.encode("utf-8", "surrogatepass") for each in dict.fromkeys(spellings)]


def _result_id(line: bytes) -> str | None:
    try:
        return read_custom_id(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Damaged on the disk.
        return None


def _input_id(line: bytes) -> str | None:
    try:
        return read_input_line(line).custom_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
        # A file that was refused may have any line.
        return None


def find_escaped(blobs: BlobStore, key: str, custom_id: str) -> tuple[int, bytes] | None:
    """The line with an id, however it is written, and its number. Reads the id of every line that has an escape."""
    with blobs.reader(key) as file:
        for number, line in enumerate(file, 1):
            if b"\\" in line and not is_blank(line) and _input_id(line) == custom_id:
                return number, line.rstrip(b"\r\n")
    return None
