"""`/metrics`, for Prometheus: of the whole service, so only for who runs it, unless it has a loopback address of its own."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slackwater.api import wire
from slackwater.api.auth import Authenticator
from slackwater.api.dialects import AZURE_V1
from slackwater.core.errors import PermissionDenied, SlackwaterError

Page = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Makes the page for an `Accept` header, and says its media type."""


def metrics_route(page: Page, authenticator: Authenticator | None) -> Route:
    """The route. Without an authenticator, everybody who can reach it may read it."""

    async def metrics(request: Request) -> Response:
        try:
            if authenticator is not None:
                await _let_in(request, authenticator)
        except SlackwaterError as error:
            return wire.error_response(AZURE_V1, error)
        body, media_type = await page(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    return Route("/metrics", metrics)


def metrics_app(page: Page, authenticator: Authenticator | None) -> Starlette:
    """An application that has nothing else."""
    return Starlette(routes=[metrics_route(page, authenticator)])


async def _let_in(request: Request, authenticator: Authenticator) -> None:
    """Raises Unauthorized, and PermissionDenied for a caller who belongs to one resource."""
    principal = await authenticator.authenticate(request)
    if not principal.anywhere:
        raise PermissionDenied(
            "Metrics are about the whole service, and this caller belongs to one resource. Use a key of the configuration "
            "([server] api_key_envs), or give the page a loopback address of its own ([metrics] listen)."
        )
