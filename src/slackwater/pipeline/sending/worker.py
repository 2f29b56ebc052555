"""Claims shards of one deployment, feeds their requests to the lanes of its backends, and sees each shard to its end.

A lane is one slot of a backend: it takes a request, sends it, hands the result to the journal, and takes the next. A
shard ends in one of three ways: every line journaled (finished), given back (cancel, window, shutdown), or fenced.
Before: scheduler. After: finalizer.
"""

import asyncio
import logging
from collections.abc import Sequence

from msgspec import Struct

from slackwater.core.errors import StorageFull
from slackwater.core.quota.dynamic import Throughput
from slackwater.core.sending.budget import Budget
from slackwater.core.sending.request import Outcome, Result
from slackwater.pipeline.loops import Hint, Loop, Pace
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.feed import Cause, Feed, Lease
from slackwater.pipeline.sending.journal import Journal
from slackwater.pipeline.sending.shard_lines import read_shard
from slackwater.ports import BlobStore, Clock, Ledger
from slackwater.telemetry import Work, event, meters, work_in_hand


class WorkerSettings(Struct, frozen=True, kw_only=True):
    """Bounds and periods of a worker. Seconds and bytes."""

    # A lease outlives many heartbeats, so that a slow disk costs nothing; on one machine a restart frees leases at once.
    lease_seconds: float = 30.0
    # Also how soon a cancel is seen: a call is to be aborted within a second.
    heartbeat_seconds: float = 0.5
    # What a crash may cost: results of at most this long are asked for again.
    commit_seconds: float = 0.2
    # Commit earlier once so much is waiting; four times as much makes the lanes wait.
    commit_bytes: int = 2 << 20
    # Bodies of requests in flight; many lanes with 3 MB images must not fill the memory.
    in_flight_bytes: int = 32 << 20
    # How long a stop waits for the answers that are on their way.
    grace_seconds: float = 20.0


class Worker:
    """Works for one deployment."""

    def __init__(
        self,
        deployment: str,
        dispatchers: Sequence[Dispatcher],
        *,
        owner: str,
        ledger: Ledger,
        blobs: BlobStore,
        clock: Clock,
        hint: Hint,
        settings: WorkerSettings,
        budget: Budget | None = None,
    ) -> None:
        """`owner` is the name under which this incarnation leases; it is never used again. `budget`: of the whole process."""
        self.deployment = deployment
        self.dispatchers = dispatchers
        self._owner = owner
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._hint = hint
        self._settings = settings
        self._feed = Feed(clock, bytes_max=settings.in_flight_bytes)
        self._journal = Journal(
            ledger,
            blobs,
            clock,
            owner=owner,
            lease_seconds=settings.lease_seconds,
            meter=meters.deployment(deployment),
            budget=budget,
        )
        self._leases: list[Lease] = []
        self._commit_hint = Hint()
        self._lanes: list[asyncio.Task[None]] = []
        self._claiming = False
        self._finished_tokens = 0
        self.throughput = Throughput()
        """What this worker's backends have been seen to do."""

    @property
    def in_flight(self) -> int:
        """How many calls are out right now."""
        return sum(len(lease.in_flight) for lease in self._leases)

    def loops(self) -> list[Loop]:
        """What has to be repeated for this worker to work."""
        settings, clock = self._settings, self._clock
        return [
            Loop("claim", self.claim, clock=clock, hint=self._hint, idle_seconds=1.0),
            Loop("commit", self.commit, clock=clock, hint=self._commit_hint, idle_seconds=settings.commit_seconds),
            Loop(
                "renew", self.renew, clock=clock, hint=self._hint, idle_seconds=settings.heartbeat_seconds, every=True
            ),
        ]

    def start(self) -> None:
        """Opens the lanes."""
        for dispatcher in self.dispatchers:
            for _ in range(dispatcher.concurrency):
                self._lanes.append(asyncio.create_task(self._lane(dispatcher)))

    async def claim(self) -> Pace:
        """Leases the next shard once the open ones run out."""
        await self._feed.wait_low()
        if self._feed.closed:
            return Pace.IDLE
        self._claiming = True
        try:
            return await self._claim()
        finally:
            self._claiming = False

    async def _claim(self) -> Pace:
        shard = await self._ledger.claim_shard(
            [self.deployment], owner=self._owner, now=self._clock.now(), lease_seconds=self._settings.lease_seconds
        )
        if shard is None:
            return Pace.IDLE
        try:
            data = await read_shard(self._blobs, shard.places)
        except BaseException:
            await self._ledger.release_shard(shard.batch_id, shard.index, epoch=shard.epoch)
            raise
        lease = Lease(shard, data)
        self._leases.append(lease)
        self._feed.add(lease)
        return Pace.BUSY

    async def _lane(self, dispatcher: Dispatcher) -> None:
        feed, gate = self._feed, dispatcher.gate
        task = asyncio.current_task()
        assert task is not None, "a lane runs as a task"
        while True:
            if not gate.open:
                await gate.enter()
            item = feed.take()
            if item is None:
                if not gate.open:
                    # This lane came in as the probe and has nothing to send: somebody else may.
                    gate.breaker.abandon()
                    gate.changed()
                await feed.idle(gate)
                if not gate.admits:
                    feed.pass_on()
                continue
            lease = item.lease
            lease.in_flight[task] = None
            if dispatcher.traced:
                work_in_hand.set(Work(self.deployment, lease.shard.batch_id, item.attempts + 1))
            try:
                outcome = await dispatcher.attempt(
                    lease.path, item.request, attempts=item.attempts + 1, writer=lease.writer
                )
            except asyncio.CancelledError:
                if lease.cause is None:
                    raise
                # The call was aborted because its shard ends; the lane goes on.
                task.uncancel()
                continue
            except Exception as error:
                dispatcher.meter.outcomes["broken"] += 1
                event("request_broke", level=logging.ERROR, backend=dispatcher.name, error=repr(error))
                text = lease.writer.unanswered(
                    item.request.line,
                    item.request.custom_id,
                    code="internal_error",
                    message="This request could not be processed because of a fault in the batch service.",
                )
                outcome = Result(item.request.line, Outcome.FAILED, text)
            finally:
                del lease.in_flight[task]
                feed.give_back(item)
            if isinstance(outcome, Result):
                if lease.cause is not Cause.FENCED:
                    self._keep(lease, outcome)
            elif lease.cause is None:
                item.attempts += outcome.counted
                feed.park(item, outcome.delay)
            # A lane that waits must not keep a large body and a large answer alive.
            del item, outcome

    def _keep(self, lease: Lease, result: Result) -> None:
        self._journal.add(lease, result)
        if result.usage is not None:
            self._finished_tokens += result.usage.input_tokens
        if self._journal.size >= self._settings.commit_bytes:
            self._commit_hint.notify()
            if self._journal.size >= 4 * self._settings.commit_bytes:
                self._feed.paused = True

    async def commit(self) -> Pace:
        """Makes the results of the last moment durable, and ends the shards that are through."""
        if self._finished_tokens:
            self.throughput.add(self._finished_tokens, now=self._clock.monotonic())
            self._finished_tokens = 0
        try:
            await self._journal.commit()
        except StorageFull:
            # What is in flight is kept; nothing new is paid for before there is room to write it down.
            self._feed.paused = True
            raise
        self._feed.resume()
        await self._settle()
        return Pace.IDLE

    async def _settle(self) -> None:
        settled = [lease for lease in self._leases if lease.settled]
        for lease in settled:
            shard = lease.shard
            if lease.complete:
                await self._ledger.finish_shard(shard.batch_id, shard.index, epoch=shard.epoch)
            elif lease.cause is not Cause.FENCED:
                assert lease.cause is not None, f"shard {shard.index} of {shard.batch_id} has fewer lines than counted"
                await self._ledger.release_shard(shard.batch_id, shard.index, epoch=shard.epoch)
            self._leases.remove(lease)
        if settled:
            await self._journal.close_logs(keep={lease.shard.batch_id for lease in self._leases})
            self._hint.notify()

    async def renew(self) -> Pace:
        """Keeps the leases, and learns which shards are to stop (cancel, window) or belong to somebody else now."""
        if not self._leases:
            return Pace.IDLE
        held = list(self._leases)
        states = {
            (state.batch_id, state.index, state.epoch): state
            for state in await self._ledger.renew_leases(
                self._owner, now=self._clock.now(), lease_seconds=self._settings.lease_seconds
            )
        }
        for lease in held:
            shard = lease.shard
            state = states.get((shard.batch_id, shard.index, shard.epoch))
            if state is None or not state.mine:
                # It may have been finished while we asked.
                if lease in self._leases and not lease.complete:
                    self._abort(lease, Cause.FENCED)
            elif state.stop:
                self._abort(lease, Cause.STOPPED)
        return Pace.IDLE

    def _abort(self, lease: Lease, cause: Cause) -> None:
        """Ends the calls of a shard at once. What has finished is kept."""
        if lease.cause is not None:
            return
        lease.cause = cause
        event("shard_aborted", batch=lease.shard.batch_id, shard=lease.shard.index, cause=cause.value)
        self._feed.forget(lease)
        for task in lease.in_flight:
            task.cancel()
        self._commit_hint.notify()

    async def drain(self) -> None:
        """Sends nothing more, and gives the calls that are out a bounded time. The loops may go on meanwhile.

        A claim that is under way is waited for, too: cut off, it could leave a shard leased to nobody.
        """
        self._feed.closed = True
        deadline = self._clock.monotonic() + self._settings.grace_seconds
        while (self.in_flight or self._claiming) and self._clock.monotonic() < deadline:
            await self._clock.sleep(0.05)

    async def stop(self) -> None:
        """Gives the calls that are out a bounded time, journals what came, and gives the shards back."""
        await self.drain()
        for lease in self._leases:
            self._abort(lease, Cause.SHUTDOWN)
        while self.in_flight:
            await asyncio.sleep(0)
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        try:
            await self._journal.commit()
            await self._settle()
        except Exception as error:
            # A stop is a stop. What is not journaled is asked for again by the next start, which also frees the leases.
            event("stopped_unjournaled", level=logging.ERROR, deployment=self.deployment, reason=error)
        for dispatcher in self.dispatchers:
            await dispatcher.close()
