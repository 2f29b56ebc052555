"""Deployments over the API, in the words of Azure's control plane (spec 9.2), and the table of who answers where.

The same handlers serve our own paths and ARM's, `/subscriptions/.../accounts/{account}/deployments/{name}`, where an account
is a resource. So the body of an `az rest` call or of a Bicep file can be sent as it is.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.bodies import read_body
from slackwater.api.conditions import CONDITIONS, precondition_of, quoted
from slackwater.api.context import context_of
from slackwater.api.dialects import ARM, AZURE_V1, OPENAI
from slackwater.api.operation import Operation
from slackwater.core.accounts.resource import Role
from slackwater.core.errors import InvalidRequest
from slackwater.core.masking import masked
from slackwater.core.sending.deployment import Deployment
from slackwater.pipeline.accounts.control_plane import View

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


async def list_deployments(request: Request) -> Response:
    """Every deployment of the resource, those of the configuration included."""
    context = context_of(request)
    views = await context.control_plane.views(context.resource)
    return wire.json_response(objects.DeploymentList(value=[_shown(request, view) for view in views]))


async def get_deployment(request: Request) -> Response:
    """One deployment, with what it holds and what it may hold now."""
    context = context_of(request)
    view = await context.control_plane.view(context.resource, request.path_params["name"])
    return _answer(view, _shown(request, view))


async def put_deployment(request: Request) -> Response:
    """Makes a deployment (201), or replaces it (200). It is served when the answer comes."""
    context, name = context_of(request), _name(request)
    body = _body(await read_body(request, objects.NewDeployment))
    view, new = await context.control_plane.put(context.resource, name, body, only_if=precondition_of(request))
    # ARM's clients take `Accepted` for what has only begun, and ask again.
    shown = _shown(request, view, state="Accepted" if new else None)
    return _answer(view, shown, 201 if new else 200)


async def change_deployment(request: Request) -> Response:
    """Changes what the body names. Batches that run go on, with the backends that it has from now on."""
    context, name = context_of(request), request.path_params["name"]
    changes = _body(await read_body(request, objects.ChangedDeployment))
    view = await context.control_plane.change(context.resource, name, changes, only_if=precondition_of(request))
    return _answer(view, _shown(request, view))


async def delete_deployment(request: Request) -> Response:
    """Lets nothing new in. 204: it is gone. 202: it goes when the last of its batches has ended."""
    context, name = context_of(request), request.path_params["name"]
    view = await context.control_plane.delete(context.resource, name, only_if=precondition_of(request))
    return Response(status_code=204) if view is None else _answer(view, _shown(request, view), 202)


async def regions(request: Request) -> Response:
    """Which model answers in which region, by the backends of the deployments that the caller may use."""
    context = context_of(request)
    table: dict[tuple[str, str], dict[str, list[Deployment]]] = {}
    for deployment in context.deployments():
        for place in dict.fromkeys((backend.region, backend.data_zone) for backend in deployment.backends):
            table.setdefault(place, {}).setdefault(deployment.model, []).append(deployment)
    data = [
        objects.RegionRow(
            region=region or None,
            data_zone=zone or None,
            models=[
                objects.RegionModel(
                    model=model,
                    skus=sorted({each.sku for each in deployments}),
                    deployments=sorted(each.name for each in deployments),
                )
                for model, deployments in sorted(models.items())
            ],
        )
        for (region, zone), models in sorted(table.items())
    ]
    return wire.json_response(objects.RegionTable(home=context.region or None, data=data))


def _answer(view: View, shown: objects.DeploymentObject, status: int = 200) -> Response:
    """With its etag, where it has one: what the configuration has, nobody changes here."""
    return wire.json_response(shown, status, None if view.stored is None else {"ETag": quoted(view.stored.etag)})


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            "A deployment's name has 1 to 64 letters, digits, dots, dashes and underscores, and begins with a letter or "
            "digit.",
            param="name",
        )
    return name


def _body(body: objects.NewDeployment | objects.ChangedDeployment) -> dict[str, Any]:
    """What was said, without what was not."""
    given: dict[str, Any] = _without_nulls(msgspec.to_builtins(body))
    return given


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _shown(request: Request, view: View, *, state: str | None = None) -> objects.DeploymentObject:
    body = {} if view.stored is None else view.stored.body
    properties = body.get("properties", {})
    served = view.deployment
    # One that cannot be served is shown as it was asked for.
    sku = body.get("sku", {}) if served is None else {"name": served.sku}
    model = properties.get("model", {}) if served is None else {"name": served.model, "version": served.version}
    limit = None if served is None else served.enqueued_token_limit
    capacity: int | UnsetType = body.get("sku", {}).get("capacity", UNSET) if limit is None else limit // 1_000
    return objects.DeploymentObject(
        id=_id(request, view.name),
        name=view.name,
        sku=objects.SkuObject(name=sku.get("name", "GlobalBatch"), capacity=capacity),
        properties=objects.DeploymentProperties(
            model=objects.DeployedModel(
                format=properties.get("model", {}).get("format", "OpenAI"),
                name=model.get("name", view.name),
                version=model.get("version") or UNSET,
            ),
            provisioningState=state or _state(view),  # type: ignore[arg-type]
            versionUpgradeOption=(served and served.version_upgrade_option) or UNSET,
            raiPolicyName=properties.get("raiPolicyName") or (served and served.rai_policy_name) or UNSET,
            dynamicThrottlingEnabled=served is not None and served.dynamic_quota,
            currentCapacity=capacity,
            backendsOf=properties.get("backendsOf", UNSET),
            dataZone=(served and served.data_zone) or UNSET,
            slackwater=_details(
                view, () if view.deployment is None else context_of(request).watch.caps(view.deployment)
            ),
        ),
        tags=body.get("tags", UNSET),
        etag=UNSET if view.stored is None else quoted(view.stored.etag),
    )


def _state(view: View) -> str:
    if view.stored is not None and view.stored.deleted_at is not None:
        return "Deleting"
    return "Failed" if view.deployment is None else "Succeeded"


def _details(view: View, caps: Sequence[int]) -> objects.DeploymentDetails:
    """`caps`: how many requests each of its backends may have out."""
    deployment, allowance = view.deployment, view.allowance
    dynamic: objects.DynamicQuota | UnsetType = UNSET
    if deployment is not None and deployment.dynamic_quota and allowance is not None:
        dynamic = objects.DynamicQuota(
            enqueuedTokensNow=allowance.limit,
            tokensPerSecond=round(allowance.tokens_per_second, 1),
            secondsLeft=round(allowance.seconds_left),
        )
    return objects.DeploymentDetails(
        source="configuration" if view.stored is None else "api",
        fault=view.fault,
        enqueuedTokens=view.enqueued_tokens,
        enqueuedTokenLimit=None if deployment is None else deployment.enqueued_token_limit,
        whenFull=UNSET if deployment is None else deployment.when_full.value,
        endpoints=UNSET if deployment is None else [f"/v1{each}" for each in deployment.capabilities.endpoints],
        dynamicQuota=dynamic,
        backends=[
            objects.DeployedBackend(
                url=masked(backend.name),
                model=backend.model or UNSET,
                connection=backend.connection or UNSET,
                region=backend.region or UNSET,
                dataZone=backend.data_zone or UNSET,
                concurrency=cap,
            )
            for backend, cap in zip(() if deployment is None else deployment.backends, caps, strict=True)
        ],
    )


def _id(request: Request, name: str) -> str:
    """As ARM names it; on our own paths, where nobody has said in which subscription, with names of ours."""
    path = request.path_params
    subscription, group = path.get("subscription", "slackwater"), path.get("group", "slackwater")
    account = path.get("account", context_of(request).resource)
    return (
        f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.CognitiveServices/accounts/{account}"
        f"/deployments/{name}"
    )


TAG = "Deployments"
# `/openai/deployments` is taken: Azure's dated family has had another list there since 2022.
FAMILIES = (AZURE_V1.name, OPENAI.name, ARM.name)

DEPLOYMENT_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/deployments",
        handler=list_deployments,
        name="list_all_deployments",
        tag=TAG,
        summary="List the deployments of the resource, with their backends and quotas",
        answer=objects.DeploymentList,
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="GET",
        path="/deployments/{name}",
        handler=get_deployment,
        name="get_deployment",
        tag=TAG,
        summary="Get a deployment",
        answer=objects.DeploymentObject,
        answer_headers=("ETag",),
        errors=(404,),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="PUT",
        path="/deployments/{name}",
        handler=put_deployment,
        name="put_deployment",
        tag=TAG,
        summary="Make a deployment, or replace it",
        body=objects.NewDeployment,
        parameters=CONDITIONS,
        answer=objects.DeploymentObject,
        answer_headers=("ETag",),
        status_also=(201,),
        errors=(400, 409, 412, 413),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="PATCH",
        path="/deployments/{name}",
        handler=change_deployment,
        name="change_deployment",
        tag=TAG,
        summary="Change what the body names, and leave the rest",
        body=objects.ChangedDeployment,
        parameters=CONDITIONS,
        answer=objects.DeploymentObject,
        answer_headers=("ETag",),
        errors=(400, 404, 409, 412, 413),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="DELETE",
        path="/deployments/{name}",
        handler=delete_deployment,
        name="delete_deployment",
        tag=TAG,
        summary="Let no new batch in, and remove the deployment when the last one has ended",
        parameters=CONDITIONS,
        answer=objects.DeploymentObject,
        answer_headers=("ETag",),
        status=202,
        status_also=(204,),
        errors=(409, 412),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="GET",
        path="/regions",
        handler=regions,
        name="list_regions",
        tag=TAG,
        summary="Read which model answers in which region",
        answer=objects.RegionTable,
    ),
)
