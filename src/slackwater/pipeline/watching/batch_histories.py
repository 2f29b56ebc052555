"""Writes down how batches go: what journals have committed, folded together here and added to the ledger every few seconds.

Before: the journals. After: the ledger, for pictures. What must hold: nothing waits for it, and a result is told once; what a
process had not written down when it died is missing in the picture, and nowhere else. Memory is bounded by the batches whose
results became durable lately, each with at most a few kilobytes.
"""

import logging
from collections.abc import Sequence

from slackwater.core.sending.request import Result
from slackwater.core.watching.batch_history import BatchHistory
from slackwater.pipeline.loops import Pace
from slackwater.ports import Clock, WatchingLedger
from slackwater.telemetry import event

STEP_SECONDS = 5.0
# Written in one transaction.
TOGETHER_MAX = 50
# More wait only where the ledger is away; what comes then is in no picture.
WAITING_MAX = 5_000


class BatchHistories:
    """What is new of the batches that this process sends for."""

    def __init__(self, ledger: WatchingLedger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        # Who has waited longest comes first.
        self._news: dict[str, BatchHistory] = {}

    def hear(self, batch_id: str, completed: Sequence[Result], failed: int) -> None:
        """Results of a batch have become durable: some that were answered, and how many that failed."""
        news = self._news.get(batch_id)
        if news is None:
            if len(self._news) >= WAITING_MAX:
                return
            news = self._news[batch_id] = BatchHistory()
        news.hear(completed, failed, at=int(self._clock.now()))

    async def step(self) -> Pace:
        """Writes down what is new of some batches."""
        taken = {batch_id: self._news.pop(batch_id) for batch_id in list(self._news)[:TOGETHER_MAX]}
        if not taken:
            return Pace.IDLE
        try:
            await self._ledger.add_batch_histories(taken)
        except BaseException:
            for batch_id, news in taken.items():
                if (later := self._news.get(batch_id)) is not None:
                    news.take(later)
                self._news[batch_id] = news
            raise
        return Pace.BUSY if len(taken) == TOGETHER_MAX else Pace.IDLE

    async def close(self) -> None:
        """Writes down the rest."""
        try:
            while await self.step() is Pace.BUSY:
                pass
        except Exception as error:
            # A stop is a stop: a few seconds of a picture are not worth more than a line.
            event("batch_histories_lost", level=logging.WARNING, error=repr(error))
