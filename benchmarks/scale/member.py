"""A member of the simulated cluster: what it has of each deployment, and its part of each engine.

The scheduler is the service's own: `Claims` and `BatchOrder` for a deployment, `Turns` and `shared_slots` for an engine. What is
written here anew is what lies between them: a feed whose unit is a shard and not a line.
"""

from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

from benchmarks.scale.load import GROUP, LINE_BYTES, SLOTS, Deployment
from benchmarks.scale.memory_ledger import MemoryLedger, News, OpenBatch

from slackwater.core.sending.batch_order import BatchOrder, Place
from slackwater.core.sending.shared_slots import Holding
from slackwater.core.sending.turns import Seat, Turns
from slackwater.pipeline.sending.claims import Claims
from slackwater.ports import Ledger, Shard

if TYPE_CHECKING:
    from slackwater.pipeline.sending.feed import Feed

T = TypeVar("T")
# Of the shard in a slot so many lines are in flight, and calls at an engine take so long, at most.
IN_FLIGHT, CALL_SECONDS = 16, 20.0
# What a member wants to have open for each request that a deployment's engines take: 8 lines (pipeline/sending/worker.py).
WANTED = 8 * GROUP * SLOTS * IN_FLIGHT


def driven(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    raise AssertionError("it waits")


class Lease:
    """A shard in hand, and its lines that have no result yet."""

    __slots__ = ("batch", "desk", "left", "shard")

    def __init__(self, desk: "Desk", shard: Shard, batch: OpenBatch) -> None:
        self.desk = desk
        self.shard = shard
        self.batch = batch
        self.left = batch.size(shard.index)


class Waiting:
    """A batch's shards that are open and not begun."""

    __slots__ = ("batch_id", "leases")

    def __init__(self, batch_id: str) -> None:
        self.batch_id = batch_id
        self.leases: deque[Lease] = deque()


class Desk:
    """One deployment at one member: its claims, and the shards that it has open (as feed.py and fresh_lines.py for lines)."""

    def __init__(
        self, member: "Member", deployment: Deployment, number: int, ledger: MemoryLedger, *, wanted: int
    ) -> None:
        """`number` is the deployment's."""
        self.member = member
        self.deployment = deployment
        self.number = number
        self.news: News = ledger.news_of(deployment.name)
        self.seen = self.nothing_at = -1
        """The number of the news that was read last, and that at which there was nothing to claim."""
        self.seats: list[tuple[At, Seat[Desk]]] = []
        self.claiming = self.hinted = False
        # As FreshLines has them.
        self.wanted = wanted
        self.shards = self.lines = 0
        self.order: BatchOrder[Waiting] = BatchOrder()
        self.places: dict[str, Place[Waiting]] = {}
        self._number = 0
        self.claims = Claims(deployment.name, cast(Ledger, ledger), cast("Feed", self))

    @property
    def fresh(self) -> "Desk":
        """What Claims asks about."""
        return self

    @property
    def low(self) -> bool:
        """Whether it is time to claim another."""
        return self.lines < self.wanted

    @property
    def bytes(self) -> int:
        """Of the shards that are open."""
        return self.lines * LINE_BYTES

    def goes_before(self, batch_id: str, *, left: float, since: float) -> bool:
        """Whether a batch that is not open would have its turn before all that are."""
        if batch_id in self.places:
            return False
        shortest, oldest = self.order.shortest(), self.order.oldest()
        return shortest is None or oldest is None or left < shortest.left or since < oldest.since

    def add(self, lease: Lease, *, first: bool = False) -> None:
        """A shard is open; one that was begun goes `first`."""
        batch_id = lease.shard.batch_id
        place = self.places.get(batch_id)
        if place is None:
            self._number += 1
            shard = lease.shard
            place = Place(Waiting(batch_id), self._number, left=shard.batch_left, since=shard.batch_since)
            self.places[batch_id] = place
        if first:
            place.of.leases.appendleft(lease)
        else:
            place.of.leases.append(lease)
        self.order.put(place)
        self.shards += 1
        self.lines += lease.left

    def take(self) -> Lease | None:
        """The next shard to work on."""
        place = self.order.next()
        if place is None:
            return None
        lease = place.of.leases.popleft()
        self.shards -= 1
        self.lines -= lease.left
        self.order.served(place, lease.left * lease.batch.tokens_a_line)
        if not place.of.leases:
            self.order.rest(place)
            del self.places[place.of.batch_id]
        return lease


class At:
    """A member at an engine: whose turn it is there, and how many calls it may have out."""

    __slots__ = ("engine", "got", "hungry", "member", "out", "part", "serial", "slots", "turns", "wanted")

    def __init__(self, member: "Member", engine: "Engine") -> None:
        self.member = member
        self.engine = engine
        self.turns: Turns[Desk] = Turns()
        self.out = self.slots = self.got = self.part = self.wanted = self.serial = 0
        self.hungry = False


class Call:
    """A shard at an engine."""

    __slots__ = ("at", "begun", "lease", "over", "seat")

    def __init__(self, at: At, seat: Seat[Desk], lease: Lease, begun: float) -> None:
        self.at = at
        self.seat = seat
        self.lease = lease
        self.begun = begun
        self.over = False


class Member:
    """One life of a process that sends."""

    def __init__(self, number: int, life: int) -> None:
        self.number = number
        self.name = f"w{number}.{life}"
        self.desks: dict[str, Desk] = {}
        self.ats: list[At] = []
        self.leases: set[Lease] = set()
        self.calls: set[Call] = set()
        self.sends = True
        # Of each batch of which calls are out: how many, and since when.
        self.busy: dict[str, tuple[int, float]] = {}


class Engine:
    """One that takes so many calls at once."""

    def __init__(self, number: int, group: int, limit: int) -> None:
        self.number = number
        self.group = group
        self.limit = limit
        self.name = f"e{number}"
        self.out = 0
        self.up = True
        self.short = False
        self.round_at: float | None = None
        self.ats: list[At] = []
        self.holdings: dict[str, Holding] = {}
