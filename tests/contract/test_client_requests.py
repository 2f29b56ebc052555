"""Requests as real clients were seen to send them, sent again: target, headers and body as captured, with ids of ours."""

import json
from typing import Any

import pytest

from tests.contract.exchange import Answer, House, call, form
from tests.contract.samples import sample
from tests.server import Server

CAPTURED: list[dict[str, Any]] = sample("wire/client_requests.json")
NOT_SENT = {
    "chat.completions.create": "Online inference is not offered; the request shows how the client rewrites its path.",
}


@pytest.mark.parametrize(
    "captured", [each for each in CAPTURED if each["call"] not in NOT_SENT], ids=lambda c: c["call"]
)
@pytest.mark.contract(
    "A.4", "AV POST /files", "A POST /batches", "A POST /deployments/{deployment}/batches", "A GET /models"
)
def test_captured_requests_succeed(captured: dict[str, Any], server: Server) -> None:
    """What a client sends is answered with success, whatever it says it accepts."""
    for answer in send(server, captured):
        assert answer.status in (200, 201), answer
        if "content" in captured["call"]:
            assert answer.headers["content-type"] == "application/octet-stream"


def send(server: Server, captured: dict[str, Any]) -> list[Answer]:
    """The captured request; for those that stand for several, each of them."""
    house = House(server, "A")
    file_id = house.file(house.chat(1))
    batch_id = house.begin(house.chat(1, model="slow"))["id"]
    headers = {"api-key": "K"} | captured.get("headers", {})
    target = captured.get("target", "/openai/files?api-version=2024-10-21")
    target = target.replace("batch_1", batch_id).replace("file-1", file_id).replace("after=x", f"after={batch_id}")
    target = target.replace("{deployment}", "quick").replace("api-version=...", "api-version=2024-10-21")
    order = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    if captured["call"].startswith("files.create / "):
        # The whole of Azure v1, without a version.
        upload, create = form(*parts(captured)), json.dumps(order).encode()
        return [
            call(server, "POST", "/openai/v1/files", upload[0], headers | upload[1]),
            call(server, "POST", "/openai/v1/batches", create, headers | {"content-type": "application/json"}),
        ]
    if captured["call"] in ("files.create", "files upload"):
        body, content_type = form(*parts(captured))
        headers = {name: value for name, value in headers.items() if name != "content-type"} | content_type
    elif captured["call"] == "files content":
        return [call(server, "GET", f"/openai/files/{file_id}/content?api-version=2024-10-21", None, headers)]
    elif "batches.create" in captured["call"]:
        given = captured["body"].replace('"f"', json.dumps(file_id)) if "body" in captured else json.dumps(order)
        body = given.encode()
    else:
        body = captured.get("body", "").encode()
    return [call(server, captured.get("method", "GET"), target, body or None, headers)]


def parts(captured: dict[str, Any]) -> list[tuple[str, bytes]]:
    """The parts of an upload, in the client's order and spelling."""
    if "unquoted" in captured.get("note", ""):
        return [
            ("form-data; name=file; filename=x.jsonl; filename*=utf-8''x.jsonl", b"{}\n"),
            ("form-data; name=purpose", b"batch"),
        ]
    values = {"purpose": b"batch", "expires_after[anchor]": b"created_at", "expires_after[seconds]": b"1209600"}
    return [
        ('form-data; name="file"; filename="x.jsonl"', b"{}\n")
        if name.startswith("file ")
        else (f'form-data; name="{name}"', values[name])
        for name in captured.get("multipart_order", ["purpose", "file (filename)"])
    ]
