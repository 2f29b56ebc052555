"""What stands before the API of a service: who may come in, and the doors for each resource."""

import functools
import urllib.parse

from slackwater.api.auth import Authenticator
from slackwater.api.context import Context, Entrance
from slackwater.api.studio_door import StudioDoor
from slackwater.config import LOOPBACK, Config
from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.files.file import FileLimits, Purpose
from slackwater.pipeline.accounts.keys import Keys
from slackwater.pipeline.accounts.resource_view import ResourceView
from slackwater.pipeline.accounts.sessions import Sessions
from slackwater.pipeline.accounts.wrong_keys import SlowDown
from slackwater.pipeline.admission import Admission
from slackwater.pipeline.ending.batch_retries import BatchRetries
from slackwater.pipeline.files.intake import Intake, new_file_id
from slackwater.pipeline.files.uploads import Uploads
from slackwater.pipeline.watching.error_groups import ErrorGroups
from slackwater.pipeline.watching.line_finder import LineFinder
from slackwater.pipeline.watching.result_comparisons import ResultComparisons
from slackwater.pipeline.watching.result_export import ResultExport
from slackwater.pipeline.watching.result_reader import ResultReader
from slackwater.pipeline.watching.result_search import ResultSearch
from slackwater.pipeline.watching.result_shelf import ResultShelf
from slackwater.pipeline.watching.result_tables import ResultTables
from slackwater.ports import Offload, SignIn, TokenVerifier, Tracing
from slackwater.wiring import Service


def entrance_to(
    config: Config,
    service: Service,
    offload: Offload,
    keys: Keys,
    verifier: TokenVerifier | None,
    tracing: Tracing | None = None,
    sign_in: SignIn | None = None,
) -> Entrance:
    """The entrance to a service."""

    shelf = ResultShelf()

    @functools.cache
    def context(resource: str) -> Context:
        return _context(config, service, offload, keys, shelf, resource)

    if service.following is not None:
        service.following.follow("keys", keys.load)
        keys.shared(
            current=functools.partial(service.following.current, "keys"),
            now=functools.partial(service.following.now, "keys"),
        )
    resources = frozenset({DEFAULT, *(resource.name for resource in config.resources)})
    door = _studio_door(config, service, keys, resources, sign_in) if config.studio.enabled else None
    return Entrance(
        authenticator=Authenticator(
            service_keys=config.api_keys,
            keys=keys,
            slow_down=SlowDown(service.clock),
            hosts={host.lower(): resource.name for resource in config.resources for host in resource.hosts},
            resources=resources,
            verifier=verifier,
            may_open=config.server.host in LOOPBACK,
            sessions=None if door is None else door.sessions,
            public_host="" if door is None else urllib.parse.urlsplit(door.public_url).netloc,
        ),
        context=context,
        studio=door,
        clock=service.clock,
        lenient_api_version=config.server.lenient_api_version,
        cors_origins=tuple(config.server.cors_origins),
        gzip_downloads=config.server.gzip_downloads,
        unready=service.unready,
        backend_states=service.backend_states,
        # With an address of its own, it is not here, too.
        metrics=None if service.monitor is None or config.metrics.listen else service.monitor,
        tracing=tracing,
    )


def _studio_door(
    config: Config, service: Service, keys: Keys, resources: frozenset[str], sign_in: SignIn | None
) -> StudioDoor:
    """What signing in to Studio needs."""
    studio = config.studio
    return StudioDoor(
        sessions=Sessions(
            service.ledger,
            service.clock,
            keys,
            service_keys=config.api_keys,
            issuers=[] if sign_in is None else [sign_in.issuer],
            resources=resources,
            seconds=int(studio.session_hours * 3_600),
        ),
        sign_in=sign_in,
        public_url=studio.public_url.rstrip("/"),
        webhooks=config.webhooks.enabled,
        imports=config.imports.enabled,
    )


def _context(
    config: Config, service: Service, offload: Offload, keys: Keys, shelf: ResultShelf, resource: str
) -> Context:
    """The doors of one resource. What lies behind them sees the ledger through its view only."""
    ledger = ResourceView.of(service.ledger, resource)
    blobs, clock, limits = service.blobs, service.clock, config.limits
    file_limits = FileLimits(lasting=limits.lasting_files, expiring=limits.expiring_files)
    regions = {each.name: each.region for each in config.resources}
    deployments = functools.partial(service.fleet.open_in, resource)
    results, looking = ResultReader(ledger, blobs), service.doors.checking or offload
    tables = ResultTables(ledger, blobs, results, looking, shelf)
    search = ResultSearch(blobs, tables, looking, shelf.searches)
    assert service.connections is not None, "whoever serves the API keeps connections"
    return Context(
        resource=resource,
        ledger=ledger,
        blobs=blobs,
        clock=clock,
        expiry_now=service.wall.expiry_now,
        intake=Intake(ledger, blobs, clock, upload_bytes_max=limits.upload_bytes, limits=file_limits),
        admission=Admission(
            ledger,
            blobs,
            clock,
            wake=service.hints.asked,
            deployments=deployments,
            expiry_now=service.wall.expiry_now,
            current=service.current_deployments,
            resource=resource,
            storages=service.doors.storages,
            blob_bytes_max=limits.input_blob_bytes,
        ),
        uploads=Uploads(
            ledger,
            blobs,
            clock,
            bytes_max=lambda purpose: limits.upload_bytes if purpose is Purpose.BATCH else limits.upload_parts_bytes,
            limits=file_limits,
            new_file_id=new_file_id,
            wake=service.hints.uploads.notify,
        ),
        importer=service.importer_of(ledger),
        retries=BatchRetries(ledger, blobs, clock, offload, new_file_id=new_file_id),
        keys=keys,
        webhooks=service.webhooks_of(resource),
        deployments=deployments,
        control_plane=service.control_plane,
        connections=service.connections,
        results=results,
        result_tables=tables,
        result_search=search,
        result_comparisons=ResultComparisons(tables, shelf),
        result_export=ResultExport(blobs, tables, search),
        line_finder=LineFinder(blobs, offload, results),
        error_groups=ErrorGroups(results),
        file_checks=service.file_checks_of(ledger, deployments),
        progress=service.progress,
        watch=service.watch,
        engine_watch=service.engine_watch,
        cluster_watch=service.cluster_watch,
        engine_history=service.ledger,
        pauses=service.pauses,
        retention=service.retention,
        region=regions.get(resource) or config.server.region,
    )
