"""A receiver of webhooks on this machine: remembers what came, and answers what it is told to."""

import http.server
import queue
import threading
from typing import Any

import openai
from msgspec import Struct


class Call(Struct):
    """One POST."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """What a receiver knows a repeated delivery by."""
        return self.headers["webhook-id"]

    def event(self, secret: str) -> Any:
        """The event, verified with OpenAI's client. Raises InvalidWebhookSignatureError."""
        client = openai.OpenAI(api_key="any", base_url="http://127.0.0.1:9")
        return client.webhooks.unwrap(self.body, self.headers, secret=secret)


class Receiver(http.server.ThreadingHTTPServer):
    """`with Receiver() as receiver:`; `statuses` are what paths answer, 200 by default; `first` what they answer once."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.calls: queue.Queue[Call] = queue.Queue()
        self.statuses: dict[str, int] = {}
        self.first: dict[str, int] = {}
        self.held: set[str] = set()
        self.released = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def url(self, path: str = "/hook") -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}{path}"

    def next(self) -> Call:
        """The next call, which must come."""
        return self.calls.get(timeout=30)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            # The server that called was killed in the middle: nothing has arrived.
            self.close_connection = True
            return
        self.server.calls.put(Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        if self.path in self.server.held:
            self.server.released.wait(30)
        once = self.server.first.pop(self.path, None)
        self.send_response(once or self.server.statuses.get(self.path, 200))
        self.send_header("Content-Length", "0")
        try:
            self.end_headers()
        except ConnectionError:
            # The server that called was killed.
            pass

    def log_message(self, *_: Any) -> None:
        pass
