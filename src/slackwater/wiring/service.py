"""The stages of the pipeline, put together, and the order in which they start and stop."""

import asyncio
import itertools
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from slackwater.core.accounts.price import Price
from slackwater.core.files.file import FileLimits
from slackwater.core.input.tokens import TokenCounter
from slackwater.core.sending.deployment import Deployment
from slackwater.pipeline.accounts.control_plane import Assembled, ControlPlane
from slackwater.pipeline.ending.finalizer import Finalizer
from slackwater.pipeline.ending.janitor import AuditJanitor, Janitor, UploadJanitor
from slackwater.pipeline.files.importer import Importer
from slackwater.pipeline.files.intake import new_file_id as new_upload_file_id
from slackwater.pipeline.input.file_checks import FileChecks
from slackwater.pipeline.input.input_scan import SHARD_LINES_MAX
from slackwater.pipeline.input.validator import Validator
from slackwater.pipeline.loops import Hint, Loop
from slackwater.pipeline.quota.enqueuer import Enqueuer
from slackwater.pipeline.quota.spare_capacity import SpareCapacity
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.fleet import Fleet
from slackwater.pipeline.sending.scheduler import Scheduler
from slackwater.pipeline.sending.worker import Worker, WorkerSettings
from slackwater.pipeline.telling.webhook_endpoints import WebhookEndpoints
from slackwater.pipeline.telling.webhooks import Deliverer
from slackwater.pipeline.watching.deployment_watch import DeploymentWatch, sums_of
from slackwater.pipeline.watching.progress import STEP_SECONDS, Progress
from slackwater.pipeline.watching.readiness import LOOK_SECONDS, Readiness, Unready
from slackwater.ports import (
    NO_LIMITS,
    BlobStore,
    Clock,
    Fetcher,
    Ledger,
    Offload,
    Sender,
    StoredDeployment,
    Tracing,
)

if TYPE_CHECKING:
    from slackwater.wiring.monitoring import Monitor

# Imports at once. One that is slow to its last allowed second takes one of these places, and not all.
IMPORTS_AT_ONCE = 4
# Webhooks on their way at once, each to another endpoint.
DELIVERIES_AT_ONCE = 8


def new_output_file_id() -> str:
    """An id as Azure gives output files: `file-` and a dashed uuid (spec 2.1)."""
    return f"file-{uuid.uuid4()}"


class Service:
    """The stages of the pipeline over one ledger and one blob store, running or not."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        blobs: BlobStore,
        clock: Clock,
        offload: Offload,
        deployments: Sequence[Deployment],
        backends: Callable[[Deployment], Sequence[Dispatcher]],
        counter: TokenCounter | Mapping[str, TokenCounter] | None,
        settings: WorkerSettings,
        accept_any: str | None = None,
        lines_max: int = 100_000,
        embedding_inputs_max: int = 50_000,
        errors_max: int = 100,
        shard_lines_max: int = SHARD_LINES_MAX,
        new_file_id: Callable[[], str] = new_output_file_id,
        incarnation: str | None = None,
        fetcher: Fetcher | None = None,
        file_limits: FileLimits = NO_LIMITS,
        sender: Sender | None = None,
        price_of: Callable[[str], Price | None] = lambda model: None,
        assemble: Callable[[StoredDeployment], Assembled] | None = None,
        audit_keep_days: int = 0,
        readiness: Readiness | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """`backends` makes the dispatchers of a deployment; `incarnation` must differ at every start.

        Without a `fetcher`, nothing is imported from URLs; without a `sender`, no webhook is sent; without `assemble`, no
        deployments are made over the API; with `audit_keep_days` of 0, the audit log is never trimmed.
        """
        self.ledger = ledger
        self.blobs = blobs
        self.clock = clock
        self.hint = Hint()
        # One of its own: uploads end seldom, and batches call theirs all the time.
        self.upload_hint = Hint()
        self.import_hint = Hint()
        self.webhook_hint = Hint()
        incarnation = incarnation or uuid.uuid4().hex[:12]
        numbers = itertools.count()
        self.fleet = Fleet(
            lambda deployment, dispatchers: Worker(
                deployment.key,
                dispatchers,
                owner=f"{incarnation}-{next(numbers)}",
                ledger=ledger,
                blobs=blobs,
                clock=clock,
                hint=self.hint,
                settings=settings,
            )
        )
        for deployment in deployments:
            self.fleet.put(deployment, backends(deployment))
        self.spare = SpareCapacity(
            ledger, clock, tokens_per_second=lambda key, now: self.fleet.tokens_per_second(key, now=now)
        )
        self.control_plane = ControlPlane(
            ledger, clock, self.fleet, self.spare, assemble=assemble, wake=self.hint.notify
        )
        self.validator = Validator(
            ledger,
            blobs,
            clock,
            offload,
            deployments=self.fleet.all,
            counter=counter,
            accept_any=accept_any,
            lines_max=lines_max,
            embedding_inputs_max=embedding_inputs_max,
            errors_max=errors_max,
            shard_lines_max=shard_lines_max,
            price_of=price_of,
            allowance=self.spare.allowance,
            tracing=tracing,
        )
        self.enqueuer = Enqueuer(ledger, clock, limit_of=self._limit_now)
        self.scheduler = Scheduler(ledger)
        self.finalizer = Finalizer(ledger, blobs, clock, new_file_id=new_file_id)
        self.janitor = Janitor(ledger, blobs, clock)
        self.upload_janitor = UploadJanitor(ledger, blobs, clock)
        self.audit_janitor = AuditJanitor(ledger, clock, keep_days=audit_keep_days) if audit_keep_days else None
        self._importing = IMPORTS_AT_ONCE if fetcher else 1
        self._fetcher = fetcher
        self._file_limits = file_limits
        self.importer = self.importer_of(ledger)
        self._sender = sender
        self.deliverer = Deliverer(ledger, clock, sender=sender, chance=random.random)
        self._readiness = readiness
        self.monitor: Monitor | None = None
        """Who makes the metrics page; None where nobody is to see one."""
        self.progress = Progress(ledger, clock, backends=lambda: sums_of(self.fleet))
        self.watch = DeploymentWatch(ledger, clock, self.fleet, self.spare, self.progress)

        def file_checks(view: Ledger, mine: Callable[[], Sequence[Deployment]]) -> FileChecks:
            return FileChecks(
                view,
                blobs,
                offload,
                deployments=mine,
                counter=counter,
                price_of=price_of,
                allowance=self.spare.allowance,
                lines_max=lines_max,
                embedding_inputs_max=embedding_inputs_max,
                errors_max=errors_max,
            )

        self.file_checks_of = file_checks
        """Checks of input files, over a resource's view and deployments, by the rules of the validator."""
        self._tasks: list[asyncio.Task[None]] = []

    async def _limit_now(self, key: str) -> int | None:
        """What a deployment may hold; where the configuration has lost it, nothing is held back."""
        deployment = self.fleet.get(key)
        return None if deployment is None else (await self.spare.allowance(deployment)).limit

    def importer_of(self, ledger: Ledger) -> Importer:
        """An importer over this ledger, or over a resource's view of it: that one only takes orders."""
        return Importer(
            ledger,
            self.blobs,
            self.clock,
            fetcher=self._fetcher,
            new_id=new_upload_file_id,
            wake=self.import_hint.notify,
            limits=self._file_limits,
            chance=random.random,
        )

    def webhooks_of(self, resource: str) -> WebhookEndpoints:
        """The webhook endpoints of a resource."""
        return WebhookEndpoints(
            self.ledger, self.clock, sender=self._sender, resource=resource, wake=self.webhook_hint.notify
        )

    def loops(self) -> list[Loop]:
        """Every stage with its pace. Hints make the idle times matter only after a lost hint."""
        clock, hint = self.clock, self.hint
        stages = [
            Loop("validate", self.validator.step, clock=clock, hint=hint, idle_seconds=1.0),
            Loop("enqueue", self.enqueuer.step, clock=clock, hint=hint, idle_seconds=1.0),
            Loop("schedule", self.scheduler.step, clock=clock, hint=hint, idle_seconds=1.0),
            Loop("finalize", self.finalizer.step, clock=clock, hint=hint, idle_seconds=1.0),
            Loop("janitor", self.janitor.step, clock=clock, hint=hint, idle_seconds=5.0, every=True),
            Loop("uploads", self.upload_janitor.step, clock=clock, hint=self.upload_hint, idle_seconds=5.0),
        ]
        stages += [
            Loop(f"import-{number}", self.importer.step, clock=clock, hint=self.import_hint, idle_seconds=1.0)
            for number in range(self._importing)
        ]
        if self._sender is not None:
            deliverer, webhook_hint = self.deliverer, self.webhook_hint
            stages += [
                Loop(f"webhook-{number}", deliverer.step, clock=clock, hint=webhook_hint, idle_seconds=1.0)
                for number in range(DELIVERIES_AT_ONCE)
            ]
        # Also where webhooks are turned off: batches still end, and what nobody is told of must not pile up.
        stages.append(
            Loop("webhooks", self.deliverer.tidy, clock=clock, hint=self.webhook_hint, idle_seconds=60.0, every=True)
        )
        if self.audit_janitor is not None:
            # A hint of its own: nobody has to wake it.
            stages.append(Loop("audit", self.audit_janitor.step, clock=clock, hint=Hint(), idle_seconds=60.0))
        stages.append(Loop("deployments", self.control_plane.step, clock=clock, hint=hint, idle_seconds=1.0))
        return stages

    async def start(self) -> None:
        """Recovers what an earlier incarnation left, then lets everything run."""
        await self.janitor.start()
        await self.upload_janitor.start()
        await self.control_plane.load()
        self.fleet.start()
        if self.monitor is not None:
            self.monitor.start()
        loops = self.loops()
        if self._readiness is not None:
            await self._readiness.first_look()
            self._readiness.started(loops)
            look = self._readiness.step
            watch = self.progress.step
            # Whoever can be asked whether it is ready can be asked how it gets on.
            loops = [
                *loops,
                Loop("readiness", look, clock=self.clock, hint=Hint(), idle_seconds=LOOK_SECONDS),
                Loop("progress", watch, clock=self.clock, hint=Hint(), idle_seconds=STEP_SECONDS),
            ]
        self._tasks = [asyncio.create_task(loop.run(), name=loop.name) for loop in loops]

    def unready(self) -> list[Unready]:
        """Why it should not be given work at the moment."""
        return [] if self._readiness is None else self._readiness.reasons()

    @property
    def in_flight(self) -> int:
        """How many calls to backends are out."""
        return self.fleet.in_flight

    async def stop(self) -> None:
        """Stops claiming, waits a bounded time for calls in flight, journals, gives shards back."""
        if self._readiness is not None:
            self._readiness.stopping()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.fleet.stop()
        if self.monitor is not None:
            self.monitor.stop()
