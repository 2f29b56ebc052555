"""The part of the ledger that workers claim from, in memory: it answers as adapters/sql/shards.py does."""

import heapq
from bisect import bisect_right
from collections.abc import Sequence

from slackwater.ports import QueuedBatch, Shard

QUEUED, RUNNING, DONE = 0, 1, 2


class OpenBatch:
    """A batch that has been let in."""

    __slots__ = (
        "again", "created", "cut", "dearer", "deployment", "ended", "epochs", "id", "left", "lines", "news", "next", "open",
        "shards", "since", "states", "tokens_a_line",
    )  # fmt: skip

    def __init__(self, id_: str, deployment: str, lines: int, *, cut: int, tokens_a_line: int, created: float) -> None:
        self.id = id_
        self.deployment = deployment
        self.lines = lines
        self.cut = cut
        self.tokens_a_line = tokens_a_line
        self.created = created
        self.dearer = 1.0
        """What its answers cost, beside what was thought."""
        self.since = 0.0
        self.shards = -(-lines // cut)
        self.states = bytearray(self.shards)
        self.epochs: dict[int, int] = {}
        # The first that nobody has claimed, those that came back, and what is left of these.
        self.next = 0
        self.again: list[int] = []
        self.left: dict[int, int] = {}
        self.ended = 0
        self.open = self.shards
        self.news = 0

    @property
    def tokens(self) -> int:
        """Of its whole input."""
        return self.lines * self.tokens_a_line

    @property
    def queued(self) -> bool:
        """Whether there is a shard to claim."""
        return self.next < self.shards or bool(self.again)

    def size(self, index: int) -> int:
        """Lines of a shard that have no result yet."""
        left = self.left.get(index)
        return min(self.cut, self.lines - index * self.cut) if left is None else left


class News:
    """Of one deployment: its batches, by the number of their last news."""

    def __init__(self) -> None:
        self.number = 0
        self.numbers: list[int] = []
        self.batches: list[OpenBatch] = []
        self.open = 0
        self.queued = 0
        """Shards to claim."""


class MemoryLedger:
    """Batches that run, and their shards. Every write of a worker is fenced by the epoch of its shard."""

    def __init__(self) -> None:
        self.running: dict[str, OpenBatch] = {}
        self._news: dict[str, News] = {}
        self.rows = self.rows_most = self.batches_most = self.news_read = self.reads = 0
        self.claims = self.claims_empty = self.shards_claimed = 0

    def news_of(self, deployment: str) -> News:
        """Those of a deployment."""
        return self._news.setdefault(deployment, News())

    def start(self, batch: OpenBatch, now: float) -> None:
        """It is let in, and its shards have their ranks."""
        batch.since = now
        self.running[batch.id] = batch
        news = self.news_of(batch.deployment)
        news.open += 1
        news.queued += batch.shards
        self._tell(news, batch)
        self.rows += 1 + batch.shards
        self.rows_most = max(self.rows_most, self.rows)
        self.batches_most = max(self.batches_most, len(self.running))

    def _tell(self, news: News, batch: OpenBatch) -> None:
        news.number = batch.news = news.number + 1
        news.numbers.append(news.number)
        news.batches.append(batch)
        if len(news.numbers) > 64 + 2 * news.open:
            kept = [(n, b) for n, b in zip(news.numbers, news.batches, strict=True) if b.news == n and b.open]
            news.numbers, news.batches = [n for n, _ in kept], [b for _, b in kept]

    async def queued_batches(self, deployment: str, *, after: int, limit: int = 500) -> list[QueuedBatch]:
        news = self.news_of(deployment)
        self.reads += 1
        if news.number == after:
            return []
        found: list[QueuedBatch] = []
        numbers, batches = news.numbers, news.batches
        for place in range(bisect_right(numbers, after), len(numbers)):
            batch = batches[place]
            if batch.news != numbers[place] or not batch.open:
                continue
            lines = batch.lines - batch.ended
            found.append(
                QueuedBatch(
                    number=batch.news,
                    batch_id=batch.id,
                    left=batch.tokens * lines / batch.lines,
                    lines=lines,
                    since=int(batch.since),
                )
            )
            if len(found) == limit:
                break
        self.news_read += len(found)
        return found

    async def claimable_batches(self, batch_ids: Sequence[str]) -> frozenset[str]:
        running = self.running
        return frozenset(each for each in batch_ids if (batch := running.get(each)) is not None and batch.queued)

    def claim(self, batch_ids: Sequence[str], *, most: int | None = None) -> list[Shard]:
        """One shard of each, as `claim_shards` gives them."""
        self.claims += 1
        claimed: list[Shard] = []
        for each in batch_ids:
            if len(claimed) == most:
                break
            if (shard := self._claim(each)) is not None:
                claimed.append(shard)
        self.claims_empty += not claimed
        self.shards_claimed += len(claimed)
        return claimed

    def _claim(self, batch_id: str) -> Shard | None:
        batch = self.running.get(batch_id)
        if batch is None or not batch.queued:
            return None
        # The lowest rank: what came back was before those that nobody has had.
        if batch.again:
            index = heapq.heappop(batch.again)
        else:
            index = batch.next
            batch.next += 1
        assert batch.states[index] == QUEUED
        batch.states[index] = RUNNING
        epoch = batch.epochs[index] = batch.epochs.get(index, 0) + 1
        self._news[batch.deployment].queued -= 1
        lines = min(batch.cut, batch.lines - index * batch.cut)
        return Shard(
            batch_id=batch_id,
            index=index,
            epoch=epoch,
            places=(),
            lines=lines,
            done=b"",
            endpoint="",
            deployment=batch.deployment,
            tokens=lines * batch.tokens_a_line,
            batch_left=batch.tokens * (batch.lines - batch.ended) / batch.lines,
            batch_since=int(batch.since),
            batch_queued=batch.queued,
        )

    def _held(self, shard: Shard) -> OpenBatch | None:
        batch = self.running.get(shard.batch_id)
        if batch is None or batch.states[shard.index] != RUNNING or batch.epochs[shard.index] != shard.epoch:
            return None
        return batch

    def commit(self, shard: Shard, left: int) -> bool:
        """So many lines of a shard have no result yet, where it is still this epoch's; with none it has ended."""
        batch = self._held(shard)
        if batch is None:
            return False
        index = shard.index
        before = batch.size(index)
        assert 0 <= left <= before, "a line would have two results"
        batch.ended += before - left
        batch.left[index] = left
        if not left:
            batch.states[index] = DONE
            batch.open -= 1
            del batch.left[index], batch.epochs[index]
            if not batch.open:
                self._end(batch)
        return True

    def _end(self, batch: OpenBatch) -> None:
        assert batch.ended == batch.lines, "a line has no result"
        del self.running[batch.id]
        self._news[batch.deployment].open -= 1
        self.rows -= 1 + batch.shards

    def release(self, shard: Shard) -> bool:
        """Gives a shard back, where it is still this epoch's."""
        batch = self._held(shard)
        if batch is None:
            return False
        batch.states[shard.index] = QUEUED
        heapq.heappush(batch.again, shard.index)
        news = self._news[batch.deployment]
        news.queued += 1
        self._tell(news, batch)
        return True
