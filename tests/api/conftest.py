"""A server of the real thing for the tests of its API: the built-in backend, one deployment, a port of its own."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.server import Server

CONFIG = """
[limits]
upload_bytes = 3000000
[[deployments]]
name = "demo-batch"
enqueued_token_limit = 100000
[[deployments.backends]]
echo = {}
concurrency = 8
[[deployments]]
name = "slow-batch"
[[deployments.backends]]
echo = { latency_seconds = 0.2 }
concurrency = 2
[[deployments]]
name = "stuck-batch"
[[deployments.backends]]
echo = { hang_rate = 1.0 }
concurrency = 2
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server per module of tests."""
    scratch: Path = tmp_path_factory.mktemp("api")
    (scratch / "slackwater.toml").write_text(CONFIG)
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log")
    yield server
    server.kill()


@pytest.fixture
def azure(server: Server) -> openai.AzureOpenAI:
    """The client that the seed uses."""
    return openai.AzureOpenAI(
        azure_endpoint=f"http://{server.address}", api_key="any", api_version="2024-10-21", max_retries=0
    )


@pytest.fixture(params=["/v1", "/openai/v1"])
def plain(server: Server, request: pytest.FixtureRequest) -> openai.OpenAI:
    """OpenAI's client against both families that it can speak to."""
    return openai.OpenAI(base_url=f"http://{server.address}{request.param}", api_key="any", max_retries=0)
