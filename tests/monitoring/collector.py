"""Two servers on this machine: one that takes spans as an OpenTelemetry collector does, one that remembers what it was sent."""

import http.server
import json
import queue
import threading
from typing import Any, ClassVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class _Loopback(http.server.ThreadingHTTPServer):
    """`with ... as server:`; it listens until the end of the block."""

    daemon_threads = True

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Collector(_Loopback):
    """Takes `POST /v1/traces`."""

    def __init__(self) -> None:
        super().__init__(_CollectorHandler)
        self.spans: queue.Queue[Span] = queue.Queue()
        self.services: set[str] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def all(self) -> list[Span]:
        """Every span that has come."""
        return list(self.spans.queue)


class _CollectorHandler(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.services |= {
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            }
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.server.spans.put(span)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Engine(_Loopback):
    """Answers chat completions, and fails the first `failures` calls with 500."""

    def __init__(self, *, failures: int = 0) -> None:
        super().__init__(_EngineHandler)
        self.failures = failures
        self.traceparents: list[str | None] = []

    @property
    def url(self) -> str:
        """The base URL for a configuration."""
        return f"http://127.0.0.1:{self.server_port}/v1"


class _EngineHandler(http.server.BaseHTTPRequestHandler):
    server: Engine
    protocol_version = "HTTP/1.1"
    ANSWER: ClassVar[dict[str, Any]] = {
        "object": "chat.completion",
        "model": "tide-7b-2026",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ANSWER-TEXT"}}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7},
    }

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.traceparents.append(self.headers["traceparent"])
        fails, self.server.failures = self.server.failures > 0, self.server.failures - 1
        body = json.dumps({"error": {"message": "no"}} if fails else self.ANSWER).encode()
        self.send_response(500 if fails else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def attributes(span: Span) -> dict[str, Any]:
    """What a span says of itself."""
    return {each.key: getattr(each.value, kind) for each in span.attributes if (kind := each.value.WhichOneof("value"))}
