"""How the deployments of a resource are at this moment, for pages that ask every few seconds."""

import urllib.parse
from collections.abc import Mapping
from typing import Literal, cast

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.context import context_of, principal_of
from slackwater.api.pacing import shown_pacing
from slackwater.core.accounts.resource import Role
from slackwater.core.sending.door import DoorState
from slackwater.core.sending.engine_names import backend_label
from slackwater.core.sending.pause import Pause
from slackwater.core.watching.standings import BackendView, WaitingOn
from slackwater.pipeline.watching.deployment_watch import DeploymentView

Health = Literal["busy", "refusing", "blocked", "down", "paused"]
# What those hear who are not to know what the upstream said.
GENERAL = {
    DoorState.BUSY: "It has asked to be left alone for a while.",
    DoorState.REFUSING: "It does not take the service's requests. The operator has to look at it.",
    DoorState.BLOCKED: "The account that the service has there may not go on. The operator has to look at it.",
    DoorState.DOWN: "It does not answer, or answers with errors only. It is tried again and again.",
    DoorState.PAUSED: "An operator has paused it.",
}


# The same where a batch is held back alone.
ALONE = {
    DoorState.BUSY: "The engine has asked this batch alone to wait; those of others are served.",
    DoorState.REFUSING: "The engine refuses what is left of this batch, and answers others. It is tried again.",
    DoorState.BLOCKED: "The engine says to what is left of this batch that the account may not go on, and answers others.",
    DoorState.DOWN: "What is left of this batch has failed, while others are answered. It is tried again.",
}


async def list_deployment_status(request: Request) -> Response:
    """Every deployment: its quota, what waits, and its backends."""
    context = context_of(request)
    principal = principal_of(request)
    everything, whole = principal.may(Role.ADMIN), principal.anywhere
    views = await context.watch.views(context.resource)
    return wire.json_response(
        objects.DeploymentStatusList(
            data=[shown_deployment(view, everything=everything, whole=whole) for view in views]
        )
    )


def shown_deployment(view: DeploymentView, *, everything: bool, whole: bool = False) -> objects.DeploymentStatus:
    """A deployment on the wire; `everything` is for administrators, `whole` for those of the service."""
    deployment, load = view.deployment, view.load
    return objects.DeploymentStatus(
        name=deployment.name,
        model=deployment.model,
        version=deployment.version or None,
        sku=deployment.sku,
        health=view.health.value,
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
        pause=None if view.pause is None else _pause(view.pause, everything=everything),
        waiting_on=shown_waiting_on(view.waiting_on, everything=everything),
        backends=[_backend(backend, everything=everything, whole=whole) for backend in view.backends],
    )


def _backend(backend: BackendView, *, everything: bool, whole: bool) -> objects.BackendStatus:
    return objects.BackendStatus(
        name=shown_name(backend.name, everything=everything),
        region=backend.region,
        data_zone=backend.data_zone,
        health=backend.health.value,
        reason=shown_reason(backend.health, backend.reason, everything=everything),
        since=backend.since,
        until=backend.until,
        in_flight=backend.in_flight,
        quiet_since=backend.quiet_since,
        window=backend.window,
        pacing=shown_pacing(backend.pacing, whole=whole or backend.own_engine),
        latency_seconds=None if backend.latency_seconds is None else round(backend.latency_seconds, 3),
        requests_per_second=round(backend.requests_per_second, 3),
        tokens_per_second=round(backend.tokens_per_second, 1),
        # It may name what only the operator is to know.
        last_error=backend.last_error if everything else None,
    )


def _pause(pause: Pause, *, everything: bool) -> objects.PauseObject:
    return objects.PauseObject(who=pause.who if everything else None, reason=pause.reason or None, since=pause.since)


def shown_waiting_on(waiting_on: WaitingOn | None, *, everything: bool) -> objects.WaitingOn | None:
    """Why nothing of a batch is sent, on the wire."""
    if waiting_on is None:
        return None
    paused = waiting_on.health is DoorState.PAUSED
    # What somebody of the resource has said, or the service itself, all of it may read.
    own = waiting_on.what in (("batch", "deployment") if paused else ("deployment", "disk", "engine", "storage"))
    return objects.WaitingOn(
        what=waiting_on.what,
        backend=None if waiting_on.backend is None else shown_name(waiting_on.backend, everything=everything),
        health=cast(Health, waiting_on.health.value),
        reason=shown_reason(
            waiting_on.health,
            waiting_on.reason,
            everything=everything or own,
            general=ALONE if waiting_on.what == "batch" else GENERAL,
        ),
        since=waiting_on.since,
        until=waiting_on.until,
        who=waiting_on.who if everything else None,
    )


def shown_reason(
    health: DoorState, reason: str, *, everything: bool, general: Mapping[DoorState, str] = GENERAL
) -> str | None:
    """Why something is as it is: in the upstream's words for administrators, in general ones for others."""
    if everything:
        return reason or general.get(health)
    return general.get(health)


def shown_name(name: str, *, everything: bool) -> str:
    """A backend's URL without user name and query, or only its host; one that has no URL keeps its name."""
    label = backend_label(name)
    return label if everything else urllib.parse.urlsplit(label).netloc or label
