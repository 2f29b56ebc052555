"""The HTTP application: the same routes under three prefixes, and what every answer has in common."""

import functools
import logging
import uuid
from collections.abc import Sequence

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slackwater.api import audit, wire
from slackwater.api.call_records import CallRecorder, traced
from slackwater.api.context import Entrance, entrance_of
from slackwater.api.cors import Cors
from slackwater.api.dialects import API_VERSIONS, ARM, AZURE, DIALECTS, Dialect, dialect_of
from slackwater.api.metrics import metrics_route
from slackwater.api.openapi import document
from slackwater.api.operation import Handler, Operation
from slackwater.api.operations import OPERATIONS
from slackwater.api.readiness import health, ready
from slackwater.api.sessions import session_routes
from slackwater.api.sign_in import sign_in_routes
from slackwater.core.accounts.resource import Principal
from slackwater.core.errors import FileUnreadable, NotFound, PermissionDenied, SlackwaterError
from slackwater.pipeline import stored_files
from slackwater.telemetry.events import rare

log = logging.getLogger("slackwater")
VERSIONS = ",".join(API_VERSIONS)
# The latest that is generally available and knows batches (spec 1.3).
STABLE_VERSION = "2024-10-21"
# Of a stranger's words in a line of the log.
WORDS_MAX = 100


def build_app(entrance: Entrance, more: Sequence[Route] = ()) -> Starlette:
    """The application behind this entrance. `more` are routes for what is no API; those of the API come first."""
    routes = [Route("/healthz", health), Route("/readyz", ready), Route("/openapi.json", _openapi)]
    if entrance.metrics is not None:
        routes.append(metrics_route(entrance.metrics, entrance.authenticator))
    if entrance.studio is not None:
        # Before the pages, which take every path below theirs.
        routes += [*session_routes(), *sign_in_routes()]
    app = Starlette(routes=[*routes, *(route for dialect in (*DIALECTS, ARM) for route in _routes(dialect)), *more])
    app.router.redirect_slashes = False
    app.state.entrance = entrance
    if entrance.cors_origins:
        app.add_middleware(Cors, origins=entrance.cors_origins)
    app.add_middleware(CallRecorder, clock=entrance.clock)
    app.add_middleware(_Common)
    app.add_exception_handler(HTTPException, _http_error)
    return app


def _routes(dialect: Dialect) -> list[Route]:
    return [
        Route(
            dialect.prefix + operation.route,
            traced(dialect, operation, _guarded(dialect, operation)),
            methods=[operation.method],
        )
        for operation in OPERATIONS
        if operation.served_by(dialect)
    ]


def _guarded(dialect: Dialect, operation: Operation) -> Handler:
    """An operation behind its family's door: version, key, role, and errors in the family's words."""
    files = operation.tag == "Files"

    async def guarded(request: Request) -> Response:
        request.state.dialect = dialect
        clock = entrance_of(request).clock
        begun = clock.monotonic()
        try:
            response = await answer(request)
        except SlackwaterError as error:
            if type(error) is SlackwaterError:
                # Nobody's fault but ours: the answer says that it is in the log.
                log.exception(
                    "request_failed id=%s %s %s", request.scope["request_id"], request.method, request.url.path
                )
            response = wire.error_response(dialect, error, files=files)
        except Exception as error:
            log.exception("request_failed id=%s %s %s", request.scope["request_id"], request.method, request.url.path)
            of_the_disk = isinstance(error, OSError) and not isinstance(error, (ConnectionError, TimeoutError))
            known = FileUnreadable(stored_files.UNREADABLE) if of_the_disk else SlackwaterError()
            response = wire.error_response(dialect, known, files=files)
        if response.media_type == "application/json":
            response.headers["Content-Type"] = dialect.json_type
        context = getattr(request.state, "context", None)
        if dialect.region_header and context is not None and context.region:
            response.headers["x-ms-region"] = context.region
        if dialect.openai_headers:
            response.headers["openai-version"] = "2020-10-01"
            response.headers["openai-processing-ms"] = str(round(1000 * (clock.monotonic() - begun)))
        if files and dialect.dated:
            response.headers["api-supported-versions"] = VERSIONS
        return response

    async def answer(request: Request) -> Response:
        entrance = entrance_of(request)
        if not dialect.knows_version(request.query_params.get("api-version"), lenient=entrance.lenient_api_version):
            if dialect.dated:
                # Azure's words do not say what is missing, so the operator's log does.
                given = request.query_params.get("api-version")
                _tell_wrong_call(
                    request,
                    "api_version_unknown",
                    given=_shown(given or "none"),
                    right=f"api-version={STABLE_VERSION}",
                )
                return wire.not_found_anywhere(dialect)
            return wire.envelope(
                400, message="API version not supported. Leave it out, or use 'v1'.", code="BadRequest"
            )
        # Nothing of a refused body is read; the connection is closed behind the answer instead.
        request.scope["close_connection"] = True
        principal = _in_account(request, await entrance.authenticator.authenticate(request), entrance)
        if not principal.may(operation.role):
            raise PermissionDenied(
                f"This needs the role '{operation.role.value}', and the caller has the role '{principal.role.value}'."
            )
        if operation.service and not principal.anywhere:
            raise PermissionDenied(
                "This is about the whole service, and not about a resource. It needs a key of the service (api_key_envs "
                "under [server]), on a host name that is not a resource's."
            )
        request.scope["close_connection"] = False
        request.state.principal = principal
        request.state.context = entrance.context(principal.resource)
        response = await operation.handler(request)
        await audit.record(request, operation, response)
        return response

    return guarded


def _in_account(request: Request, principal: Principal, entrance: Entrance) -> Principal:
    """The caller in the resource that an ARM path names as the account. Raises NotFound where that is not theirs."""
    account = request.path_params.get("account")
    # Names in ARM's paths have no case.
    if account is None or account.lower() == principal.resource:
        return principal
    if principal.anywhere and account.lower() in entrance.authenticator.resources:
        return msgspec.structs.replace(principal, resource=account.lower())
    raise NotFound(f"There is no account '{account[:80]}' here, or it is not yours. Accounts are resources.")


async def _openapi(request: Request) -> Response:
    return Response(_document(), media_type="application/json")


@functools.cache
def _document() -> bytes:
    return wire.encode(document())


async def _http_error(request: Request, error: Exception) -> Response:
    """What the router says about paths and methods, in the caller's words."""
    assert isinstance(error, HTTPException)
    dialect = dialect_of(request.url.path)
    if error.status_code == 404:
        path = request.scope["path"]
        if dialect is None and any(route.path_regex.match(f"/v1{path}") for route in _all_routes(request)):
            _tell_wrong_call(request, "prefix_missing", path=_shown(path), right=f"/v1{_shown(path)}")
        return wire.not_found_anywhere(dialect)
    message, headers = error.detail, dict(error.headers or {})
    if error.status_code == 405:
        methods = headers["Allow"] = ", ".join(sorted(_methods_at(request)))
        message = f"{request.method} is not possible here. Possible are {methods}."
    return wire.envelope(
        error.status_code, message=message, code=None, kind=(dialect or AZURE).codes.kind, headers=headers
    )


def _methods_at(request: Request) -> set[str]:
    """What can be done at a path. Each of its methods is a route of its own."""
    fitting = [route for route in _all_routes(request) if route.path_regex.match(request.scope["path"])]
    return {method for route in fitting for method in route.methods or ()}


def _all_routes(request: Request) -> list[Route]:
    return [route for route in request.app.routes if isinstance(route, Route)]


def _tell_wrong_call(request: Request, name: str, **fields: str) -> None:
    """What a client was set up wrongly to ask, and what would have been right: in the log, once a minute."""
    rare(name, now=entrance_of(request).clock.monotonic(), level=logging.WARNING, **fields)


def _shown(text: str) -> str:
    """A stranger's words in a line of the log."""
    return "".join(char if char.isprintable() and not char.isspace() else "_" for char in text[:WORDS_MAX])


class _Common:
    """Around everything: one request id under both vendors' names, and a slash at the end of a path means nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = str(uuid.uuid4())
        path = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            scope["path"] = path.rstrip("/") or "/"
        echoed = next((value for name, value in scope["headers"] if name == b"x-ms-client-request-id"), None)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = headers["apim-request-id"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                if echoed is not None:
                    headers["x-ms-client-request-id"] = echoed.decode("latin-1")
                if scope.get("close_connection"):
                    headers["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, with_headers)
