"""A real server with a key, and the command line as a person types it: a process of its own, in an empty directory."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.server import Server

KEY = "a-key-of-the-tests"
CONFIG = """
[server]
api_key_envs = ["SERVICE_KEY"]
[[storage]]
url = "file://STORAGE"
[[prices]]
model = "*"
input = "2.50"
output = "10.00"
[[deployments]]
name = "demo-batch"
[[deployments.backends]]
echo = {}
[[deployments]]
name = "slow-batch"
[[deployments.backends]]
echo = { latency_seconds = 0.2 }
concurrency = 2
[[deployments]]
name = "failing-batch"
[[deployments.backends]]
echo = { refusal_rate = 1.0 }
attempts = 1
[[deployments]]
name = "stuck-batch"
[[deployments.backends]]
echo = { hang_rate = 1.0 }
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of the command line."""
    scratch: Path = tmp_path_factory.mktemp("cli")
    (scratch / "slackwater.toml").write_text(CONFIG.replace("STORAGE", str(scratch)))
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log", {"SERVICE_KEY": KEY})
    yield server
    server.kill()


class Terminal:
    """Somebody in a directory of their own. What the machine's own user has set is not seen."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.directory = directory
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLACKWATER", "NO_COLOR"))}
        self.environment = kept | {"HOME": str(directory / "home"), "XDG_CONFIG_HOME": ""} | dict(environment)

    def command(self, *words: str) -> list[str]:
        """The command line as a process."""
        return [sys.executable, "-m", "slackwater", *words]

    def __call__(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Types a command and waits for its end."""
        return subprocess.run(
            self.command(*words),
            cwd=self.directory,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=90,
        )

    def well(self, *words: str, **environment: str) -> str:
        """Types a command that must go well; returns what it prints."""
        done = self(*words, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()


@pytest.fixture
def offline(tmp_path: Path) -> Terminal:
    """A terminal that knows of no server."""
    return Terminal(tmp_path, {})


@pytest.fixture
def terminal(server: Server, tmp_path: Path) -> Terminal:
    """A terminal that knows where the server is, and the key."""
    return Terminal(tmp_path, {"SLACKWATER_URL": f"http://{server.address}", "SLACKWATER_API_KEY": KEY})
