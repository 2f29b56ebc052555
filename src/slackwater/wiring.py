"""Puts everything together: configuration in, a service out. The only module that knows every room.

Order of a start: lock the directory, open the ledger, give back what dead workers held, then run the stages. Order of a
stop: no new claims, a bounded time for what is in flight, journal, give the shards back, close.
"""

import asyncio
import contextlib
import functools
import itertools
import random
import urllib.parse
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slackwater.adapters.data_directory import DataDirectory
from slackwater.adapters.disk_blobs import DiskBlobs
from slackwater.adapters.echo_backend import EchoBackend
from slackwater.adapters.http_backend import HttpBackend
from slackwater.adapters.http_pool import Timeouts
from slackwater.adapters.sql_ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.config import (
    BackendConfig,
    ClassifierConfig,
    Config,
    ContentFilterConfig,
    DeploymentConfig,
    endpoint_of,
    limit_of,
    ordered_deployment,
    price_list,
    usable_backends,
)
from slackwater.core.claims import ClaimRules
from slackwater.core.content_filter import Blocklist, Category, Policy, Severity, Threshold
from slackwater.core.cost import price_of
from slackwater.core.deployment import BackendRef, Capabilities, Deployment
from slackwater.core.destinations import Destinations
from slackwater.core.errors import ConfigError
from slackwater.core.file import FileLimits
from slackwater.core.imports import Origins
from slackwater.core.pacing import Breaker, RetryPolicy
from slackwater.core.price import Price
from slackwater.core.resource import DEFAULT
from slackwater.core.tokens import TokenCounter
from slackwater.pipeline.control_plane import Assembled, ControlPlane
from slackwater.pipeline.dispatcher import Dispatcher
from slackwater.pipeline.enqueuer import Enqueuer
from slackwater.pipeline.finalizer import Finalizer
from slackwater.pipeline.fleet import Fleet
from slackwater.pipeline.importer import Importer
from slackwater.pipeline.input_scan import SHARD_LINES_MAX
from slackwater.pipeline.intake import new_file_id as new_upload_file_id
from slackwater.pipeline.janitor import Janitor, UploadJanitor
from slackwater.pipeline.loops import Hint, Loop
from slackwater.pipeline.scheduler import Scheduler
from slackwater.pipeline.spare_capacity import SpareCapacity
from slackwater.pipeline.validator import Validator
from slackwater.pipeline.webhook_endpoints import WebhookEndpoints
from slackwater.pipeline.webhooks import Deliverer
from slackwater.pipeline.worker import Worker, WorkerSettings
from slackwater.ports import (
    NO_LIMITS,
    Backend,
    BlobStore,
    Classifier,
    Clock,
    Fetcher,
    Ledger,
    Offload,
    Sender,
    StoredDeployment,
    TokenVerifier,
)

if TYPE_CHECKING:
    from slackwater.pipeline.content_filter import ContentFilter

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
    ) -> None:
        """`backends` makes the dispatchers of a deployment; `incarnation` must differ at every start.

        Without a `fetcher`, nothing is imported from URLs; without a `sender`, no webhook is sent; without `assemble`, no
        deployments are made over the API.
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
        )
        self.enqueuer = Enqueuer(ledger, clock, limit_of=self._limit_now)
        self.scheduler = Scheduler(ledger)
        self.finalizer = Finalizer(ledger, blobs, clock, new_file_id=new_file_id)
        self.janitor = Janitor(ledger, blobs, clock)
        self.upload_janitor = UploadJanitor(ledger, blobs, clock)
        self._importing = IMPORTS_AT_ONCE if fetcher else 1
        self._fetcher = fetcher
        self._file_limits = file_limits
        self.importer = self.importer_of(ledger)
        self._sender = sender
        self.deliverer = Deliverer(ledger, clock, sender=sender, chance=random.random)
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
            stages.append(
                Loop("webhooks", deliverer.tidy, clock=clock, hint=webhook_hint, idle_seconds=60.0, every=True)
            )
        stages.append(Loop("deployments", self.control_plane.step, clock=clock, hint=hint, idle_seconds=1.0))
        return stages

    async def start(self) -> None:
        """Recovers what an earlier incarnation left, then lets everything run."""
        await self.janitor.start()
        await self.upload_janitor.start()
        await self.control_plane.load()
        self.fleet.start()
        self._tasks = [asyncio.create_task(loop.run(), name=loop.name) for loop in self.loops()]

    @property
    def in_flight(self) -> int:
        """How many calls to backends are out."""
        return self.fleet.in_flight

    async def stop(self) -> None:
        """Stops claiming, waits a bounded time for calls in flight, journals, gives shards back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.fleet.stop()


def deployment_record(config: DeploymentConfig) -> Deployment:
    """What the pipeline needs to know of a configured deployment."""
    return Deployment(
        name=config.name,
        resource=config.resource,
        model=config.model,
        version=config.version,
        sku=config.sku,
        data_zone=config.data_zone,
        backends=tuple(
            BackendRef(
                name=backend.url or "built-in",
                concurrency=backend.concurrency,
                model=backend.model,
                region=backend.region,
                data_zone=backend.data_zone,
            )
            for backend in usable_backends(config)
        ),
        enqueued_token_limit=limit_of(config),
        when_full=config.when_full,
        tokenizer=config.tokenizer,
        capabilities=Capabilities(
            endpoints=tuple(endpoint_of(name) for name in config.endpoints), images=config.images
        ),
        dynamic_quota=config.dynamic_quota,
        rai_policy_name=config.rai_policy_name,
        version_upgrade_option=config.version_upgrade_option,
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
    for content_filter in config.content_filters:
        try:
            content_filter_of(content_filter, config.backend_keys, SystemClock())
        except ConfigError as error:
            faults += [f"content filter '{content_filter.name}': {fault}" for fault in error.faults]
    if faults:
        raise ConfigError(faults)


def content_filter_of(config: ContentFilterConfig, keys: Mapping[str, str], clock: Clock) -> "ContentFilter":
    """A content filter at work. Raises ConfigError for a classifier's url or key that the client refuses."""
    # Only a service with content filters pays for them.
    from slackwater.pipeline.content_filter import ContentFilter

    lists = [
        Blocklist(
            name=each.name,
            terms=tuple(each.terms),
            patterns=tuple(each.patterns),
            blocking=each.action == "block",
        )
        for each in config.blocklists
    ]
    policy = Policy(
        name=config.name,
        thresholds={
            Category(name): Threshold(severity=Severity[each.severity.upper()], blocking=each.action == "block")
            for name, each in config.categories.items()
        },
        prompts="prompt" in config.on,
        completions="completion" in config.on,
        fails_open=config.when_down == "open",
    )
    blocklists = None
    if lists:
        from slackwater.core.blocklists import Blocklists

        blocklists = Blocklists(lists)
    classifier = None if config.classifier is None else classifier_of(config.classifier, keys, clock)
    return ContentFilter(
        policy,
        blocklists=blocklists,
        classifier=classifier,
        retry=RetryPolicy(attempts_max=1 if config.classifier is None else config.classifier.attempts),
        breaker=Breaker(),
        clock=clock,
        chance=random.random,
    )


def classifier_of(config: ClassifierConfig, keys: Mapping[str, str], clock: Clock) -> Classifier:
    """The client of a classifier: of any backend, for a path and an answer of its own. Raises ConfigError."""
    from slackwater.adapters.moderations_classifier import Bounds, GuardClassifier, ModerationsClassifier

    server = BackendConfig(
        url=config.url,
        concurrency=config.concurrency,
        first_byte_seconds=config.timeout_seconds,
        total_seconds=config.timeout_seconds,
    )
    backend = backend_of(server, key=keys.get(config.api_key_env or ""), clock=clock)
    if config.kind == "guard":
        codes = {code: Category(name) for code, name in config.codes.items()}
        return GuardClassifier(backend, model=config.model or "", codes=codes)
    scores = config.scores
    bounds = Bounds(low=scores.low, medium=scores.medium, high=scores.high)
    return ModerationsClassifier(backend, model=config.model, bounds=bounds)


def dispatchers_of(
    config: DeploymentConfig, keys: dict[str, str], clock: Clock, filters: Mapping[str, "ContentFilter"]
) -> list[Dispatcher]:
    """One dispatcher per backend of a deployment. Without a policy, they know nothing of filters."""
    make: Callable[..., Dispatcher] = Dispatcher
    # One of Azure's own policies may be named without being configured; then nothing is looked at.
    if config.rai_policy_name is not None and config.rai_policy_name in filters:
        from slackwater.pipeline.filtered_dispatcher import FilteredDispatcher

        make = functools.partial(FilteredDispatcher, content_filter=filters[config.rai_policy_name])
    return [
        make(
            backend.url or "built-in",
            backend_of(backend, key=keys.get(backend.api_key_env or ""), clock=clock),
            concurrency=backend.concurrency,
            model=backend.model,
            retry=RetryPolicy(attempts_max=backend.attempts),
            breaker=Breaker(),
            clock=clock,
            chance=random.random,
            region=backend.region,
        )
        for backend in usable_backends(config)
    ]


def assembler_of(
    config: Config, clock: Clock, filters: Mapping[str, "ContentFilter"]
) -> Callable[[StoredDeployment], Assembled]:
    """Who makes deployments of what was asked for over the API. It raises ConfigError."""

    def assemble(stored: StoredDeployment) -> Assembled:
        ordered = ordered_deployment(stored.body, resource=stored.resource, name=stored.name, config=config)
        return Assembled(
            deployment=deployment_record(ordered),
            works_as=(usable_backends(ordered), ordered.rai_policy_name),
            dispatchers=lambda: dispatchers_of(ordered, config.backend_keys, clock, filters),
        )

    return assemble


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


def verifier_of(config: Config, clock: Clock) -> TokenVerifier | None:
    """Who checks tokens of a directory; None where no issuer is configured."""
    oidc = config.oidc
    if not oidc.issuers:
        return None
    # Only a service that takes tokens pays for the libraries.
    from slackwater.adapters.jwt_verifier import JwtVerifier

    return JwtVerifier(
        oidc.issuers,
        audiences=oidc.audiences,
        algorithms=oidc.algorithms,
        rules=ClaimRules(
            resources=frozenset({DEFAULT, *(resource.name for resource in config.resources)}),
            resource_claim=oidc.resource_claim,
            role_claim=oidc.role_claim,
            resource_map=oidc.resource_map,
            role_map=oidc.role_map,
            default_resource=oidc.default_resource or None,
            default_role=oidc.default_role,
            tenants=tuple(oidc.tenants),
        ),
        clock=clock,
        jwks_url=oidc.jwks_url or None,
        clock_skew_seconds=oidc.clock_skew_seconds,
        cache_seconds=oidc.jwks_cache_seconds,
        stale_seconds=oidc.jwks_stale_seconds,
    )


def sender_of(config: Config) -> Sender | None:
    """Who posts webhooks; None where that is turned off."""
    webhooks = config.webhooks
    if not webhooks.enabled:
        return None
    from slackwater.adapters.httpcore_sender import HttpcoreSender

    return HttpcoreSender(
        Destinations(allow_http=webhooks.allow_http, allow_private_addresses=webhooks.allow_private_addresses),
        total_seconds=webhooks.timeout_seconds,
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
    sender: Sender | None = None,
) -> AsyncIterator[Service]:
    """A service over a data directory, not started yet; everything is closed on leaving. Raises DataDirectoryError."""
    clock = SystemClock()
    with DataDirectory.open(directory) as data:
        ledger = SqlLedger.open(data.ledger_path)
        try:
            blobs = DiskBlobs(data.blobs_path)
            await blobs.sweep_parts()
            by_key = {deployment_record(deployment).key: deployment for deployment in config.deployments}
            filters = {
                each.name: content_filter_of(each, config.backend_keys, clock) for each in config.content_filters
            }
            yield Service(
                ledger=ledger,
                blobs=blobs,
                clock=clock,
                offload=offload,
                deployments=[deployment_record(deployment) for deployment in config.deployments],
                backends=lambda deployment: dispatchers_of(by_key[deployment.key], config.backend_keys, clock, filters),
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
                sender=sender,
                assemble=None if accept_any else assembler_of(config, clock, filters),
                price_of=functools.partial(price_of, prices=price_list(config.billing, config.prices)),
                file_limits=FileLimits(lasting=config.limits.lasting_files, expiring=config.limits.expiring_files),
            )
            for each in filters.values():
                await each.close()
        finally:
            await ledger.close()
