"""A commit that is cut off: what it took is durable then, or back among what waits. Never lost, never there twice."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.errors import StorageFull
from slackwater.core.sending.request import Outcome, Result
from slackwater.pipeline.sending.journal import Journal
from slackwater.pipeline.sending.lease import Lease
from tests.adapters.ledger_contract import claimed, started
from tests.pipeline.engines import inline, played
from tests.simulation.virtual import VirtualClock, VirtualLoop

T = TypeVar("T")


class SlowDisk:
    """Runs what touches the disk after a while; it may be full then."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.full = False

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        await asyncio.sleep(self.seconds)
        if self.full:
            raise StorageFull("no room")
        return function(*arguments)


def line(lease: Lease, number: int) -> Result:
    text = lease.writer.unanswered(number, f"id-{number}", code="c", message="m" * 20)
    return Result(number, Outcome.FAILED if number % 2 else Outcome.COMPLETED, text)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.5, 2.5, 3.5])
def test_a_commit_that_is_cut_off(tmp_path: Path, seconds: float, full: bool) -> None:
    """At any of its steps, on a disk that has room and on one that has none."""

    async def story(loop: VirtualLoop) -> None:
        disk = SlowDisk()
        blobs, ledger = DiskBlobs(tmp_path, run=disk.run), SqlLedger.open(":memory:", inline=True)
        await started(ledger, shards=(6,))
        shard = await claimed(ledger)
        lease = Lease(shard, b"")
        journal = Journal(ledger, blobs, VirtualClock(loop), owner="w", lease_seconds=1000.0)
        for number in range(3):
            journal.add(lease, line(lease, number))
        disk.seconds = 1.0
        commit = asyncio.create_task(journal.commit())
        await asyncio.sleep(seconds)
        disk.full = full
        journal.add(lease, line(lease, 3))
        commit.cancel()
        await asyncio.wait([commit])
        assert commit.cancelled() or commit.exception()
        disk.full = False
        await journal.commit()
        for number in (4, 5):
            journal.add(lease, line(lease, number))
        await journal.commit()
        assert lease.complete
        assert lease.unjournaled == journal.size == 0
        # The last results have said so.
        assert lease.ended
        assert not await ledger.finish_shard(shard.batch_id, shard.index, epoch=shard.epoch)
        names = []
        for _, segment in await ledger.segments(shard.batch_id):
            for place in (segment.output, segment.error):
                if place is not None:
                    data = await DiskBlobs(tmp_path, run=inline).read(place)
                    names += [json.loads(text)["custom_id"] for text in data.splitlines()]
        assert sorted(names) == [f"id-{number}" for number in range(6)]

    played(story)


def test_a_shard_that_somebody_else_has_is_told_of_at_the_commit(tmp_path: Path) -> None:
    """Its calls are for nothing from then on; its results do not wait any more, and those of others are durable."""

    async def story(loop: VirtualLoop) -> None:
        blobs, ledger = DiskBlobs(tmp_path, run=SlowDisk().run), SqlLedger.open(":memory:", inline=True)
        await started(ledger, shards=(3, 3))
        mine, lost = Lease(await claimed(ledger), b""), Lease(await claimed(ledger), b"")
        told: list[Lease] = []
        journal = Journal(ledger, blobs, VirtualClock(loop), owner="w", lease_seconds=1000.0, fenced=told.append)
        await ledger.release_shard(lost.shard.batch_id, lost.shard.index, epoch=lost.shard.epoch)
        await claimed(ledger)
        for lease in (mine, lost):
            journal.add(lease, line(lease, 0))
        assert await journal.commit() == 1
        assert told == [lost]
        assert (mine.unjournaled, lost.unjournaled, journal.size) == (0, 0, 0)
        await ledger.close()

    played(story)
