"""`/healthz` and `/readyz`, for what watches the process; and the application that stands there until the real one does.

`/healthz` says that the process lives and its event loop turns: if it does not answer, a restart helps. `/readyz` says whether
the service should be given work; a restart does not help where it says no.
"""

from collections.abc import Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from slackwater.api import objects, wire
from slackwater.api.context import entrance_of
from slackwater.pipeline.watching.readiness import STARTING, Unready


async def health(request: Request) -> Response:
    """It answers, and that is all it says."""
    return wire.json_response(objects.Health())


async def ready(request: Request) -> Response:
    """200, or 503 with the reasons; with the states of the backends, which are none."""
    entrance = entrance_of(request)
    return _answer(entrance.unready(), entrance.backend_states())


def probes_app(
    unready: Callable[[], Sequence[Unready]],
    backend_states: Callable[[], Mapping[str, int]],
    more: Sequence[Route] = (),
) -> Starlette:
    """An application for a process that has no API: both, and `more`."""

    async def ready_here(request: Request) -> Response:
        return _answer(unready(), backend_states())

    return Starlette(routes=[Route("/healthz", health), Route("/readyz", ready_here), *more])


def _answer(reasons: Sequence[Unready], states: Mapping[str, int]) -> Response:
    backends = dict(sorted(states.items()))
    if not reasons:
        return wire.json_response(objects.Readiness(status="ready", reasons=[], backends=backends))
    shown = [objects.UnreadyReason(code=reason.code, message=reason.message) for reason in reasons]
    response = wire.json_response(objects.Readiness(status="unavailable", reasons=shown, backends=backends))
    response.status_code = 503
    response.headers["Retry-After"] = wire.AWAY_SECONDS
    return response


class Door:
    """Says 'starting' to everybody until it is opened; then it is the application."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None

    def open(self, app: ASGIApp) -> None:
        """From now on this application answers."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is not None:
            await self._app(scope, receive, send)
            return
        alive = scope["type"] == "http" and scope["path"].rstrip("/") == "/healthz"
        response = wire.json_response(objects.Health()) if alive else _answer([STARTING], {})
        if not alive:
            # Nothing of a body has been read.
            response.headers["Connection"] = "close"
        await response(scope, receive, send)
