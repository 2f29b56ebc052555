"""Claims shards of one deployment, feeds their requests to the lanes of its engines, and sees each shard to its end.

A shard ends in one of three ways: every line journaled (finished), given back (cancel, window, shutdown), or fenced.
Before: scheduler. After: finalizer.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from msgspec import Struct

from slackwater.core.errors import StorageTrouble
from slackwater.core.quota.dynamic import Throughput
from slackwater.core.sending.budget import Budget
from slackwater.core.sending.circuit import Circuit
from slackwater.core.sending.door import Door
from slackwater.core.sending.judgement import RetryPolicy, Verdict
from slackwater.core.sending.request import Result
from slackwater.core.sending.spend_guard import SpendGuard
from slackwater.pipeline.loops import Hint, Loop, Pace
from slackwater.pipeline.sending.claims import Claims
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.endings import INPUT_UNREADABLE, coded, ended
from slackwater.pipeline.sending.feed import Feed
from slackwater.pipeline.sending.held_back import HeldBack, held_back, input_unreadable, not_written
from slackwater.pipeline.sending.journal import KEPT_BYTES, Journal
from slackwater.pipeline.sending.lease import Cause, Item, Lease
from slackwater.pipeline.sending.shard_lines import is_done
from slackwater.pipeline.sending.shard_reader import ShardReader
from slackwater.pipeline.sending.use import BackendUse
from slackwater.ports import BlobStore, Clock, Ledger, Shard
from slackwater.telemetry import event, meters

# A commit or a renewal that takes longer is stuck: its disk or its ledger does not answer.
STEP_SECONDS = 60.0


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
    # Of the first results of a batch, which the ledger keeps and nobody syncs: none where others read the logs on other machines.
    kept_bytes: int = KEPT_BYTES
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
        finished: Callable[[], None] = lambda: None,
        chance: Callable[[], float] = random.random,
        budget: Budget | None = None,
        tenant: str = "",
        weight: float = 1.0,
        guard: SpendGuard | None = None,
        logs_whole: Callable[[], bool] = lambda: True,
        heard: Callable[[str, Sequence[Result], int], None] | None = None,
    ) -> None:
        """`owner` is the name under which this incarnation leases; it is never used again. `chance` draws from [0, 1).

        `hint` says that there may be a shard to claim; `finished` hints that one has ended, and perhaps its batch with it.
        `budget` is that of the whole process. `tenant` shares engines with others by its `weight`.
        `guard` holds requests back that would cost too much. `logs_whole`: whether the logs have all that was written to them;
        before that nothing is claimed, because its results would be added. `heard` is told of what has become durable
        (Journal).
        """
        self._logs_whole = logs_whole
        self.deployment = deployment
        self.dispatchers = dispatchers
        self._owner = owner
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._hint = hint
        self._finished = finished
        self._settings = settings
        self._feed = Feed(
            clock,
            bytes_max=settings.in_flight_bytes,
            policy=dispatchers[0].retry if dispatchers else RetryPolicy(),
            ended=self._ended,
            wake=self._wake,
            settle=self._look_behind,
            low=hint.notify,
            # As many as go out while a claim is under way where answers come at once: a turn of the event loop for each step.
            wanted=8 * sum(dispatcher.concurrency for dispatcher in dispatchers),
            budget=budget,
        )
        self._claims = Claims(deployment, ledger, self._feed)
        # Those that have been heeded.
        self._doubts = hint.doubts
        self._journal = Journal(
            ledger,
            blobs,
            clock,
            owner=owner,
            lease_seconds=settings.lease_seconds,
            meter=meters.deployment(deployment),
            budget=budget,
            fenced=lambda lease: self._abort(lease, Cause.FENCED),
            heard=heard,
            kept_bytes=settings.kept_bytes,
        )
        self.uses = [
            BackendUse(
                deployment,
                dispatcher,
                self._feed,
                blobs=blobs,
                clock=clock,
                chance=chance,
                keep=self._keep,
                open_elsewhere=self._open_elsewhere,
                tenant=tenant,
                weight=weight,
                guard=guard,
            )
            for dispatcher in dispatchers
        ]
        self._leases: list[Lease] = []
        self._circuits: dict[str, Circuit] = {}
        self._reader = ShardReader(blobs, clock)
        self._commit_hint = Hint()
        # For who looks after leases, when there are some again.
        self._leased = Hint()
        self._claiming = False
        # Batches that were paused while a claim was under way, which may bring one of their shards.
        self._paused_meanwhile: set[str] = set()
        self._started = False
        self._commit_bytes = settings.commit_bytes
        self.throughput = Throughput()
        """What this worker's backends have been seen to do."""
        self._not_written: tuple[float, StorageTrouble] | None = None

    @property
    def in_flight(self) -> int:
        """How many calls are out right now."""
        return sum(len(lease.in_flight) for lease in self._leases)

    def sends(self, batch_id: str) -> bool:
        """Whether a request of a batch is out, or waits on its lane to be let out by a content filter."""
        return any(lease.in_flight for lease in self._leases if lease.shard.batch_id == batch_id)

    def in_hand(self) -> dict[str, str]:
        """The batches of which shards are in hand, and the endpoint of each."""
        return {lease.shard.batch_id: lease.shard.endpoint for lease in self._leases}

    def held_back(self, batch_id: str) -> HeldBack | None:
        """Why nothing of one batch is sent, where that is not its deployment's doing."""
        if self._not_written is not None:
            return not_written(*self._not_written)
        now = self._clock.monotonic()
        if (reading := self._reader.unreadable(batch_id)) is not None and reading.until > now:
            return input_unreadable(reading)
        return held_back([lease for lease in self._leases if lease.shard.batch_id == batch_id], now)

    def loops(self) -> list[Loop]:
        """What has to be repeated for this worker to work."""
        settings, clock, key = self._settings, self._clock, self.deployment
        return [
            Loop("claim", self.claim, clock=clock, hint=self._hint, idle_seconds=1.0, of=key, resting=self._at_rest),
            Loop(
                "commit",
                self.commit,
                clock=clock,
                hint=self._commit_hint,
                idle_seconds=settings.commit_seconds,
                of=key,
                step_seconds=STEP_SECONDS,
                resting=lambda: not self._leases,
            ),
            Loop(
                "renew",
                self.renew,
                clock=clock,
                hint=self._leased,
                idle_seconds=settings.heartbeat_seconds,
                every=True,
                of=key,
                step_seconds=STEP_SECONDS,
                resting=lambda: not self._leases,
            ),
        ]

    def _at_rest(self) -> bool:
        """Whether nothing is in hand, and nothing waits for its next try: whoever has a shard for us says so."""
        return not self._leases and not self._reader.waiting(self._clock.monotonic())

    def start(self) -> None:
        """Offers what there is to the engines."""
        self._started = True
        for use in self.uses:
            use.dispatcher.engine.attach(use)

    def _wake(self) -> None:
        if self._started:
            for use in self.uses:
                use.dispatcher.engine.wake(use)

    def _look_behind(self, door: Door) -> None:
        """A line waits for a request of ours through a door."""
        for use in self.uses:
            if use.door is door:
                use.dispatcher.engine.look()

    def _open_elsewhere(self, door: Door) -> list[Door]:
        if len(self.uses) == 1:
            return []
        return [
            use.door
            for use in self.uses
            if use.door is not door and use.door.open and use.dispatcher.engine.reach.listens
        ]

    # Claims

    async def claim(self) -> Pace:
        """Leases the next shards as the open ones run out, and those of a batch whose turn comes before them."""
        if self._feed.closed or self._feed.held or not self._logs_whole():
            return Pace.IDLE
        self._claiming = True
        self._paused_meanwhile.clear()
        try:
            return await self._claim()
        finally:
            self._claiming = False

    async def _claim(self) -> Pace:
        if self._hint.doubts != self._doubts:
            self._doubts = self._hint.doubts
            self._claims.begin_anew()
        await self._claims.learn(self._clock.monotonic())
        # Batches that are held back have an open shard here, and those that cannot be read wait for their next try.
        picked = self._claims.pick({*self._feed.unwilling(), *self._reader.waiting(self._clock.monotonic())})
        if not picked.batch_ids:
            return Pace.IDLE
        shards = await self._ledger.claim_shards(
            picked.batch_ids,
            owner=self._owner,
            now=self._clock.now(),
            lease_seconds=self._settings.lease_seconds,
            most=picked.most,
        )
        self._claims.claimed(picked, shards, self._clock.monotonic())
        while shards:
            try:
                await self._open(shards[0])
            except BaseException:
                for shard in shards:
                    await self._ledger.release_shard(shard.batch_id, shard.index, epoch=shard.epoch)
                raise
            shards = shards[1:]
        return Pace.BUSY

    async def _open(self, shard: Shard) -> None:
        """Gives the lines of a shard to the lanes, or the shard back."""
        lease = await self._read(shard)
        if lease is None:
            await self._ledger.release_shard(shard.batch_id, shard.index, epoch=shard.epoch)
        elif shard.batch_id in self._paused_meanwhile:
            self._feed.close(lease)
            await self._ledger.release_shard(shard.batch_id, shard.index, epoch=shard.epoch)
        else:
            self._leases.append(lease)
            if len(self._leases) == 1:
                self._leased.notify()
                self._commit_hint.notify()
            self._feed.add(lease)

    async def _read(self, shard: Shard) -> Lease | None:
        """The shard with its lines. None: they could not be read, and it is to be tried later."""
        try:
            data, salvaged = await self._reader.read(shard)
        except OSError:
            return None
        return Lease(shard, data, self._circuits.setdefault(shard.batch_id, Circuit()), keeps=salvaged)

    # Results

    def _ended(self, item: Item, verdict: Verdict) -> None:
        """A line ends without another call."""
        self._keep(item.lease, ended(item, verdict))

    def _keep(self, lease: Lease, result: Result) -> None:
        journal = self._journal
        journal.add(lease, result)
        if journal.size >= self._commit_bytes or result.parts:
            # A large result keeps others from being read as long as it lies in memory.
            self._commit_hint.notify()
            if journal.size >= 4 * self._commit_bytes:
                self._feed.paused = True
        elif not lease.in_flight and not any(each.in_flight for each in self._leases):
            # Nothing else is on its way that this commit could take along.
            self._commit_hint.notify()

    async def commit(self) -> Pace:
        """Makes the results of the last moment durable, and ends the shards that are through."""
        read = self._journal.tokens_read
        try:
            await self._journal.commit()
        except StorageTrouble as trouble:
            # What is in flight is kept; nothing new is paid for before there is room to write it down.
            self._feed.paused = True
            since = self._clock.monotonic() if self._not_written is None else self._not_written[0]
            self._not_written = since, trouble
            raise
        self._not_written = None
        if self._journal.tokens_read > read:
            self.throughput.add(self._journal.tokens_read - read, now=self._clock.monotonic())
        self._feed.resume()
        await self._settle()
        return Pace.IDLE

    async def _settle(self) -> None:
        settled = [lease for lease in self._leases if lease.settled]
        for lease in settled:
            shard = lease.shard
            if lease.ended:
                # With its last results.
                pass
            elif lease.complete:
                # Somebody before us had them all, and did not come to say so.
                await self._ledger.finish_shard(shard.batch_id, shard.index, epoch=shard.epoch)
            elif lease.cause is None:
                # Its bytes have fewer lines than validation counted.
                self._end_missing(lease)
                continue
            elif lease.cause is not Cause.FENCED:
                await self._ledger.release_shard(shard.batch_id, shard.index, epoch=shard.epoch)
            self._leases.remove(lease)
            self._feed.close(lease)
        if settled:
            open_ones = {lease.shard.batch_id for lease in self._leases}
            for batch_id in [each for each in self._circuits if each not in open_ones]:
                if not self._circuits[batch_id].slowed:
                    del self._circuits[batch_id]
            await self._journal.close_logs(keep=open_ones)
            self._hint.notify()
            self._finished()

    def _end_missing(self, lease: Lease) -> None:
        """Ends the lines that were counted and are not there."""
        shard, done = lease.shard, lease.shard.done
        missing = [line for line in range(lease.lines_seen, shard.lines) if not is_done(done, line)]
        event("lines_missing", level=logging.ERROR, batch=shard.batch_id, shard=shard.index, lines=len(missing))
        lease.lines_seen = shard.lines
        meters.lines_lost["input"] += len(missing)
        for line in missing:
            self._keep(lease, coded(lease, line, "", INPUT_UNREADABLE))
        if not missing:
            lease.cause = Cause.STOPPED
        self._commit_hint.notify()

    # Leases

    async def renew(self) -> Pace:
        """Keeps the leases, and learns which shards are to stop (cancel, window) or belong to somebody else now."""
        if not self._leases:
            return Pace.IDLE
        held = list(self._leases)
        states = {
            (state.batch_id, state.index, state.epoch): state
            for state in await self._ledger.renew_leases(
                [(lease.shard.batch_id, lease.shard.index, lease.shard.epoch) for lease in held],
                now=self._clock.now(),
                lease_seconds=self._settings.lease_seconds,
            )
        }
        for lease in held:
            shard = lease.shard
            state = states.get((shard.batch_id, shard.index, shard.epoch))
            if state is None:
                # It may have been finished while we asked.
                if lease in self._leases and not lease.complete:
                    self._abort(lease, Cause.FENCED)
            elif state.stop:
                self._abort(lease, Cause.EXPIRED if state.expired else Cause.STOPPED)
            elif state.paused:
                self._abort(lease, Cause.PAUSED)
        return Pace.IDLE

    def _abort(self, lease: Lease, cause: Cause) -> None:
        """Ends the work on a shard: its calls at once, unless it is paused. What has finished is kept."""
        if lease.cause not in (None, Cause.PAUSED) or lease.cause is cause:
            return
        lease.cause = cause
        event("shard_aborted", batch=lease.shard.batch_id, shard=lease.shard.index, cause=cause.value)
        waiting = self._feed.forget(lease)
        if cause is Cause.EXPIRED:
            # What the engine last said of a line is a better word than that its time is over.
            for item in waiting:
                if item.trial is not None and item.trial.last is not None and item.trial.last.reply is not None:
                    self._keep(lease, ended(item, Verdict.FAIL))
        if cause is not Cause.PAUSED:
            for lane in lease.in_flight:
                lane.cancel()
        self._commit_hint.notify()

    # What operators say

    def hold(self, *, held: bool) -> None:
        """Whether the deployment is paused: its shards stay here, and nothing of them is sent."""
        if held is not self._feed.held:
            self._feed.hold(held=held)
            self._hint.notify()

    def pause_batch(self, batch_id: str) -> None:
        """A batch is paused: its shards go back once the calls that are out have ended."""
        if self._claiming:
            self._paused_meanwhile.add(batch_id)
        for lease in self._leases:
            if lease.shard.batch_id == batch_id:
                self._abort(lease, Cause.PAUSED)

    def try_now(self, batch_id: str | None = None) -> None:
        """Waits of a batch alone, or of all of them, are over."""
        for each, circuit in self._circuits.items():
            if batch_id in (None, each):
                circuit.try_now()
        self._feed.hasten(batch_id)

    # Stopping

    async def drain(self) -> None:
        """Sends nothing more, and gives the calls that are out a bounded time. The loops go on meanwhile.

        A claim that is under way is waited for, too: cut off, it could leave a shard leased to nobody.
        """
        self._feed.shut()
        deadline = self._clock.monotonic() + self._settings.grace_seconds
        while (self.in_flight or self._claiming) and self._clock.monotonic() < deadline:
            await self._clock.sleep(0.05)
        for lease in self._leases:
            self._abort(lease, Cause.SHUTDOWN)
        while self.in_flight:
            # Their engines are told, and have a moment to say that they have heard it.
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Journals what came and gives the shards back. Comes after `drain`, once the loops have ended."""
        if not self._feed.closed:
            await self.drain()
        if self._started:
            for use in self.uses:
                await use.dispatcher.engine.detach(use)
        for lease in self._leases:
            # Claimed after the end of the grace time.
            self._abort(lease, Cause.SHUTDOWN)
        try:
            await self._journal.commit()
            await self._settle()
        except Exception as error:
            # A stop is a stop. What is not journaled is asked for again by the next start, which also frees the leases.
            event("stopped_unjournaled", level=logging.ERROR, deployment=self.deployment, reason=error)
            self._journal.drop()
            for lease in self._leases:
                self._feed.close(lease)
        for dispatcher in self.dispatchers:
            await dispatcher.close()
