"""A server with a metrics page at an address of its own: one backend that answers, one that never does, one that is not there."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server

CONFIG = """
[metrics]
listen = "127.0.0.1:{port}"
[[deployments]]
name = "demo-batch"
enqueued_token_limit = 100000
[[deployments.backends]]
echo = {{ error_rate = 0.1 }}
concurrency = 8
[[deployments]]
name = "stuck-batch"
[[deployments.backends]]
echo = {{ hang_rate = 1.0 }}
concurrency = 2
[[deployments]]
name = "lost-batch"
[[deployments.backends]]
url = "http://127.0.0.1:9/v1?code=KEY-IN-A-QUERY"
concurrency = 4
"""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server, and where its page is."""
    scratch: Path = tmp_path_factory.mktemp("metrics")
    port = free_port()
    (scratch / "slackwater.toml").write_text(CONFIG.format(port=port))
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log")
    yield server, f"http://127.0.0.1:{port}/metrics"
    server.kill()
