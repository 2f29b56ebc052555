"""The whole table of moves, walked on a real ledger; and that nothing else moves a batch."""

import asyncio
import re
from pathlib import Path

import pytest

from slackwater.adapters import sql
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import MOMENT, MOVES, Event, Policies, Stage, Standing, Status, WindowElapsed
from slackwater.ports import NewShard
from tests.adapters.bringing_contract import brought, elsewhere
from tests.adapters.ledger_contract import batch, claimed, segment

NOW = 7_000
# How a batch comes to stand somewhere.
ROADS: dict[Standing, tuple[Event, ...]] = {
    (Stage.BRINGING, Status.VALIDATING): (),
    (Stage.NEW, Status.VALIDATING): (),
    (Stage.WAITING, Status.VALIDATING): (Event.VALIDATED,),
    (Stage.RUNNING, Status.IN_PROGRESS): (Event.VALIDATED, Event.ENQUEUED),
    (Stage.ENDING, Status.FINALIZING): (Event.VALIDATED, Event.ENQUEUED, Event.EXHAUSTED),
    (Stage.ENDING, Status.CANCELLING): (Event.VALIDATED, Event.CANCEL_REQUESTED),
    (Stage.ENDED, Status.FAILED): (Event.REJECTED,),
    (Stage.ENDED, Status.COMPLETED): (Event.VALIDATED, Event.ENQUEUED, Event.EXHAUSTED, Event.PUBLISHED),
    (Stage.ENDED, Status.EXPIRED): (Event.VALIDATED, Event.WINDOW_ELAPSED, Event.PUBLISHED_EXPIRED),
    (Stage.ENDED, Status.CANCELLED): (Event.VALIDATED, Event.CANCEL_REQUESTED, Event.PUBLISHED_CANCELLED),
}


async def happen(ledger: SqlLedger, event: Event) -> None:
    """What makes the event happen, where it can: by the methods of the port alone."""
    if event is Event.BROUGHT:
        await brought(ledger, 0)
    elif event is Event.VALIDATED:
        shards = [NewShard(offset=0, length=10, lines=1, tokens=1)]
        await ledger.accept_batch("batch-0", deployment="d", endpoint="/x", total=1, tokens=1, shards=shards)
    elif event is Event.REJECTED:
        await ledger.reject_batch("batch-0", errors=[], now=NOW)
    elif event is Event.ENQUEUED:
        await ledger.enqueue(["batch-0"], now=NOW)
    elif event is Event.EXHAUSTED:
        for waiting in await ledger.unranked():
            await ledger.rank_shards(waiting.batch_id, [0.0])
            shard = await claimed(ledger)
            await ledger.commit_segments([segment(shard, 0)], now=NOW, lease_seconds=9)
            await ledger.finish_shard("batch-0", 0, epoch=shard.epoch)
        await ledger.begin_finalizing(now=NOW)
    elif event is Event.WINDOW_ELAPSED:
        await ledger.elapse_windows(now=NOW)
    elif event is Event.CANCEL_REQUESTED:
        await ledger.request_cancel("batch-0", now=NOW)
    else:
        await ledger.publish_files("batch-0", output=None, error=None, now=NOW)


def standing(ledger: SqlLedger) -> Standing:
    row = ledger.sql.one(ledger.sql.database.reader, "batch", {"id": "batch-0"})
    assert row is not None
    return Stage(row["stage"]), Status(row["status"])


PUBLISHING = (Event.PUBLISHED, Event.PUBLISHED_EXPIRED, Event.PUBLISHED_CANCELLED)


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("before", MOVES)
def test_every_event_in_every_standing(before: Standing, event: Event) -> None:
    """A batch moves where the table says so, with its moment, and stays as it was where the table says nothing."""

    async def story() -> None:
        ledger = SqlLedger.open(":memory:")
        try:
            make = elsewhere if before[0] is Stage.BRINGING else batch
            await ledger.add_batch(make(0, policies=Policies(window_elapsed=WindowElapsed.EXPIRE)))
            road = ROADS[before]
            if event is Event.PUBLISHED_EXPIRED and before == (Stage.ENDING, Status.FINALIZING):
                # Nothing of it ran.
                road = (Event.VALIDATED, Event.ENQUEUED, Event.WINDOW_ELAPSED)
            for each in road:
                await happen(ledger, each)
            assert standing(ledger) == before
            was = await ledger.batch("batch-0")
            await happen(ledger, event)
            # The three ends are one method: which of them it is, the batch decides.
            ends = [each for each in PUBLISHING if each in MOVES[before]] if event in PUBLISHING else []
            expected = MOVES[before].get(event) or (MOVES[before][ends[0]] if ends else before)
            assert standing(ledger) == expected
            now = await ledger.batch("batch-0")
            assert was is not None
            assert now is not None
            for status, moment in MOMENT.items():
                entered = expected[1] is status and before[1] is not status
                assert getattr(now, moment) == (NOW if entered else getattr(was, moment)), moment
            if expected == before:
                assert now == was
        finally:
            await ledger.close()

    asyncio.run(story())


def test_nothing_but_the_table_moves_a_batch() -> None:
    """Of all statements, only that of `move_batch` writes a stage or a status of a batch; and stages that are read exist."""
    text = (Path(sql.__path__[0]) / "queries.sql").read_text()
    for statement in re.split(r"-- name: ", text)[1:]:
        if re.search(r"UPDATE batch\b", statement):
            written = statement.partition("SET")[2].partition("WHERE")[0]
            assert not re.search(r"\b(stage|status)\s*=", written), statement.split("\n")[0]
    writers = [
        path.name
        for path in Path(sql.__path__[0]).glob("*.py")
        if re.search(r"UPDATE batch SET (stage|status)", path.read_text())
    ]
    assert writers == ["batches.py"]
    read = re.findall(r"\bstage (?:=|!=) ('\w+')|\bstage IN \(([^)]*)\)", text)
    names = {name for pair in read for part in pair for name in re.findall(r"'(\w+)'", part)}
    assert names == {stage.value for stage in Stage}
    open_ones = {frozenset(re.findall(r"'(\w+)'", names)) for _, names in read if names.count("'") == 10}
    assert open_ones == {frozenset(stage.value for stage in Stage if stage is not Stage.ENDED)}
