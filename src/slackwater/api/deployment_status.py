"""How the deployments of a resource are at this moment, for pages that ask every few seconds."""

import urllib.parse

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.context import context_of, principal_of
from slackwater.core.accounts.resource import Role
from slackwater.pipeline.watching.deployment_watch import BackendView, DeploymentView


async def list_deployment_status(request: Request) -> Response:
    """Every deployment: its quota, what waits, and its backends."""
    context = context_of(request)
    everything = principal_of(request).may(Role.ADMIN)
    views = await context.watch.views(context.resource)
    return wire.json_response(
        objects.DeploymentStatusList(data=[_deployment(view, everything=everything) for view in views])
    )


def _deployment(view: DeploymentView, *, everything: bool) -> objects.DeploymentStatus:
    deployment, load = view.deployment, view.load
    return objects.DeploymentStatus(
        name=deployment.name,
        model=deployment.model,
        version=deployment.version or None,
        sku=deployment.sku,
        accepts=deployment.deleted_at is None,
        regions=sorted({backend.region for backend in deployment.backends if backend.region}),
        quota=objects.DeploymentQuotaStatus(
            held=load.held,
            waiting=load.waiting,
            waiting_batches=load.waiting_batches,
            limit=deployment.enqueued_token_limit,
            limit_now=view.allowance.limit,
            dynamic=deployment.dynamic_quota,
            when_full=deployment.when_full.value,
        ),
        open_batches=load.open_batches,
        content_filter=deployment.rai_policy_name,
        backends=[_backend(backend, everything=everything) for backend in view.backends],
    )


def _backend(backend: BackendView, *, everything: bool) -> objects.BackendStatus:
    return objects.BackendStatus(
        name=shown_name(backend.name, everything=everything),
        region=backend.region,
        data_zone=backend.data_zone,
        health=backend.health.value,
        reason=(backend.reason or None) if everything else None,
        since=backend.since,
        until=backend.until,
        in_flight=backend.in_flight,
        window=backend.window,
        latency_seconds=None if backend.latency_seconds is None else round(backend.latency_seconds, 3),
        requests_per_second=round(backend.requests_per_second, 3),
        tokens_per_second=round(backend.tokens_per_second, 1),
        # It may name what only the operator is to know.
        last_error=backend.last_error if everything else None,
    )


def shown_name(name: str, *, everything: bool) -> str:
    """A backend's URL without user name and query, or only its host; one that has no URL keeps its name."""
    parts = urllib.parse.urlsplit(name)
    if not parts.netloc:
        return name
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", "")) if everything else host
