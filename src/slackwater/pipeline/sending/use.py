"""One backend of one deployment at work: what its engine's lanes take from the worker's feed, and what becomes of it.

Before: the engine, whose lane this is. After: the dispatcher, which makes the call, and the journal.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from slackwater.core.sending.circuit import Circuit
from slackwater.core.sending.door import Door
from slackwater.core.sending.evidence import Evidence, Kind
from slackwater.core.sending.judgement import FAULTS_MAX, Setback, Trial, Verdict
from slackwater.core.sending.request import Request, Result
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.endings import INTERNAL_ERROR, coded, ended
from slackwater.pipeline.sending.feed import Cause, Feed, Item, Lease
from slackwater.pipeline.sending.shard_lines import read_line
from slackwater.ports import BlobStore, Clock
from slackwater.telemetry import Work, counters, event, work_in_hand

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
    ) -> None:
        """`keep` takes results; `open_elsewhere` gives the other doors of the deployment that are open."""
        self.dispatcher = dispatcher
        self.door = dispatcher.door
        self.cap = dispatcher.concurrency
        self.in_flight = 0
        self.ready = False
        self._deployment = deployment
        self._feed = feed
        self._blobs = blobs
        self._clock = clock
        self._chance = chance
        self._keep = keep
        self._open_elsewhere = open_elsewhere

    @property
    def name(self) -> str:
        """The backend, for people."""
        return self.dispatcher.name

    @property
    def has_work(self) -> bool:
        """Whether anything waits to be sent."""
        return self._feed.has_work

    @property
    def has_suspects(self) -> bool:
        """Whether anything waits that is to go alone."""
        return self._feed.has_suspects

    def take(self, now: float) -> Item | None:
        """The next request to go, or None while there is none."""
        return self._feed.take(self, now)

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

    async def probe(self) -> tuple[Evidence, bool] | None:
        """Sends a request of our own."""
        return await self.dispatcher.probe()

    async def run(self, item: Item, lane: "asyncio.Task[None]") -> None:
        """Sees a request to the end of its call. Raises only CancelledError, where the lane itself is to end."""
        lease, feed = item.lease, self._feed
        circuit = lease.circuit
        lease.in_flight[lane] = item
        # Only of a slowed batch it is counted how much of the engine it uses.
        begun = self._clock.monotonic() if circuit.slowed else 0.0
        if self.dispatcher.traced:
            attempt = 1 if item.trial is None else item.trial.attempts + 1
            work_in_hand.set(Work(self._deployment, lease.shard.batch_id, attempt))
        outcome: Result | Setback | None
        try:
            request = item.request or await self._read(item)
            outcome = (
                ended(item, Verdict.UNREADABLE) if request is None else await self.dispatcher.attempt(item, request)
            )
        except asyncio.CancelledError:
            if lease.cause is None:
                raise
            # The call was aborted because its shard ends; the lane goes on.
            lane.uncancel()
            return
        except Exception as error:
            outcome = self._fault(item, error)
        finally:
            del lease.in_flight[lane]
            feed.give_back(item)
            if begun:
                circuit.used(self._clock.monotonic() - begun)
        if type(outcome) is Result:
            if circuit.streak and outcome.completed:
                circuit.succeeded()
            if lease.cause is not Cause.FENCED:
                self._keep(lease, outcome)
        elif lease.cause is None:
            self._set_back(item, outcome)  # type: ignore[arg-type]
        elif lease.cause is Cause.EXPIRED and outcome is not None:
            self._last_word(item, outcome)  # type: ignore[arg-type]

    def _set_back(self, item: Item, setback: Setback | None) -> None:
        """A call has not ended its line: it waits, to be judged when its time has come."""
        trial = item.trial = item.trial or Trial()
        if setback is None:
            self._feed.park(item, FAULT_SECONDS)
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

    async def _read(self, item: Item) -> Request | None:
        """The body of a line that has waited, from memory or from the input."""
        lease = item.lease
        text = lease.text_of(item)
        if text is None:
            text = await read_line(self._blobs, lease.shard.places, item.start, item.stop)
        return item.read(text)

    def _fault(self, item: Item, error: Exception) -> Result | None:
        """An exception of ours: the line is tried again, and ends after the third. Nobody else notices."""
        self.dispatcher.meter.outcomes["broken"] += 1
        event("request_broke", level=logging.ERROR, backend=self.name, error=repr(error))
        logging.getLogger("slackwater").debug("request broke", exc_info=True)
        trial = item.trial = item.trial or Trial()
        trial.faults += 1
        if trial.faults < FAULTS_MAX:
            return None
        return coded(item.lease, item.line, item.custom_id, INTERNAL_ERROR)
