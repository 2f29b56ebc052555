"""The lines of docs/curl.md, run by the real curl in the order in which they stand there, as somebody would type them."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import KEY, input_lines
from tests.server import Server

PAGE = Path(__file__).parents[2] / "docs" / "curl.md"
SECTION = re.compile(r"^## (?P<title>.+?)$.*?^```sh\n(?P<lines>.+?)^```$", re.MULTILINE | re.DOTALL)


class Shell:
    """Somebody with the page open, in a directory with the input file, who fills in ids as the page says."""

    def __init__(self, server: Server, directory: Path) -> None:
        self._page = PAGE.read_text("utf-8")
        self._sections = {match["title"]: match["lines"] for match in SECTION.finditer(self._page)}
        self.untried = set(self._sections)
        self._directory = directory
        self._variables = {"AZURE_OPENAI_ENDPOINT": f"http://{server.address}", "AZURE_OPENAI_API_KEY": KEY}

    def types(self, title: str) -> str:
        """Runs the lines of a section; returns what they print."""
        self.untried.discard(title)
        # What curl says about its progress and its own errors goes to the other stream.
        ran = subprocess.run(
            ["bash", "-euc", self._sections[title]],
            cwd=self._directory,
            env=os.environ | self._variables,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def reads(self, title: str) -> Any:
        """The JSON that the lines of a section print."""
        return json.loads(self.types(title))

    def notes(self, name: str, value: str) -> None:
        """Puts an id of an answer into the variable that the page names."""
        assert f"the `{name}` of the next" in self._page
        self._variables[name] = value


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    """A shell in an empty directory."""
    if shutil.which("curl") is None:
        pytest.fail("curl is missing; install it (apt-get install curl) and run the tests again")
    return Shell(server, tmp_path)


def completes(shell: Shell) -> Any:
    """Creates a batch and asks for it until it has completed."""
    batch = shell.reads("Create the batch")
    shell.notes("BATCH_ID", batch["id"])
    deadline = time.monotonic() + 30
    while (batch := shell.reads("Get the batch"))["status"] != "completed":
        assert time.monotonic() < deadline, batch
    return batch


@pytest.mark.contract("A POST /files", "A POST /batches", "A GET /batches")
def test_the_page_from_top_to_bottom(shell: Shell, tmp_path: Path) -> None:
    """Every line of docs/curl.md does what the page says, and none is left untried."""
    (tmp_path / "test.jsonl").write_text(input_lines(3))
    file = shell.reads("Upload the input file")
    assert (file["status"], file["purpose"], file["filename"]) == ("processed", "batch", "test.jsonl")
    shell.notes("FILE_ID", file["id"])
    assert shell.reads("Get the file") == file

    batch = completes(shell)
    assert (batch["object"], batch["input_file_id"], batch["endpoint"]) == ("batch", file["id"], "/chat/completions")
    assert batch["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    shell.notes("OUTPUT_FILE_ID", batch["output_file_id"])
    assert shell.types("Download the results") == ""
    answers = [json.loads(line) for line in (tmp_path / "batch_output.jsonl").read_text().splitlines()]
    assert sorted(answer["custom_id"] for answer in answers) == ["task-0", "task-1", "task-2"]
    second = completes(shell)

    (tmp_path / "test.jsonl").write_text(input_lines(5_000))
    long = shell.reads("Upload the input file")
    shell.notes("FILE_ID", long["id"])
    third = shell.reads("Create the batch")
    shell.notes("BATCH_ID", third["id"])
    assert shell.reads("Cancel a batch")["status"] in ("cancelling", "cancelled")

    page = shell.reads("List the batches")
    assert [item["id"] for item in page["data"]] == [third["id"], second["id"], batch["id"]]
    assert (page["object"], page["has_more"], page["last_id"]) == ("list", False, batch["id"])
    assert shell.reads("Delete a file") == {"object": "file", "deleted": True, "id": long["id"]}

    chosen = shell.reads("List some of the batches, in another order")
    assert [item["id"] for item in chosen["data"]] == [batch["id"], second["id"]]
    assert not shell.untried


def test_a_wrong_key(server: Server) -> None:
    """curl shows Azure's own words for it, in Azure's envelope."""
    ran = subprocess.run(
        ["curl", "-s", f"http://{server.address}/openai/batches?api-version=2024-10-21", "-H", "api-key: wrong"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    error = json.loads(ran.stdout)["error"]
    assert error["code"] == "401"
    assert error["message"].startswith("Access denied due to invalid subscription key")


def test_a_forgotten_api_version(server: Server) -> None:
    """Azure's 404 for it, byte for byte (spec 1.3)."""
    ran = subprocess.run(
        ["curl", "-s", f"http://{server.address}/openai/batches", "-H", f"api-key: {KEY}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout == '{"error":{"code":"404","message": "Resource not found"}}'
