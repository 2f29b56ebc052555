"""Calls without a client library, for tests of what a client would hide: statuses, headers, bytes."""

import http.client
import json
from typing import Any

from msgspec import Struct

from tests.server import Server

# A prefix, and what its family wants in the query.
FAMILIES = {"azure": ("/openai", "?api-version=2024-10-21"), "azure-v1": ("/openai/v1", ""), "openai": ("/v1", "")}


class Answer(Struct):
    """What came back. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error, which the body must be."""
        error: dict[str, Any] = self.json["error"]
        return error


class Caller:
    """One family of a server."""

    def __init__(self, server: Server, family: str, *, key: str | None = "any", host: str | None = None) -> None:
        """`host` is the name that the server is called by, where that says which resource is meant."""
        self.server = server
        self.host = host
        self.family = family
        self.key = key

    def __call__(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, query: str = ""
    ) -> Answer:
        """One call. A body that is not bytes is sent as JSON; `query` has no leading mark."""
        # Without a family, the path is whole.
        prefix, ending = FAMILIES.get(self.family, ("", ""))
        target = prefix + path + ending
        if query:
            target += ("&" if "?" in target else "?") + query
        sent = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        if self.host is not None:
            sent["Host"] = self.host
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(self.server.address, timeout=30)
        try:
            connection.request(method, target, body, sent | (headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def upload(self, data: bytes, *, name: str = "in.jsonl", purpose: str = "batch", **fields: str) -> Answer:
        """Uploads a file; further form fields by name."""
        parts = [(f'name="{field}"', value.encode()) for field, value in {"purpose": purpose, **fields}.items()]
        parts.append((f'name="file"; filename="{name}"', data))
        form = b"".join(
            f"--mark\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + value + b"\r\n"
            for disposition, value in parts
        )
        headers = {"Content-Type": "multipart/form-data; boundary=mark"}
        return self("POST", "/files", form + b"--mark--\r\n", headers=headers)

    def create(self, data: bytes, headers: dict[str, str] | None = None, **more: Any) -> Answer:
        """Uploads a file and creates a batch of chat completions from it."""
        made = self.upload(data)
        assert made.status < 300, made.body
        file_id = made.json["id"]
        return self("POST", "/batches", order(file_id) | more, headers=headers)

    def ended(self, batch_id: str) -> Any:
        """Asks until the batch has ended, and returns it."""
        while True:
            batch = self("GET", f"/batches/{batch_id}").json
            if batch["status"] in ("completed", "failed", "cancelled", "expired"):
                return batch

    def lines(self, file_id: str | None) -> list[Any]:
        """The lines of a results file; none where there is no file."""
        if file_id is None:
            return []
        return [json.loads(line) for line in self("GET", f"/files/{file_id}/content").body.splitlines()]


def order(file_id: str) -> dict[str, Any]:
    """The body that creates a batch of chat completions."""
    return {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}


def chat(count: int, *, model: str = "demo-batch", text: str = "Why?") -> bytes:
    """An input file of chat requests."""
    lines = []
    for number in range(count):
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        line = {"custom_id": f"task-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        lines.append(json.dumps(line) + "\n")
    return "".join(lines).encode()
