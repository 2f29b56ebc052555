"""A backend over HTTP, as an OpenAI-compatible server: for load and for tests that need a real one on the other side."""

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slackwater.adapters.upstream.echo_answers import error_reply
from slackwater.core.errors import BackendError
from slackwater.ports import Backend


def echo_app(backend: Backend, *, models: tuple[str, ...] = ("echo",)) -> Starlette:
    """An ASGI app that answers `POST /v1/<path>` with what `backend` answers, and lists `models` at `GET /v1/models`."""
    entries = [{"id": name, "object": "model", "created": 0, "owned_by": "slackwater"} for name in models]
    listing = msgspec.json.encode({"object": "list", "data": entries})

    async def answer(request: Request) -> Response:
        try:
            reply = await backend.send(f"/{request.path_params['path']}", await request.body())
        except BackendError as error:
            reply = error_reply(502, error.code, str(error))
        headers = {} if reply.retry_after is None else {"retry-after": f"{reply.retry_after:g}"}
        return Response(reply.body, reply.status, headers, media_type="application/json")

    async def list_models(request: Request) -> Response:
        return Response(listing, media_type="application/json")

    return Starlette(
        routes=[Route("/v1/models", list_models), Route("/v1/{path:path}", answer, methods=["POST"])],
    )
