"""A backend over HTTP, as an OpenAI-compatible server: for load and for tests that need a real one on the other side."""

from collections.abc import AsyncIterator

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from slackwater.adapters.upstream.echo_answers import error_reply
from slackwater.adapters.upstream.echo_streams import asked_to_stream, events_of, without_stream
from slackwater.core.errors import BackendError
from slackwater.core.sending.streaming import STREAMED
from slackwater.ports import Backend


def echo_app(backend: Backend, *, models: tuple[str, ...] = ("echo",)) -> Starlette:
    """An ASGI app that answers `POST /v1/<path>` with what `backend` answers, and lists `models` at `GET /v1/models`.

    Who asks for a stream of a chat or a completion has the same answer in pieces.
    """
    entries = [{"id": name, "object": "model", "created": 0, "owned_by": "slackwater"} for name in models]
    listing = msgspec.json.encode({"object": "list", "data": entries})

    async def answer(request: Request) -> Response:
        path, body = f"/{request.path_params['path']}", await request.body()
        streams = path in STREAMED and asked_to_stream(body)
        try:
            reply = await backend.send(path, without_stream(body) if streams else body)
        except BackendError as error:
            reply = error_reply(502, error.code, str(error))
        if streams and reply.status == 200:
            return StreamingResponse(_sent(reply.body, body), media_type="text/event-stream")
        headers = {} if reply.retry_after is None else {"retry-after": f"{reply.retry_after:g}"}
        return Response(reply.body, reply.status, headers, media_type=reply.content_type or "application/json")

    async def list_models(request: Request) -> Response:
        return Response(listing, media_type="application/json")

    return Starlette(
        routes=[Route("/v1/models", list_models), Route("/v1/{path:path}", answer, methods=["POST"])],
    )


async def _sent(answer: bytes, request: bytes) -> AsyncIterator[bytes]:
    for event in events_of(answer, request):
        yield event
