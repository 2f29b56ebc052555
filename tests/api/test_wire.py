"""Bytes, statuses and headers as the contract has them, and what hostile or broken clients get."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.server import Server

SAMPLES = Path(__file__).parent.parent / "samples"
AZURE = "/openai/files?api-version=2024-10-21"


def call(
    server: Server, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request; status, headers with lower-case names, body."""
    connection = http.client.HTTPConnection(server.address, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def form(*parts: tuple[str, bytes], mark: str = "mark") -> tuple[bytes, dict[str, str]]:
    """A multipart body of parts, each with its whole Content-Disposition."""
    body = b"".join(
        f"--{mark}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + data + b"\r\n"
        for disposition, data in parts
    )
    return body + f"--{mark}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={mark}"}


PURPOSE = ('form-data; name="purpose"', b"batch")
FILE = ('form-data; name="file"; filename="x.jsonl"', b"{}\n")


@pytest.mark.contract("A.3")
def test_missing_api_version_is_the_recorded_404(server: Server) -> None:
    """Byte for byte what Azure answers, for a missing and for an unknown version."""
    recorded = (SAMPLES / "azure" / "error_404_resource_not_found.raw.json").read_bytes()
    assert len(recorded) == 56
    for path in ("/openai/batches", "/openai/batches?api-version=2023-11-01-preview", "/openai/nothing"):
        status, _, body = call(server, "GET", path)
        assert (status, body) == (404, recorded)


@pytest.mark.parametrize("parts", [(PURPOSE, FILE), (FILE, PURPOSE)])
@pytest.mark.contract("A.4", "A.5", "A POST /files")
def test_parts_come_in_either_order(server: Server, parts: Any) -> None:
    """The file may come before the purpose; 201 with a Location and the versions."""
    body, headers = form(*parts)
    status, answered, data = call(server, "POST", AZURE, body, headers)
    file = json.loads(data)
    assert status == 201
    assert answered["location"].endswith(f"/openai/files/{file['id']}?api-version=2024-10-21")
    assert "2024-10-21" in answered["api-supported-versions"]
    assert answered["x-request-id"] == answered["apim-request-id"]
    recorded = json.loads((SAMPLES / "azure" / "file_create.exchange.json").read_text())
    for key, value in recorded["body"].items():
        assert type(file[key]) is type(value), key


@pytest.mark.contract("A.4", "A POST /files")
def test_unquoted_and_encoded_names(server: Server) -> None:
    """.NET writes unquoted parameters and an RFC 5987 name."""
    body, headers = form(
        ("form-data; name=purpose", b"batch"),
        ("form-data; name=file; filename=x.jsonl; filename*=utf-8''%C3%A4.jsonl", b"{}\n"),
    )
    status, _, data = call(server, "POST", AZURE, body, headers)
    assert (status, json.loads(data)["purpose"]) == (201, "batch")


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_after[anchor]": b"created_at", "expires_after[seconds]": b"7200"},
        {"expires_after.anchor": b"created_at", "expires_after.seconds": b"7200"},
        {"expires_after": b'{"anchor":"created_at","seconds":7200}'},
    ],
)
@pytest.mark.contract("A.4", "A POST /files")
def test_expiry_in_every_spelling(server: Server, fields: dict[str, bytes]) -> None:
    """All three encodings of an expiry are read."""
    more = [(f'form-data; name="{name}"', value) for name, value in fields.items()]
    body, headers = form(PURPOSE, *more, FILE)
    status, _, data = call(server, "POST", AZURE, body, headers)
    file = json.loads(data)
    assert (status, file["expires_at"] - file["created_at"]) == (201, 7200)


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ((FILE,), "purpose"),
        ((PURPOSE,), "file"),
        ((('form-data; name="purpose"', b"nonsense"), FILE), "purpose"),
        ((PURPOSE, FILE, FILE), "two files"),
        ((PURPOSE, ('form-data; name="note"', b"x" * 100_000), FILE), "note"),
        ((PURPOSE, ('form-data; name="expires_after[seconds]"', b"5"), FILE), "expires_after"),
    ],
)
def test_wrong_uploads_say_what_to_do(server: Server, parts: Any, word: str) -> None:
    """400, and the message names what is wrong."""
    body, headers = form(*parts)
    status, _, data = call(server, "POST", AZURE, body, headers)
    assert status == 400
    assert word in json.loads(data)["error"]["message"] + str(json.loads(data)["error"]["param"])


def parts_left(server: Server) -> list[Path]:
    """Files of the server's data directory that are not finished."""
    assert server.data is not None
    return list((server.data / "blobs").rglob("*.part"))


def test_an_upload_over_the_limit_is_refused_while_it_comes(server: Server) -> None:
    """400, as both vendors say it, as soon as the limit is passed; nothing of it stays."""
    body, headers = form(PURPOSE, ('form-data; name="file"; filename="x.jsonl"', b"x" * 4_000_000))
    status, _, data = call(server, "POST", AZURE, body, headers)
    assert status == 400
    assert "3,000,000" in json.loads(data)["error"]["message"]
    assert parts_left(server) == []


def test_a_broken_upload_leaves_nothing(server: Server) -> None:
    """The client goes away in the middle: no file, no bytes."""
    before = json.loads(call(server, "GET", AZURE)[2])["data"]
    body, headers = form(PURPOSE, ('form-data; name="file"; filename="x.jsonl"', b"x" * 2_000_000))
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST {AZURE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(head.encode() + b"\r\n" + body[:1_500_000])
    body, headers = form(PURPOSE, FILE)
    while parts_left(server):
        # The server notices when it reads; another call is something to wait for.
        call(server, "GET", "/healthz")
    assert json.loads(call(server, "GET", AZURE)[2])["data"] == before


def test_a_body_without_its_end_is_refused(server: Server) -> None:
    """A multipart body whose last boundary is missing is an upload that was cut."""
    body, headers = form(PURPOSE, FILE)
    status, _, data = call(server, "POST", AZURE, body[:-12], headers)
    assert (status, "again" in json.loads(data)["error"]["message"]) == (400, True)


def test_a_file_name_cannot_break_a_header(server: Server) -> None:
    """Quotes and line breaks in a name end neither the quotes nor the header."""
    body, headers = form(PURPOSE, ("form-data; name=\"file\"; filename*=UTF-8''a%22%0D%0AEvil%3A%201.jsonl", b"{}\n"))
    _, _, data = call(server, "POST", AZURE, body, headers)
    file_id = json.loads(data)["id"]
    status, answered, content = call(server, "GET", f"/openai/files/{file_id}/content?api-version=2024-10-21")
    assert (status, content) == (200, b"{}\n")
    assert "evil" not in answered
    assert answered["content-type"] == "application/octet-stream"
    assert answered["content-length"] == "3"


def test_ranges(server: Server) -> None:
    """A single range is honoured, and one beyond the end is told so."""
    body, headers = form(PURPOSE, ('form-data; name="file"; filename="x.jsonl"', b"0123456789"))
    file_id = json.loads(call(server, "POST", AZURE, body, headers)[2])["id"]
    path = f"/openai/files/{file_id}/content?api-version=2024-10-21"
    for given, status, content in (
        ("bytes=2-4", 206, b"234"),
        ("bytes=-3", 206, b"789"),
        ("bytes=8-", 206, b"89"),
        ("bytes=20-", 416, b""),
        ("lines=1-2", 200, b"0123456789"),
    ):
        assert call(server, "GET", path, headers={"Range": given})[::2] == (status, content)


@pytest.mark.contract("A.1")
def test_a_slash_at_the_end_means_nothing(server: Server) -> None:
    """No redirect, the same answer."""
    for path in ("/openai/files/?api-version=2024-10-21", "/v1/files/", "/openai/v1/batches/"):
        status, _, _ = call(server, "GET", path)
        assert status == 200


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input_file_id": None}, "input_file_id"),
        ({"input_file_id": "file-nobody"}, "input_file_id"),
        ({"input_file_id": 5}, "input_file_id"),
        ({"endpoint": "/assistants"}, "endpoint"),
        ({"completion_window": "48h"}, "completion_window"),
        ({"metadata": "text"}, "metadata"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds"),
    ],
)
@pytest.mark.parametrize("family", ["/v1", "/openai/v1"])
@pytest.mark.contract("VO POST /batches")
def test_create_names_the_wrong_parameter(server: Server, family: str, change: dict[str, Any], param: str) -> None:
    """Every wrong parameter of create is named at once, in an envelope with all four keys."""
    body = {"input_file_id": "x", "endpoint": "/v1/chat/completions", "completion_window": "24h"} | change
    status, _, data = call(server, "POST", f"{family}/batches", json.dumps(body).encode())
    error = json.loads(data)["error"]
    assert status in (400, 404)
    assert error["param"] == param
    assert set(error) == {"code", "message", "type", "param"}


def test_json_bodies_are_bounded_and_checked(server: Server) -> None:
    """No JSON, not an object, or far too much of it."""
    for body, status in ((b"{", 400), (b"[1]", 400), (b" " * (2 << 20), 413)):
        assert call(server, "POST", "/v1/batches", body)[0] == status


@pytest.mark.contract("A.1", "A POST /deployments/{deployment}/batches")
def test_the_alias_of_openai_node(server: Server) -> None:
    """POST /openai/deployments/{deployment}/batches creates a batch."""
    body, headers = form(PURPOSE, FILE)
    file_id = json.loads(call(server, "POST", AZURE, body, headers)[2])["id"]
    order = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    path = "/openai/deployments/demo-batch/batches?api-version=2024-10-21"
    status, _, data = call(server, "POST", path, json.dumps(order).encode())
    assert (status, json.loads(data)["endpoint"]) == (200, "/chat/completions")


def test_a_batch_has_every_key_of_both_vendors(server: Server) -> None:
    """The recorded batch objects' keys are all there."""
    body, headers = form(PURPOSE, FILE)
    file_id = json.loads(call(server, "POST", AZURE, body, headers)[2])["id"]
    order = {"input_file_id": file_id, "endpoint": "/chat/completions", "completion_window": "24h"}
    path = "/openai/batches?api-version=2024-10-21"
    status, _, data = call(server, "POST", path, json.dumps(order).encode(), {"x-ms-client-request-id": "mine"})
    batch = json.loads(data)
    for sample in ("azure/batch_create.exchange.json", "openai/batch_create.exchange.json"):
        recorded = json.loads((SAMPLES / sample).read_text())["body"]
        assert set(recorded) <= set(batch), sample
    assert status == 200
