"""Pages of other sites that the operator lets call the API from a browser (the Fetch standard, 3.2: CORS). None by default.

Such a page sends a key or a token of its own. A session of Studio never counts for it: nothing here allows credentials, and a
cookie that comes all the same, from a page on a neighbouring host, is not passed on.
"""

import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slackwater.api.dialects import dialect_of

# As many names of headers as anybody has, and nothing that could end a line.
NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z, -]{1,2000}")
PREFLIGHT_SECONDS = "600"
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
# What clients read, besides the few that browsers always show.
EXPOSED = ", ".join(
    (
        "apim-request-id",
        "content-disposition",
        "content-range",
        "deployment-enqueued-tokens",
        "deployment-maximum-enqueued-tokens",
        "etag",
        "idempotent-replayed",
        "location",
        "retry-after",
        "slackwater-queue-position",
        "slackwater-regions",
        "slackwater-results-cursor",
        "slackwater-waiting-on",
        "x-ms-client-request-id",
        "x-ms-region",
        "x-request-id",
        "x-should-retry",
    )
)


class Cors:
    """Around the API: tells browsers whose pages may read its answers, and answers when they ask beforehand."""

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        """`origins` as browsers write them, such as `https://app.example`."""
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or dialect_of(scope["path"]) is None:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        let_in = origin in self._origins and origin.partition("://")[2] != headers.get("host")
        if let_in:
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await _preflight(origin, headers)(scope, receive, send)
                return
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"cookie"]

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                # Also to others: who keeps an answer must not give it to a page that it was not for.
                answer.add_vary_header("Origin")
                if let_in:
                    answer["Access-Control-Allow-Origin"] = origin
                    answer["Access-Control-Expose-Headers"] = EXPOSED
            await send(message)

        await self._app(scope, receive, told)


def _preflight(origin: str, headers: Headers) -> Response:
    """What a browser is told before it lets a page call. Whether the call is good is said when it comes."""
    answer = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Max-Age": PREFLIGHT_SECONDS,
        "Vary": "Origin, Access-Control-Request-Headers",
    }
    wanted = headers.get("access-control-request-headers", "")
    if NAMES.fullmatch(wanted):
        answer["Access-Control-Allow-Headers"] = wanted
    return Response(status_code=204, headers=answer)
