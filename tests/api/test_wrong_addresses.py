"""Clients that were set up wrongly: Azure's words on the wire, and in the log what would have been right."""

import http.client
from pathlib import Path

import pytest

from tests.api.conftest import CONFIG
from tests.server import Server


@pytest.mark.parametrize(
    ("path", "event", "right"),
    [
        ("/files?limit=1", "prefix_missing", "path=/files right=/v1/files"),
        ("/batches/batch_1", "prefix_missing", "right=/v1/batches/batch_1"),
        ("/openai/files?api-version=2023-01-01", "api_version_unknown", "given=2023-01-01 right=api-version=20"),
        ("/openai/files", "api_version_unknown", "given=none right=api-version=20"),
    ],
)
def test_what_would_have_been_right(tmp_path: Path, path: str, event: str, right: str) -> None:
    """One line for many calls, and the bare 404 that Azure answers."""
    (tmp_path / "slackwater.toml").write_text(CONFIG)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    try:
        for _ in range(3):
            status, body = server_answer(server, path)
            assert (status, body) == (404, b'{"error":{"code":"404","message": "Resource not found"}}')
        assert server_answer(server, "/nothing%0Aof_ours")[0] == 404
    finally:
        server.kill()
    log = (tmp_path / "server.log").read_text()
    assert log.count(event) == 1
    assert right in log
    assert "of_ours" not in log


def server_answer(server: Server, path: str) -> tuple[int, bytes]:
    """Of a GET."""
    connection = http.client.HTTPConnection(server.address, timeout=30)
    try:
        connection.request("GET", path, headers={"api-key": "any"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
