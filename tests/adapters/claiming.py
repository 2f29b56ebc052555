"""Claims as a worker makes them: the batches that have shards to claim, in the order of the ledger's news."""

from collections.abc import Collection

from slackwater.ports import Ledger, Shard


async def claim(
    ledger: Ledger,
    deployment: str,
    *,
    owner: str = "w",
    now: float = 0.0,
    seconds: float = 10.0,
    skip: Collection[str] = (),
) -> Shard | None:
    """The next shard of a deployment, of the batch that began first."""
    queued = [each for each in await ledger.queued_batches(deployment, after=0) if each.batch_id not in skip]
    for each in sorted(queued, key=lambda each: (each.since, each.number)):
        shards = await ledger.claim_shards([each.batch_id], owner=owner, now=now, lease_seconds=seconds)
        if shards:
            return shards[0]
    return None
