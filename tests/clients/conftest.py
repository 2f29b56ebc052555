"""A server for the clients that are not our own openai package: two deployments, one key, room for a file of 200 MB."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server

# Packages bring tests of their own along.
collect_ignore = ["python/installed"]
KEY = "key-of-the-other-clients"
CONFIG = """
[server]
api_key_envs = ["SLACKWATER_TEST_KEY"]
[limits]
upload_bytes = 210000000
[[deployments]]
name = "demo-batch"
[[deployments.backends]]
echo = { latency_seconds = 0.02 }
concurrency = 8
[[deployments]]
name = "meta-llama/Llama-3.1-8B"
endpoints = ["chat/completions", "completions", "embeddings", "responses", "moderations", "images/generations", "videos"]
[[deployments.backends]]
echo = {}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server per module of tests."""
    scratch: Path = tmp_path_factory.mktemp("clients")
    (scratch / "slackwater.toml").write_text(CONFIG)
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log", {"SLACKWATER_TEST_KEY": KEY})
    yield server
    server.kill()


def input_lines(count: int) -> str:
    """Chat requests, written as the Azure documentation writes them."""
    body = {"model": "demo-batch", "messages": [{"role": "user", "content": "When does the tide turn?"}]}
    rows = [
        {"custom_id": f"task-{number}", "method": "POST", "url": "/chat/completions", "body": body}
        for number in range(count)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)
