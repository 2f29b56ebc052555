"""What a client does while its server may die at any step: every way in which tokens are held, work is charged and ends
are announced.

A deployment that refuses what does not fit, one that lets it wait, and one that answers some requests at once and others
never. Batches that complete with failed lines, wait, fail validation, are cancelled while they run, and are tried again; a
webhook that is refused at first; files that come in parts and go while they are used. Each call may be made twice.
"""

import json
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from tests.api.calls import order
from tests.api.receiver import Receiver
from tests.crash.lives import Lives, Survivor

CONFIG = """
[worker]
commit_seconds = 0.05
[webhooks]
allow_http = true
allow_private_addresses = true
[[prices]]
model = "*"
input = "2.00"
output = "3.00"
[[deployments]]
name = "plain"
enqueued_token_limit = 100000
[[deployments.backends]]
echo = {}
concurrency = 4
[[deployments]]
name = "waits"
enqueued_token_limit = 400
when_full = "queue"
[[deployments.backends]]
echo = { latency_seconds = 0.1 }
concurrency = 8
[[deployments]]
name = "stuck"
enqueued_token_limit = 400
[[deployments.backends]]
echo = { hang_rate = 0.5 }
concurrency = 8
"""
LINES = 8
# Of a file for `stuck`: the built-in backend draws by the text of a request.
ANSWERED = 5
EVENTS = ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"]
ENDED = ("completed", "failed", "cancelled", "expired")


class Ended(Struct):
    """A batch at its end, what was asked of it, and what is in its files."""

    batch: dict[str, Any]
    custom_ids: list[str]
    output: list[dict[str, Any]] = field(default_factory=list)
    error: list[dict[str, Any]] = field(default_factory=list)


class Told(Struct):
    """All that the client knows in the end."""

    ended: dict[str, Ended] = field(default_factory=dict)
    endpoints: dict[str, str] = field(default_factory=dict)
    """The id of the endpoint at each path of the receiver."""


def prepare(root: Path, database: str = "") -> None:
    """A server's configuration, and nothing yet in its data. The ledger is at the address `database` where there is one."""
    (root / "slackwater.toml").write_text((f'[server]\ndatabase = "{database}"\n' if database else "") + CONFIG)


def tell(lives: Lives, receiver: Receiver) -> Told:
    """The whole story, from its beginning to where nothing is left to wait for."""
    return _Story(lives, receiver).told()


def _file(name: str, deployment: str, *, broken: tuple[int, ...] = ()) -> tuple[bytes, list[str]]:
    """Chat requests, and their ids. The backend refuses those in `broken`; nothing that validation looks at is wrong."""
    lines, ids = [], []
    for number in range(LINES):
        ids.append(f"{name}-{number}")
        content: Any = 5 if number in broken else f"{name} asks why {number}"
        body = {"model": deployment, "messages": [{"role": "user", "content": content}]}
        lines.append({"custom_id": ids[-1], "method": "POST", "url": "/v1/chat/completions", "body": body})
    return "".join(json.dumps(line) + "\n" for line in lines).encode(), ids


class _Story:
    def __init__(self, lives: Lives, receiver: Receiver) -> None:
        self._lives = lives
        self._receiver = receiver
        self._azure, self._openai = Survivor(lives, "azure"), Survivor(lives, "openai")
        self._told = Told()
        self._ids: dict[str, tuple[str, list[str]]] = {}

    def told(self) -> Told:
        self._listen("/all", EVENTS)
        self._receiver.first["/picky"] = 500
        self._listen("/picky", ["batch.failed"])
        self._complete_with_failures()
        self._fail_validation()
        self._cancel_in_the_middle()
        self._wait_for_room()
        self._try_again()
        for name in self._ids:
            self._read(name)
        self._delete_results("failures")
        for endpoint_id in self._told.endpoints.values():
            self._be_heard(endpoint_id)
        return self._told

    def _listen(self, path: str, event_types: list[str]) -> None:
        """An endpoint. It has no key, so after a lost answer the client looks first whether it is there."""
        answer = {"name": path, "url": self._receiver.url(path), "event_types": event_types}
        died = self._lives.died
        endpoint_id = self._openai("POST", "/webhook_endpoints", answer).json["id"]
        if self._lives.died > died:
            same = [each for each in self._openai("GET", "/webhook_endpoints").json["data"] if each["name"] == path]
            for twin in same:
                if twin["id"] != endpoint_id:
                    self._openai("DELETE", f"/webhook_endpoints/{twin['id']}")
        self._told.endpoints[path] = endpoint_id

    def _create(self, name: str, file_id: str, custom_ids: list[str]) -> str:
        headers = {"Idempotency-Key": name}
        answer = self._azure("POST", "/batches", order(file_id), headers=headers)
        assert answer.status == 200, answer.body
        batch_id: str = answer.json["id"]
        self._ids[name] = (batch_id, custom_ids)
        return batch_id

    def _complete_with_failures(self) -> None:
        data, ids = _file("failures", "plain", broken=(2, 5))
        self._create("failures", self._azure.upload(data).json["id"], ids)

    def _fail_validation(self) -> None:
        self._create("invalid", self._azure.upload(b"{}\n").json["id"], [])

    def _cancel_in_the_middle(self) -> None:
        """While it holds its tokens, another one finds no room. What was answered before is kept."""
        data, ids = _file("cancelled", "stuck")
        file_id = self._azure.upload(data).json["id"]
        batch_id = self._create("cancelled", file_id, ids)
        self._azure.until(f"/batches/{batch_id}", lambda batch: batch["request_counts"]["completed"] == ANSWERED)
        refused = self._azure("POST", "/batches", order(file_id), headers={"Idempotency-Key": "refused"})
        assert refused.status == 400, refused.body
        assert "token limit" in refused.error["message"] or "enqueued tokens" in refused.error["message"]
        self._azure("POST", f"/batches/{batch_id}/cancel")

    def _wait_for_room(self) -> None:
        """Two batches of one file that came in parts, one after the other; the file goes while they use it."""
        data, ids = _file("waits", "waits")
        file_id = self._in_parts(data)
        for name in ("first", "second"):
            self._create(name, file_id, ids)
        self._azure("DELETE", f"/files/{file_id}")

    def _in_parts(self, data: bytes) -> str:
        said = {"filename": "in.jsonl", "purpose": "batch", "bytes": len(data), "mime_type": "application/jsonl"}
        upload_id = self._openai("POST", "/uploads", said).json["id"]
        parts = []
        for piece in (data[:500], data[500:]):
            form = b'--mark\r\nContent-Disposition: form-data; name="data"; filename="part"\r\n\r\n' + piece
            headers = {"Content-Type": "multipart/form-data; boundary=mark"}
            path = f"/uploads/{upload_id}/parts"
            parts.append(self._openai("POST", path, form + b"\r\n--mark--\r\n", headers=headers).json["id"])
        completed = self._openai("POST", f"/uploads/{upload_id}/complete", {"part_ids": parts})
        file_id: str = completed.json["file"]["id"]
        return file_id

    def _try_again(self) -> None:
        """What failed fails again, in a batch of its own."""
        batch_id, ids = self._ids["failures"]
        self._azure.until(f"/batches/{batch_id}", lambda batch: batch["status"] in ENDED)
        answer = self._azure("POST", f"/batches/{batch_id}/retry", headers={"Idempotency-Key": "again"})
        assert answer.status == 200, answer.body
        self._ids["again"] = (answer.json["id"], [ids[2], ids[5]])

    def _read(self, name: str) -> None:
        batch_id, custom_ids = self._ids[name]
        batch = self._azure.until(f"/batches/{batch_id}", lambda batch: batch["status"] in ENDED)
        output, error = (self._azure.lines(batch.get(key)) for key in ("output_file_id", "error_file_id"))
        self._told.ended[name] = Ended(batch=batch, custom_ids=custom_ids, output=output, error=error)

    def _delete_results(self, name: str) -> None:
        """The client has them now."""
        batch = self._told.ended[name].batch
        for key in ("output_file_id", "error_file_id"):
            self._azure("DELETE", f"/files/{batch[key]}")

    def _be_heard(self, endpoint_id: str) -> None:
        """Waits until everything is delivered. Whatever is to be sent again later is asked for now."""
        path = f"/webhook_endpoints/{endpoint_id}"
        while True:
            deliveries = self._openai("GET", f"{path}/deliveries", query="limit=100").json["data"]
            waiting = [each for each in deliveries if each["state"] == "pending"]
            if not waiting:
                return
            if any(each["tries"] for each in waiting):
                self._openai("POST", path, {"name": "now"})
            self._lives.pace()
