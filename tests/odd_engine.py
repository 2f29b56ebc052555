"""An engine on loopback that answers as a test wants it, and notes what it was asked."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHAT = {
    "id": "c",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "pong"}}],
}
USAGE = {"usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}
Answer = tuple[int, bytes, dict[str, str]]


def models(*names: str) -> Answer:
    """A list of models."""
    return 200, json.dumps({"object": "list", "data": [{"id": name} for name in names]}).encode(), {}


def answered(*names: str, key: str | None = None) -> Callable[["Asked"], Answer]:
    """An engine with these models, which lets in who has the key."""

    def answer(asked: "Asked") -> Answer:
        if key is not None and asked.headers.get("authorization") != f"Bearer {key}":
            return 401, b'{"error": {"message": "wrong key"}}', {}
        if asked.method == "GET":
            return models(*names) if asked.path == "/v1/models" else (404, b"{}", {})
        model = json.loads(asked.body)["model"]
        if model not in names:
            return 404, json.dumps({"error": {"message": f"no model {model}", "code": "model_not_found"}}).encode(), {}
        return 200, json.dumps(CHAT | USAGE | {"model": model}).encode(), {}

    return answer


class Asked:
    """A request as it came."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body


class OddEngine:
    """What it is asked, and how it answers; that may change."""

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.port = 0

    @property
    def url(self) -> str:
        """Up to where `/chat/completions` follows."""
        return f"http://127.0.0.1:{self.port}/v1"


@contextlib.contextmanager
def odd_engine(answer: Callable[[Asked], Answer], *, port: int = 0) -> Iterator[OddEngine]:
    """Listens until it is left."""
    engine = OddEngine(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._do()

        def do_POST(self) -> None:
            self._do()

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            asked = Asked(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            engine.asked.append(asked)
            status, data, headers = engine.answer(asked)
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    engine.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
