"""A server that does what a test says, byte by byte, and remembers what it was sent."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from slackwater.adapters.upstream.http_backend import HttpBackend

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One connection as the server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.closed = asyncio.Event()

    async def request(self) -> tuple[bytes, bytes]:
        """The next request: its head and its body. Raises IncompleteReadError where the client has gone."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return head, await self.reader.readexactly(length)

    async def answer(self, body: bytes, *, status: str = "200 OK", headers: str = "") -> None:
        """A well-formed answer."""
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        await self.send(head.encode() + body)

    async def send(self, data: bytes) -> None:
        """Any bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def stay_silent(self) -> None:
        """Neither reads nor answers until the test is over."""
        await asyncio.Event().wait()

    def close(self) -> None:
        """Ends the connection properly."""
        self.writer.close()


class ScriptedServer:
    """`async with ScriptedServer(script) as server:`; the script runs once per connection."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self.peers: list[Peer] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "ScriptedServer":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop_listening(self) -> None:
        """Refuses new connections; those that are open stay."""
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._script(peer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            # The client has gone, or the test is over: either way this connection has nothing more to say.
            pass
        finally:
            self._tasks.discard(task)
            peer.closed.set()
            writer.close()


async def echo(peer: Peer) -> None:
    """The script of a server that answers every request with its own body."""
    while True:
        _, body = await peer.request()
        await peer.answer(body)


async def with_server(
    script: Script, test: Callable[[ScriptedServer, HttpBackend], Awaitable[None]], **options: object
) -> None:
    """Runs a test with a server and a client of it, which is made with `options` and closed in the end."""
    async with ScriptedServer(script) as server:
        backend = HttpBackend(server.url, **options)  # type: ignore[arg-type]
        try:
            await test(server, backend)
        finally:
            await backend.close()


async def turns() -> None:
    """Lets everything run that is ready to run."""
    for _ in range(20):
        await asyncio.sleep(0)
