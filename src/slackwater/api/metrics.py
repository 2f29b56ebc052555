"""`/metrics`, for Prometheus: of the whole service, so only for who runs it, unless it has a loopback address of its own."""

from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slackwater.api import wire
from slackwater.api.auth import Authenticator
from slackwater.api.dialects import AZURE_V1
from slackwater.core.errors import PermissionDenied, SlackwaterError


class Monitored(Protocol):
    """Who makes the page."""

    @property
    def ledger_away(self) -> bool:
        """Whether the ledger is known not to answer."""
        ...

    async def page(self, accept: str) -> tuple[bytes, str]:
        """The page for an `Accept` header, and its media type."""
        ...


def metrics_route(monitor: Monitored, authenticator: Authenticator | None) -> Route:
    """The route. Without an authenticator, everybody who can reach it may read it."""

    async def metrics(request: Request) -> Response:
        try:
            if authenticator is not None:
                await _let_in(request, authenticator, ledger_away=monitor.ledger_away)
        except SlackwaterError as error:
            return wire.error_response(AZURE_V1, error)
        body, media_type = await monitor.page(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    return Route("/metrics", metrics)


def metrics_app(monitor: Monitored, authenticator: Authenticator | None) -> Starlette:
    """An application that has nothing else."""
    return Starlette(routes=[metrics_route(monitor, authenticator)])


async def _let_in(request: Request, authenticator: Authenticator, *, ledger_away: bool) -> None:
    """Raises Unauthorized, and PermissionDenied for a caller who belongs to one resource.

    While the ledger is away, keys of the configuration are known, and so is that there are none: its absence is to be seen here.
    """
    if ledger_away and authenticator.knows(request):
        return
    principal = await authenticator.authenticate(request)
    if not principal.anywhere:
        raise PermissionDenied(
            "Metrics are about the whole service, and this caller belongs to one resource. Use a key of the configuration "
            "([server] api_key_envs), or give the page a loopback address of its own ([metrics] listen)."
        )
