"""Results as a table: any page of them, in any order, of a batch that runs (what is durable so far) or has ended.

An index of the results is made when somebody first wants more than the first page, and kept in memory (result_shelf); of a
batch that runs it grows by what has come since. Of a file it is made again where the file is another one or has gone.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from pickle import PickleBuffer

from msgspec import Struct

from slackwater.core.batch import Batch
from slackwater.core.errors import InvalidRequest
from slackwater.core.sending.request import Outcome
from slackwater.core.watching.result_index import EVERYTHING, Order, ResultIndex, Wanted
from slackwater.core.watching.result_rows import LINE_MAX, Row, short_of
from slackwater.pipeline.watching.result_entries import entries_of, finished, index_of_files, numbers_of
from slackwater.pipeline.watching.result_reader import ResultReader
from slackwater.pipeline.watching.result_shelf import ResultShelf, Shelved
from slackwater.pipeline.watching.whole_lines import PIECE, whole_lines
from slackwater.ports import BlobRange, BlobStore, Ledger, NewResults, Offload

# Results of one batch of which an index is kept: they take 64 MB.
RESULTS_MAX = 800_000
# So much is read right here; more of it elsewhere.
HERE_BYTES = 1 << 20
HERE_LINES = 5_000
# Read at once where few results are wanted.
FEW_BYTES = 64 << 10
# Lines that lie so near one another are read at once, and so much at once.
GAP_BYTES = 16 << 10
READ_BYTES = 1 << 20
READS_AT_ONCE = 8
TRIES = 3
# The files that an index is of, and their sizes; none while they are logs.
Files = tuple[tuple[str, int], ...]
NO_FILES: Files = (("", 0),)


class TablePage(Struct, frozen=True, kw_only=True):
    """Some rows of a table."""

    rows: list[Row]
    offset: int
    """How many rows come before them."""
    total: int
    """Rows of the table."""
    ready: bool = True
    """Whether there is an index. Until then, rows are those that came first, without the numbers of their requests."""


class ResultTables:
    """The tables of the batches of one resource."""

    def __init__(
        self, ledger: Ledger, blobs: BlobStore, reader: ResultReader, offload: Offload, shelf: ResultShelf
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._reader = reader
        self._offload = offload
        self._shelf = shelf

    async def page(
        self,
        batch: Batch,
        *,
        order: Order = Order.ARRIVAL,
        descending: bool = False,
        wanted: Wanted = EVERYTHING,
        offset: int = 0,
        line: int | None = None,
        limit: int,
    ) -> TablePage:
        """A page: that at an offset; or, in order of lines, the one with the request of that number, or the next that is there.

        An offset behind the end gives the last page. Raises InvalidRequest where there are too many results.
        """
        plain = order is Order.ARRIVAL and not descending and wanted == EVERYTHING
        first = plain and not offset
        for left in reversed(range(TRIES)):
            try:
                index = await self.index_of(batch, wait=not first, upto=offset + limit if plain else None)
                if index is None:
                    return await self._first_page(batch, limit)
                view = await self.view(index, order=order, descending=descending, wanted=wanted)
                if line is not None:
                    at = index.place_of_number(line, view, descending=descending)
                    offset = at - at % limit
                begin = min(offset, max(0, len(view) - 1) // limit * limit)
                rows = await self.rows(index, view[begin : begin + limit])
                # Not all that there is need have been read for it.
                counted = batch.counts.completed + batch.counts.failed if plain and not batch.terminal else 0
                page = TablePage(rows=rows, offset=begin, total=max(len(view), counted))
            except FileNotFoundError:
                # It has just ended, or a file was deleted.
                if not left:
                    raise
                batch = await self.again(batch)
                continue
            if page.rows or batch.terminal:
                return page
            # It may have ended since it was looked at, and its logs have gone with that.
            batch = await self.again(batch)
            if not batch.terminal:
                return page
        raise AssertionError("the last try returns or raises")

    async def _first_page(self, batch: Batch, limit: int) -> TablePage:
        page = await self._reader.page(batch, seen={}, limit=limit)
        rows = [Row(outcome=outcome, line=None, seconds=None, short=short) for outcome, short in page.lines]
        counts = batch.counts
        total = counts.total if batch.terminal else counts.completed + counts.failed
        return TablePage(rows=rows, offset=0, total=max(total, len(rows)), ready=False)

    async def ordered_by_id(self, index: ResultIndex) -> None:
        """Puts an index in the order of ids, by which results are found; of many on a thread."""
        if len(index) > HERE_LINES:
            await asyncio.to_thread(index.positions_by, "id")

    async def again(self, batch: Batch) -> Batch:
        """A batch as it is now."""
        return await self._ledger.batch(batch.id) or batch

    async def view(self, index: ResultIndex, *, order: Order, descending: bool, wanted: Wanted) -> Sequence[int]:
        """The positions of what is wanted, in order. That of many is made on a thread, so that others come between."""
        if len(index) <= HERE_LINES:
            return index.view(order, descending=descending, wanted=wanted)
        view = index.kept_view(order, descending, wanted)
        if view is None:
            count = len(index)
            view = await asyncio.to_thread(index.made_view, order, descending, wanted)
            index.keep_view(order, descending, wanted, count, view)
        return view

    async def index_of(self, batch: Batch, *, wait: bool = True, upto: int | None = None) -> ResultIndex | None:
        """The index of what there is now. Without `wait`, None where it takes long; it is made then all the same.

        With `upto`, so many results are enough where the batch still runs: whoever watches its beginning has nothing more
        read for that. Raises InvalidRequest where there are too many results, FileUnreadable, and FileNotFoundError where a
        file has just gone.
        """
        counts = batch.counts
        if counts.completed + counts.failed > RESULTS_MAX:
            if not wait:
                return None
            raise InvalidRequest(
                f"The batch has more than {RESULTS_MAX:,} results, too many to be ordered, filtered, searched or compared "
                "here. Download its files."
            )
        shelved = self._shelf.of(batch.id)
        upto = None if batch.terminal else upto
        while True:
            if upto is not None and shelved.of == () and len(shelved.index) >= upto:
                return shelved.index
            of, runs = await self._state(batch, shelved)
            if shelved.of == of and not runs:
                return shelved.index
            making, others = shelved.making, shelved.making is not None
            if making is None:
                making = shelved.making = asyncio.create_task(self._make(batch, shelved, of, runs, upto))
                making.add_done_callback(_heard)
                shelved.whole = upto is None
            whole = shelved.whole
            large = sum(each.range.length for each in runs) > HERE_BYTES
            if not wait and large and (others or upto is None):
                return shelved.index if shelved.of == of else None
            # Whoever asked may go away; what is made is for everybody.
            await asyncio.shield(making)
            if not of and shelved.of == of and (whole or not others):
                # More comes all the time.
                return shelved.index

    async def _state(self, batch: Batch, shelved: Shelved) -> tuple[Files, list[NewResults]]:
        """The files that a batch has now, none while it runs; and the results that the index has not."""
        if batch.terminal:
            runs = await self._reader.runs(batch, seen={})
            of = tuple((each.range.key, each.range.length) for each in runs)
            # Without any file there is still something to be made: nothing.
            return of or NO_FILES, [] if shelved.of == (of or NO_FILES) else runs
        seen = {} if shelved.of else {key.rpartition("/")[2]: end for key, end in shelved.index.seen.items()}
        return (), await self._reader.runs(batch, seen=seen)

    async def _make(
        self, batch: Batch, shelved: Shelved, of: Files, runs: Sequence[NewResults], upto: int | None
    ) -> None:
        try:
            if shelved.of is None or shelved.of != of:
                shelved.index, shelved.of, shelved.sizes = ResultIndex(), None, None
            # Before it is validated there are none, and no results.
            if not of and not shelved.sizes:
                shelved.sizes = await self._ledger.shard_sizes(batch.id)
            index = shelved.index
            before = len(index)
            elsewhere = upto is None and sum(each.range.length for each in runs) > HERE_BYTES
            numbers = numbers_of(batch.id, None if of else shelved.sizes)
            if of and elsewhere:
                # Whole files are read where they are looked through.
                files = [(each.range.key, each.outcome is Outcome.FAILED) for each in runs]
                total = batch.counts.total
                shelved.index = await self._offload.run(index_of_files, self._blobs, files, numbers, total)
                shelved.of = of
                return
            piece_bytes, enough = (PIECE, RESULTS_MAX) if upto is None else (FEW_BYTES, upto)
            for run in runs:
                failed = run.outcome is Outcome.FAILED
                pieces = whole_lines(self._blobs, run.range, piece_bytes=piece_bytes)
                async with aclosing(pieces):
                    while len(index) < enough and (piece := await anext(pieces, None)) is not None:
                        begin, lines = piece
                        if elsewhere:
                            columns = await self._offload.run(entries_of, PickleBuffer(lines), failed, numbers)
                        else:
                            columns = entries_of(lines, failed, numbers)
                        index.extend(columns, key=run.range.key, offset=begin, failed=failed)
            counted = batch.counts.total if of else None
            if len(index) - before > HERE_LINES:
                index = await self._offload.run(finished, index, counted)
            elif counted is not None:
                index = finished(index, counted)
            shelved.index, shelved.of = index, of
        finally:
            shelved.making = None
            self._shelf.trim()

    async def rows(self, index: ResultIndex, positions: Sequence[int]) -> list[Row]:
        """The rows of some results. Raises FileNotFoundError where their file has gone."""
        lines = await self.lines(index, positions, most=LINE_MAX)
        return [row_of(index, position, line) for position, line in zip(positions, lines, strict=True)]

    async def lines(self, index: ResultIndex, positions: Sequence[int], *, most: int) -> list[bytes]:
        """The lines of some results, of each at most so many bytes. What lies near one another is read at once."""
        reads = _reads(index, positions, most)
        at_once = asyncio.Semaphore(READS_AT_ONCE)

        async def read(where: BlobRange) -> bytes:
            async with at_once:
                return await self._blobs.read(where)

        pieces = await asyncio.gather(*(read(where) for where, _ in reads))
        found: dict[int, bytes] = {}
        for (where, inside), piece in zip(reads, pieces, strict=True):
            for position in inside:
                _, offset, length, _ = index.place(position)
                begin = offset - where.offset
                found[position] = piece[begin : begin + min(length, most)]
        return [found[position] for position in positions]


def row_of(index: ResultIndex, position: int, line: bytes) -> Row:
    """A row, from the line or its beginning."""
    _, _, length, failed = index.place(position)
    short = short_of(
        line,
        whole=len(line) == length,
        failed=failed,
        error=index.error(position),
        tokens=index.tokens(position),
    )
    return Row(
        outcome=Outcome.FAILED if failed else Outcome.COMPLETED,
        line=index.number(position),
        seconds=index.seconds(position),
        short=short,
    )


def _reads(index: ResultIndex, positions: Sequence[int], most: int) -> list[tuple[BlobRange, list[int]]]:
    """What is to be read at once, and which results are in it."""
    reads: list[tuple[BlobRange, list[int]]] = []
    for key, offset, length, position in sorted((*index.place(each)[:3], each) for each in set(positions)):
        end = offset + min(length, most)
        if reads:
            last, inside = reads[-1]
            if last.key == key and offset <= last.offset + last.length + GAP_BYTES and end - last.offset <= READ_BYTES:
                reads[-1] = BlobRange(key=key, offset=last.offset, length=end - last.offset), [*inside, position]
                continue
        reads.append((BlobRange(key=key, offset=offset, length=end - offset), [position]))
    return reads


def _heard(task: asyncio.Task[None]) -> None:
    """Whoever waits for it is told what went wrong; there may be nobody."""
    if not task.cancelled():
        task.exception()
