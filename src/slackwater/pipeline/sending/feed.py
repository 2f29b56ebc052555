"""The requests that a worker may send now: lines of its leased shards in order, and those to be tried again.

Lines are parsed when they are taken, not before, so what lies in memory is the bytes of the open shards and the requests
in flight; both are bounded. Before: the worker's claim. After: a lane.
"""

import asyncio
import heapq
import io
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from slackwater.core.input.validation import is_blank
from slackwater.core.sending.lines import LineWriter, read_input_line
from slackwater.core.sending.request import Request
from slackwater.pipeline.sending.shard_lines import shard_digest
from slackwater.ports import Clock, Shard


class Door(Protocol):
    """What the feed needs to know of a backend's gate."""

    @property
    def admits(self) -> bool: ...


class Cause(Enum):
    """Why the work on a shard ends early. The first cause stays."""

    STOPPED = "stopped"
    FENCED = "fenced"
    SHUTDOWN = "shutdown"


class Lease:
    """A shard in the hands of this worker: its unread lines, what is in flight, and what has been written."""

    __slots__ = (
        "_lines",
        "_next",
        "cause",
        "committed",
        "done",
        "exhausted",
        "in_flight",
        "parked",
        "path",
        "shard",
        "unjournaled",
        "writer",
    )

    def __init__(self, shard: Shard, data: bytes) -> None:
        self.shard = shard
        self.path = shard.endpoint
        self.done = shard.done
        self.writer = LineWriter(shard_digest(shard.batch_id, shard.index))
        self._lines = io.BytesIO(data)
        self._next = 0
        self.cause: Cause | None = None
        self.exhausted = False
        # Calls that are out, in the order in which they began.
        self.in_flight: dict[asyncio.Task[None], None] = {}
        self.parked = 0
        self.unjournaled = 0
        self.committed = sum(byte.bit_count() for byte in shard.done)

    @property
    def complete(self) -> bool:
        """Whether every line of the shard is journaled."""
        return self.committed == self.shard.lines

    @property
    def settled(self) -> bool:
        """Whether nothing of this shard is on its way any more: it can be finished, or given back."""
        if self.in_flight or self.unjournaled:
            return False
        return self.complete or self.cause is not None or (self.exhausted and not self.parked)

    def next_request(self) -> Request | None:
        """The next line that is not journaled yet; None at the end."""
        done = self.done
        for text in self._lines:
            if is_blank(text):
                continue
            line = self._next
            self._next = line + 1
            if line >> 3 < len(done) and done[line >> 3] >> (line & 7) & 1:
                continue
            read = read_input_line(text)
            return Request(line, read.custom_id, bytes(read.body))
        self.exhausted = True
        self._lines = io.BytesIO()
        return None


class Item:
    """A request on its way, with its lease and the attempts that it has used up."""

    __slots__ = ("attempts", "lease", "request")

    def __init__(self, lease: Lease, request: Request) -> None:
        self.lease = lease
        self.request = request
        self.attempts = 0


class Feed:
    """Hands out requests to lanes. At most `bytes_max` of request bodies are out at once, or one request."""

    def __init__(self, clock: Clock, *, bytes_max: int) -> None:
        self._clock = clock
        self._bytes_max = bytes_max
        self._bytes = 0
        self._leases: deque[Lease] = deque()
        self._parked: list[tuple[float, int, Item]] = []
        self._sequence = 0
        self._idle: deque[tuple[asyncio.Future[None], Door]] = deque()
        self._low: asyncio.Event = asyncio.Event()
        self._low.set()
        self.closed = False
        self.paused = False

    @property
    def low(self) -> bool:
        """Whether the open shards run out: time to claim another."""
        return len(self._leases) < 2

    async def wait_low(self) -> None:
        """Returns when another shard would be welcome."""
        while not self.low:
            self._low.clear()
            await self._low.wait()

    def add(self, lease: Lease) -> None:
        """Opens a shard for the lanes."""
        self._leases.append(lease)
        self.wake(lease.shard.lines)

    def take(self) -> Item | None:
        """The next request, or None if there is none to be sent now: then wait in `idle`."""
        if self.closed or self.paused or self._bytes >= self._bytes_max:
            return None
        item = self._take_parked() if self._parked else None
        if item is None:
            item = self._take_fresh()
        if item is not None:
            self._bytes += len(item.request.body)
            if self._idle:
                # There may be more: each lane that finds something calls the next.
                self._wake_admitted(1)
        return item

    def _take_parked(self) -> Item | None:
        now = self._clock.monotonic()
        while self._parked and self._parked[0][0] <= now:
            item = heapq.heappop(self._parked)[2]
            item.lease.parked -= 1
            if item.lease.cause is None:
                return item
        return None

    def _take_fresh(self) -> Item | None:
        leases = self._leases
        while leases:
            lease = leases[0]
            if lease.cause is None:
                request = lease.next_request()
                if request is not None:
                    return Item(lease, request)
            leases.popleft()
            self._low.set()
        return None

    def give_back(self, item: Item) -> None:
        """The call for this item is over, whatever came of it."""
        full = self._bytes >= self._bytes_max
        self._bytes -= len(item.request.body)
        if full and self._bytes < self._bytes_max:
            self.wake(len(self._idle))

    def park(self, item: Item, delay: float) -> None:
        """Keeps a request until it may be tried again."""
        item.lease.parked += 1
        self._sequence += 1
        heapq.heappush(self._parked, (self._clock.monotonic() + delay, self._sequence, item))
        # One timer per parked request, each waking one lane. The slack makes sure that the moment has passed by then.
        asyncio.get_running_loop().call_later(delay + 0.001, self.wake, 1)

    def forget(self, lease: Lease) -> None:
        """Drops what is parked of a lease that ends early."""
        kept = [entry for entry in self._parked if entry[2].lease is not lease]
        if len(kept) != len(self._parked):
            heapq.heapify(kept)
            self._parked = kept
        lease.parked = 0

    def wake(self, lanes: int) -> None:
        """Lets up to `lanes` idle lanes look again: those whose backend takes requests. If none does, one lane goes to its
        gate and waits there, so that somebody is there when it opens."""
        if not self._wake_admitted(lanes) and lanes > 0:
            self._wake_some(1, lambda gate: True)

    def pass_on(self) -> None:
        """A lane was woken and cannot send after all: another backend's lane may."""
        self._wake_admitted(1)

    def _wake_admitted(self, lanes: int) -> int:
        return self._wake_some(lanes, lambda gate: gate.admits)

    def _wake_some(self, lanes: int, fits: Callable[[Door], bool]) -> int:
        idle, woken = self._idle, 0
        for _ in range(len(idle)):
            if woken >= lanes:
                break
            waiter, gate = idle.popleft()
            if waiter.done():
                continue
            if fits(gate):
                waiter.set_result(None)
                woken += 1
            else:
                idle.append((waiter, gate))
        return woken

    async def idle(self, gate: Door) -> None:
        """Returns when there may be something to take for a lane behind this gate."""
        waiter = asyncio.get_running_loop().create_future()
        self._idle.append((waiter, gate))
        await waiter

    def resume(self) -> None:
        """Lanes may take requests again."""
        if self.paused:
            self.paused = False
            self.wake(len(self._idle))
