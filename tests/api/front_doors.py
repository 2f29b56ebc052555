"""A front door with a small application behind it, on a real socket and the real event loop, for tests of bytes."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from slackwater.api.arriving.connection import VISITOR, Connection
from slackwater.api.arriving.front_door import FrontDoor
from slackwater.core.arriving.heads import HeadLimits
from slackwater.core.arriving.patience import Patience

LIMITS = HeadLimits(head_bytes=4096, headers=40)
KEY = b"good"


class Application:
    """Says what it was asked, or does as its path says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.read = 0
        self.ended: list[str] = []
        self.go_on = asyncio.Event()
        """What `/wait` waits for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.asked.append(path)
        if dict(scope["headers"]).get(b"api-key") == KEY:
            scope[VISITOR].known()
        try:
            if path == "/wait":
                await self.go_on.wait()
            elif path == "/late":
                # A key that somebody had to be asked about first.
                await self.go_on.wait()
                scope[VISITOR].known()
                self.ended.append("known")
            elif path == "/fail":
                raise RuntimeError("on purpose")
            elif path == "/large":
                await self._large(send)
                return
            elif path == "/stream":
                await self._stream(receive, send)
                return
            elif path == "/refuse":
                await answer(send, {}, status=401)
                return
            body = bytearray()
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self.ended.append("disconnect")
                    return
                body += message["body"]
                self.read += len(message["body"])
                more = message["more_body"]
            headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
            said = {"method": scope["method"], "path": path, "headers": headers, "body": body.decode("latin-1")}
            await answer(send, said)
        except OSError:
            self.ended.append("gone")
            raise

    async def _stream(self, receive: Receive, send: Send) -> None:
        """An answer that has begun, and goes on for as long as somebody listens."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.ended.append("disconnect")

    async def _large(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"50000000")]})
        for _ in range(500):
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def answer(send: Send, said: dict[str, Any], *, status: int = 200) -> None:
    """A JSON answer."""
    body = json.dumps(said).encode()
    headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Place:
    """A front door that is open."""

    def __init__(self, door: FrontDoor, application: Application, address: tuple[str, int]) -> None:
        self.door = door
        self.application = application
        self.address = address

    async def connect(self, *, receive_buffer: int | None = None) -> "Stranger":
        """A new connection, once the door knows it."""
        raw = socket.socket()
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, self.address)
        reader, writer = await asyncio.open_connection(sock=raw)
        return Stranger(reader, writer)

    async def send(self, *pieces: bytes) -> bytes:
        """Sends pieces on a new connection and returns all that comes until it is closed."""
        async with asyncio.timeout(20):
            stranger = await self.connect()
            for piece in pieces:
                await stranger.write(piece)
            return await stranger.rest()

    def look_in(self, seconds: float) -> None:
        """What the door would do if it looked so many seconds from now."""
        self.door.look(asyncio.get_running_loop().time() + seconds)


class Stranger:
    """The other end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def write(self, data: bytes) -> bool:
        """Sends; False once the door has closed."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError:
            return False
        return True

    async def status(self) -> int:
        """Reads one answer that has a length; 0 where the connection ends instead."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            return 0
        if head.startswith(b"HTTP/1.1 100"):
            return 100
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await self.reader.readexactly(length)
        return int(head.split()[1])

    async def rest(self) -> bytes:
        """All that comes until the end of the connection."""
        data = bytearray()
        with contextlib.suppress(OSError):
            while piece := await self.reader.read(1 << 16):
                data += piece
        self.writer.close()
        return bytes(data)


@contextlib.asynccontextmanager
async def open_door(*, connections_max: int = 1000, patience: Patience | None = None) -> AsyncIterator[Place]:
    """A front door. It looks at its connections only when a test says so."""
    door = FrontDoor(limits=LIMITS, patience=patience or Patience(), connections_max=connections_max)
    application, state = Application(), ServerState()
    loop = asyncio.get_running_loop()
    door.now = loop.time()
    listener = await loop.create_server(lambda: Connection(door, application, state), "127.0.0.1", 0)
    try:
        yield Place(door, application, listener.sockets[0].getsockname())
    finally:
        application.go_on.set()
        listener.close()
        for connection in list(door.connections):
            connection.abort()


def at_a_door(test: Callable[[Place], Awaitable[None]], **options: Any) -> None:
    """Runs a test with a front door of its own."""

    async def run() -> None:
        async with open_door(**options) as place:
            await test(place)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def until(true: Callable[[], bool]) -> None:
    """Returns once something is so; what is waited for comes over a socket."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.001)
