"""Operators' verbs on deployments and batches: pause, resume, try now. Whoever may cancel a batch may pause it."""

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import audit, objects, wire
from slackwater.api.batches import find_batch
from slackwater.api.bodies import read_body
from slackwater.api.context import Context, context_of, principal_of
from slackwater.api.deployment_status import shown_deployment
from slackwater.api.dialects import AZURE_V1, OPENAI
from slackwater.api.operation import Operation
from slackwater.api.progress import shown_progress
from slackwater.core.accounts.resource import Role
from slackwater.core.batch import Batch
from slackwater.core.errors import NotFound
from slackwater.core.sending.deployment import key_of
from slackwater.core.sending.pause import Target


async def pause_deployment(request: Request) -> Response:
    """Sends nothing new of a deployment, until it is resumed. It goes on taking batches."""
    context, key = await _deployment(request)
    await _pause(request, context, Target.DEPLOYMENT, key, shown=request.path_params["name"])
    return await _answer_deployment(request, context, key)


async def resume_deployment(request: Request) -> Response:
    """Sends again."""
    context, key = await _deployment(request)
    await context.pauses.resume(Target.DEPLOYMENT, key, who=principal_of(request).name)
    return await _answer_deployment(request, context, key)


async def try_deployment(request: Request) -> Response:
    """Looks at once whether its backends work again, whatever they wait for."""
    context, key = await _deployment(request)
    context.pauses.try_deployment(key)
    return await _answer_deployment(request, context, key)


async def pause_batch(request: Request) -> Response:
    """Sends nothing new of a batch, until it is resumed. It can be cancelled, and its window goes on."""
    context, batch = await _batch(request)
    await _pause(request, context, Target.BATCH, batch.id, shown=batch.id)
    return await _answer_batch(request, context, batch.id)


async def resume_batch(request: Request) -> Response:
    """Sends again."""
    context, batch = await _batch(request)
    await context.pauses.resume(Target.BATCH, batch.id, who=principal_of(request).name)
    return await _answer_batch(request, context, batch.id)


async def try_batch(request: Request) -> Response:
    """Ends what the batch was told to wait; for administrators, its deployment's backends are looked at, too."""
    context, batch = await _batch(request)
    await context.pauses.try_batch(batch, backends=principal_of(request).may(Role.ADMIN))
    return await _answer_batch(request, context, batch.id)


async def _deployment(request: Request) -> tuple[Context, str]:
    context, name = context_of(request), request.path_params["name"]
    # Also one that is being deleted, and so takes nothing new. Raises NotFound.
    await context.control_plane.view(context.resource, name)
    return context, key_of(context.resource, name)


async def _batch(request: Request) -> tuple[Context, Batch]:
    context = context_of(request)
    return context, await find_batch(context, request.path_params["batch_id"])


async def _pause(request: Request, context: Context, what: Target, target: str, *, shown: str) -> None:
    body = await read_body(request, objects.NewPause, optional=True)
    pause = await context.pauses.pause(
        what, target, resource=context.resource, who=principal_of(request).name, reason=body.reason
    )
    audit.note(request, target=shown, reason=pause.reason)


async def _answer_deployment(request: Request, context: Context, key: str) -> Response:
    view = await context.watch.view(key)
    if view is None:
        raise NotFound("The deployment cannot be served any more, and so nothing of it is sent.")
    return wire.json_response(shown_deployment(view, everything=principal_of(request).may(Role.ADMIN)))


async def _answer_batch(request: Request, context: Context, batch_id: str) -> Response:
    return wire.json_response(await shown_progress(request, await find_batch(context, batch_id)))


TAG = "Extensions"
# `/openai/deployments` is taken in Azure's dated family.
FAMILIES = (AZURE_V1.name, OPENAI.name)

PAUSE_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/deployments/{name}/pause",
        handler=pause_deployment,
        name="pause_deployment",
        tag="Deployments",
        summary="Send nothing new of a deployment, until it is resumed",
        body=objects.NewPause,
        body_optional=True,
        answer=objects.DeploymentStatus,
        errors=(400, 404),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="POST",
        path="/deployments/{name}/resume",
        handler=resume_deployment,
        name="resume_deployment",
        tag="Deployments",
        summary="Send of a deployment again",
        answer=objects.DeploymentStatus,
        errors=(404,),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="POST",
        path="/deployments/{name}/try",
        handler=try_deployment,
        name="try_deployment",
        tag="Deployments",
        summary="Look at once whether the backends of a deployment work again",
        answer=objects.DeploymentStatus,
        errors=(404, 409),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="POST",
        path="/batches/{batch_id}/pause",
        handler=pause_batch,
        name="pause_batch",
        tag=TAG,
        summary="Send nothing new of a batch, until it is resumed",
        body=objects.NewPause,
        body_optional=True,
        answer=objects.BatchProgress,
        errors=(400, 404, 409),
    ),
    Operation(
        method="POST",
        path="/batches/{batch_id}/resume",
        handler=resume_batch,
        name="resume_batch",
        tag=TAG,
        summary="Send of a batch again",
        answer=objects.BatchProgress,
        errors=(404,),
    ),
    Operation(
        method="POST",
        path="/batches/{batch_id}/try",
        handler=try_batch,
        name="try_batch",
        tag=TAG,
        summary="Try a batch at once that was told to wait",
        answer=objects.BatchProgress,
        errors=(404, 409),
    ),
)
