"""An engine that counts what is out there itself: from a request's last byte to its answer, or to the end of its connection."""

import asyncio
import contextlib
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator


class _Connection(asyncio.Protocol):
    def __init__(self, engine: "SampledEngine") -> None:
        self._engine = engine
        self._data = bytearray()
        self._answers: asyncio.TimerHandle | None = None
        self._asked: object = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._data[:end]).lower()
        key = head.partition(b"authorization: bearer ")[2].split(b"\r\n")[0].decode()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if len(self._data) < end + 4 + length:
            return
        body = bytes(self._data[end + 4 : end + 4 + length])
        self._data.clear()
        if not body:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        engine = self._engine
        self._asked = engine.begins(json.loads(body)["messages"][-1]["content"], key)
        self._answers = asyncio.get_running_loop().call_later(engine.seconds(), self._answer)

    def _answer(self) -> None:
        self._answers = None
        self._engine.ends(self._asked, answered=True)
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER))

    def eof_received(self) -> bool:
        """Whoever has hung up is noticed after a while; until then the engine works on."""
        asyncio.get_running_loop().call_later(self._engine.notices, self._transport.close)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        if self._answers is not None:
            self._answers.cancel()
            self._answers = None
            self._engine.ends(self._asked, answered=False)


ANSWER = (
    b'{"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"yes"}}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1}}'
)


class SampledEngine:
    """One, on a thread of its own."""

    def __init__(self, *, shortest: float, longest: float, notices: float = 0.0) -> None:
        """Calls take between these, in seconds. So long after a connection was closed it `notices`."""
        self.notices = notices
        self._shortest, self._longest = shortest, longest
        self._chance = random.Random(0)
        self.url = ""
        self.out = self.out_max = self.answered = self.broken_off = 0
        self.asked: Counter[str] = Counter()
        self._used = self._since = 0.0
        self._loop = asyncio.new_event_loop()

    def seconds(self) -> float:
        return self._chance.uniform(self._shortest, self._longest)

    def begins(self, text: str, key: str) -> object:
        """A request is out. What is returned is told of its end."""
        self.account()
        self.out += 1
        self.out_max = max(self.out_max, self.out)
        self.asked[text] += 1
        return None

    def ends(self, asked: object, *, answered: bool) -> None:
        """It is not any more."""
        self.account()
        self.out -= 1
        if answered:
            self.answered += 1
        else:
            self.broken_off += 1

    def account(self) -> None:
        """Adds up what was used until now."""
        now = self._loop.time()
        self._used += self.out * (now - self._since)
        self._since = now

    @property
    def used(self) -> float:
        """Seconds of slots that were used, in all."""
        return self._used

    @contextlib.contextmanager
    def serving(self, host: str = "127.0.0.1") -> Iterator["SampledEngine"]:
        """Serves at `url`."""
        ready = threading.Event()

        async def serve() -> None:
            server = await self._loop.create_server(lambda: _Connection(self), host, 0, backlog=1024)
            self.url = f"http://{host}:{server.sockets[0].getsockname()[1]}/v1"
            ready.set()
            await server.serve_forever()

        def run() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(task)

        task = self._loop.create_task(serve())
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(task.cancel)
            thread.join(10)
