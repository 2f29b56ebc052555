"""One process with some of the workers: `python -m benchmarks.claims.claiming ADDRESS WORKERS CLAIMS_A_SECOND SETTLED SECONDS`.

Each worker is a member of the ledger of its own, with its connections, and knows every deployment. Claims come at random moments
and wait for nobody (an open loop): one that was late is counted from the moment at which it was to begin. What is claimed is held
for a second, its lease is looked after twice a second, and then its ten lines are committed and the shard ends.
"""

import asyncio
import json
import random
import sys
import time
import uuid
from typing import Any

from benchmarks.claims.filling import DEPLOYMENTS, deployment_of

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.accounts.usage import Usage
from slackwater.core.batch import RequestCounts
from slackwater.core.members import Member
from slackwater.pipeline.sending.claims import Claims
from slackwater.ports import BlobRange, Segment, Shard

HELD_SECONDS, HEARTBEAT_SECONDS, LEASE_SECONDS = 1.0, 0.5, 30.0
LINE_BYTES = 600


class _Hungry:
    """A feed that has nothing open, and wants one shard."""

    shards = bytes = 0
    low, wanted = True, 1

    @property
    def fresh(self) -> "_Hungry":
        return self


class Times:
    """Milliseconds of each kind of call, and how many found nothing."""

    def __init__(self) -> None:
        self.of: dict[str, list[float]] = {"claim": [], "renew": [], "commit and end": []}
        self.empty = 0
        self.since = 0.0

    def note(self, kind: str, begun: float) -> None:
        if begun >= self.since:
            self.of[kind].append((time.monotonic() - begun) * 1_000)


class ClaimingWorker:
    """A member that claims."""

    def __init__(self, address: str, times: Times) -> None:
        self.name = uuid.uuid4().hex[:12]
        self._times = times
        self.ledger = SqlLedger.connect(address, member=Member(id=self.name, host="here", version="0"))
        feed: Any = _Hungry()
        self._claims = {
            name: Claims(name, self.ledger, feed) for name in (deployment_of(each) for each in range(DEPLOYMENTS))
        }
        self._held: dict[tuple[str, int], Shard] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._turn = {name: asyncio.Lock() for name in self._claims}

    async def learn(self) -> None:
        """What there is, once, as at a start."""
        for claims in self._claims.values():
            await claims.learn(time.monotonic())

    async def claim(self, due: float) -> None:
        """One more shard, of some deployment."""
        name = deployment_of(random.randrange(DEPLOYMENTS))
        claims = self._claims[name]
        async with self._turn[name]:
            while True:
                await claims.learn(time.monotonic())
                picked = claims.pick(())
                assert picked.batch_ids, "there are more shards than anybody claims"
                shards = await self.ledger.claim_shards(
                    picked.batch_ids,
                    owner=f"{self.name}-0",
                    now=time.time(),
                    lease_seconds=LEASE_SECONDS,
                    most=picked.most,
                )
                claims.claimed(picked, shards, time.monotonic())
                if shards:
                    break
                self._times.empty += due >= self._times.since
        self._times.note("claim", due)
        for shard in shards:
            self._held[shard.batch_id, shard.index] = shard
            task = asyncio.create_task(self._work(shard))
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)

    async def _work(self, shard: Shard) -> None:
        await asyncio.sleep(HELD_SECONDS)
        begun = time.monotonic()
        length = shard.lines * LINE_BYTES
        segment = Segment(
            batch_id=shard.batch_id,
            index=shard.index,
            epoch=shard.epoch,
            output=BlobRange(key=f"logs/{shard.batch_id}/{self.name}", offset=shard.index * length, length=length),
            error=None,
            done=((1 << shard.lines) - 1).to_bytes((shard.lines + 7) // 8, "little"),
            counts=RequestCounts(completed=shard.lines),
            usage=Usage(input_tokens=shard.tokens, output_tokens=shard.tokens),
            model="mock",
            output_checksums=bytes(4 * shard.lines),
            ends=True,
        )
        assert not await self.ledger.commit_segments([segment], now=time.time(), lease_seconds=LEASE_SECONDS)
        self._times.note("commit and end", begun)
        del self._held[shard.batch_id, shard.index]

    async def renew(self) -> None:
        """Looks after what is held, for ever."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            if held := [(each.batch_id, each.index, each.epoch) for each in self._held.values()]:
                begun = time.monotonic()
                await self.ledger.renew_leases(held, now=time.time(), lease_seconds=LEASE_SECONDS)
                self._times.note("renew", begun)

    async def close(self) -> None:
        """After what it holds has ended."""
        await asyncio.gather(*self._ends)
        await self.ledger.bury(self.name)
        await self.ledger.close()


async def main(address: str, workers: int, rate: float, settled: float, seconds: float) -> None:
    times = Times()
    all_ = [ClaimingWorker(address, times) for _ in range(workers)]
    for each in all_:
        await each.learn()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    renewing = [asyncio.create_task(each.renew()) for each in all_]
    tasks, due = [], time.monotonic()
    times.since = due + settled
    ends = times.since + seconds
    while (due := due + random.expovariate(rate)) < ends:
        await asyncio.sleep(due - time.monotonic())
        tasks.append(asyncio.create_task(random.choice(all_).claim(due)))
    await asyncio.gather(*tasks)
    for each in renewing:
        each.cancel()
    await asyncio.gather(*renewing, return_exceptions=True)
    print(json.dumps({"of": times.of, "empty": times.empty}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*(each.close() for each in all_))


if __name__ == "__main__":
    _, address, workers, rate, settled, seconds = sys.argv
    asyncio.run(main(address, int(workers), float(rate), float(settled), float(seconds)))
