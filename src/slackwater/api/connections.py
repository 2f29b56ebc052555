"""Connections over the API: engines that are added while the service runs, tested first, and used by deployments.

They belong to a resource. Its administrators add those at hosts that the operator has listed; whoever runs the service may
add others.
"""

from typing import cast

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import audit, objects, wire
from slackwater.api.bodies import read_body
from slackwater.api.conditions import CONDITIONS, precondition_of, quoted
from slackwater.api.context import context_of, principal_of
from slackwater.api.deployments import NAME
from slackwater.api.dialects import AZURE_V1, OPENAI
from slackwater.api.operation import Operation
from slackwater.core.accounts.resource import Role
from slackwater.core.errors import InvalidRequest
from slackwater.core.masking import shown_url
from slackwater.pipeline.accounts.connections import Asked, ConnectionView
from slackwater.ports import EngineLook


async def list_connections(request: Request) -> Response:
    """Every connection of the resource."""
    context = context_of(request)
    connections = context.connections
    views = await connections.views(context.resource)
    reach, operates = connections.reach, principal_of(request).anywhere
    return wire.json_response(
        objects.ConnectionList(
            data=[_shown(view) for view in views],
            key_envs=list(reach.key_envs),
            cannot_store=connections.cannot_store or None,
            hosts=None if operates and reach.anywhere else list(reach.hosts),
        )
    )


async def get_connection(request: Request) -> Response:
    """One connection."""
    context = context_of(request)
    return _answer(await context.connections.view(context.resource, request.path_params["connection"]))


async def put_connection(request: Request) -> Response:
    """Adds an engine (201), or puts another in its place (200). Deployments that use it send there from now on."""
    body = await read_body(request, objects.NewConnection)
    return await _keep(request, _asked(body), whole=True)


async def change_connection(request: Request) -> Response:
    """Changes what the body names."""
    body = await read_body(request, objects.ChangedConnection)
    return await _keep(request, _asked(body), whole=False)


async def _keep(request: Request, asked: Asked, *, whole: bool) -> Response:
    context, principal, name = context_of(request), principal_of(request), request.path_params["connection"]
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            "A connection's name has 1 to 64 letters, digits, dots, dashes and underscores, and begins with a letter or digit.",
            param="name",
        )
    view, new = await context.connections.put(
        context.resource,
        name,
        asked,
        who=principal.name,
        operates=principal.anywhere,
        whole=whole,
        only_if=precondition_of(request),
    )
    # Never the key: that one was given, and where it is.
    audit.note(request, target=name, url=shown_url(view.stored.url), key=_key(view), **_key_given(asked))
    return _answer(view, 201 if new else 200)


async def delete_connection(request: Request) -> Response:
    """Forgets an engine and its key. 409 says which deployments use it."""
    context, name = context_of(request), request.path_params["connection"]
    await context.connections.delete(context.resource, name, only_if=precondition_of(request))
    return wire.json_response(objects.DeletedConnection(id=name))


async def test_new(request: Request) -> Response:
    """Looks at an engine that is not added."""
    return await _test(request, None)


async def test_connection(request: Request) -> Response:
    """Looks at an engine that was added, as it is or as it would be."""
    return await _test(request, request.path_params["connection"])


async def _test(request: Request, name: str | None) -> Response:
    context, principal = context_of(request), principal_of(request)
    body = await read_body(request, objects.ConnectionTest, optional=name is not None)
    look = await context.connections.test(
        context.resource, name, _asked(body), model=body.model, operates=principal.anywhere
    )
    audit.note(request, target=name or shown_url(body.url or ""))
    return wire.json_response(_looked(look))


async def find_engines(request: Request) -> Response:
    """Looks on the usual ports of this machine."""
    found = await context_of(request).connections.find(context_of(request).resource)
    data = [objects.FoundEngineObject(what=each.usual, url=each.url, models=list(each.models)) for each in found]
    audit.note(request, target="this machine")
    return wire.json_response(objects.FoundEngines(data=data))


def _asked(body: objects.NewConnection | objects.ChangedConnection | objects.ConnectionTest) -> Asked:
    return Asked(url=body.url, key=body.api_key, key_env=body.api_key_env, key_header=body.api_key_header)


def _key_given(asked: Asked) -> dict[str, str]:
    return {"key_given": "yes"} if asked.key else {}


def _key(view: ConnectionView) -> str:
    return "stored" if view.stored.key_stored else "none" if view.stored.key_env is None else "environment"


def _answer(view: ConnectionView, status: int = 200) -> Response:
    return wire.json_response(_shown(view), status, {"ETag": quoted(view.stored.etag)})


def _shown(view: ConnectionView) -> objects.ConnectionObject:
    stored = view.stored
    return objects.ConnectionObject(
        name=stored.name,
        url=shown_url(stored.url),
        key=cast(objects.KeyPlace, _key(view)),
        api_key_env=stored.key_env,
        api_key_header=cast(objects.KeyHeader, stored.key_header),
        fault=view.fault,
        used_by=list(view.used_by),
        made_by=stored.made_by,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
        etag=quoted(stored.etag),
    )


def _looked(look: EngineLook) -> objects.ConnectionTestResult:
    return objects.ConnectionTestResult(
        well=all(each.level != "fault" for each in look.checks),
        checks=[
            objects.EngineCheckObject(
                level=cast(objects.CheckLevel, each.level), about=each.about, message=each.message, fix=each.fix
            )
            for each in look.checks
        ],
        models=list(look.models),
        models_left_out=look.models_left_out,
    )


TAG = "Connections"
FAMILIES = (AZURE_V1.name, OPENAI.name)

CONNECTION_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/connections",
        handler=list_connections,
        name="list_connections",
        tag=TAG,
        summary="List the engines that were added, and what may be added",
        answer=objects.ConnectionList,
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="POST",
        path="/connections/test",
        handler=test_new,
        name="test_new_connection",
        tag=TAG,
        summary="Look at an engine before it is added",
        body=objects.ConnectionTest,
        answer=objects.ConnectionTestResult,
        errors=(400, 413, 429),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="POST",
        path="/connections/find",
        handler=find_engines,
        name="find_engines",
        tag=TAG,
        summary="Look for engines on the machine that the service runs on",
        answer=objects.FoundEngines,
        errors=(403, 429),
        families=FAMILIES,
        needs=Role.ADMIN,
        service=True,
    ),
    Operation(
        method="GET",
        path="/connections/{connection}",
        handler=get_connection,
        name="get_connection",
        tag=TAG,
        summary="Get an engine that was added",
        answer=objects.ConnectionObject,
        answer_headers=("ETag",),
        errors=(404,),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="PUT",
        path="/connections/{connection}",
        handler=put_connection,
        name="put_connection",
        tag=TAG,
        summary="Add an engine, or put another in its place",
        body=objects.NewConnection,
        parameters=CONDITIONS,
        answer=objects.ConnectionObject,
        answer_headers=("ETag",),
        status_also=(201,),
        errors=(400, 403, 412, 413, 429),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="PATCH",
        path="/connections/{connection}",
        handler=change_connection,
        name="change_connection",
        tag=TAG,
        summary="Change what the body names, and leave the rest",
        body=objects.ChangedConnection,
        parameters=CONDITIONS,
        answer=objects.ConnectionObject,
        answer_headers=("ETag",),
        errors=(400, 403, 404, 412, 413, 429),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="DELETE",
        path="/connections/{connection}",
        handler=delete_connection,
        name="delete_connection",
        tag=TAG,
        summary="Remove an engine that no deployment uses, and its key",
        parameters=CONDITIONS,
        answer=objects.DeletedConnection,
        errors=(404, 409, 412, 429),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
    Operation(
        method="POST",
        path="/connections/{connection}/test",
        handler=test_connection,
        name="test_connection",
        tag=TAG,
        summary="Look at an engine that was added, as it is or as it would be",
        body=objects.ConnectionTest,
        body_optional=True,
        answer=objects.ConnectionTestResult,
        errors=(400, 404, 409, 413, 429),
        families=FAMILIES,
        needs=Role.ADMIN,
    ),
)
