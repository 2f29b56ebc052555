"""openai's package for Python in the versions that people have, walks a server of ours. `tests/clients/run.sh` installs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import KEY
from tests.server import Server

HERE = Path(__file__).parent / "python"
NAMES = [line.split()[0] for line in (HERE / "versions.txt").read_text().splitlines()]


@pytest.mark.clients
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [*NAMES, "ours"])
def test_a_version_of_openai_for_python(server: Server, name: str) -> None:
    """Three endpoints, under all three prefixes, and every answer is read as strictly as the version can; ours is the newest."""
    environment = os.environ | {"SLACKWATER_URL": f"http://{server.address}", "SLACKWATER_KEY": KEY}
    if name != "ours":
        installed = HERE / "installed" / name
        assert installed.is_dir(), "tests/clients/run.sh installs it"
        environment["PYTHONPATH"] = str(installed)
    ran = subprocess.run(
        [sys.executable, HERE / "walk.py"], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("openai")
