"""What is kept of every call of the API: its name for the log, how long it took, and, where it is sampled, a span."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slackwater.api.dialects import Dialect
from slackwater.api.operation import Handler, Operation
from slackwater.ports import Clock, Span, SpanKind, Tracing
from slackwater.telemetry import Call, call_in_hand, current_call, meters

# Paths that are no operations of the API. Everything else that is asked for is one name, however many paths there are.
OTHERS = {"/healthz": "health", "/readyz": "ready", "/openapi.json": "openapi", "/metrics": "metrics"}
OPERATION = "slackwater.operation"
TEXT_MAX = 200


class CallRecorder:
    """Around every call: counts it under its operation, and says whose log lines are written meanwhile."""

    def __init__(self, app: ASGIApp, *, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = self._clock.monotonic()
        call = Call(scope["request_id"])
        call_in_hand.set(call)

        async def seen(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Until the answer begins: how long a body takes to go out is up to who reads it.
                name = scope.get(OPERATION) or OTHERS.get(scope["path"], "other")
                meters.call_ended(name, message["status"], self._clock.monotonic() - begun)
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            call.over = True


def traced(dialect: Dialect, operation: Operation, handler: Handler) -> Handler:
    """The handler of an operation, with its name for the counts, and with a span where somebody collects them."""
    route = dialect.prefix + operation.path

    async def with_span(request: Request) -> Response:
        request.scope[OPERATION] = operation.name
        tracing: Tracing | None = request.app.state.entrance.tracing
        span = None if tracing is None else _span(tracing, request, route)
        if span is None:
            return await handler(request)
        call = current_call()
        if call is not None:
            call.traceparent = span.traceparent
        try:
            response = await handler(request)
            span.note({"http.response.status_code": response.status_code})
            principal = getattr(request.state, "principal", None)
            if principal is not None:
                span.note({"slackwater.resource": principal.resource})
            if response.status_code >= 500:
                span.fail(str(response.status_code))
            return response
        except BaseException as error:
            span.fail(type(error).__name__)
            raise
        finally:
            span.end()

    return with_span


def _span(tracing: Tracing, request: Request, route: str) -> Span | None:
    # Names of files are in bodies, and keys in headers: a path has ids only.
    return tracing.begin(
        f"{request.method} {route}",
        SpanKind.SERVER,
        parent=request.headers.get("traceparent"),
        attributes={
            "http.request.method": request.method,
            "http.route": route,
            "url.path": request.scope["path"][:TEXT_MAX],
            "url.scheme": request.url.scheme,
            "slackwater.request.id": request.scope["request_id"],
        },
    )
