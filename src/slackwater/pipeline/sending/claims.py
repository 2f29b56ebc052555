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

    def begin_anew(self) -> None:
        """The ledger may have gone back a little, and its numbers with it: what it has is learned from the first one on."""
        self._seen = 0

    async def learn(self) -> None:
        """Reads what is new in the ledger."""
        while True:
            news = await self._ledger.queued_batches(self._deployment, after=self._seen, limit=NEWS_MAX)
            for each in news:
                self.add(each.batch_id, left=each.left, lines=each.lines, since=each.since)
                self._seen = each.number
            if len(news) < NEWS_MAX:
                return

    def add(self, batch_id: str, *, left: float, lines: int, since: float) -> None:
        """A batch has shards to claim: so many tokens and lines of it have no result yet."""
        place = self._places.get(batch_id)
        if place is None:
            self._number += 1
            place = self._places[batch_id] = Place(Candidate(batch_id), self._number, left=left, since=since)
        place.left = left
        place.of.lines = lines
        self._order.put(place)

    def claimed(self, picked: Picked, shards: Sequence[Shard]) -> None:
        """The shards that were claimed of those that were picked. Who has no more is forgotten until the ledger has news."""
        found = {shard.batch_id: shard for shard in shards}
        gone = False
        if shards:
            # Where nothing was left of any of them, it is the same turn still.
            self._order.served(self._places[picked.batch_ids[picked.most - 1]], 0.0)
        for batch_id in picked.batch_ids:
            shard = found.pop(batch_id, None)
            if shard is None or not shard.batch_queued:
                # Others have claimed everything meanwhile, or this was the last one.
                gone = gone or shard is None
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
        self._order.rest(self._places.pop(batch_id))

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
