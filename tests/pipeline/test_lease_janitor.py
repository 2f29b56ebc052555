"""The janitor of leases, over a real ledger that is away at times, with a clock that is set by hand."""

import asyncio
from pathlib import Path

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.errors import LedgerUnavailable
from slackwater.pipeline.ending.janitor import GRACE_SECONDS, Janitor
from slackwater.ports import WallTime
from tests.adapters.ledger_contract import claimed, started
from tests.pipeline.upload_world import Watch


class AwayLedger(SqlLedger):
    """A ledger that cannot be reached at times."""

    away = False

    async def release_leases(self, *, now: float, dead_owners_except: str | None = None) -> int:
        if self.away:
            raise LedgerUnavailable("away")
        return await super().release_leases(now=now, dead_owners_except=dead_owners_except)

    async def wall_time(self) -> WallTime:
        if self.away:
            raise LedgerUnavailable("away")
        return await super().wall_time()


def test_no_lease_ends_while_nobody_can_renew_it(tmp_path: Path) -> None:
    """After the ledger was away, its holders have as long as a lease is; whoever does not renew it then has lost it."""

    async def story() -> None:
        ledger, watch = AwayLedger.open(":memory:"), Watch()
        assert isinstance(ledger, AwayLedger)
        janitor = Janitor(ledger, DiskBlobs(tmp_path), watch)
        await started(ledger, shards=(1,))
        shard = await claimed(ledger, now=watch.now())
        held = [("batch-0", 0, shard.epoch)]
        ledger.away = True
        for _ in range(5):
            await watch.sleep(20)
            with pytest.raises(LedgerUnavailable):
                await janitor.step()
        ledger.away = False
        await janitor.step()
        # Its lease was over a minute ago, and is its own.
        assert len(await ledger.renew_leases(held, now=watch.now(), lease_seconds=10.0)) == 1
        await watch.sleep(GRACE_SECONDS)
        await janitor.step()
        assert await ledger.renew_leases(held, now=watch.now(), lease_seconds=10.0) == []
        await ledger.close()

    asyncio.run(story())
