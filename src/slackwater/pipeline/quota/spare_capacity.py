"""How many enqueued tokens a deployment may hold at this moment: its limit, or more where dynamic quota sees room for it."""

from collections.abc import Callable

from slackwater.core.quota.dynamic import Allowance, allowance
from slackwater.core.sending.deployment import Deployment
from slackwater.ports import Clock, Ledger

# A batch that comes now has a whole window.
WINDOW_SECONDS = 86_400


class SpareCapacity:
    """Asks the ledger for the first window that ends, and the workers for what they have been seen to do."""

    def __init__(self, ledger: Ledger, clock: Clock, *, tokens_per_second: Callable[[str, float], float]) -> None:
        """`tokens_per_second` says it of a deployment's key at a monotonic moment."""
        self._ledger = ledger
        self._clock = clock
        self._tokens_per_second = tokens_per_second

    async def allowance(self, deployment: Deployment) -> Allowance:
        """What it may hold now, and why."""
        limit = deployment.enqueued_token_limit
        if limit is None or not deployment.dynamic_quota:
            return Allowance(limit=limit, configured=limit)
        first = (await self._ledger.open_batches(deployment.key)).first_expires_at
        left = WINDOW_SECONDS if first is None else min(WINDOW_SECONDS, first - self._clock.now())
        rate = self._tokens_per_second(deployment.key, self._clock.monotonic())
        return allowance(limit, tokens_per_second=rate, seconds_left=left)
