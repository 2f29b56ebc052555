"""A server that answers as a test says, call by call, and remembers what it was asked."""

import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from msgspec import Struct


class Call(Struct):
    """What came in. Header names are lower case."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Reply(Struct):
    """What goes out. `cut` ends the connection after so many bytes of the body; -1 before the head."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = {}
    cut: int | None = None

    @classmethod
    def of(cls, body: object, status: int = 200, **headers: str) -> "Reply":
        """JSON; underscores of header names are dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(json.dumps(body).encode(), status, named)


class Scripted:
    """A running server."""

    def __init__(self, url: str, calls: list[Call]) -> None:
        self.url = url
        self.calls = calls


@contextmanager
def scripted(script: Callable[[Call], Reply], *, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Serves on a port of its own, with TLS where it has what that needs; calls are numbered from 0."""
    calls: list[Call] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            calls.append(Call(len(calls), self.command, self.path, headers, body))
            reply = script(calls[-1])
            if reply.cut == -1:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body if reply.cut is None else reply.body[: reply.cut])
            self.close_connection = reply.cut is not None

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, format: str, *arguments: object) -> None:
            """The test says what is worth saying."""

    class Server(http.server.ThreadingHTTPServer):
        # So many may connect at once. Of more, the kernel lets some wait for a minute.
        request_queue_size = 256

        def handle_error(self, request: object, client_address: object) -> None:
            """Whoever has gone meanwhile wants no answer."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Scripted(f"http{'s' * (tls is not None)}://127.0.0.1:{server.server_address[1]}", calls)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
