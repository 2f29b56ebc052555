"""Packages for Python that people run batches with, openai's in several versions: each walks a server of ours with a script
of tests/clients/python. `tests/clients/run.sh` installs them, each into a folder of its own.

gpt-batch-api walks where run.sh found a Python 3.12.

Not here: batchata, which needs Python 3.12, too; batchling, which knows OpenAI by its host name and no other;
OpenaiBatchAPI, which takes no model but gpt-4o.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import KEY
from tests.server import Server

HERE = Path(__file__).parent / "python"
# A name, the script that walks, and the Python or the first package that it needs.
PACKAGES = [line.split()[:3] for line in (HERE / "packages.txt").read_text().splitlines()]


@pytest.mark.clients
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "walk", "needs"), [*PACKAGES, ("ours", "walk_openai.py", "")])
def test_a_package_for_python(server: Server, name: str, walk: str, needs: str) -> None:
    """Upload, create, poll, read the answers as strictly as it can. Ours is the newest of openai's.

    Nobody but our server is asked for anything: see python/loopback.py. Packages that ask others unless they are told not to
    are told here, or in their script.
    """
    environment = os.environ | {"SLACKWATER_URL": f"http://{server.address}", "SLACKWATER_KEY": KEY}
    environment["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    python = sys.executable
    if name != "ours":
        installed = HERE / "installed" / name
        if needs.startswith("python>=") and not installed.is_dir():
            pytest.skip(f"{name} needs {needs}, and tests/clients/run.sh found none; name one with PYTHON312=...")
        assert installed.is_dir(), "tests/clients/run.sh installs it"
        environment["PYTHONPATH"] = str(installed)
        if (own := installed / "python").exists():
            python = own.read_text().strip()
    ran = subprocess.run(
        [python, HERE / "loopback.py", HERE / walk],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
