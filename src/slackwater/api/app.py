"""The HTTP application: the same routes under three prefixes, and what every answer has in common."""

import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slackwater.api import batches, files, wire
from slackwater.api.auth import authorize
from slackwater.api.context import ApiSettings, Context, context_of
from slackwater.api.dialects import AZURE, DIALECTS, Dialect, dialect_of
from slackwater.core.deployment import Deployment
from slackwater.core.errors import SlackwaterError, Unauthorized
from slackwater.pipeline.admission import Admission
from slackwater.pipeline.intake import Intake
from slackwater.ports import BlobStore, Clock, Ledger

log = logging.getLogger("slackwater")
Handler = Callable[[Request], Awaitable[Response]]


def build_app(
    *,
    ledger: Ledger,
    blobs: BlobStore,
    clock: Clock,
    intake: Intake,
    admission: Admission,
    deployments: Callable[[], Sequence[Deployment]],
    settings: ApiSettings,
) -> Starlette:
    """The application over these doors."""
    app = Starlette(routes=[Route("/healthz", _health), *(route for d in DIALECTS for route in _routes(d))])
    app.router.redirect_slashes = False
    app.state.context = Context(
        ledger=ledger,
        blobs=blobs,
        clock=clock,
        intake=intake,
        admission=admission,
        deployments=deployments,
        settings=settings,
    )
    app.add_middleware(_Common)
    app.add_exception_handler(HTTPException, _http_error)
    return app


def _routes(dialect: Dialect) -> list[Route]:
    prefix = dialect.prefix
    table: list[tuple[str, str, Handler]] = [
        ("POST", "/files", files.upload),
        ("GET", "/files", files.list_files),
        ("GET", "/files/{file_id}", files.get_file),
        ("DELETE", "/files/{file_id}", files.delete_file),
        ("GET", "/files/{file_id}/content", files.content),
        ("POST", "/batches", batches.create),
        ("GET", "/batches", batches.list_batches),
        ("GET", "/batches/{batch_id}", batches.get_batch),
        ("POST", "/batches/{batch_id}/cancel", batches.cancel),
        ("GET", "/batches/{batch_id}/results", batches.results),
        ("GET", "/models", _models),
    ]
    if dialect.dated:
        # openai-node's AzureOpenAI puts its deployment into this one path (spec 1.1).
        table.append(("POST", "/deployments/{deployment}/batches", batches.create))
    return [Route(prefix + path, _guarded(dialect, handler), methods=[method]) for method, path, handler in table]


def _guarded(dialect: Dialect, handler: Handler) -> Handler:
    """A handler behind its family's door: version, key, and errors in the family's words."""

    async def guarded(request: Request) -> Response:
        request.state.dialect = dialect
        settings = context_of(request).settings
        try:
            version = request.query_params.get("api-version")
            if not dialect.knows_version(version, lenient=settings.lenient_api_version):
                if dialect.dated:
                    return wire.not_found_anywhere(dialect)
                return wire.envelope(400, message="API version not supported", code="BadRequest")
            authorize(request, settings.api_keys)
            return await handler(request)
        except Unauthorized as error:
            await _drain(request)
            return wire.error_response(dialect, error)
        except SlackwaterError as error:
            return wire.error_response(dialect, error)
        except Exception:
            log.exception("request_failed id=%s %s %s", request.scope["request_id"], request.method, request.url.path)
            return wire.error_response(dialect, SlackwaterError())

    return guarded


async def _drain(request: Request) -> None:
    """Nothing of a refused body is read; the connection is closed behind the answer instead."""
    request.scope["close_connection"] = True


async def _health(request: Request) -> Response:
    return wire.json_response({"status": "ok"})


async def _models(request: Request) -> Response:
    """The names that `model` may have here."""
    created = 1_700_000_000
    data = [
        {"id": deployment.name, "object": "model", "created": created, "owned_by": "slackwater"}
        for deployment in context_of(request).deployments()
    ]
    return wire.json_response({"object": "list", "data": data})


async def _http_error(request: Request, error: Exception) -> Response:
    """What the router says about paths and methods, in the caller's words."""
    assert isinstance(error, HTTPException)
    dialect = dialect_of(request.url.path)
    if error.status_code == 404:
        return wire.not_found_anywhere(dialect)
    kind = (dialect or AZURE).codes.kind
    return wire.envelope(error.status_code, message=error.detail, code=None, kind=kind, headers=error.headers)


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
                if echoed is not None:
                    headers["x-ms-client-request-id"] = echoed.decode("latin-1")
                if scope.get("close_connection"):
                    headers["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, with_headers)
