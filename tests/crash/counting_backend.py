"""A backend that remembers every request it ever got, for longer than the servers that are killed over it.

It runs on a thread of the test process, answers chat completions after a latency, and knows for each request when it
came and when it was answered. Requests are told apart by the text of their last message.
"""

import asyncio
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable

# What every answer says that it has read.
INPUT_TOKENS = 10


class CountingBackend:
    """`with CountingBackend(latency=0.05) as backend:` serves on `backend.url` until the end of the block."""

    def __init__(self, *, latency: float | Callable[[], float], port: int = 0) -> None:
        """`latency` in seconds; where it is called, each request has its own."""
        self._latency = latency if callable(latency) else lambda: latency
        self._port = port
        self.received: dict[str, list[float]] = defaultdict(list)
        self.answered: dict[str, list[float]] = defaultdict(list)
        self.in_flight = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def connections(self) -> int:
        """How many there have ever been."""
        return len(self._writers)

    def __enter__(self) -> "CountingBackend":
        self._thread.start()
        assert self._ready.wait(10), "the backend's thread starts"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self._port, backlog=1024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        async with server:
            await self._stop.wait()
        for writer in self._writers:
            writer.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length:")
                    ),
                    0,
                )
                body = await reader.readexactly(length)
                answer = await self._answer(body) if body else b'{"object":"list","data":[{"id":"counting"}]}'
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(answer), answer)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, body: bytes) -> bytes:
        text = json.loads(body)["messages"][-1]["content"]
        self.received[text].append(time.monotonic())
        self.in_flight += 1
        try:
            await asyncio.sleep(self._latency())
        finally:
            self.in_flight -= 1
        self.answered[text].append(time.monotonic())
        message = {"role": "assistant", "content": f"answer to {text}"}
        return json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": "counting",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": INPUT_TOKENS, "completion_tokens": 5, "total_tokens": INPUT_TOKENS + 5},
            }
        ).encode()
