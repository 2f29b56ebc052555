"""Writes the order in which workers claim the shards of a batch. Before: enqueuer. After: worker."""

from collections.abc import Callable

from slackwater.core.sending.scheduling import rank_shards
from slackwater.pipeline.loops import Pace
from slackwater.ports import Ledger


class Scheduler:
    """Gives ranks to the shards of batches that have just started."""

    def __init__(self, ledger: Ledger, *, wake: Callable[[str], None] = lambda deployment: None) -> None:
        """`wake` hints that a deployment, by its key, has shards to claim."""
        self._ledger = ledger
        self._wake = wake

    async def step(self) -> Pace:
        """Ranks every batch that has none."""
        batches = await self._ledger.unranked()
        for batch in batches:
            await self._ledger.rank_shards(batch.batch_id, rank_shards(batch.shards))
            self._wake(batch.deployment)
        return Pace.BUSY if batches else Pace.IDLE
