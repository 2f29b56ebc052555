"""Puts everything together: configuration in, a service out. The only module that knows every room.

Order of a start: lock the directory, open the ledger, give back what dead workers held, then run the stages. Order of a
stop: no new claims, a bounded time for what is in flight, journal, give the shards back, close.
"""

import asyncio
import contextlib
import random
import urllib.parse
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from slackwater.adapters.data_directory import DataDirectory
from slackwater.adapters.disk_blobs import DiskBlobs
from slackwater.adapters.echo_backend import EchoBackend
from slackwater.adapters.http_backend import HttpBackend
from slackwater.adapters.http_pool import Timeouts
from slackwater.adapters.sql_ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.config import BackendConfig, Config, DeploymentConfig, endpoint_of
from slackwater.core.deployment import BackendRef, Capabilities, Deployment
from slackwater.core.errors import ConfigError
from slackwater.core.file import FileLimits
from slackwater.core.imports import Origins
from slackwater.core.pacing import Breaker, RetryPolicy
from slackwater.core.tokens import TokenCounter
from slackwater.pipeline.dispatcher import Dispatcher
from slackwater.pipeline.enqueuer import Enqueuer
from slackwater.pipeline.finalizer import Finalizer
from slackwater.pipeline.importer import Importer
from slackwater.pipeline.input_scan import SHARD_LINES_MAX
from slackwater.pipeline.intake import new_file_id as new_upload_file_id
from slackwater.pipeline.janitor import Janitor, UploadJanitor
from slackwater.pipeline.loops import Hint, Loop
from slackwater.pipeline.scheduler import Scheduler
from slackwater.pipeline.validator import Validator
from slackwater.pipeline.worker import Worker, WorkerSettings
from slackwater.ports import NO_LIMITS, Backend, BlobStore, Clock, Fetcher, Ledger, Offload

# Imports at once. One that is slow to its last allowed second takes one of these places, and not all.
IMPORTS_AT_ONCE = 4


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
    ) -> None:
        """`backends` makes the dispatchers of a deployment; `incarnation` must differ at every start.

        Without a `fetcher`, nothing is imported from URLs.
        """
        self.ledger = ledger
        self.blobs = blobs
        self.clock = clock
        self.deployments = deployments
        self.hint = Hint()
        # One of its own: uploads end seldom, and batches call theirs all the time.
        self.upload_hint = Hint()
        self.import_hint = Hint()
        incarnation = incarnation or uuid.uuid4().hex[:12]
        by_name = {deployment.name: deployment for deployment in deployments}
        self.validator = Validator(
            ledger,
            blobs,
            clock,
            offload,
            deployments=lambda: deployments,
            counter=counter,
            accept_any=accept_any,
            lines_max=lines_max,
            embedding_inputs_max=embedding_inputs_max,
            errors_max=errors_max,
            shard_lines_max=shard_lines_max,
        )
        self.enqueuer = Enqueuer(
            ledger,
            clock,
            limit_of=lambda name: by_name[name].enqueued_token_limit if name in by_name else None,
        )
        self.scheduler = Scheduler(ledger)
        self.finalizer = Finalizer(ledger, blobs, clock, new_file_id=new_file_id)
        self.janitor = Janitor(ledger, blobs, clock)
        self.upload_janitor = UploadJanitor(ledger, blobs, clock)
        self._importing = IMPORTS_AT_ONCE if fetcher else 1
        self.importer = Importer(
            ledger,
            blobs,
            clock,
            fetcher=fetcher,
            new_id=new_upload_file_id,
            wake=self.import_hint.notify,
            limits=file_limits,
            chance=random.random,
        )
        self.workers = [
            Worker(
                deployment.name,
                backends(deployment),
                owner=f"{incarnation}-{number}",
                ledger=ledger,
                blobs=blobs,
                clock=clock,
                hint=self.hint,
                settings=settings,
            )
            for number, deployment in enumerate(deployments)
        ]
        self._tasks: list[asyncio.Task[None]] = []

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
        return stages + [loop for worker in self.workers for loop in worker.loops()]

    async def start(self) -> None:
        """Recovers what an earlier incarnation left, then lets everything run."""
        await self.janitor.start()
        await self.upload_janitor.start()
        for worker in self.workers:
            worker.start()
        self._tasks = [asyncio.create_task(loop.run(), name=loop.name) for loop in self.loops()]

    @property
    def in_flight(self) -> int:
        """How many calls to backends are out."""
        return sum(worker.in_flight for worker in self.workers)

    async def stop(self) -> None:
        """Stops claiming, waits a bounded time for calls in flight, journals, gives shards back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self.workers))


def deployment_record(config: DeploymentConfig) -> Deployment:
    """What the pipeline needs to know of a configured deployment."""
    return Deployment(
        name=config.name,
        model=config.model,
        backends=tuple(
            BackendRef(name=backend.url or "built-in", concurrency=backend.concurrency, model=backend.model)
            for backend in config.backends
        ),
        enqueued_token_limit=config.enqueued_token_limit,
        when_full=config.when_full,
        tokenizer=config.tokenizer,
        capabilities=Capabilities(
            endpoints=tuple(endpoint_of(name) for name in config.endpoints), images=config.images
        ),
    )


def backend_of(config: BackendConfig, *, key: str | None, clock: Clock) -> Backend:
    """The client for one configured backend. Raises ConfigError."""
    if config.echo is not None:
        echo = config.echo
        return EchoBackend(
            clock=clock,
            latency_seconds=echo.latency_seconds,
            jitter_seconds=echo.jitter_seconds,
            error_rate=echo.error_rate,
            busy_rate=echo.busy_rate,
            hang_rate=echo.hang_rate,
        )
    assert config.url is not None, "a checked backend has a url or is the built-in one"
    headers = dict(config.headers)
    if key:
        host = urllib.parse.urlsplit(config.url).hostname or ""
        azure = host.endswith((".azure.com", ".azure.us", ".azure.cn"))
        if (config.api_key_header or ("api-key" if azure else "authorization")) == "api-key":
            headers["api-key"] = key
        else:
            headers["Authorization"] = f"Bearer {key}"
    try:
        return HttpBackend(
            config.url,
            headers=headers,
            timeouts=Timeouts(
                connect=config.connect_seconds, first_byte=config.first_byte_seconds, total=config.total_seconds
            ),
            connections_max=config.concurrency,
        )
    except ValueError as error:
        raise ConfigError([f"backend {config.url}: {error}"]) from error


def check_backends(config: Config) -> None:
    """Makes every backend's client once, without a call. Raises ConfigError with what they refuse, such as a header."""
    faults: list[str] = []
    for deployment in config.deployments:
        for backend in deployment.backends:
            try:
                backend_of(backend, key=config.backend_keys.get(backend.api_key_env or ""), clock=SystemClock())
            except ConfigError as error:
                faults += [f"deployment '{deployment.name}': {fault}" for fault in error.faults]
    if faults:
        raise ConfigError(faults)


def dispatchers_of(config: DeploymentConfig, keys: dict[str, str], clock: Clock) -> list[Dispatcher]:
    """One dispatcher per backend of a deployment."""
    return [
        Dispatcher(
            backend.url or "built-in",
            backend_of(backend, key=keys.get(backend.api_key_env or ""), clock=clock),
            concurrency=backend.concurrency,
            model=backend.model,
            retry=RetryPolicy(attempts_max=backend.attempts),
            breaker=Breaker(),
            clock=clock,
            chance=random.random,
        )
        for backend in config.backends
    ]


def fetcher_of(config: Config) -> Fetcher | None:
    """Who fetches files from URLs; None where that is turned off."""
    imports = config.imports
    if not imports.enabled:
        return None
    # Only a service that imports pays for the library and the list of certificates.
    from slackwater.adapters.httpcore_fetcher import HttpcoreFetcher

    return HttpcoreFetcher(
        Origins(
            hosts=tuple(imports.hosts),
            allow_http=imports.allow_http,
            allow_private_addresses=imports.allow_private_addresses,
        ),
        bytes_max=imports.bytes_max or config.limits.upload_bytes,
        connect_seconds=imports.connect_seconds,
        total_seconds=imports.timeout_seconds,
    )


@contextlib.asynccontextmanager
async def open_service(
    config: Config,
    directory: Path,
    *,
    offload: Offload,
    counter: TokenCounter | Mapping[str, TokenCounter] | None,
    accept_any: str | None = None,
    fetcher: Fetcher | None = None,
) -> AsyncIterator[Service]:
    """A service over a data directory, not started yet; everything is closed on leaving. Raises DataDirectoryError."""
    clock = SystemClock()
    with DataDirectory.open(directory) as data:
        ledger = SqlLedger.open(data.ledger_path)
        try:
            blobs = DiskBlobs(data.blobs_path)
            await blobs.sweep_parts()
            by_name = {deployment.name: deployment for deployment in config.deployments}
            yield Service(
                ledger=ledger,
                blobs=blobs,
                clock=clock,
                offload=offload,
                deployments=[deployment_record(deployment) for deployment in config.deployments],
                backends=lambda deployment: dispatchers_of(by_name[deployment.name], config.backend_keys, clock),
                counter=counter,
                settings=WorkerSettings(
                    commit_seconds=config.worker.commit_seconds,
                    grace_seconds=config.worker.grace_seconds,
                    in_flight_bytes=config.worker.in_flight_bytes,
                ),
                accept_any=accept_any,
                lines_max=config.limits.requests_per_file,
                embedding_inputs_max=config.limits.embedding_inputs,
                errors_max=config.limits.validation_errors,
                fetcher=fetcher,
                file_limits=FileLimits(lasting=config.limits.lasting_files, expiring=config.limits.expiring_files),
            )
        finally:
            await ledger.close()
