"""The results of a table as a file, in pieces: as they are (JSON Lines), or as rows of a table (CSV). Memory stays bounded."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct

from slackwater.core.accounts.tables import table_line
from slackwater.core.batch import Batch
from slackwater.core.sending.request import Outcome
from slackwater.core.watching.result_index import EVERYTHING, Order, ResultIndex, Wanted
from slackwater.core.watching.result_lines import ResultLine, read_result_line
from slackwater.core.watching.result_rows import short_of
from slackwater.core.watching.text_search import Needle
from slackwater.pipeline.watching.looking_through import Place
from slackwater.pipeline.watching.result_search import ResultSearch
from slackwater.pipeline.watching.result_tables import ResultTables
from slackwater.ports import BlobStore

# Lines that are in memory at once, and their bytes, besides one that is longer. As rows they are some 3 ms of work.
LINES_AT_ONCE = 100
BYTES_AT_ONCE = 1 << 20
# Of longer lines a table has no answer, and the other file passes them on piece by piece.
LINE_BYTES_MAX = 8 << 20
COLUMNS = (
    "custom_id",
    "line",
    "outcome",
    "status_code",
    "code",
    "message",
    "answer",
    "input_tokens",
    "output_tokens",
    "latency_seconds",
)
TOO_LONG = "(an answer of {bytes:,} bytes; it is in the output file)"


class Format(StrEnum):
    """What is made of results."""

    CSV = "csv"
    JSONL = "jsonl"


class Selection(Struct, frozen=True, kw_only=True):
    """Which results, and in which order; those of a search come as they are found."""

    order: Order = Order.ARRIVAL
    descending: bool = False
    wanted: Wanted = EVERYTHING
    needle: Needle | None = None
    places: Collection[Place] = tuple(Place)


class ResultExport:
    """Exports of the batches of one resource."""

    def __init__(self, blobs: BlobStore, tables: ResultTables, search: ResultSearch) -> None:
        self._blobs = blobs
        self._tables = tables
        self._search = search

    async def pieces(
        self, batch: Batch, selection: Selection, form: Format, *, formulas: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of the file. `formulas`: texts in it may be run as formulas by a spreadsheet.

        Raises before the first piece as `index_of` does, and FileNotFoundError where the results go away meanwhile.
        """
        index = await self._tables.index_of(batch)
        assert index is not None, "it was waited for"
        if form is Format.CSV:
            yield table_line(COLUMNS).encode()
        async for positions in self._chunks(batch, index, selection):
            lines = await self._tables.lines(index, positions, most=LINE_BYTES_MAX)
            if form is Format.CSV:
                rows = [_row(index, position, line) for position, line in zip(positions, lines, strict=True)]
                yield "".join([table_line(row, formulas=formulas) for row in rows]).encode("utf-8", "replace")
                continue
            if all(len(line) == index.columns.length[each] for each, line in zip(positions, lines, strict=True)):
                yield b"".join(lines)
                continue
            for position, line in zip(positions, lines, strict=True):
                key, offset, length, _ = index.place(position)
                yield line
                if len(line) < length:
                    rest = self._blobs.stream(key, offset=offset + len(line), length=length - len(line))
                    async for piece in rest:
                        yield piece

    async def _chunks(self, batch: Batch, index: ResultIndex, selection: Selection) -> AsyncIterator[Sequence[int]]:
        if selection.needle is None:
            view = await self._tables.view(
                index, order=selection.order, descending=selection.descending, wanted=selection.wanted
            )
            for chunk in _cut(index, view):
                yield chunk
            return
        after, seen = None, set[int]()
        while True:
            page = await self._search.search(
                batch,
                selection.needle,
                places=selection.places,
                wanted=selection.wanted,
                after=after,
                limit=LINES_AT_ONCE,
                index=index,
            )
            # A line that is too long to be read for a row may be found in its answer and in its prompt.
            fresh = [position for position in page.positions if position not in seen]
            seen.update(fresh)
            for chunk in _cut(index, fresh):
                yield chunk
            if page.next is None:
                return
            after = page.next


def _cut(index: ResultIndex, positions: Sequence[int]) -> Iterator[Sequence[int]]:
    """Runs of positions whose lines are together in memory."""
    begin = size = 0
    for place, position in enumerate(positions):
        length = min(index.columns.length[position], LINE_BYTES_MAX)
        if place > begin and (place - begin == LINES_AT_ONCE or size + length > BYTES_AT_ONCE):
            yield positions[begin:place]
            begin, size = place, 0
        size += length
    if begin < len(positions):
        yield positions[begin:]


def _row(index: ResultIndex, position: int, line: bytes) -> list[str | int | float | None]:
    _, _, length, failed = index.place(position)
    short = _short(index, position, line, length, failed)
    answer = short.answer
    if len(line) < length and not failed:
        answer = TOO_LONG.format(bytes=length)
    return [
        short.custom_id,
        index.number(position),
        (Outcome.FAILED if failed else Outcome.COMPLETED).value,
        short.status_code,
        short.code,
        short.message,
        answer,
        short.input_tokens,
        short.output_tokens,
        index.seconds(position),
    ]


def _short(index: ResultIndex, position: int, line: bytes, length: int, failed: bool) -> ResultLine:
    if len(line) == length:
        try:
            return read_result_line(line, failed=failed, most=None)
        except (msgspec.MsgspecError, UnicodeError):
            # Damaged on the disk: what is known of it is said below.
            pass
    return short_of(line, whole=False, failed=failed, error=index.error(position), tokens=index.tokens(position))
