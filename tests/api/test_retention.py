"""For how long things are kept, as users see it before anything goes: in files, in the progress of batches, on the screen."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.api.calls import FAMILIES, Caller, chat
from tests.api.conftest import CONFIG
from tests.server import Server

DAY = 86_400
KEEPING = """
[retention]
batches_days = 20
inputs_days = 10
[[resources]]
name = "archive"
hosts = ["archive.test"]
keep_batches_days = 0
keep_inputs_days = 0
[[deployments]]
name = "demo-batch"
resource = "archive"
[[deployments.backends]]
echo = {}
"""


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that keeps most things for some days."""
    scratch: Path = tmp_path_factory.mktemp("retention")
    (scratch / "slackwater.toml").write_text(KEEPING + CONFIG)
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log")
    yield server
    server.kill()


def about(moment: object, days: int) -> bool:
    """Whether that is in so many days."""
    return isinstance(moment, int) and abs(moment - time.time() - days * DAY) < 120


@pytest.mark.parametrize("family", FAMILIES)
def test_everybody_is_told_before_anything_goes(keeping: Server, family: str) -> None:
    """Files say it where the contract has a field for it, batches beside the vendors' object."""
    call = Caller(keeping, family)
    batch = call.ended(call.create(chat(1)).json["id"])
    files = {each["id"]: each for each in call("GET", "/files").json["data"]}
    assert about(files[batch["input_file_id"]]["expires_at"], 10)
    assert about(files[batch["output_file_id"]]["expires_at"], 20)
    assert about(call("GET", f"/files/{batch['output_file_id']}").json["expires_at"], 20)
    progress = Caller(keeping, "openai")("GET", f"/batches/{batch['id']}/progress").json
    assert about(progress["kept_until"], 20)


def test_a_users_own_end_comes_first(keeping: Server) -> None:
    """Whichever is sooner."""
    client = openai.OpenAI(base_url=f"http://{keeping.address}/v1", api_key="any")
    for days, found in ((2, 2), (29, 10)):
        made = client.files.create(
            file=("in.jsonl", chat(1)), purpose="batch", expires_after={"anchor": "created_at", "seconds": days * DAY}
        )
        assert about(made.expires_at, found)


def test_a_resource_that_keeps_everything(keeping: Server) -> None:
    """It has rules of its own, and says nothing of an end."""
    call = Caller(keeping, "azure", host="archive.test")
    batch = call.ended(call.create(chat(1)).json["id"])
    assert {file.get("expires_at") for file in call("GET", "/files").json["data"]} == {None}
    progress = Caller(keeping, "openai", host="archive.test")("GET", f"/batches/{batch['id']}/progress")
    assert progress.json["kept_until"] is None


def test_the_command_line_says_it(keeping: Server) -> None:
    """`batches show` of one that has ended."""
    call = Caller(keeping, "openai")
    batch = call.ended(call.create(chat(1)).json["id"])
    shown = subprocess.run(
        [sys.executable, "-m", "slackwater", "batches", "show", batch["id"], "--server", f"http://{keeping.address}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    year = time.strftime("%Y", time.localtime(time.time() + 20 * DAY))
    (line,) = [line for line in shown.stdout.splitlines() if line.lstrip().startswith("kept until")]
    assert year in line
