"""A backend that answers with recorded bodies, and a host that files can be imported from."""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class RecordedBackend:
    """`with RecordedBackend(...) as backend:` answers a POST by the text that was asked, and a GET by its path."""

    def __init__(self, answers: Mapping[str, tuple[int, Any]], files: Mapping[str, bytes]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked = request["input"] if "input" in request else request["messages"][-1]["content"]
                status, body = answers[asked]
                self._answer(status, json.dumps(body).encode())

            def do_GET(self) -> None:
                data = files.get(self.path)
                self._answer(404 if data is None else 200, data or b"")

            def _answer(self, status: int, data: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing: the test's own failure is what counts."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.host = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "RecordedBackend":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
