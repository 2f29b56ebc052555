"""Looks for a text in the ids, answers and prompts of a job's results, a bounded piece at a time.

First the results are gone through in the order in which they came, then the input file, whose lines lead to their results. A
search stops where it has found enough or has gone on for long enough; its cursor says where, and the next one goes on from
there. Bytes are read here and looked through in an Offload.
"""

import asyncio
from collections.abc import Collection
from pickle import PickleBuffer

import msgspec
from msgspec import Struct

from slackwater.core.batch import Batch
from slackwater.core.watching.result_entries import fingerprint
from slackwater.core.watching.result_index import ResultIndex, Wanted
from slackwater.core.watching.result_rows import LINE_MAX, Row
from slackwater.core.watching.text_search import Needle
from slackwater.pipeline.watching.looking_through import Hit, Looked, Place, is_found_in, look_through
from slackwater.pipeline.watching.result_tables import ResultTables, row_of
from slackwater.pipeline.watching.whole_lines import whole_lines
from slackwater.ports import BlobRange, BlobStore, Offload

# Bounds of one call.
BYTES_MAX = 64 << 20
LINES_MAX = 200_000
SECONDS_MAX = 1.0
# Looked through at once; a longer line is passed over, and counted.
PIECE_BYTES = 2 << 20
LINE_BYTES_MAX = 8 << 20
TRIES = 3


class Cursor(Struct, frozen=True):
    """How far a search has come: results, by position, or the input, by its bytes."""

    ended: bool
    """Whether the batch had ended. Its results are others then, and a search of them begins again."""
    prompts: bool = False
    at: int = 0


class SearchPage(Struct, kw_only=True):
    """What a search has found, and how far it has come."""

    rows: list[Row] = msgspec.field(default_factory=list)
    positions: list[int] = msgspec.field(default_factory=list)
    """Those of the rows."""
    next: Cursor | None = None
    """Where it goes on; None where everything has been looked through."""
    stopped: str | None = None
    """Why it stopped: it has found enough (`limit`), or gone on for long enough (`time`, `bytes`, `lines`)."""
    results: int = 0
    """Results that have been looked through, this call's and those of the calls before it."""
    results_total: int = 0
    prompts_bytes: int = 0
    """The same of the input file, in bytes."""
    prompts_gone: bool = False
    """The input file has been deleted."""
    passed_over: int = 0
    """Lines of more than 8 MiB, which are not looked through."""

    def here(self, batch: Batch) -> Cursor | None:
        """Where a search of prompts goes on."""
        return None if self.stopped is None else Cursor(batch.terminal, True, self.prompts_bytes)


class _Bounds:
    """What is left of one call."""

    def __init__(self, limit: int) -> None:
        self._until = asyncio.get_running_loop().time() + SECONDS_MAX
        self.bytes = BYTES_MAX
        self.lines = LINES_MAX
        self.limit = limit

    @property
    def seconds(self) -> float:
        return self._until - asyncio.get_running_loop().time()

    def spend(self, looked: Looked) -> None:
        self.bytes -= looked.bytes
        self.lines -= looked.lines

    def reached(self, found: int) -> str | None:
        if found >= self.limit:
            return "limit"
        if self.seconds <= 0:
            return "time"
        return "bytes" if self.bytes <= 0 else "lines" if self.lines <= 0 else None


class ResultSearch:
    """Searches the batches of one resource."""

    def __init__(self, blobs: BlobStore, tables: ResultTables, offload: Offload, at_once: asyncio.Semaphore) -> None:
        """`at_once` is what searches of all resources share."""
        self._blobs = blobs
        self._tables = tables
        self._offload = offload
        self._at_once = at_once

    async def search(
        self,
        batch: Batch,
        needle: Needle,
        *,
        places: Collection[Place],
        wanted: Wanted,
        after: Cursor | None,
        limit: int,
        index: ResultIndex | None = None,
    ) -> SearchPage:
        """What is found behind a cursor. A result is found once, in the first of its places: id, answer, prompt.

        `index` is that of the batch, by default the one of now.
        """
        for _ in range(TRIES - 1):
            try:
                return await self._search(batch, needle, places, wanted, after, limit, index)
            except FileNotFoundError:
                if index is not None:
                    raise
                # It has just ended, or a file was deleted.
                batch = await self._tables.again(batch)
        return await self._search(batch, needle, places, wanted, after, limit, index)

    async def _search(
        self,
        batch: Batch,
        needle: Needle,
        places: Collection[Place],
        wanted: Wanted,
        after: Cursor | None,
        limit: int,
        index: ResultIndex | None,
    ) -> SearchPage:
        if index is None:
            index = await self._tables.index_of(batch)
        assert index is not None, "it was waited for"
        at = after if after is not None and after.ended is batch.terminal else Cursor(batch.terminal)
        page = SearchPage(results_total=len(index))
        async with self._at_once:
            bounds = _Bounds(limit)
            position = len(index) if at.prompts else at.at
            if not at.prompts:
                position = await self._results(index, needle, places, wanted, position, bounds, page)
            page.results = position
            if page.stopped is not None:
                page.next = Cursor(batch.terminal, False, position)
            elif Place.PROMPT in places and batch.input_blob:
                begin = at.at if at.prompts else 0
                try:
                    size = (await self._blobs.stat(batch.input_blob)).size
                except FileNotFoundError:
                    page.prompts_gone, size = True, 0
                where = BlobRange(key=batch.input_blob, offset=begin, length=max(0, size - begin))
                page.prompts_bytes = await self._prompts(where, index, needle, places, wanted, bounds, page)
                page.next = page.here(batch)
        return page

    async def _results(
        self,
        index: ResultIndex,
        needle: Needle,
        places: Collection[Place],
        wanted: Wanted,
        position: int,
        bounds: _Bounds,
        page: SearchPage,
    ) -> int:
        """Looks through results from a position on, and returns up to which."""
        here = frozenset(places) - {Place.PROMPT}
        if not here:
            return len(index)
        groups = index.groups_of(wanted)
        found: list[tuple[int, Hit]] = []
        while position < len(index):
            page.stopped = bounds.reached(len(found))
            if page.stopped is not None:
                break
            where, end = _piece(index, position)
            if where is None or (wanted.failed is not None and index.place(position)[3] is not wanted.failed):
                page.passed_over += where is None
                position = end
                continue
            data = await self._blobs.read(where)
            looked = await self._look(data, needle, here, bounds, len(found))
            found += [
                (position + hit.line, hit)
                for hit in looked.hits
                if groups is None or index.columns.group[position + hit.line] in groups
            ]
            position += looked.lines
        await self._add(page, index, found)
        return position

    async def _prompts(
        self,
        where: BlobRange,
        index: ResultIndex,
        needle: Needle,
        places: Collection[Place],
        wanted: Wanted,
        bounds: _Bounds,
        page: SearchPage,
    ) -> int:
        """Looks through the rest of the input, and returns up to which byte."""
        groups = index.groups_of(wanted)
        await self._tables.ordered_by_id(index)
        end = where.offset
        async for start, data in whole_lines(
            self._blobs, where, piece_bytes=PIECE_BYTES, line_max=LINE_BYTES_MAX, open_end=True
        ):
            end = start
            while data:
                page.stopped = bounds.reached(len(page.rows))
                if page.stopped is not None:
                    return end
                looked = await self._look(data, needle, frozenset({Place.PROMPT}), bounds, len(page.rows))
                found = []
                for hit in looked.hits:
                    position = index.find(fingerprint(hit.custom_id.encode("utf-8", "surrogatepass")))
                    if position is not None and (groups is None or index.columns.group[position] in groups):
                        found.append((position, hit))
                await self._add(page, index, found, unless=(needle, places))
                # An end that the last line has not is no byte of the file.
                end = min(end + looked.bytes, where.offset + where.length)
                data = data[looked.bytes :]
        return end

    async def _look(self, data: bytes, needle: Needle, places: frozenset[Place], bounds: _Bounds, found: int) -> Looked:
        looked = await self._offload.run(
            look_through,
            PickleBuffer(data),
            needle,
            places,
            bounds.limit - found,
            bounds.lines,
            max(0.0, bounds.seconds),
        )
        bounds.spend(looked)
        return looked

    async def _add(
        self,
        page: SearchPage,
        index: ResultIndex,
        found: list[tuple[int, Hit]],
        *,
        unless: tuple[Needle, Collection[Place]] | None = None,
    ) -> None:
        """Adds the rows of what was found; without those that have it in their id or answer, too, which were found there."""
        lines = await self._tables.lines(index, [position for position, _ in found], most=LINE_MAX)
        for (position, hit), line in zip(found, lines, strict=True):
            if unless is None or not is_found_in(line, *unless):
                row = row_of(index, position, line)
                page.rows.append(msgspec.structs.replace(row, found=hit.excerpt, found_in=hit.place.value))
                page.positions.append(position)


def _piece(index: ResultIndex, position: int) -> tuple[BlobRange | None, int]:
    """What is looked through next, and the position behind it; no bytes where that is one line that is too long."""
    key, offset, length, _ = index.place(position)
    if length > LINE_BYTES_MAX:
        return None, position + 1
    size, end = length, position + 1
    while end < len(index):
        next_key, next_offset, length, _ = index.place(end)
        if next_key != key or next_offset != offset + size or size + length > PIECE_BYTES:
            break
        size, end = size + length, end + 1
    return BlobRange(key=key, offset=offset, length=size), end
