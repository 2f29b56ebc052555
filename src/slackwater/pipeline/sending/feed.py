"""The requests that a worker may send now: lines of its leased shards in order, and those to be tried again.

Lines are parsed when they are taken, not before. A line that waits for another try is only its place: its body is read again
from the bytes of its shard, or from the input where those have been let go. So what lies in memory is the bytes of a few open
shards and the requests in flight; both are bounded. Before: the worker's claim. After: a lane.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

import msgspec
from msgspec import Struct

from slackwater.core.sending.budget import Budget
from slackwater.core.sending.checksums import custom_id_in
from slackwater.core.sending.circuit import Circuit
from slackwater.core.sending.door import Door
from slackwater.core.sending.judgement import HOLD_SECONDS, RetryPolicy, Trial, Verdict
from slackwater.core.sending.lines import LineWriter, read_input_line
from slackwater.core.sending.request import Request
from slackwater.pipeline.sending.shard_lines import shard_digest
from slackwater.ports import Clock, Shard

# Lines that are due and looked at for one lane, which may not be the right one for the first of them.
LOOKED_AT = 16
# When a slowed batch is looked at again.
SLOWED_SECONDS = 0.05
# Bytes of open shards that are kept. Beyond that, those whose lines all wait are read again line by line.
KEPT_BYTES = 16 << 20


class Taker(Protocol):
    """A backend that takes, as the feed sees it."""

    door: Door

    @property
    def open_elsewhere(self) -> Sequence[Door]:
        """The other doors of the deployment that are open."""
        ...

    def admits(self, circuit: Circuit, now: float) -> bool:
        """Whether a batch that is held back may have another call out."""
        ...


class Cause(Enum):
    """Why the work on a shard ends early. The first cause stays, unless it is a pause: that one lets calls end by themselves."""

    PAUSED = "paused"
    STOPPED = "stopped"
    EXPIRED = "expired"
    FENCED = "fenced"
    SHUTDOWN = "shutdown"


class Lease:
    """A shard in the hands of this worker: its unread lines, what is in flight, and what has been written."""

    __slots__ = (
        "_at",
        "_data",
        "_next",
        "cause",
        "circuit",
        "committed",
        "done",
        "exhausted",
        "in_flight",
        "keeps",
        "path",
        "shard",
        "size",
        "unjournaled",
        "waiting",
        "writer",
    )

    def __init__(self, shard: Shard, data: bytes, circuit: Circuit | None = None, *, keeps: bool = False) -> None:
        """`keeps`: these are not the bytes of the input, so that they cannot be let go and read again."""
        self.shard = shard
        self.keeps = keeps
        self.path = shard.endpoint
        self.done = shard.done
        self.circuit = circuit or Circuit()
        """That of its batch."""
        self.writer = LineWriter(shard_digest(shard.batch_id, shard.index))
        self.size = len(data)
        self._data: bytes | None = data
        self._at = 0
        self._next = 0
        self.cause: Cause | None = None
        self.exhausted = False
        # Calls that are out, in the order in which they began.
        self.in_flight: dict[asyncio.Task[None], Item] = {}
        self.circuit.calls.append(self.in_flight)
        # Lines that wait for another try.
        self.waiting: dict[Item, None] = {}
        self.unjournaled = 0
        self.committed = sum(byte.bit_count() for byte in shard.done)

    @property
    def complete(self) -> bool:
        """Whether every line of the shard is journaled."""
        return self.committed == self.shard.lines

    @property
    def lines_seen(self) -> int:
        """How many lines have been read, or given up."""
        return self._next

    @lines_seen.setter
    def lines_seen(self, lines: int) -> None:
        self._next = lines

    @property
    def settled(self) -> bool:
        """Whether nothing of this shard is on its way any more: it can be finished, or given back."""
        if self.in_flight or self.unjournaled:
            return False
        return self.complete or self.cause is not None or (self.exhausted and not self.waiting)

    def next_item(self) -> "Item | None":
        """The next line that is not journaled yet, without a request where it cannot be read; None at the end."""
        done, data = self.done, self._data
        assert data is not None, "the bytes of a shard with unread lines are kept"
        at, end = self._at, self.size
        # Bytes that have changed may have more lines than were counted; there are results for those that were.
        while at < end and self._next < self.shard.lines:
            stop = data.find(b"\n", at) + 1 or end
            start, at = at, stop
            text = data[start:stop]
            # A blank one; without its line end it is not even that.
            if text.isspace():
                continue
            line = self._next
            self._next, self._at = line + 1, at
            if done and line >> 3 < len(done) and done[line >> 3] >> (line & 7) & 1:
                continue
            request = read_request(line, text)
            custom_id = custom_id_in(text) if request is None else request.custom_id
            return Item(self, line, start, stop, stop - start, request, custom_id)
        self._at = at
        self.exhausted = True
        return None

    def text_of(self, item: "Item") -> bytes | None:
        """The bytes of a line; None where they have to be read from the input again."""
        return None if self._data is None else self._data[item.start : item.stop]

    def let_go(self) -> int:
        """Forgets the bytes; what waits is read again. Returns how many they were."""
        if self._data is None or not self.exhausted or self.keeps:
            return 0
        self._data = None
        return self.size

    @property
    def held(self) -> int:
        """Bytes that are in memory."""
        return 0 if self._data is None else self.size


class Item(Struct, eq=False):
    """A line on its way: where it lies in its shard, and its history where it has one."""

    lease: Lease
    line: int
    start: int
    stop: int
    size: int
    request: Request | None
    """None while it waits, and where it cannot be read."""
    custom_id: str = ""
    trial: Trial | None = None

    def __repr__(self) -> str:
        # Not what is in it: it may come into a log.
        return f"<line {self.line} of {self.lease.shard.batch_id}>"

    def read(self, text: bytes) -> Request | None:
        """Parses the line again."""
        self.request = request = read_request(self.line, text)
        self.custom_id = (self.custom_id or custom_id_in(text)) if request is None else request.custom_id
        return request


def read_request(line: int, text: bytes) -> Request | None:
    """Parses a line. None for what is no line any more, although validation has found one there."""
    try:
        read = read_input_line(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
        return None
    return Request(line, read.custom_id, bytes(read.body))


class Feed:
    """Hands out requests to lanes. At most `bytes_max` of request bodies are out at once, or one request."""

    def __init__(
        self,
        clock: Clock,
        *,
        bytes_max: int,
        policy: RetryPolicy | None = None,
        ended: Callable[[Item, Verdict], None] = lambda item, verdict: None,
        wake: Callable[[], None] = lambda: None,
        settle: Callable[[Door], None] = lambda door: None,
        budget: Budget | None = None,
    ) -> None:
        """`ended` is told of lines that end without another call; `wake` that there may be something to take; `settle`
        that a line waits for a request of ours through a door. Bodies that are out and open shards are counted in the
        `budget`, which holds up none of them: they have bounds of their own.
        """
        self._clock = clock
        self._bytes_max = bytes_max
        self._bytes = 0
        self._policy = policy or RetryPolicy()
        self._ended = ended
        self._wake = wake
        self._settle = settle
        self._shards_held = 0
        (budget or Budget()).watch(self)
        self._leases: deque[Lease] = deque()
        self._open: set[Lease] = set()
        # When, in which order, and what.
        self._waiting: list[tuple[float, int, Item]] = []
        self._sequence = 0
        self._due: deque[Item] = deque()
        self._suspects: deque[Item] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._low: asyncio.Event = asyncio.Event()
        self._low.set()
        self.closed = False
        self.paused = False
        self.held = False
        """Whether an operator has paused the deployment."""

    # Claims

    @property
    def low(self) -> bool:
        """Whether the open shards run out: time to claim another."""
        return self._willing() < 2

    def _willing(self) -> int:
        """Open shards of batches that are not held back."""
        now = self._clock.monotonic()
        return sum(1 for lease in self._leases if not lease.circuit.holds_back(now))

    async def wait_low(self) -> None:
        """Returns when another shard would be welcome."""
        while not self.low and not self.closed:
            self._low.clear()
            await self._low.wait()

    def unwilling(self) -> list[str]:
        """Batches of which no further shard would be welcome."""
        now = self._clock.monotonic()
        return sorted({lease.shard.batch_id for lease in self._leases if lease.circuit.holds_back(now)})

    def add(self, lease: Lease) -> None:
        """Opens a shard for the lanes."""
        self._leases.append(lease)
        self._open.add(lease)
        self._shards_held += lease.held
        self._make_room()
        self._wake()

    def _make_room(self) -> None:
        kept = sum(lease.held for lease in self._open)
        for lease in sorted(self._open, key=lambda each: (each.shard.batch_id, each.shard.index)):
            if kept <= KEPT_BYTES:
                return
            gone = lease.let_go()
            kept -= gone
            self._shards_held -= gone

    def close(self, lease: Lease) -> None:
        """A shard has an end, or is given back."""
        if lease in self._open:
            self._open.remove(lease)
            self._shards_held -= lease.held
        # There are several empty ones, and they are not the same.
        lease.circuit.calls = [calls for calls in lease.circuit.calls if calls is not lease.in_flight]

    @property
    def bytes_held(self) -> int:
        """Bytes of open shards and of requests that are out."""
        return self._shards_held + self._bytes

    # Taking

    @property
    def has_work(self) -> bool:
        """Whether anything waits to be sent. Not what is held: nobody is asked a question for its sake."""
        return not self.held and bool(self._leases or self._waiting or self._due or self._suspects)

    @property
    def has_suspects(self) -> bool:
        """Whether anything waits that is to go alone. Others do not make room for what is held."""
        return not self.held and bool(self._suspects)

    def take(self, taker: Taker, now: float) -> Item | None:
        """The next request for a backend, or None if there is none to be sent now."""
        if self.closed or self.paused or self.held or self._bytes >= self._bytes_max:
            return None
        if self._waiting or self._due or not taker.door.open:
            item = self._take_any(taker, now)
        else:
            item = self._take_fresh(taker, now) if self._leases else None
        if item is not None:
            self._bytes += item.size
        return item

    def _take_any(self, taker: Taker, now: float) -> Item | None:
        item = None
        if self._leases and taker.door.shut:
            # A shut door is tried with different things: a line that has not failed yet, each time of another shard.
            item = self._take_fresh(taker, now)
            self._leases.rotate(-1)
        if item is None and (self._waiting or self._due):
            item = self._take_due(taker, now)
        if item is None and self._leases:
            item = self._take_fresh(taker, now)
        return item

    def take_suspect(self) -> Item | None:
        """The next line that is to go alone."""
        while self._suspects and not (self.closed or self.paused or self.held):
            item = self._suspects.popleft()
            until = item.lease.circuit.until
            if item.lease.cause is None and item.trial is not None and item.trial.culprit:
                # That became known while it waited for its turn.
                self._unwait(item)
                self._ended(item, Verdict.CULPRIT)
            elif until > self._clock.monotonic():
                # Its batch was told to wait, and it is not less bound by that for going alone.
                self._push(item, until)
            elif item.lease.cause is None:
                self._unwait(item)
                self._bytes += item.size
                return item
        return None

    def _take_due(self, taker: Taker, now: float) -> Item | None:
        while self._waiting and self._waiting[0][0] <= now:
            self._due.append(heapq.heappop(self._waiting)[2])
        if self._timer is None:
            self._set_timer()
        if not self._due:
            return None
        # A line that has failed at this door is left to another one that is open.
        door, others = taker.door, taker.open_elsewhere
        denied: Circuit | None = None
        for _ in range(min(LOOKED_AT, len(self._due))):
            item = self._due.popleft()
            lease, trial = item.lease, item.trial
            if lease.cause is not None:
                continue
            assert trial is not None, "a line that waits has a history"
            circuit = lease.circuit
            if circuit is denied or trial.passes_by(door, others):
                self._due.append(item)
                continue
            verdict = trial.judge(self._policy, now=now)
            if verdict is Verdict.SEND and trial.goes_alone:
                self._suspects.append(item)
            elif verdict is Verdict.SEND:
                if self._admits(taker, circuit, now):
                    self._unwait(item)
                    trial.alone = False
                    return item
                denied = circuit
                self._due.append(item)
                self._wake_in(SLOWED_SECONDS)
            elif verdict is Verdict.HOLD:
                self._push(item, now + HOLD_SECONDS)
                if trial.door is not None:
                    self._settle(trial.door)
            else:
                self._unwait(item)
                self._ended(item, verdict)
        return None

    def _admits(self, taker: Taker, circuit: Circuit, now: float) -> bool:
        """Whether a line of a batch may be sent now."""
        if circuit.trying and circuit.in_flight and any(lease.circuit is not circuit for lease in self._leases):
            return False
        return not circuit.holds_back(now) or taker.admits(circuit, now)

    def _take_fresh(self, taker: Taker, now: float) -> Item | None:
        leases, refused = self._leases, 0
        while refused < len(leases):
            lease = leases[0]
            circuit = lease.circuit
            if lease.cause is None:
                if circuit.noted and not (self._admits(taker, circuit, now) and circuit.begins):
                    # It keeps its place among those that are not willing either; the next one may be.
                    leases.rotate(-1)
                    refused += 1
                    self._wake_in(SLOWED_SECONDS)
                    self._low.set()
                    continue
                item = lease.next_item()
                if item is not None and item.request is not None:
                    return item
                if item is not None:
                    self._ended(item, Verdict.UNREADABLE)
                    continue
            leases.popleft()
            self._low.set()
        return None

    def give_back(self, item: Item) -> None:
        """The call for this item is over, whatever came of it."""
        before = self._bytes
        self._bytes = after = before - item.size
        if before >= self._bytes_max > after:
            self._wake()

    # Waiting

    def park(self, item: Item, delay: float) -> None:
        """Keeps the place of a line until it may be tried again. Its body is let go."""
        item.request = None
        item.lease.waiting[item] = None
        item.lease.circuit.waiting += 1
        self._push(item, self._clock.monotonic() + delay)

    def _push(self, item: Item, moment: float) -> None:
        self._sequence += 1
        heapq.heappush(self._waiting, (moment, self._sequence, item))
        self._set_timer()

    def _unwait(self, item: Item) -> None:
        if item.lease.waiting.pop(item, self) is None:
            item.lease.circuit.waiting -= 1

    def _set_timer(self) -> None:
        """One timer, for the first line that is due. The slack makes sure that its moment has passed by then."""
        if self._waiting:
            self._wake_in(max(0.0, self._waiting[0][0] - self._clock.monotonic()) + 0.001)

    def _wake_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        moment = loop.time() + seconds
        if self._timer is not None:
            if self._timer_at <= moment:
                return
            self._timer.cancel()
        self._timer_at = moment
        self._timer = loop.call_at(moment, self._timed)

    def _timed(self) -> None:
        self._timer = None
        # Whoever takes what is due sets the timer for what is not.
        self._wake()

    def forget(self, lease: Lease) -> list[Item]:
        """Drops what waits of a lease that ends early, and returns it."""
        waiting = list(lease.waiting)
        if waiting:
            gone = set(waiting)
            kept = [entry for entry in self._waiting if entry[2] not in gone]
            heapq.heapify(kept)
            self._waiting = kept
            self._due = deque(item for item in self._due if item not in gone)
            self._suspects = deque(item for item in self._suspects if item not in gone)
            for item in waiting:
                self._unwait(item)
        return waiting

    def shut(self) -> None:
        """Nothing more is handed out."""
        self.closed = True
        self._low.set()

    def hold(self, *, held: bool) -> None:
        """Whether an operator has paused the deployment."""
        if held is not self.held:
            self.held = held
            self._wake()

    def hasten(self, batch_id: str | None = None) -> None:
        """What waits for another try, of one batch or of all, is due now. A line whose answers are judged still is judged."""
        now = self._clock.monotonic()
        self._waiting = [
            (min(moment, now) if batch_id in (None, item.lease.shard.batch_id) else moment, number, item)
            for moment, number, item in self._waiting
        ]
        heapq.heapify(self._waiting)
        self._wake()

    def resume(self) -> None:
        """Lanes may take requests again."""
        if self.paused:
            self.paused = False
            self._wake()
