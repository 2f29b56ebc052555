"""Lets validated batches start when their tokens fit the deployment. Before: validator. After: scheduler."""

from collections.abc import Awaitable, Callable

from slackwater.core.quota.enqueued import admit
from slackwater.pipeline.loops import Pace
from slackwater.ports import Clock, Ledger
from slackwater.telemetry import event


class Enqueuer:
    """Starts what fits, oldest first."""

    def __init__(self, ledger: Ledger, clock: Clock, *, limit_of: Callable[[str], Awaitable[int | None]]) -> None:
        """`limit_of` says how many enqueued tokens a deployment may hold now; None is no limit."""
        self._ledger = ledger
        self._clock = clock
        self._limit_of = limit_of

    async def step(self) -> Pace:
        """Starts every waiting batch that fits now."""
        pace = Pace.IDLE
        for waiting in await self._ledger.waiting():
            limit = await self._limit_of(waiting.deployment)
            admitted = admit(waiting.batches, limit=limit, held=waiting.held)
            if not admitted and not waiting.held:
                # It was validated under a higher limit, and nothing that could end would make more room for it.
                admitted = waiting.batches[:1]
            if admitted:
                # Looked at once more in the transaction: another server may have let somebody in meanwhile.
                started = await self._ledger.enqueue(
                    [batch.id for batch in admitted],
                    now=int(self._clock.now()),
                    deployment=waiting.deployment,
                    limit=limit,
                )
                for batch in admitted:
                    if batch.id not in started:
                        continue
                    event("batch_enqueued", batch=batch.id, deployment=waiting.deployment, tokens=batch.enqueued_tokens)
                    pace = Pace.BUSY
        return pace
