"""Which validated batches start."""

import asyncio

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.core.batch import Status
from slackwater.pipeline.quota.enqueuer import Enqueuer
from slackwater.ports import NewShard
from tests.adapters.ledger_contract import batch


def test_a_limit_that_was_lowered_keeps_nobody_for_ever() -> None:
    """A batch that was let in under a higher limit waits for those that run, and starts when nothing does."""

    async def story() -> None:
        ledger = SqlLedger.open(":memory:")
        for number in (1, 2):
            await ledger.add_batch(batch(number))
            shard = NewShard(offset=0, length=1, lines=1, tokens=50)
            await ledger.accept_batch(
                f"batch-{number}", deployment="d", endpoint="/e", total=1, tokens=50, shards=[shard]
            )

        async def limit_of(key: str) -> int | None:
            return 10

        enqueuer = Enqueuer(ledger, SystemClock(), limit_of=limit_of)
        await enqueuer.step()
        await enqueuer.step()
        batches = [await ledger.batch(f"batch-{number}") for number in (1, 2)]
        assert [each and each.status for each in batches] == [Status.IN_PROGRESS, Status.VALIDATING]
        await ledger.close()

    asyncio.run(story())
