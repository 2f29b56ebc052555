"""One small application behind a server of HTTP, for docs/decisions/front-door.md: `front_doors.py NAME PORT`.

NAME is `ours`, `uvicorn`, `hypercorn` or `granian`; the last two have to be installed first.
"""

import asyncio
import sys
from typing import Any


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Reads what comes; answers with little, or with 20 MB at `/large`."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
    pieces = 320 if scope["path"] == "/large" else 0
    length = str(pieces * 65536 or 15).encode()
    headers = [(b"content-length", length), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(pieces):
        await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
    await send({"type": "http.response.body", "body": b"" if pieces else b'{"status":"ok"}', "more_body": False})


def of_uvicorn(port: int, http: Any = "httptools", app: Any = application) -> None:
    import uvicorn

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http=http,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="error",
    )


def of_ours(port: int) -> None:
    from slackwater.api.arriving.connection import Connection
    from slackwater.config import FrontDoorConfig
    from slackwater.wiring.front_door import front_door_of

    door = front_door_of(FrontDoorConfig(), 20_000)
    watching: list[Any] = []

    async def watched(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if not watching:
            watching.append(asyncio.create_task(door.watch()))
        await application(scope, receive, send)

    of_uvicorn(port, door.protocol(Connection), watched)


def of_hypercorn(port: int) -> None:
    import uvloop
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.keep_alive_max_requests = 1_000_000
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(application, config))  # type: ignore[arg-type]


def of_granian(port: int) -> None:
    from granian import Granian
    from granian.constants import Interfaces, Loops

    Granian(
        "front_doors:application",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGINL,
        loop=Loops.uvloop,
        log_enabled=False,
    ).serve()


if __name__ == "__main__":
    {"ours": of_ours, "uvicorn": of_uvicorn, "hypercorn": of_hypercorn, "granian": of_granian}[sys.argv[1]](
        int(sys.argv[2])
    )
