"""The stages of the pipeline, put together, and the order in which they start and stop."""

import asyncio
import contextlib
import functools
import itertools
import logging
import random
import socket
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from slackwater.core.batch import Stage
from slackwater.core.files.retention import Retention
from slackwater.core.members import Member
from slackwater.core.sending.deployment import Deployment
from slackwater.core.sending.scheduling import shard_bytes
from slackwater.core.watching.cluster import MemberSays
from slackwater.core.watching.standings import SaysOfItself
from slackwater.pipeline.accounts.control_plane import ControlPlane
from slackwater.pipeline.ending.finalizer import Finalizer
from slackwater.pipeline.ending.handing_over import HandingOver
from slackwater.pipeline.ending.janitor import AuditJanitor, EngineJanitor, Janitor, UploadJanitor
from slackwater.pipeline.ending.restoring import Restoring
from slackwater.pipeline.ending.retention import RetentionJanitor
from slackwater.pipeline.files.bringing import Bringing
from slackwater.pipeline.files.importer import Importer
from slackwater.pipeline.files.intake import new_file_id as new_upload_file_id
from slackwater.pipeline.following import Following
from slackwater.pipeline.input.file_checks import FileChecks
from slackwater.pipeline.input.validator import Validator
from slackwater.pipeline.loops import Hint, Hints, Loop
from slackwater.pipeline.membership import Membership
from slackwater.pipeline.quota.enqueuer import Enqueuer
from slackwater.pipeline.quota.spare_capacity import SpareCapacity
from slackwater.pipeline.sending.fleet import Fleet
from slackwater.pipeline.sending.pauses import Pauses
from slackwater.pipeline.sending.scheduler import Scheduler
from slackwater.pipeline.sending.worker import Worker
from slackwater.pipeline.telling.webhook_endpoints import WebhookEndpoints
from slackwater.pipeline.telling.webhooks import Deliverer
from slackwater.pipeline.wall_clock import WallWatch
from slackwater.pipeline.watching.batch_histories import BatchHistories
from slackwater.pipeline.watching.cluster_watch import ClusterWatch
from slackwater.pipeline.watching.deployment_watch import DeploymentWatch, nobody_else, out_of, somebody, sums_of
from slackwater.pipeline.watching.engine_history import EngineHistory
from slackwater.pipeline.watching.engine_watch import EngineWatch
from slackwater.pipeline.watching.ledger_watch import LedgerWatch
from slackwater.pipeline.watching.progress import Progress
from slackwater.pipeline.watching.readiness import Readiness, Unready
from slackwater.pipeline.watching.senders import Senders
from slackwater.pipeline.watching.standings import Standings
from slackwater.ports import (
    Ledger,
)
from slackwater.telemetry import event
from slackwater.wiring.members_at import OWN_VERSION
from slackwater.wiring.service_parts import Doors, Offer, Settings
from slackwater.wiring.stages import IMPORTS_AT_ONCE, SAYING, stages_of, watching
from slackwater.wiring.waiting import Waiting

if TYPE_CHECKING:
    from slackwater.wiring.monitoring import Monitor

# So long the last word about itself may take that a server is just writing when it ends.
SAID_LAST_SECONDS = 1.0
# Nobody is told how long a job will take out of less work than this.
STEADY_SECONDS = 60.0


def new_output_file_id() -> str:
    """An id as Azure gives output files: `file-` and a dashed uuid (spec 2.1)."""
    return f"file-{uuid.uuid4()}"


async def _ended(tasks: Sequence[asyncio.Task[None]], *, seconds: float) -> None:
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Service:
    """The stages of the pipeline over one ledger and one blob store, running or not."""

    def __init__(
        self,
        doors: Doors,
        offer: Offer,
        settings: Settings,
        *,
        readiness: Readiness | None = None,
        new_file_id: Callable[[], str] = new_output_file_id,
        incarnation: str | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`incarnation` must differ at every start. `chance` draws from [0, 1)."""
        ledger, blobs, clock = doors.ledger, doors.blobs, doors.clock
        self.doors = doors
        self.offer = offer
        self.settings = settings
        self.ledger = ledger
        self.blobs = blobs
        self.clock = clock
        self.hints = hints = doors.hints or Hints()
        self.membership = doors.membership
        self._leaving = False
        incarnation = incarnation or uuid.uuid4().hex[:12]
        numbers = itertools.count()
        self.restoring = restoring = Restoring(ledger, blobs)
        self.batch_histories = BatchHistories(ledger, clock)
        self.fleet = Fleet(
            lambda deployment, dispatchers: Worker(
                deployment.key,
                dispatchers,
                owner=f"{incarnation}-{next(numbers)}",
                ledger=ledger,
                blobs=blobs,
                clock=clock,
                hint=hints.claims_of(deployment.key),
                settings=settings.worker,
                chance=chance,
                finished=hints.finalize.notify,
                budget=doors.budget,
                tenant=deployment.resource,
                weight=offer.weights.get(deployment.resource, 1.0),
                guard=offer.guard,
                logs_whole=lambda: restoring.done,
                heard=self.batch_histories.hear,
            ),
            sends=lambda key: settings.kind.sends and (settings.sends_for is None or key in settings.sends_for),
            changed=self._sends_for_others,
        )
        if self.membership is not None:
            self.membership.sends_for = self.fleet.served
        self.following = None if doors.together is None else Following(doors.together, clock, hints)
        # What there is of deployments, where another server may change that.
        current = None if self.following is None else functools.partial(self.following.now, "deployments")
        self.current_deployments = current
        say = {} if self.following is None else {"say": self.following.say}
        self.pauses = Pauses(ledger, clock, self.fleet, hints, **say)
        for deployment in offer.deployments:
            self.fleet.put(deployment, offer.backends(deployment))
        self.spare = SpareCapacity(
            ledger, clock, tokens_per_second=lambda key, now: self.tokens_per_second(key, now=now)
        )
        self.connections = None if offer.connections is None else offer.connections(current)
        self.control_plane = ControlPlane(
            ledger,
            clock,
            self.fleet,
            self.spare,
            assemble=offer.assemble,
            wake=hints.enqueue.notify,
            now=current,
            connections=self.connections,
        )
        self.validator = Validator(
            ledger,
            blobs,
            clock,
            doors.validating or doors.offload,
            deployments=self.fleet.all,
            counter=offer.counter,
            quick_counter=offer.quick_counter,
            accept_any=offer.accept_any,
            limits=settings.input,
            shard_lines_max=settings.shard_lines_max,
            shard_bytes_of=lambda batch: shard_bytes(
                self.tokens_per_second(batch.deployment or "", now=clock.monotonic())
            ),
            price_of=offer.price_of,
            allowance=self.spare.allowance,
            limit_of=self._limit_now,
            moved=self._validated,
            tracing=doors.tracing,
            current=current,
        )
        self.enqueuer = Enqueuer(ledger, clock, limit_of=self._limit_now)
        self.scheduler = Scheduler(ledger, wake=hints.claimable)
        tell = None if doors.together is None else functools.partial(doors.together.change, "clock")
        self.wall = wall = WallWatch(ledger, clock, confirmed=doors.clock_confirmed, tell=tell)
        finalizer = functools.partial(
            Finalizer, ledger, blobs, clock, new_file_id=new_file_id, logs_whole=lambda: restoring.done
        )
        self.finalizer = finalizer()
        self.handing_over = HandingOver(blobs, clock, doors.storages, wall=wall)
        self.finalizer_elsewhere = finalizer(handing_over=self.handing_over)
        self.bringing = Bringing(
            ledger,
            blobs,
            clock,
            storages=doors.storages,
            new_id=new_upload_file_id,
            deployments=self.fleet.all,
            bytes_max=settings.input_blob_bytes,
            brought=hints.validate.notify,
            ended=hints.batch_ended,
        )
        self.janitor = Janitor(ledger, blobs, clock, wall=wall, lost_kept_days=settings.lost_keep_days)
        self.upload_janitor = UploadJanitor(ledger, blobs, clock, wall=wall)
        self.audit_janitor = (
            AuditJanitor(ledger, clock, keep_days=keep_days, wall=wall)
            if (keep_days := settings.audit_keep_days)
            else None
        )
        self.retention = Retention()
        self.retention_janitor = RetentionJanitor(ledger, blobs, clock, self.retention, settings.keeping, wall=wall)
        if self.following is not None:
            self.following.follow("deployments", self.control_plane.read)
            self.following.follow("pauses", self.pauses.step)
            if settings.kind.answers:
                self.following.follow("retention", self.retention_janitor.read)
            self.following.follow("clock", self.wall.confirm)
            self.following.tried = self.pauses.heard
        self.importing = IMPORTS_AT_ONCE if doors.fetcher else 1
        self.importer = self.importer_of(ledger)
        self.deliverer = Deliverer(
            ledger, clock, sender=doors.sender, chance=random.random, wall=wall, another=hints.webhooks.nudge
        )
        self._readiness = readiness
        self.monitor: Monitor | None = None
        """Who makes the metrics page; None where nobody is to see one."""
        self.progress = Progress(ledger, clock, backends=lambda: sums_of(self.fleet), out=lambda: out_of(self.fleet))
        self.standings = standings = (
            None
            if doors.together is None
            else Standings(
                doors.together,
                clock,
                member=incarnation,
                says=lambda: self.watch.says_all(),
                itself=self._itself,
                idle_engines=lambda: self.engine_watch.idle(),
            )
        )
        self.senders = None if self.membership is None else self._senders_of(self.membership)
        self.watch = DeploymentWatch(
            ledger,
            clock,
            self.fleet,
            self.spare,
            self.progress,
            others=nobody_else if standings is None else standings.of,
            nobody_since=somebody if self.senders is None else self.senders.nobody_since,
            storage_wait=lambda batch_id: self.bringing.waits.of(batch_id) or self.handing_over.waits.of(batch_id),
        )
        others_engines = (
            {} if standings is None else {"others": standings.engines, "others_idle": standings.idle_engines}
        )
        self.engine_watch = EngineWatch(ledger, clock, self.fleet, self.pauses, self.progress, **others_engines)
        me = doors.member or Member(id=incarnation, host=socket.gethostname(), version=OWN_VERSION)
        self.cluster_watch = ClusterWatch(
            ledger,
            clock,
            me=me,
            says=lambda: MemberSays(itself=self._itself(), deployments=self.watch.says_all()),
            deployments=lambda: [each.key for each in self.fleet.all()],
            others=None if standings is None else standings.heard,
        )
        self.ledger_watch = LedgerWatch(clock, settings.kind, doors.away)
        self.engine_history = EngineHistory(ledger, clock, self.engine_watch, owner=incarnation)
        self.engine_janitor = EngineJanitor(ledger, clock, wall=wall)
        self._loops: list[Loop] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._saying: Loop | None = None
        self._saying_task: asyncio.Task[None] | None = None

    def _itself(self) -> SaysOfItself:
        """What it says of itself to whoever asks another server."""
        return SaysOfItself(
            engines=self.engine_watch.at_work(),
            leaving=self._leaving,
            clock_ahead_seconds=self.doors.clock_ahead(),
            sections=dict(self.doors.sections),
            scraped_since=None if self.monitor is None else self.monitor.scraped_since,
            has_page=self.monitor is not None and self.settings.kind.answers,
        )

    def _senders_of(self, membership: Membership) -> Senders:
        return Senders(
            self.ledger,
            self.clock,
            deployments=lambda: [each.key for each in self.fleet.all()],
            serves=self.fleet.serves,
            speaks=lambda: membership.watching,
        )

    def _sends_for_others(self) -> None:
        """It sends for other deployments than before, which the other members are to know."""
        if self.membership is not None:
            self.membership.hint.notify()

    def tokens_per_second(self, key: str, *, now: float) -> float:
        """What the backends of a deployment have been seen to do, at all servers; `now` is monotonic."""
        here = self.fleet.tokens_per_second(key, now=now)
        return here if self.standings is None else here + sum(each.tokens_per_second for each in self.standings.of(key))

    def _steadily(self, deployment: Deployment) -> float:
        """Input tokens a second of a deployment at all servers; 0 where this one has not seen a minute of its work."""
        now = self.clock.monotonic()
        if not self.fleet.tokens_per_second(deployment.key, now=now, work_seconds_min=STEADY_SECONDS):
            return 0.0
        return self.tokens_per_second(deployment.key, now=now)

    def _validated(self, stage: Stage, deployment: str) -> None:
        """A batch has been validated, and somebody may have something to do now."""
        if stage is Stage.RUNNING:
            self.hints.claimable(deployment)
        elif stage is Stage.WAITING:
            self.hints.enqueue.notify()
        else:
            self.hints.batch_ended()

    async def _limit_now(self, key: str) -> int | None:
        """What a deployment may hold; where the configuration has lost it, nothing is held back."""
        deployment = self.fleet.get(key)
        return None if deployment is None else (await self.spare.allowance(deployment)).limit

    def file_checks_of(self, view: Ledger, mine: Callable[[], Sequence[Deployment]]) -> FileChecks:
        """Checks of input files, over a resource's view and deployments, by the rules of the validator."""
        return FileChecks(
            view,
            self.blobs,
            self.doors.checking or self.doors.offload,
            deployments=mine,
            counter=self.offer.counter,
            quick_counter=self.offer.quick_counter,
            price_of=self.offer.price_of,
            allowance=self.spare.allowance,
            limits=self.settings.input,
            current=self.current_deployments,
            tokens_per_second=self._steadily,
        )

    def importer_of(self, ledger: Ledger) -> Importer:
        """An importer over this ledger, or over a resource's view of it: that one only takes orders."""
        return Importer(
            ledger,
            self.blobs,
            self.clock,
            fetcher=self.doors.fetcher,
            new_id=new_upload_file_id,
            wake=self.hints.imports.notify,
            limits=self.settings.files,
            chance=random.random,
        )

    def webhooks_of(self, resource: str) -> WebhookEndpoints:
        """The webhook endpoints of a resource."""
        return WebhookEndpoints(
            self.ledger, self.clock, sender=self.doors.sender, resource=resource, wake=self.hints.webhooks.notify
        )

    def loops(self) -> list[Loop]:
        """Every stage with its pace. Hints make the idle times matter only after a lost hint."""
        return stages_of(self)

    async def start(self) -> None:
        """Recovers what an earlier incarnation left, then lets everything run."""
        with Waiting() as waiting:
            waiting.at("what earlier processes have left in the ledger and the files")
            await self.wall.start()
            await self.janitor.start()
            await self.restoring.step()
            if self.settings.kind.answers:
                await self.upload_janitor.start()
                await self.retention_janitor.start()
            await self.control_plane.read()
            if self.connections is not None and self.settings.kind.answers:
                await self.connections.start()
            # Before anything is sent: what is paused stays so.
            await self.pauses.step()
            if self.following is not None:
                await self.following.step()
        if self.doors.sharing is not None:
            self.doors.sharing.start()
        self.fleet.start()
        if self.monitor is not None:
            self.monitor.start()
        loops = self.loops()
        if not self.restoring.done:
            loops.append(Loop("restoring", self.restoring.step, clock=self.clock, hint=Hint(), idle_seconds=1.0))
        if self._readiness is not None:
            await self._readiness.first_look()
            self._readiness.started(
                lambda: [*self._loops, *self.fleet.watched()],
                clock=self.wall,
                ledger_away=lambda: self.ledger_watch.is_away,
            )
            # Whoever can be asked whether it is ready can be asked how it gets on.
            loops += watching(self, self._readiness)
        self._loops = loops
        self._saying = next((loop for loop in loops if loop.name == SAYING), None)
        tasks = {loop: asyncio.create_task(loop.run(), name=loop.name) for loop in loops}
        # It goes on when the others have been asked to end.
        self._saying_task = None if self._saying is None else tasks.pop(self._saying)
        self._tasks = list(tasks.values())

    async def _end_stages(self) -> None:
        await _ended(self._tasks, seconds=self.settings.worker.grace_seconds)

    def unready(self) -> list[Unready]:
        """Why it should not be given work at the moment."""
        return [] if self._readiness is None else self._readiness.reasons()

    def backend_states(self) -> Mapping[str, int]:
        """How many backends are in each state, over all deployments; states that none is in are left out."""
        if self.settings.kind.sends:
            return Counter(dispatcher.state.value for _, dispatcher in self.fleet.senders())
        return Counter(view.health.value for each in self.fleet.all() for view in self.watch.backends(each))

    @property
    def in_flight(self) -> int:
        """How many calls to backends are out."""
        return self.fleet.in_flight

    async def stop(self) -> None:
        """Stops claiming, waits a bounded time for calls in flight, journals, gives shards back."""
        if self._readiness is not None:
            self._readiness.stopping()
        if self.membership is not None:
            self.membership.retire()
        self._leaving = True
        for loop in self._loops:
            # What it has out, and that it is about to go, is said to the end.
            if loop is not self._saying:
                loop.end()
        # Stages end after the step that they are in, workers after their calls, each within the grace time.
        await asyncio.gather(self._end_stages(), self.fleet.stop())
        if self._saying is not None and self._saying_task is not None:
            self._saying.end()
            await _ended([self._saying_task], seconds=SAID_LAST_SECONDS)
        if self.doors.sharing is not None:
            # Calls need their slots until they have ended.
            await self.doors.sharing.close()
        await self.batch_histories.close()
        if self._readiness is not None:
            # A stop is a stop: a part of a minute is not worth more than a line.
            try:
                await self.engine_history.close()
            except Exception as error:
                event("engine_history_lost", level=logging.WARNING, error=repr(error))
        if self.standings is not None:
            # Otherwise the others find out by themselves.
            with contextlib.suppress(Exception):
                await self.standings.leave()
        if self.monitor is not None:
            self.monitor.stop()
        if self.membership is not None:
            try:
                await self.membership.leave()
            except Exception as error:
                # Somebody will see that it has gone.
                event("member_not_left", level=logging.WARNING, error=repr(error))
