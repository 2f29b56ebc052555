"""The requests that a worker may send now: lines of its leased shards in order, and those to be tried again.

Lines are parsed when they are taken, not before. A line that waits for another try is only its place: its body is read again
from the bytes of its shard, or from the input where those have been let go. So what lies in memory is the bytes of a few open
shards and the requests in flight; both are bounded. Before: the worker's claim. After: a lane.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from slackwater.core.sending.budget import Budget
from slackwater.core.sending.circuit import Circuit
from slackwater.core.sending.door import Door
from slackwater.core.sending.judgement import HOLD_SECONDS, RetryPolicy, Verdict
from slackwater.pipeline.sending.fresh_lines import FreshLines
from slackwater.pipeline.sending.lease import Item, Lease
from slackwater.ports import Clock

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
        low: Callable[[], None] = lambda: None,
        wanted: int = 1,
        budget: Budget | None = None,
    ) -> None:
        """`ended` is told of lines that end without another call; `wake` that there may be something to take; `settle`
        that a line waits for a request of ours through a door; `low` that fewer than `wanted` lines are left that may be
        taken. Bodies that are out and open shards are counted in the `budget`, which holds up none of them: they have
        bounds of their own.
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
        self.fresh = FreshLines(wanted=wanted, begins=self._begins, unreadable=self._unreadable, low=low)
        """Lines that have not been tried yet."""
        self._taker: Taker | None = None
        self._open: set[Lease] = set()
        # When, in which order, and what.
        self._waiting: list[tuple[float, int, Item]] = []
        self._sequence = 0
        self._due: deque[Item] = deque()
        self._suspects: deque[Item] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.closed = False
        self.paused = False
        self.held = False
        """Whether an operator has paused the deployment."""

    # Claims

    @property
    def low(self) -> bool:
        """Whether the open shards run out: time to claim another."""
        return self.fresh.low

    def unwilling(self) -> set[str]:
        """Batches of which no further shard would be welcome."""
        now = self._clock.monotonic()
        return {lease.shard.batch_id for lease in self._open if lease.circuit.holds_back(now)}

    def add(self, lease: Lease) -> None:
        """Opens a shard for the lanes."""
        self._open.add(lease)
        self.fresh.add(lease)
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
        return not self.held and bool(self.fresh or self._waiting or self._due or self._suspects)

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
            # Who takes matters only where something is noted of a batch.
            self._taker = taker
            item = self.fresh.take()
        if item is not None:
            self._bytes += item.size
        return item

    def _take_any(self, taker: Taker, now: float) -> Item | None:
        self._taker = taker
        item = None
        if taker.door.shut:
            # A line that has not failed yet, each time of another batch.
            item = self.fresh.take_varied()
        if item is None and (self._waiting or self._due):
            item = self._take_due(taker, now)
        return self.fresh.take() if item is None else item

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
        if circuit.trying and self.fresh.besides(circuit):
            if circuit.in_flight:
                return False
            if circuit.yields(taker.door, now) and self.fresh.besides(circuit, told=False):
                return False
        return not circuit.holds_back(now) or taker.admits(circuit, now)

    def _begins(self, circuit: Circuit) -> bool:
        """Whether a batch of which something is noted may have another line out that has not been tried yet."""
        assert self._taker is not None, "somebody takes"
        if self._admits(self._taker, circuit, self._clock.monotonic()) and circuit.begins:
            return True
        self._wake_in(SLOWED_SECONDS)
        return False

    def _unreadable(self, item: Item) -> None:
        self._ended(item, Verdict.UNREADABLE)

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
        if item.trial is not None:
            item.trial.due = moment
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
        self.fresh.look_again()
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
