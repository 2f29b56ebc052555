"""The batches of a deployment that have shards open here, and which of their lines goes next that has not been tried yet.

The order is core/sending/batch_order.py's. A batch that is held back (its lines fail, or it was told to wait) is set aside for a
moment, and the next one has its turn. Before: the worker's claim. After: the feed.
"""

from collections import deque
from collections.abc import Callable

from slackwater.core.sending.batch_order import BatchOrder, Place
from slackwater.core.sending.circuit import Circuit
from slackwater.pipeline.sending.lease import Item, Lease


class BatchLines:
    """A batch with open shards, in the order in which they are worked through."""

    __slots__ = ("circuit", "leases")

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.leases: deque[Lease] = deque()


class FreshLines:
    """Hands out lines that are tried for the first time."""

    def __init__(
        self,
        *,
        wanted: int,
        begins: Callable[[Circuit], bool],
        unreadable: Callable[[Item], None],
        low: Callable[[], None],
    ) -> None:
        """`begins` says whether a batch about which something is noted may have another line out, `unreadable` is told of
        lines that cannot be parsed any more, `low` that fewer than `wanted` lines are left that may be taken.
        """
        self.wanted = wanted
        self._begins = begins
        self._unreadable = unreadable
        self._low = low
        self._order: BatchOrder[BatchLines] = BatchOrder()
        self._places: dict[Circuit, Place[BatchLines]] = {}
        self._aside: list[Place[BatchLines]] = []
        self._number = 0
        # Lines that may be taken: counted anew when shards come and go, and down in between.
        self._unread = self._counted = 0
        self._low_at = wanted - 1
        # The batch that may be taken from, while there is only one, and the tokens of one of its lines.
        self._sole: Place[BatchLines] | None = None
        self._sole_tokens = 0.0

    def __bool__(self) -> bool:
        return bool(self._places)

    def besides(self, circuit: Circuit, *, told: bool = True) -> bool:
        """Whether another batch has lines that nobody has taken; unless `told`, one that was not told to wait."""
        if told:
            return len(self._places) > (circuit in self._places)
        return any(each is not circuit and not each.trying for each in self._places)

    @property
    def low(self) -> bool:
        """Whether the lines run out: time to claim another shard. Those of batches that are set aside do not count."""
        return self._unread < self.wanted

    @property
    def shards(self) -> int:
        """Shards that have lines which nobody has taken."""
        return sum(len(place.of.leases) for place in self._places.values())

    @property
    def bytes(self) -> int:
        """Bytes of those shards."""
        return sum(lease.held for place in self._places.values() for lease in place.of.leases)

    def goes_before(self, batch_id: str, *, left: float, since: float) -> bool:
        """Whether a batch that is not open would have its turn before all that are: it has less left, or is older."""
        if any(place.of.leases and place.of.leases[0].shard.batch_id == batch_id for place in self._places.values()):
            return False
        shortest, oldest = self._order.shortest(), self._order.oldest()
        return shortest is None or oldest is None or left < shortest.left or since < oldest.since

    def add(self, lease: Lease) -> None:
        """A shard is open from now on."""
        place = self._places.get(lease.circuit)
        shard = lease.shard
        if place is None:
            self._number += 1
            place = Place(BatchLines(lease.circuit), self._number, left=shard.batch_left, since=shard.batch_since)
            self._places[lease.circuit] = place
        place.of.leases.append(lease)
        if place not in self._aside:
            self._order.put(place)
        self._count()

    def take(self) -> Item | None:
        """The next line."""
        sole = self._sole
        if sole is not None and not sole.of.circuit.noted and (item := self._take_of(sole)) is not None:
            return item
        while (place := self._order.next()) is not None:
            batch = place.of
            if batch.circuit.noted and not self._begins(batch.circuit):
                self._rest(place)
                self._aside.append(place)
                continue
            item = self._take_of(place)
            if item is not None:
                return item
        # Where nobody else has anything, those that are held back are asked each time.
        for place in self._aside:
            if place.of.leases and self._begins(place.of.circuit):
                self._aside.remove(place)
                self._order.put(place)
                self._count()
                return self._take_of(place)
        return None

    def take_varied(self) -> Item | None:
        """A line of another batch each time: a shut door is tried with different things."""
        for place in list(self._places.values()):
            if not place.ready or (place.of.circuit.noted and not self._begins(place.of.circuit)):
                continue
            circuit = place.of.circuit
            item = self._take_of(place)
            if circuit in self._places:
                # It goes to the end of the row, and so does its shard behind the others of its batch.
                self._places[circuit] = self._places.pop(circuit)
                place.of.leases.rotate(-1)
            if item is not None:
                return item
        return None

    def _take_of(self, place: Place[BatchLines]) -> Item | None:
        """The next line of a batch; None where it has no more."""
        leases = place.of.leases
        while leases:
            lease = leases[0]
            if lease.cause is None and (item := lease.next_item()) is not None:
                self._unread = unread = self._unread - 1
                if unread == self._low_at:
                    self._low()
                if self._sole is None:
                    self._order.served(place, lease.line_tokens)
                if item.request is not None:
                    return item
                self._unreadable(item)
                continue
            leases.popleft()
        del self._places[place.of.circuit]
        self._rest(place)
        return None

    def look_again(self) -> None:
        """Batches that were set aside may have a turn again."""
        aside, self._aside = self._aside, []
        for place in aside:
            if place.of.leases:
                self._order.put(place)
        if aside:
            self._count()

    def _rest(self, place: Place[BatchLines]) -> None:
        self._order.rest(place)
        self._count()
        if self.low:
            self._low()

    def _count(self) -> None:
        """Shards have come or gone. What a batch that was alone has sent meanwhile is found out now."""
        if self._sole is not None:
            self._order.served(self._sole, (self._counted - self._unread) * self._sole_tokens)
        self._unread = self._counted = sum(
            lease.unread for place in self._places.values() if place.ready for lease in place.of.leases
        )
        self._sole = self._order.only
        if self._sole is not None and self._sole.of.leases:
            self._sole_tokens = self._sole.of.leases[0].line_tokens
