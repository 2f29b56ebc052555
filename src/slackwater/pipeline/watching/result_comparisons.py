"""Compares the results of two jobs of one resource, line by line. What was compared last is kept, as positions only."""

import asyncio
from weakref import ref

from msgspec import Struct

from slackwater.core.batch import Batch
from slackwater.core.watching.comparison import Comparison, Show, are_same, compare
from slackwater.core.watching.result_index import ResultIndex
from slackwater.core.watching.result_rows import Row
from slackwater.pipeline.watching.result_shelf import Compared, ResultShelf
from slackwater.pipeline.watching.result_tables import ResultTables

TRIES = 3


class Pair(Struct, frozen=True, kw_only=True):
    """One request in two jobs."""

    here: Row | None
    there: Row | None
    same: bool
    """Whether both got the same answer, or failed alike."""


class ComparedPage(Struct, frozen=True, kw_only=True):
    """Some lines of two jobs, and how many there are of each kind."""

    pairs: list[Pair]
    offset: int
    total: int
    counts: dict[str, int]


class ResultComparisons:
    """Those of one resource."""

    def __init__(self, tables: ResultTables, shelf: ResultShelf) -> None:
        self._tables = tables
        self._shelf = shelf

    async def page(self, batch: Batch, other: Batch, *, show: Show, offset: int, limit: int) -> ComparedPage:
        """Some of the lines that are wanted. An offset behind the end gives the last page."""
        for _ in range(TRIES - 1):
            try:
                return await self._page(batch, other, show, offset, limit)
            except FileNotFoundError:
                # One of them has just ended, or a file was deleted.
                batch, other = await self._tables.again(batch), await self._tables.again(other)
        return await self._page(batch, other, show, offset, limit)

    async def _page(self, batch: Batch, other: Batch, show: Show, offset: int, limit: int) -> ComparedPage:
        here, there = await self._tables.index_of(batch), await self._tables.index_of(other)
        assert here is not None, "it was waited for"
        assert there is not None, "it was waited for"
        compared = await self._compared((batch.id, other.id), here, there)
        total = compared.total(show)
        begin = min(offset, max(0, total - 1) // limit * limit)
        lines = compared.wanted(show, offset=begin, limit=limit)
        rows = iter(await self._tables.rows(here, [each for each, _ in lines if each is not None]))
        others = iter(await self._tables.rows(there, [each for _, each in lines if each is not None]))
        pairs = [
            Pair(
                here=None if one is None else next(rows),
                there=None if two is None else next(others),
                same=one is not None and two is not None and are_same(here, one, there, two),
            )
            for one, two in lines
        ]
        counts = {each.value: compared.total(each) for each in Show}
        return ComparedPage(pairs=pairs, offset=begin, total=total, counts=counts)

    async def _compared(self, ids: tuple[str, str], here: ResultIndex, there: ResultIndex) -> Comparison:
        kept, sizes = self._shelf.compared.get(ids), (len(here), len(there))
        if kept is not None and kept.here() is here and kept.there() is there and kept.sizes == sizes:
            return kept.comparison
        compared = await asyncio.to_thread(compare, here, there)
        self._shelf.keep(ids, Compared(ref(here), ref(there), sizes, compared))
        return compared
