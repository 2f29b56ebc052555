"""What stands before the API of a service: who may come in, and the doors for each resource."""

import functools

from slackwater.api.auth import Authenticator
from slackwater.api.context import Context, Entrance
from slackwater.config import Config
from slackwater.core.file import FileLimits, Purpose
from slackwater.core.resource import DEFAULT
from slackwater.pipeline.admission import Admission
from slackwater.pipeline.intake import Intake, new_file_id
from slackwater.pipeline.keys import Keys
from slackwater.pipeline.resource_view import ResourceView
from slackwater.pipeline.retries import Retries
from slackwater.pipeline.uploads import Uploads
from slackwater.ports import Offload, TokenVerifier
from slackwater.wiring import Service


def entrance_to(
    config: Config, service: Service, offload: Offload, keys: Keys, verifier: TokenVerifier | None
) -> Entrance:
    """The entrance to a service."""

    @functools.cache
    def context(resource: str) -> Context:
        return _context(config, service, offload, keys, resource)

    return Entrance(
        authenticator=Authenticator(
            service_keys=config.api_keys,
            keys=keys,
            hosts={host.lower(): resource.name for resource in config.resources for host in resource.hosts},
            resources=frozenset({DEFAULT, *(resource.name for resource in config.resources)}),
            verifier=verifier,
        ),
        context=context,
        clock=service.clock,
        lenient_api_version=config.server.lenient_api_version,
    )


def _context(config: Config, service: Service, offload: Offload, keys: Keys, resource: str) -> Context:
    """The doors of one resource. What lies behind them sees the ledger through its view only."""
    ledger = ResourceView.of(service.ledger, resource)
    blobs, clock, limits = service.blobs, service.clock, config.limits
    file_limits = FileLimits(lasting=limits.lasting_files, expiring=limits.expiring_files)
    regions = {each.name: each.region for each in config.resources}
    deployments = functools.partial(service.fleet.open_in, resource)
    return Context(
        resource=resource,
        ledger=ledger,
        blobs=blobs,
        clock=clock,
        intake=Intake(ledger, blobs, clock, upload_bytes_max=limits.upload_bytes, limits=file_limits),
        admission=Admission(ledger, blobs, clock, wake=service.hint.notify, deployments=deployments),
        uploads=Uploads(
            ledger,
            blobs,
            clock,
            bytes_max=lambda purpose: limits.upload_bytes if purpose is Purpose.BATCH else limits.upload_parts_bytes,
            limits=file_limits,
            new_file_id=new_file_id,
            wake=service.upload_hint.notify,
        ),
        importer=service.importer_of(ledger),
        retries=Retries(ledger, blobs, clock, offload, new_file_id=new_file_id),
        keys=keys,
        webhooks=service.webhooks_of(resource),
        deployments=deployments,
        control_plane=service.control_plane,
        region=regions.get(resource) or config.server.region,
    )
