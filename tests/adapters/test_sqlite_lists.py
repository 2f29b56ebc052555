"""Lists of batches in SQLite: the contract, what a page costs, and whom a long search keeps waiting."""

import asyncio
import threading
from pathlib import Path

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import BatchError, Status
from slackwater.core.errors import InvalidRequest
from slackwater.core.watching.listing import BatchQuery, Condition, Field, Operator, Ordering
from slackwater.ports import Ledger
from tests.adapters.ledger_contract import batch
from tests.adapters.list_contract import ListContract

NOT_FAILED = Condition(Field.STATUS, Operator.NE, Status.FAILED)
FAILED = Condition(Field.STATUS, Operator.EQ, Status.FAILED)
EMBEDDINGS = Condition(Field.ENDPOINT, Operator.EQ, "/embeddings")


class TestOnDisk(ListContract):
    """With its threads, as a service has it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(place / "ledger.sqlite")


class TestInMemory(ListContract):
    """On the caller's thread, as simulations have it."""

    def open(self, place: Path) -> Ledger:
        return SqlLedger.open(":memory:")


# A pass over all of these batches takes some 40,000 steps, the rows of a page of ten about 700.
BATCHES, STEPS = 4_000, 2_000


async def filled() -> SqlLedger:
    """A ledger of many batches of the same second, every second one failed, with a low bound on searches."""
    ledger = SqlLedger.open(":memory:", search_steps=STEPS)
    for number in range(BATCHES):
        await ledger.add_batch(batch(number))
        if number % 2:
            await ledger.reject_batch(f"batch-{number}", errors=[BatchError(code="empty_file", message="m")], now=5)
    return ledger


def test_a_page_costs_what_it_shows() -> None:
    """Every page by status or creation, the last one too, takes a twentieth of what a pass over all batches takes."""

    async def story() -> None:
        ledger = await filled()
        for conditions in ((), (FAILED,), (NOT_FAILED,)):
            for field in (Field.CREATED_AT, Field.STATUS):
                for descending in (True, False):
                    query = BatchQuery(conditions=conditions, ordering=Ordering(field=field, descending=descending))
                    count, after = 0, None
                    while page := await ledger.batches(query, after=after, limit=10):
                        count, after = count + len(page), page[-1].id
                    assert count == (BATCHES // 2 if conditions else BATCHES)
        await ledger.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    "query",
    [BatchQuery(conditions=(EMBEDDINGS,)), BatchQuery(ordering=Ordering(field=Field.EXPIRES_AT))],
)
def test_a_search_has_a_bound(query: BatchQuery) -> None:
    """A page for which too many batches would be passed over is refused, says what to do, and leaves no trace."""

    async def story() -> None:
        ledger = await filled()
        with pytest.raises(InvalidRequest, match=r"Narrow '\$filter' down by status or created_at") as caught:
            await ledger.batches(query, limit=10)
        assert caught.value.param == "$filter"
        await ledger.add_batch(batch(5_000, created_at=7_000))
        assert [each.id for each in await ledger.batches(limit=1)] == ["batch-5000"]
        await ledger.close()

    asyncio.run(story())


def test_a_long_search_keeps_nobody_waiting(tmp_path: Path) -> None:
    """While one runs, the event loop reads and the writer commits."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "l")
        begun, go_on = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def long(_: object) -> None:
            loop.call_soon_threadsafe(begun.set)
            go_on.wait(20)

        search = asyncio.ensure_future(ledger.sql.database.search(long))
        await begun.wait()
        await ledger.add_batch(batch())
        assert await ledger.batch("batch-0") == batch()
        assert not search.done()
        go_on.set()
        await search
        assert await ledger.batches(limit=9) == [batch()]
        await ledger.close()

    asyncio.run(story())
