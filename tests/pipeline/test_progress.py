"""Progress is watched from what is durable, for as long as a batch runs."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import RequestCounts
from slackwater.pipeline.watching.progress import Progress
from tests.adapters.ledger_contract import claimed, segment, started


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def test_a_batch_is_watched_while_it_runs(tmp_path: Path) -> None:
    """Rates of what was committed and of backends; forgotten when the batch ends or the backend goes."""

    async def story() -> None:
        ledger, clock = SqlLedger.open(tmp_path / "l"), Clock()
        sums = {("d", "engine"): (0.0, 0.0, 0.0)}
        out = {("d", "engine"): 0}
        progress = Progress(ledger, clock, backends=lambda: sums, out=lambda: out)
        await started(ledger, shards=(500,))
        shard = await claimed(ledger)
        await progress.step()
        assert progress.rates("batch-0") is None
        assert progress.backend("d", "engine") is None
        for number in range(10):
            clock.at += 2
            counted = msgspec.structs.replace(segment(shard, number), counts=RequestCounts(completed=4))
            await ledger.commit_segments([counted], now=clock.at, lease_seconds=99)
            sums["d", "engine"] = (4.0 * number + 4, 2.0 * number + 2, 40.0 * number + 40)
            await progress.step()
        rates = progress.rates("batch-0")
        assert rates is not None
        assert (rates.requests_per_second, rates.tokens_per_second) == (2.0, 0.5)
        assert progress.backend("d", "engine") == (20.0, (40.0, 20.0, 400.0))
        await ledger.request_cancel("batch-0", now=5)
        del sums["d", "engine"]
        await progress.step()
        assert progress.rates("batch-0") is None
        assert progress.backend("d", "engine") is None
        await ledger.close()

    asyncio.run(story())


def test_a_backend_is_quiet_while_calls_are_out_and_none_comes_back(tmp_path: Path) -> None:
    """From the look that first saw calls out, or that saw one come back; not while none is out."""

    async def story() -> None:
        ledger, clock = SqlLedger.open(tmp_path / "l"), Clock()
        sums, out = {("d", "e"): (0.0, 0.0, 0.0)}, {("d", "e"): 0}
        progress = Progress(ledger, clock, backends=lambda: sums, out=lambda: out)

        async def seen(at: float, *, calls: int, ended: float = 0.0) -> float | None:
            clock.at, out["d", "e"], sums["d", "e"] = at, calls, (ended, ended, 0.0)
            await progress.step()
            return progress.quiet_since("d", "e")

        assert await seen(100.0, calls=0) is None
        assert await seen(101.0, calls=2) == 101.0
        assert await seen(150.0, calls=2) == 101.0
        assert await seen(151.0, calls=2, ended=1.0) == 151.0
        assert await seen(152.0, calls=1, ended=1.0) == 151.0
        assert await seen(153.0, calls=0, ended=1.0) is None
        assert await seen(154.0, calls=1, ended=1.0) == 154.0
        # A backend that is gone, or whose sums are not known yet, is not quiet.
        sums.clear()
        await progress.step()
        assert progress.quiet_since("d", "e") is None
        await ledger.close()

    asyncio.run(story())


def test_many_batches_are_looked_at_less_often(tmp_path: Path) -> None:
    """Every five seconds, and backends as often as ever; with few again, every second."""

    async def story() -> None:
        ledger, clock = SqlLedger.open(tmp_path / "l", inline=True), Clock()
        looks = 0
        sums = {("d", "engine"): (0.0, 0.0, 0.0)}
        progress = Progress(ledger, clock, backends=lambda: sums)
        looked = ledger.sql.database.search

        async def search(work: Any) -> Any:
            nonlocal looks
            looks += 1
            return await looked(work)

        ledger.sql.database.search = search  # type: ignore[method-assign]
        for number in range(101):
            await started(ledger, number, shards=(1,))
        seen = []
        for second in range(20):
            # Steps are never to the hair a second apart.
            clock.at += 0.999 if second % 2 else 1.001
            sums["d", "engine"] = (float(second), 0.0, 0.0)
            await progress.step()
            seen.append(looks)
            assert (progress.backend("d", "engine") is None) is (second == 0)
        assert seen == [1 + second // 5 for second in range(20)]
        await ledger.request_cancel("batch-0", now=5)
        for _ in range(5):
            clock.at += 1
            await progress.step()
        # The first of them was due at the twenty-first second.
        assert looks == 4 + 5
        await ledger.close()

    asyncio.run(story())
