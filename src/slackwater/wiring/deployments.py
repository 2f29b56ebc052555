"""Deployments at work: what the configuration says, what was asked for over the API, and a dispatcher for each backend."""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from slackwater.adapters.upstream.http_backend import REPLY_BYTES_MAX, HttpBackend
from slackwater.adapters.upstream.http_pool import Pools
from slackwater.config import (
    BackendConfig,
    Config,
    ConnectedBackend,
    DeploymentConfig,
    endpoint_of,
    limit_of,
    may_stream,
    ordered_deployment,
    usable_backends,
)
from slackwater.core.accounts.connection import Connection
from slackwater.core.endpoints import VIDEOS
from slackwater.core.sending.budget import Budget
from slackwater.core.sending.deployment import BackendRef, Capabilities, Deployment, key_of
from slackwater.core.sending.door import Door
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.pipeline.accounts.control_plane import Assemble, Assembled
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.large_answers import LargeAnswers
from slackwater.pipeline.sending.video_jobs import Maker, VideoJobs
from slackwater.ports import Backend, BlobStore, Clock, StoredDeployment, Tracing
from slackwater.telemetry import meters
from slackwater.wiring.backends import backend_of, label_of
from slackwater.wiring.credentials import Credentials
from slackwater.wiring.engines import Engines

if TYPE_CHECKING:
    from slackwater.pipeline.filtering.content_filter import ContentFilter

NOTHING: Mapping[str, Any] = MappingProxyType({})


def offered_by(config: DeploymentConfig) -> tuple[str, ...]:
    """The endpoints of a deployment, without version."""
    return tuple(endpoint_of(name) for name in config.endpoints)


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
                concurrency=backend.slots,
                model=backend.model,
                region=backend.region,
                data_zone=backend.data_zone,
                connection=backend.connection if isinstance(backend, ConnectedBackend) else "",
            )
            for backend in usable_backends(config)
        ),
        enqueued_token_limit=limit_of(config),
        when_full=config.when_full,
        tokenizer=config.tokenizer,
        capabilities=Capabilities(endpoints=offered_by(config), images=config.images),
        dynamic_quota=config.dynamic_quota,
        rai_policy_name=config.rai_policy_name,
        version_upgrade_option=config.version_upgrade_option,
    )


class Shared(Struct, frozen=True, kw_only=True):
    """What all dispatchers of a service have in common."""

    clock: Clock
    engines: Engines
    budget: Budget
    credentials: Credentials = msgspec.field(default_factory=lambda: Credentials({}))
    """The keys of backends."""
    filters: Mapping[str, "ContentFilter"] = NOTHING
    """The content filters that there are, by the names of their policies."""
    retry: RetryPolicy = msgspec.field(default_factory=RetryPolicy)
    """How stubborn lines are, but for the attempts that each backend has."""
    large: LargeAnswers | None = None
    answer_bytes: int = REPLY_BYTES_MAX
    tracing: Tracing | None = None
    pools: Pools = msgspec.field(default_factory=Pools)
    """The connections to engines."""
    blobs: BlobStore | None = None
    """Where it is noted which videos are being made. Without it, nobody waits for any."""


def dispatchers_of(config: DeploymentConfig, shared: Shared) -> list[Dispatcher]:
    """One dispatcher per backend of a deployment. Without a policy, they know nothing of filters."""
    filters = shared.filters
    make: Callable[..., Dispatcher] = Dispatcher
    # One of Azure's own policies may be named without being configured; then nothing is looked at.
    if config.rai_policy_name is not None and config.rai_policy_name in filters:
        from slackwater.pipeline.filtering.filtered_dispatcher import FilteredDispatcher

        make = functools.partial(FilteredDispatcher, content_filter=filters[config.rai_policy_name])
    key = key_of(config.resource, config.name)
    clock, tracing = shared.clock, shared.tracing
    videos = VideoJobs(shared.blobs, clock) if shared.blobs is not None and VIDEOS in offered_by(config) else None
    made = []
    for number, backend in enumerate(usable_backends(config), 1):
        engine = shared.engines.engine(backend, place=f"built-in {number} of {key}")
        door = shared.engines.door(engine, backend, key=shared.credentials.identity_of(backend))
        client = _client_of(backend, shared, engine, door)
        if videos is not None:
            videos.add(Maker(client, f"{backend.url} {backend.model or ''}", backend.video_seconds))
        made.append(
            make(
                backend.url or "built-in",
                client,
                engine=engine,
                door=door,
                concurrency=backend.slots,
                most=backend.most,
                says=backend.concurrency,
                model=backend.model,
                retry=msgspec.structs.replace(shared.retry, attempts_max=backend.attempts),
                clock=clock,
                region=backend.region,
                meter=meters.backend(key, label_of(backend.url or "built-in")),
                traced=tracing is not None,
                large=shared.large,
                streams=may_stream(config, backend),
                videos=videos,
            )
        )
    return made


def _client_of(backend: BackendConfig, shared: Shared, engine: Engine, door: Door) -> Backend:
    client = backend_of(
        backend,
        key=shared.credentials.key_of(backend),
        clock=shared.clock,
        answer_bytes=shared.answer_bytes,
        budget=shared.budget,
        pools=shared.pools,
    )
    if isinstance(client, HttpBackend):
        shared.credentials.follow(backend, client, engine, door)
    if shared.tracing is None:
        return client
    # Only a service that traces pays for it.
    from slackwater.adapters.upstream.traced_backend import TracedBackend

    return TracedBackend(client, shared.tracing, url=backend.url or "")


def assembler_of(config: Config, shared: Shared) -> Assemble:
    """Who makes deployments of what was asked for over the API. It raises ConfigError."""

    def assemble(stored: StoredDeployment, connections: Mapping[str, Connection]) -> Assembled:
        ordered = ordered_deployment(
            stored.body, resource=stored.resource, name=stored.name, config=config, connections=connections
        )
        return Assembled(
            deployment=msgspec.structs.replace(deployment_record(ordered), made=True),
            works_as=(usable_backends(ordered), ordered.rai_policy_name),
            dispatchers=lambda: dispatchers_of(ordered, shared),
        )

    return assemble
