"""Stands before an object store and says that it is too busy: 503 to each request, for as long as it is to."""

import http.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class BusyStore:
    """Requests go through it to a port of this machine. `busy`: they do not."""

    def __init__(self, port: int) -> None:
        self.busy = False
        self.refused = self.passed = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65_537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if outer.busy:
                    outer.refused += 1
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                outer.passed += 1
                there = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                try:
                    there.request(self.command, self.path, body or None, dict(self.headers.items()))
                    answer = there.getresponse()
                    data = answer.read()
                finally:
                    there.close()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    length = name.lower() == "content-length" and self.command != "HEAD"
                    if not length and name.lower() not in ("connection", "transfer-encoding", "server", "date"):
                        self.send_header(name, value)
                if self.command != "HEAD":
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def log_message(self, *arguments: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """It is gone."""
        self._server.shutdown()
        self._server.server_close()
