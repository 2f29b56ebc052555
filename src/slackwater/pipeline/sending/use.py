"""One backend of one deployment at work: what its engine's lanes take from the worker's feed, and what becomes of it.

Before: the engine, whose lane this is. After: the dispatcher, which makes the call, and the journal.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from slackwater.core.errors import StorageTrouble
from slackwater.core.sending.asked_tokens import generated_max
from slackwater.core.sending.circuit import Circuit
from slackwater.core.sending.door import Door
from slackwater.core.sending.engine_names import backend_label
from slackwater.core.sending.evidence import Evidence, Kind
from slackwater.core.sending.judgement import FAULTS_MAX, Setback, Trial, Verdict
from slackwater.core.sending.limit_shape import Sent
from slackwater.core.sending.rate_limits import Quota
from slackwater.core.sending.request import Reply, Result
from slackwater.core.sending.rereading import Rereading
from slackwater.core.sending.spend_guard import SpendGuard
from slackwater.core.sending.turns import Seat
from slackwater.pipeline.loops import ended_from_outside
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.endings import INTERNAL_ERROR, coded, ended
from slackwater.pipeline.sending.engine_use import Use
from slackwater.pipeline.sending.feed import Feed
from slackwater.pipeline.sending.lease import Cause, Item, Lease
from slackwater.pipeline.sending.shard_lines import Damaged, read_line, salvaged_line
from slackwater.ports import BlobStore, Clock
from slackwater.telemetry import Work, counters, event, meters, work_in_hand

# After a fault of ours, a line is tried again after so long.
FAULT_SECONDS = 1.0


class BackendUse:
    """A backend of a deployment, as its engine sees it (the Use of engine.py)."""

    def __init__(
        self,
        deployment: str,
        dispatcher: Dispatcher,
        feed: Feed,
        *,
        blobs: BlobStore,
        clock: Clock,
        chance: Callable[[], float],
        keep: Callable[[Lease, Result], None],
        open_elsewhere: Callable[[Door], Sequence[Door]],
        tenant: str = "",
        weight: float = 1.0,
        guard: SpendGuard | None = None,
    ) -> None:
        """`keep` takes results; `open_elsewhere` gives the other doors of the deployment that are open; `tenant` shares
        engines with others by its `weight`; `guard` holds requests back.
        """
        self.dispatcher = dispatcher
        self.door = dispatcher.door
        self.cap = dispatcher.concurrency
        self.most = dispatcher.most
        self.metered = dispatcher.metered
        self.in_flight = 0
        self.tenant = tenant
        self.weight = weight
        self.seat: Seat[Use] | None = None
        self._deployment = deployment
        self._feed = feed
        self._blobs = blobs
        self._clock = clock
        self._chance = chance
        self._keep = keep
        self._open_elsewhere = open_elsewhere
        self._attempt = dispatcher.attempt
        self._turns = dispatcher.engine.turns
        self._traced = dispatcher.traced
        self._guard = guard
        self.take: Callable[[float], Item | None] = partial(feed.take, self) if guard is None else self._guarded
        """The next request to go at a moment, or None while there is none."""

    @property
    def name(self) -> str:
        """The backend, for people and the log."""
        return backend_label(self.dispatcher.name)

    @property
    def has_work(self) -> bool:
        """Whether anything waits to be sent."""
        return self._feed.has_work

    @property
    def has_suspects(self) -> bool:
        """Whether anything waits that is to go alone."""
        return self._feed.has_suspects

    @property
    def open_elsewhere(self) -> Sequence[Door]:
        """The other doors of the deployment that are open."""
        return self._open_elsewhere(self.door)

    def admits(self, circuit: Circuit, now: float) -> bool:
        """Whether a batch that is held back may have another call out, of what the others at the engine leave it."""
        engine = self.dispatcher.engine
        return circuit.admits(now, slots=engine.slots, others=engine.in_flight > circuit.in_flight)

    def take_suspect(self) -> Item | None:
        """The next request that is to go alone."""
        return self._feed.take_suspect()

    def _guarded(self, now: float) -> Item | None:
        """A request that is held back is taken once another has come back."""
        assert self._guard is not None, "there is a guard"
        return self._feed.take(self, now) if self._guard.admits(self.in_flight) else None

    def take_within(self, quota: Quota, now: float) -> Item | None:
        """The next request, if the rate limits of the door let it go. If not, it keeps its place."""
        item = self.take(now)
        if item is None:
            return None
        if not item.asks:
            item.asks = self._tokens_asked(item)
        if quota.admits(now, item.asks) <= 0.0:
            item.sent = quota.took(now, item.asks)
            return item
        self._feed.give_back(item)
        item.trial = item.trial or Trial()
        # It is due at once: nothing that came after it goes before it.
        self._feed.park(item, 0.0)
        self.dispatcher.engine.looks.changed.set()
        return None

    def _tokens_asked(self, item: Item) -> float:
        """What a request counts for at the vendors that count what it may become: its prompt, and all that it may generate."""
        lease = item.lease
        prompt = item.size * lease.shard.tokens / lease.size if lease.size else 0.0
        body = item.request.body if item.request is not None else lease.text_of(item)
        most: float | None = None if body is None else generated_max(body)
        if most is None:
            meter = self.dispatcher.meter
            answered = meter.outcomes["success"]
            most = max(0.0, meter.tokens / answered - prompt) if answered else 0.0
        return max(1.0, prompt + most)

    def cost(self, item: Item) -> float:
        """About how many tokens a request will cost: as many as those before it, or a quarter of its bytes."""
        meter = self.dispatcher.meter
        answered = meter.outcomes["success"]
        return meter.tokens / answered if answered else item.size / 4

    def paced(self, *, paced: bool) -> None:
        """Whether the engine is paced."""
        self.cap = self.most if paced else self.dispatcher.concurrency

    async def metrics(self) -> Reply | None:
        """The metrics page of the engine."""
        return await self.dispatcher.metrics()

    async def probe(self) -> tuple[Evidence, bool] | None:
        """Sends a request of our own."""
        return await self.dispatcher.probe()

    async def run(self, item: Item, lane: "asyncio.Task[None]", now: float) -> None:
        """Sees a request to the end of its call. Raises only CancelledError, where the lane itself is to end."""
        lease, feed = item.lease, self._feed
        circuit = lease.circuit
        lease.in_flight[lane] = item
        # Only of a slowed batch it is counted how much of the engine it uses.
        begun = now if circuit.slowed else 0.0
        if self._traced:
            attempt = 1 if item.trial is None else item.trial.attempts + 1
            work_in_hand.set(Work(self._deployment, lease.shard.batch_id, attempt))
        outcome: Result | Setback | None
        try:
            request = item.request
            outcome = await (self._again(item) if request is None else self._attempt(item, request, now))
        except asyncio.CancelledError as error:
            if not ended_from_outside(error):
                # A library's own. It must cost neither the lane nor the line.
                outcome = self._fault(item, error)
            elif lease.cause is None and self._cut_off(lane):
                # Its slot at the engine is somebody else's now: it goes when there is another, and nothing is held against it.
                item.trial = item.trial or Trial()
                feed.park(item, 0.0)
                return
            elif lease.cause is None:
                raise
            else:
                # The call was aborted because its shard ends; the lane goes on.
                self._cut_off(lane)
                lane.uncancel()
                return
        except Exception as error:
            outcome = self._fault(item, error)
        finally:
            del lease.in_flight[lane]
            feed.give_back(item)
            if item.sent is not None:
                self._unsent(item, item.sent)
            if begun:
                circuit.used(self._clock.monotonic() - begun)
        if type(outcome) is Result:
            if self._guard is not None and outcome.completed:
                self._guard.heard(outcome.usage)
            if circuit.streak and outcome.completed:
                circuit.succeeded()
            if self._turns.shared and (usage := outcome.usage) is not None and self.seat is not None:
                self._turns.spent(self.seat, usage.input_tokens + usage.output_tokens - self.cost(item))
            if lease.cause is None or lease.cause is not Cause.FENCED:
                self._keep(lease, outcome)
        elif lease.cause is None:
            self._set_back(item, outcome)  # type: ignore[arg-type]
        elif lease.cause is Cause.EXPIRED and outcome is not None:
            self._last_word(item, outcome)  # type: ignore[arg-type]

    def _cut_off(self, lane: "asyncio.Task[None]") -> bool:
        """Whether the engine has ended the call of a lane. The lane goes on."""
        cut_off = self.dispatcher.engine.cut_off
        if lane not in cut_off:
            return False
        cut_off.remove(lane)
        lane.uncancel()
        return True

    def _unsent(self, item: Item, sent: Sent) -> None:
        """A request that the rate limits had let go was not sent: its content filter or its input was against it."""
        item.sent = None
        if self.door.quota is not None:
            self.door.quota.unsent(sent)

    def _set_back(self, item: Item, setback: Setback | None) -> None:
        """A call has not ended its line: it waits, to be judged when its time has come."""
        trial = item.trial = item.trial or Trial()
        if setback is None:
            reading = trial.reading
            wait = 0.0 if reading is None else reading.until - self._clock.monotonic()
            self._feed.park(item, max(FAULT_SECONDS, wait))
            return
        now = setback.ended
        kind = setback.evidence.kind
        delay = trial.failed(setback, self.door, self.dispatcher.retry, chance=self._chance())
        if kind is not Kind.UNREACHED:
            # A line that was not sent says nothing of its batch.
            item.lease.circuit.failed(others=self.door.near(setback.begun, now), now=now)
        counters["requests_retried"] += kind is not Kind.BUSY
        self.dispatcher.meter.resent += 1
        self._feed.park(item, delay)

    def _last_word(self, item: Item, setback: Setback) -> None:
        """The window of the batch has ended: an answer that came is what the line says."""
        trial = item.trial = item.trial or Trial()
        trial.last = setback
        if setback.reply is not None:
            self._keep(item.lease, ended(item, Verdict.FAIL))

    async def _again(self, item: Item) -> Result | Setback | None:
        """Sends a line that has waited. Its body comes from memory or from the input; None: it could not be read yet."""
        lease = item.lease
        text = lease.text_of(item)
        if text is None:
            try:
                text = await read_line(self._blobs, lease.shard, item.line, item.start, item.stop)
            except StorageTrouble:
                # The line is where it was; whoever keeps it cannot be asked now, which says nothing of the line.
                return None
            except OSError as error:
                if not self._last_try(item, error):
                    return None
                text = await salvaged_line(self._blobs, lease.shard, item.line)
        request = item.read(text)
        if request is None:
            return ended(item, Verdict.UNREADABLE)
        return await self.dispatcher.attempt(item, request, self._clock.monotonic())

    def _last_try(self, item: Item, error: OSError) -> bool:
        """A line could not be read again. Returns whether that is not to be tried again."""
        shard = item.lease.shard
        trial = item.trial = item.trial or Trial()
        reading = trial.reading = trial.reading or Rereading()
        last = reading.failed(damaged=isinstance(error, Damaged), now=self._clock.monotonic())
        meters.damage_seen["input"] += 1
        event(
            "line_unreadable",
            level=logging.ERROR if last else logging.WARNING,
            batch=shard.batch_id,
            shard=shard.index,
            line=item.line,
            tries=reading.tries,
            error=repr(error),
        )
        return last

    def _fault(self, item: Item, error: BaseException) -> Result | None:
        """An exception of ours: the line is tried again, and ends after the third. Nobody else notices."""
        self.dispatcher.meter.outcomes["broken"] += 1
        event("request_broke", level=logging.ERROR, backend=self.name, error=repr(error))
        logging.getLogger("slackwater").debug("request broke", exc_info=True)
        trial = item.trial = item.trial or Trial()
        trial.faults += 1
        if trial.faults < FAULTS_MAX:
            return None
        return coded(item.lease, item.line, item.custom_id, INTERNAL_ERROR)
