"""Servers for the tests of the contract: deployments of every temper, behind the doors of all three families."""

from collections.abc import Iterator

import pytest

from tests.contract.exchange import House, chat
from tests.contract.recorded_backend import RecordedBackend
from tests.contract.samples import sample, sample_lines
from tests.server import Server

CONFIG = """
[limits]
upload_bytes = 3000000
[imports]
enabled = true
hosts = ["IMPORTS"]
allow_http = true
allow_private_addresses = true
[[storage]]
url = "file://STORAGE"
[[deployments]]
name = "quick"
enqueued_token_limit = 24487000
[[deployments.backends]]
echo = {}
concurrency = 8
[[deployments]]
name = "slow"
[[deployments.backends]]
echo = { latency_seconds = 0.2 }
concurrency = 2
[[deployments]]
name = "stuck"
[[deployments.backends]]
echo = { hang_rate = 1.0 }
concurrency = 2
[[deployments]]
name = "small"
enqueued_token_limit = 30000
[[deployments.backends]]
echo = { hang_rate = 1.0 }
[[deployments]]
name = "recorded"
[[deployments.backends]]
url = "RECORDED/v1"
attempts = 1
"""


@pytest.fixture(scope="module")
def recorded_backend() -> Iterator[RecordedBackend]:
    """Answers with what was recorded: ask for the name of a sample, and its number where it has several lines."""
    answers = {
        f"{name} {number}": (line["response"]["status_code"], line["response"]["body"])
        for name in ("azure/output_chat", "azure/output_responses", "openai/output_ok", "openai/error_line_http_400")
        for number, line in enumerate(sample_lines(f"{name}.jsonl"))
    }
    filtered = sample("azure/error_400_content_filter.json")
    answers["azure/error_400_content_filter"] = (filtered["status"], filtered["body"])
    with RecordedBackend(answers, {"/import.jsonl": chat(2)}) as backend:
        yield backend


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, recorded_backend: RecordedBackend) -> Iterator[Server]:
    """One server per module of tests."""
    scratch = tmp_path_factory.mktemp("contract")
    host = recorded_backend.host
    (scratch / "slackwater.toml").write_text(
        CONFIG.replace("RECORDED", host)
        .replace("IMPORTS", host.removeprefix("http://"))
        .replace("STORAGE", str(scratch))
    )
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log")
    yield server
    server.kill()


@pytest.fixture
def azure(server: Server) -> House:
    """Azure with dated versions."""
    return House(server, "A")


@pytest.fixture
def plain(server: Server) -> House:
    """OpenAI."""
    return House(server, "O")


@pytest.fixture(params=["A", "V", "O"])
def house(server: Server, request: pytest.FixtureRequest) -> House:
    """Each family in turn."""
    return House(server, request.param)
