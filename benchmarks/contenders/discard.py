"""The floor of an upload: the same server framework with the same options, and a route that throws the body away."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def discard(request: Request) -> Response:
    """Reads the body to its end and keeps nothing."""
    async for _ in request.stream():
        pass
    return Response(status_code=200)


if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=[Route("/v1/files", discard, methods=["POST"])]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        log_level="warning",
    )
