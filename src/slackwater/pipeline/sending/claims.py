"""Which shards a worker claims next: those of the batches whose turn it is, a few at a time, as its open ones run out.

It knows the batches of its deployment that have shards to claim, because the ledger numbers the news of them, and orders them
as their lines will be (core/sending/batch_order.py). A batch that is to go before those that are open is claimed at once:
who has three lines does not wait until somebody else's shard is through. Before: the scheduler. After: the feed.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from slackwater.core.sending.batch_order import BatchOrder, Place
from slackwater.pipeline.sending.feed import Feed
from slackwater.pipeline.sending.fresh_lines import FreshLines
from slackwater.ports import Ledger, Shard

# Claimed in one transaction, and open at most: a shard has up to a thousand lines and a megabyte.
CLAIMED_AT_ONCE = 8
OPEN_MAX = 32
# Nor are more claimed because lines run out while those that are open are so large.
OPEN_BYTES_MAX = 8 << 20
# What a shard has at most.
SHARD_LINES = 1000
# Where others claim, too: so many more are named with the first, for as long as some are found of which they have claimed
# everything.
LOOKED_AHEAD = 8
# What was passed over is looked at after so long: whoever claims it is through by then.
PASSED_SECONDS = 1.0
# News that are read at a time.
NEWS_MAX = 500


class Candidate:
    """A batch that has shards to claim."""

    __slots__ = ("batch_id", "lines")

    def __init__(self, batch_id: str) -> None:
        self.batch_id = batch_id
        self.lines = 0


class Picked(NamedTuple):
    """Batches in the order in which they are to be claimed from."""

    batch_ids: list[str]
    most: int
    """So many shards are wanted: of those behind, where others have claimed all of the first ones."""


class Claims:
    """The batches of one deployment that have shards to claim."""

    def __init__(self, deployment: str, ledger: Ledger, feed: Feed) -> None:
        self._deployment = deployment
        self._ledger = ledger
        self._feed = feed
        self._order: BatchOrder[Candidate] = BatchOrder()
        self._places: dict[str, Place[Candidate]] = {}
        self._number = 0
        self._seen = 0
        self._ahead = 0
        self._passed: dict[str, None] = {}
        self._passed_at = 0.0

    def begin_anew(self) -> None:
        """The ledger may have gone back a little, and its numbers with it: what it has is learned from the first one on."""
        self._seen = 0

    async def learn(self, now: float) -> None:
        """Reads what is new in the ledger, and looks at what was passed over a second ago. `now` is of a monotonic clock."""
        if self._passed and now >= self._passed_at + PASSED_SECONDS:
            await self._look_at_passed()
        while True:
            news = await self._ledger.queued_batches(self._deployment, after=self._seen, limit=NEWS_MAX)
            for each in news:
                self.add(each.batch_id, left=each.left, lines=each.lines, since=each.since)
                self._seen = each.number
            if len(news) < NEWS_MAX:
                return

    def add(self, batch_id: str, *, left: float, lines: int, since: float) -> None:
        """A batch has shards to claim: so many tokens and lines of it have no result yet."""
        self._passed.pop(batch_id, None)
        place = self._places.get(batch_id)
        if place is None:
            self._number += 1
            place = self._places[batch_id] = Place(Candidate(batch_id), self._number, left=left, since=since)
        place.left = left
        place.of.lines = lines
        self._order.put(place)

    async def _look_at_passed(self) -> None:
        """Forgets those that have nothing to claim until the ledger has news of them."""
        passed, self._passed = self._passed, {}
        try:
            there = await self._ledger.claimable_batches(list(passed))
        except BaseException:
            self._passed = passed | self._passed
            raise
        for batch_id in passed:
            if batch_id not in there:
                self._forget(batch_id)
            elif batch_id in self._places:
                self._order.put(self._places[batch_id])

    def claimed(self, picked: Picked, shards: Sequence[Shard], now: float) -> None:
        """The shards that were claimed of those that were picked.

        Who had its last one claimed is forgotten until the ledger has news. Of whom nothing was found, others have claimed
        everything, or somebody has it in hand who may leave it as it was (a claim or a pause that is taken back): it is
        looked at again.
        """
        found = {shard.batch_id: shard for shard in shards}
        gone = False
        if shards:
            # Where nothing was left of any of them, it is the same turn still.
            self._order.served(self._places[picked.batch_ids[picked.most - 1]], 0.0)
        for batch_id in picked.batch_ids:
            shard = found.pop(batch_id, None)
            if shard is None:
                gone = True
                self._order.rest(self._places[batch_id])
                if not self._passed:
                    self._passed_at = now
                self._passed[batch_id] = None
            elif not shard.batch_queued:
                self._forget(batch_id)
            else:
                place = self._places[batch_id]
                place.left = max(0.0, place.left - shard.tokens)
                self._order.put(place)
            if not found and len(shards) == picked.most:
                # Nobody has looked at those behind it.
                break
        self._ahead = LOOKED_AHEAD if gone else 0

    def _forget(self, batch_id: str) -> None:
        """Until the ledger has news of it."""
        if (place := self._places.pop(batch_id, None)) is not None:
            self._order.rest(place)

    def pick(self, skip: Collection[str]) -> Picked:
        """The batches whose next shards are to be claimed now. None of those in `skip`, which are not to be read now."""
        found: list[str] = []
        seen: list[Place[Candidate]] = []
        fresh = self._feed.fresh
        room = min(CLAIMED_AT_ONCE, OPEN_MAX - fresh.shards)
        # One that goes before the others is looked for once it is clear that there are others.
        low, wanted = fresh.low and (fresh.shards < 2 or fresh.bytes < OPEN_BYTES_MAX), fresh.wanted
        most, last = 0, False
        while room > 0 and (place := self._order.next() if low else self._first_before(fresh)) is not None:
            seen.append(place)
            self._order.rest(place)
            if place.of.batch_id in skip:
                continue
            found.append(place.of.batch_id)
            room -= 1
            if last:
                continue
            most += 1
            wanted -= min(place.of.lines, SHARD_LINES)
            if not low or wanted <= 0 or not room:
                # Those behind it are found in the same turn: it may be that nothing is left of it.
                last, room = True, self._ahead
            else:
                self._order.served(place, 0.0)
        for place in seen:
            self._order.put(place)
        return Picked(found, most)

    def _first_before(self, fresh: FreshLines) -> Place["Candidate"] | None:
        """One that is not open and would have its turn before those that are."""
        for place in (self._order.shortest(), self._order.oldest()):
            if place is not None and fresh.goes_before(place.of.batch_id, left=place.left, since=place.since):
                return place
        return None
