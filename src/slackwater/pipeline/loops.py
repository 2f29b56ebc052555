"""Runs every stage: step, pace, back-off, shutdown. The only place of the pipeline that waits for time to pass.

A stage's `step()` does one unit of work and says how it went. After work there may be more: step again at once. After
nothing, wait for a hint or for the idle time. After an error, back off; the ledger still knows what is to be done.

Each stage has a hint of its own, and so have the claims of each deployment: who has done something wakes those who may have
something to do now, and nobody else has to look.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from enum import Enum
from weakref import WeakValueDictionary

from slackwater.core.errors import FilesUnavailable, StorageFull, StorageTrouble
from slackwater.ports import Clock
from slackwater.telemetry import event, meters

# What a step says that can write nothing now; anything else is the ledger.
TROUBLES: tuple[tuple[type[StorageTrouble], str], ...] = (
    (StorageFull, "storage_full"),
    (FilesUnavailable, "files_unavailable"),
)
AWAY = "ledger_unavailable"
BACK_OFF_FIRST = 0.2
BACK_OFF_MAX = 10.0
# A stage that has nothing to look after, or that is told of all that it has to do, looks again after so long: should its
# hint be lost with the request that was to give it. Looks more often would be the whole cost of a service at rest.
REST_SECONDS = 5.0


class Pace(Enum):
    """How a step went."""

    BUSY = "busy"
    IDLE = "idle"


class Hint:
    """Says that something may have changed. Waiting for it is an optimisation: the ledger is the truth, and idle steps look."""

    def __init__(self) -> None:
        # A dict for its order: whoever waits longest is woken first, and a simulation can be replayed.
        self._waiters: dict[asyncio.Future[None], None] = {}
        self.count = 0
        """How often it was given."""
        self.doubts = 0
        """How often it was given because the ledger may not have what it had before."""

    def doubt(self) -> None:
        """Wakes everybody who waits: what they know of the ledger may not be so any more. Must be called on the event loop."""
        self.doubts += 1
        self.notify()

    def notify(self) -> None:
        """Wakes everybody who waits. Must be called on the event loop."""
        self.count += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def nudge(self) -> None:
        """Wakes the one who has waited longest: enough where each does what any other would do.

        Who does something now looks again. Must be called on the event loop.
        """
        self.count += 1
        for waiter in list(self._waiters):
            del self._waiters[waiter]
            if not waiter.done():
                waiter.set_result(None)
                return

    async def wait(self, clock: Clock, seconds: float, *, seen: int | None = None) -> None:
        """Returns at the next hint, or after `seconds`; at once where it was given since its count was `seen`."""
        if seen is not None and self.count != seen:
            return
        waiter = asyncio.get_running_loop().create_future()
        with self.waking(waiter):
            await _first(clock, seconds, waiter)

    @contextlib.contextmanager
    def waking(self, waiter: asyncio.Future[None]) -> Iterator[None]:
        """Lets the next hint wake `waiter` too, as long as this lasts."""
        self._waiters[waiter] = None
        try:
            yield
        finally:
            self._waiters.pop(waiter, None)


class Hints:
    """The hints of a service: one for each stage, and one for the claims of each deployment."""

    def __init__(self) -> None:
        self.validate = Hint()
        self.enqueue = Hint()
        self.schedule = Hint()
        self.finalize = Hint()
        self.uploads = Hint()
        self.imports = Hint()
        self.webhooks = Hint()
        self.deployments = Hint()
        """For those that are being deleted."""
        self.keys = Hint()
        """For keys that are in files."""
        self.ended = Hint()
        """For whoever waits until a batch has ended."""
        # A hint lives as long as a worker has it.
        self._claims: WeakValueDictionary[str, Hint] = WeakValueDictionary()

    def claims_of(self, deployment: str) -> Hint:
        """For whoever claims shards of a deployment, by its key."""
        hint = self._claims.get(deployment)
        if hint is None:
            hint = self._claims[deployment] = Hint()
        return hint

    def claimable(self, deployment: str) -> None:
        """There may be shards to claim."""
        hint = self._claims.get(deployment)
        if hint is not None:
            hint.notify()

    def asked(self) -> None:
        """A batch was made, or is to be cancelled: one that no worker has in hand can end at once."""
        self.validate.notify()
        self.finalize.notify()

    def batch_ended(self) -> None:
        """Its tokens may make room, somebody may be to hear of it, and its deployment may be free to go."""
        for hint in (self.enqueue, self.deployments, self.ended):
            hint.notify()
        self.webhooks.nudge()

    def member_gone(self) -> None:
        """Another server is dead, and whatever it had in hand waits for somebody."""
        for hint in (self.validate, self.finalize, self.imports, self.webhooks, *self._claims.values()):
            hint.notify()

    def house_kept(self) -> None:
        """Leases of the dead may be back in the queue, and windows over."""
        for hint in (self.finalize, *self._claims.values()):
            hint.notify()

    def heard(self, word: str) -> None:
        """Another server that works with the same ledger has done something. A word that is not known here says nothing."""
        known = {
            "asked": self.asked,
            "waiting": self.enqueue.notify,
            "unranked": self.schedule.notify,
            "ending": self.finalize.notify,
            "ended": self.batch_ended,
            "upload": self.uploads.notify,
            "import": self.imports.notify,
            "delivery": self.webhooks.nudge,
            "everything": self.everything,
        }
        kind, _, deployment = word.partition(" ")
        if kind == "claimable":
            self.claimable(deployment)
        elif word in known:
            known[word]()

    def anew(self) -> None:
        """The ledger was away: what was hinted at may have been lost, and what it did last, where that waited for no disk."""
        for hint in self._claims.values():
            hint.doubt()
        self.everything()

    def everything(self) -> None:
        """Whatever was hinted at may have been lost."""
        self.house_kept()
        for hint in (self.validate, self.enqueue, self.schedule, self.uploads, self.imports, self.webhooks):
            hint.notify()
        for hint in (self.deployments, self.ended):
            hint.notify()


async def _first(clock: Clock, seconds: float, waiter: asyncio.Future[None]) -> None:
    """Waits for whoever wakes `waiter`, `seconds` at most. One task: every stage that rests has one of these going."""
    sleeping = asyncio.ensure_future(clock.sleep(seconds))

    def slept(_: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_result(None)

    sleeping.add_done_callback(slept)
    try:
        await waiter
    finally:
        sleeping.cancel()


def _nobody() -> None:
    """Wakes nobody."""


def ended_from_outside(error: BaseException) -> bool:
    """Whether somebody has cancelled the running task. A library raises the same where a future of its own was cancelled."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and bool(task.cancelling())


class Loop:
    """One stage, repeated."""

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[Pace]],
        *,
        clock: Clock,
        hint: Hint,
        idle_seconds: float,
        every: bool = False,
        of: str = "",
        then: Callable[[], None] = _nobody,
        step_seconds: float | None = None,
        resting: Callable[[], bool] | None = None,
    ) -> None:
        """`every` steps once per `idle_seconds` whatever happens (for housekeeping); otherwise hints cut the wait short.

        `of` is the deployment that a stage works for, where it works for one. `then` is called after each step that has done
        something, to wake who may have something to do now. `step_seconds` is how long a step may take before the stage is
        said to be stuck; None: as long as it likes. While there is nothing to look after (`resting`), only its hint wakes it, or
        a look now and then.
        """
        self.name = name
        self.of = of
        self.failures = 0
        """Steps in a row that went wrong. A full disk does not count: nothing is wrong with the stage."""
        # Several loops may run one stage; their names end in a number.
        self._stage = name.rstrip("0123456789").rstrip("-")
        self._step = step
        self._clock = clock
        self._hint = hint
        self._idle_seconds = idle_seconds
        self._every = every
        self._then = then
        self._step_seconds = step_seconds
        self._resting = resting
        self._begun: float | None = None
        self._ended = False
        self._ending = Hint()

    def end(self) -> None:
        """Lets `run` return after the step that is under way. A step is never interrupted, only waiting is."""
        self._ended = True
        self._ending.notify()

    @property
    def stuck(self) -> bool:
        """Whether the step that is under way has taken longer than a step of this stage may."""
        if self._step_seconds is None or self._begun is None:
            return False
        return self._clock.monotonic() - self._begun > self._step_seconds

    async def run(self) -> None:
        """Repeats until `end`, whatever goes wrong."""
        back_off = BACK_OFF_FIRST
        while not self._ended:
            # What is hinted at while the step looks elsewhere must not be lost.
            seen = self._hint.count
            self._begun = self._clock.monotonic()
            try:
                pace = await self._step()
                if pace is Pace.BUSY:
                    self._then()
            except StorageTrouble as error:
                self._begun = None
                kind = next((kind for each, kind in TROUBLES if isinstance(error, each)), AWAY)
                meters.stage_failures[self._stage, kind] += 1
                if kind == AWAY:
                    # Every stage finds that out, again and again: it is said once (pipeline/watching/ledger_watch.py).
                    logging.getLogger("slackwater").debug("stage %s: %s", self.name, error)
                else:
                    event(kind, level=logging.WARNING, stage=self.name, retry_in=back_off, reason=error)
                await self._wait(back_off)
                back_off = min(BACK_OFF_MAX, back_off * 2)
                continue
            except (Exception, asyncio.CancelledError) as error:
                if ended_from_outside(error):
                    raise
                self._begun = None
                self.failures += 1
                meters.stage_failures[self._stage, "fault"] += 1
                of = {"deployment": self.of} if self.of else {}
                event("stage_failed", level=logging.ERROR, stage=self.name, **of, retry_in=back_off, error=repr(error))
                logging.getLogger("slackwater").debug("stage %s", self.name, exc_info=True)
                await self._wait(back_off)
                back_off = min(BACK_OFF_MAX, back_off * 2)
                continue
            self._begun = None
            back_off, self.failures = BACK_OFF_FIRST, 0
            if pace is Pace.BUSY and not self._every:
                # A stage that always has work must still let the others run.
                await asyncio.sleep(0)
            elif self._resting is not None and self._resting():
                await self._wait(REST_SECONDS, seen=seen)
            elif self._every:
                await self._wait(self._idle_seconds)
            else:
                await self._wait(self._idle_seconds, seen=seen)

    async def _wait(self, seconds: float, *, seen: int | None = None) -> None:
        """Waits, unless the loop is to end; with `seen`, for the hint too, unless it was given since its count was that."""
        if self._ended or (seen is not None and self._hint.count != seen):
            return
        waiter = asyncio.get_running_loop().create_future()
        with self._ending.waking(waiter), contextlib.nullcontext() if seen is None else self._hint.waking(waiter):
            await _first(self._clock, seconds, waiter)
