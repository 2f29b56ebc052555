"""openai's client for Node, in tests/clients/node, walks a server of ours. `tests/clients/run.sh` installs it first."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import KEY
from tests.server import Server


@pytest.mark.clients
@pytest.mark.timeout(600)
def test_openai_for_node(server: Server) -> None:
    """The same walk works with AzureOpenAI, with and without a deployment, and with OpenAI under both of its prefixes."""
    ran = subprocess.run(
        ["node", "--test", "--test-reporter=spec", "walk.test.js"],
        cwd=Path(__file__).parent / "node",
        env=os.environ | {"SLACKWATER_URL": f"http://{server.address}", "SLACKWATER_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    print(ran.stdout)
    failed = ran.returncode
    assert not failed, "see the output of node"
