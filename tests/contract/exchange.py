"""Calls of a real server as statuses, headers and bytes, in the words of one family, and the steps that tests begin with."""

import http.client
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.server import Server

PREFIXES = {"A": "/openai", "V": "/openai/v1", "O": "/v1"}
ENDED = ("completed", "failed", "cancelled", "expired")
PATIENCE_SECONDS = 60.0


class Answer(NamedTuple):
    """What came back. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.data)


def call(server: Server, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
    """One request, as it is given."""
    connection = http.client.HTTPConnection(server.address, timeout=30)
    try:
        connection.request(method, target, body, dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def form(*parts: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A multipart body of parts, each with its whole Content-Disposition, and the header that goes with it."""
    mark = uuid.uuid4().hex
    body = b"".join(
        f"--{mark}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + data + b"\r\n"
        for disposition, data in parts
    )
    return body + f"--{mark}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={mark}"}


def chat(count: int, *, model: str = "quick", url: str = "/chat/completions", text: str = "Question") -> bytes:
    """An input file of chat completions."""
    rows = []
    for number in range(count):
        body = {"model": model, "messages": [{"role": "user", "content": f"{text} {number}?"}]}
        rows.append(json.dumps({"custom_id": f"task-{number}", "method": "POST", "url": url, "body": body}))
    return "\n".join(rows).encode()


class House:
    """A server behind one family's door: A with dated versions, V Azure v1, O OpenAI (spec 1.1)."""

    def __init__(self, server: Server, family: str = "A", *, version: str = "2024-10-21", key: str = "any") -> None:
        self.server = server
        self.family = family
        self.version = version
        self.key = {"Authorization": f"Bearer {key}"} if family == "O" else {"api-key": key}
        self.endpoint = "/chat/completions" if family == "A" else "/v1/chat/completions"

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call of this family; `path` starts behind the prefix."""
        given = [query] if query else []
        if self.family == "A":
            given.insert(0, f"api-version={self.version}")
        target = PREFIXES[self.family] + path + ("?" + "&".join(given) if given else "")
        return call(self.server, method, target, body, self.key | dict(headers or {}))

    def post(self, path: str, body: Any) -> Answer:
        """One call with a JSON body."""
        return self.call("POST", path, json.dumps(body).encode(), headers={"Content-Type": "application/json"})

    def upload(
        self,
        data: bytes,
        *,
        filename: str = "in.jsonl",
        purpose: str = "batch",
        fields: Mapping[str, str] | None = None,
    ) -> Answer:
        """Uploads a file with the parts in the order of OpenAI's client."""
        more = [(f'form-data; name="{name}"', value.encode()) for name, value in (fields or {}).items()]
        body, headers = form(
            ('form-data; name="purpose"', purpose.encode()),
            *more,
            (f'form-data; name="file"; filename="{filename}"', data),
        )
        return self.call("POST", "/files", body, headers=headers)

    def file(self, data: bytes, *, filename: str = "in.jsonl", purpose: str = "batch") -> str:
        """The id of a new file."""
        answer = self.upload(data, filename=filename, purpose=purpose)
        assert answer.status in (200, 201), answer
        return str(answer.json["id"])

    def chat(self, count: int, *, model: str = "quick", text: str = "Question") -> bytes:
        """An input file whose lines this family takes for its endpoint."""
        return chat(count, model=model, url=self.endpoint, text=text)

    def create(self, file_id: str, *, endpoint: str | None = None, **more: Any) -> Answer:
        """Asks for a batch."""
        order = {"input_file_id": file_id, "endpoint": endpoint or self.endpoint, "completion_window": "24h"}
        return self.post("/batches", order | more)

    def begin(self, data: bytes, *, endpoint: str | None = None, **more: Any) -> dict[str, Any]:
        """A new batch over a new file, as the answer shows it."""
        answer = self.create(self.file(data), endpoint=endpoint, **more)
        assert answer.status == 200, answer
        return dict(answer.json)

    def until(self, batch_id: str, *statuses: str) -> dict[str, Any]:
        """Polls until the batch has one of these statuses; by default, until it has ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (batch := self.call("GET", f"/batches/{batch_id}").json)["status"] not in (statuses or ENDED):
            assert time.monotonic() < deadline, batch
            time.sleep(0.02)
        return dict(batch)

    def run(self, data: bytes, *, endpoint: str | None = None, **more: Any) -> dict[str, Any]:
        """A batch that has ended."""
        return self.until(self.begin(data, endpoint=endpoint, **more)["id"])

    def content(self, file_id: str) -> bytes:
        """The bytes of a file."""
        answer = self.call("GET", f"/files/{file_id}/content")
        assert answer.status == 200, answer
        return answer.data

    def lines(self, file_id: str | None) -> list[dict[str, Any]]:
        """The lines of a result file; none where there is no file."""
        return [] if file_id is None else [json.loads(line) for line in self.content(file_id).splitlines()]
