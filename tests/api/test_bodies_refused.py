"""Bodies that are refused before they are read, keys that are refused, and what is told of both."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.calls import FAMILIES, Caller, chat
from tests.api.conftest import CONFIG
from tests.server import Server

LINE = b'{"custom_id": "a"}\n'


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has a key."""
    scratch: Path = tmp_path_factory.mktemp("locked")
    (scratch / "slackwater.toml").write_text('[server]\napi_key_envs = ["OURS"]\n' + CONFIG)
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log", {"OURS": "the-key"})
    yield server
    server.kill()


def send(server: Server, head: str) -> tuple[int, bytes]:
    """The status and the body of the answer to a head whose body never comes."""
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode())
        answer = bytearray()
        while piece := connection.recv(1 << 16):
            answer += piece
    head_lines, _, body = bytes(answer).partition(b"\r\n\r\n")
    return int(head_lines.split()[1]), body


def post(path: str, length: int, kind: str, *more: str) -> str:
    """The head of a call that waits to be told to go on."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "api-key: any",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        "Expect: 100-continue",
        *more,
    ]
    return "\n".join(lines) + "\n\n"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_body_that_is_announced_too_large(server: Server, family: str) -> None:
    """It is refused in the words for one that is too large, and nobody is told to send it."""
    prefix, query = FAMILIES[family]
    status, body = send(server, post(f"{prefix}/batches{query}", 2_000_000, "application/json"))
    assert (status, "1,048,576 bytes" in json.loads(body)["error"]["message"]) == (413, True)
    form = "multipart/form-data; boundary=b"
    status, body = send(server, post(f"{prefix}/files{query}", 50_000_000, form))
    # OpenAI answers 400 to a file that is too large; see the notes on compatibility.
    assert (status, "3,000,000 bytes" in json.loads(body)["error"]["message"]) == (400, True)


def test_a_part_that_is_announced_too_large(server: Server) -> None:
    """The same for a part of an upload."""
    caller = Caller(server, "openai")
    announced = {"filename": "in.jsonl", "purpose": "batch", "bytes": 10, "mime_type": "application/jsonl"}
    upload = caller("POST", "/uploads", announced).json["id"]
    status, body = send(server, post(f"/v1/uploads/{upload}/parts", 100_000_000, "multipart/form-data; boundary=b"))
    assert (status, "64 MiB" in json.loads(body)["error"]["message"]) == (400, True)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_compressed_body(server: Server, family: str) -> None:
    """It would be kept as it came, and no line of it could be read: 415, before it comes."""
    prefix, query = FAMILIES[family]
    for path, kind in (("/files", "multipart/form-data; boundary=b"), ("/batches", "application/json")):
        status, body = send(server, post(f"{prefix}{path}{query}", 100, kind, "Content-Encoding: gzip"))
        assert (status, "Content-Encoding" in json.loads(body)["error"]["message"]) == (415, True)


def test_a_range_of_what_may_have_changed(server: Server) -> None:
    """`If-Range` with a version that is not ours gets the whole (RFC 9110, section 13.1.5)."""
    caller = Caller(server, "openai")
    file_id = caller.upload(LINE * 9, purpose="user_data").json["id"]
    path = f"/files/{file_id}/content"
    assert caller("GET", path, headers={"Range": "bytes=1-2"}).status == 206
    for version in ('"abc"', "Sat, 28 Nov 2026 10:00:00 GMT"):
        answer = caller("GET", path, headers={"Range": "bytes=1-2", "If-Range": version})
        assert (answer.status, answer.body) == (200, LINE * 9)


def test_wrong_keys_are_counted_and_told_and_good_ones_go_on(locked: Server) -> None:
    """One line of the log for all of them; whoever has a good key is answered, also from the same address."""
    wrong, good = Caller(locked, "openai", key="wrong"), Caller(locked, "openai", key="the-key")
    for _ in range(22):
        assert wrong("GET", "/files").status == 401
        assert good("GET", "/files").status == 200
    assert Caller(locked, "openai", key=None)("GET", "/files").status == 401
    page = Caller(locked, "", key="the-key")("GET", "/metrics").body
    assert b"slackwater_http_keys_refused_total 22.0" in page
    log = (locked.data.parent / "server.log").read_text()
    assert log.count("keys_refused") == 1
    assert "last_from=127.0.0.1" in log


def test_few_descriptors_are_enough(tmp_path: Path) -> None:
    """A crowd that wants all descriptors gets a quarter of them: newcomers are answered, and a batch goes on to its end."""
    limit = 160
    (tmp_path / "slackwater.toml").write_text(CONFIG)
    server = Server(
        tmp_path / "slackwater.toml",
        tmp_path / "data",
        tmp_path / "server.log",
        module=("tests.api.few_descriptors", str(limit)),
    )
    try:
        host, _, port = server.address.rpartition(":")
        crowd = [socket.create_connection((host, int(port)), timeout=20) for _ in range(400)]
        caller = Caller(server, "openai")
        created = caller.create(chat(50))
        assert created.status == 200, created
        assert caller.ended(created.json["id"])["status"] == "completed"
        assert len(os.listdir(f"/proc/{server.process.pid}/fd")) < limit * 3 // 4
        for connection in crowd:
            connection.close()
    finally:
        server.kill()
