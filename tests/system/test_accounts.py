"""`slackwater usage` and `slackwater audit export`: what an operator reads from a data directory."""

import asyncio
import csv
import io
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.ports import AuditEntry
from tests.api.calls import Caller, chat
from tests.server import Server

CONFIG = """
[[prices]]
model = "*"
input = "2"
output = "8"
[[resources]]
name = "tides"
hosts = ["tides.test"]
[[deployments]]
name = "demo-batch"
[[deployments.backends]]
echo = {}
[[deployments]]
name = "demo-batch"
resource = "tides"
[[deployments.backends]]
echo = {}
"""


def slackwater(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Runs the command."""
    return subprocess.run(
        [sys.executable, "-m", "slackwater", *map(str, arguments)], capture_output=True, timeout=60, check=False
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with two resources, each with a deployment of the same name."""
    (tmp_path / "slackwater.toml").write_text(CONFIG)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    yield server
    server.kill()


def work(server: Server, host: str | None, count: int) -> None:
    """A batch of so many lines for the resource behind that host name, done."""
    call = Caller(server, "openai", host=host)
    call.ended(call.create(chat(count)).json["id"])


def table(output: bytes) -> list[dict[str, str]]:
    """CSV, read."""
    return list(csv.DictReader(io.StringIO(output.decode(), newline="")))


def test_usage_of_every_resource(server: Server, tmp_path: Path) -> None:
    """While the server runs and after it, as CSV and as JSON lines; each resource sees its own through the API."""
    work(server, None, 3)
    work(server, "tides.test", 2)
    (mine,) = Caller(server, "openai", host="tides.test")("GET", "/usage").json["data"]
    assert (mine["deployment"], mine["requests"]) == ("demo-batch", 2)
    for stop in (False, True):
        if stop:
            assert server.terminate() == 0
        answer = slackwater("usage", "--data", tmp_path / "data")
        assert answer.returncode == 0, answer.stderr
        rows = {row["resource"]: row for row in table(answer.stdout)}
        assert {name: (row["deployment"], row["requests"]) for name, row in rows.items()} == {
            "default": ("demo-batch", "3"),
            "tides": ("tides/demo-batch", "2"),
        }
        assert rows["tides"]["cost"] == mine["cost"]
        answer = slackwater("usage", "--data", tmp_path / "data", "--group-by", "resource", "--format", "jsonl")
        assert [json.loads(line)["requests"] for line in answer.stdout.splitlines()] == [3, 2]
    answer = slackwater("usage", "--data", tmp_path / "data", "--end", "2025-01-31")
    assert answer.stdout.startswith(b"resource,day,")
    assert table(answer.stdout) == []


def test_export_of_the_audit_log(server: Server, tmp_path: Path) -> None:
    """Every entry of every resource, once; later exports go on where an earlier one ended."""
    work(server, None, 1)
    work(server, "tides.test", 1)
    answer = slackwater("audit", "export", "--data", tmp_path / "data")
    assert answer.returncode == 0, answer.stderr
    entries = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [(entry["resource"], entry["action"]) for entry in entries] == [
        ("default", "upload_file"),
        ("default", "create_batch"),
        ("tides", "upload_file"),
        ("tides", "create_batch"),
    ]
    seen = Caller(server, "openai", host="tides.test")("GET", "/audit").json["data"]
    assert [entry["target"] for entry in seen] == [entry["object"] for entry in entries[2:]]
    target = tmp_path / "rest.csv"
    asked = ["--data", tmp_path / "data", "--after", str(entries[1]["seq"]), "--format", "csv", "-o", target]
    assert slackwater("audit", "export", *asked, "--since", "2025-01-01").returncode == 0
    rest = table(target.read_bytes())
    assert [row["object"] for row in rest] == [entry["object"] for entry in entries[2:]]
    assert json.loads(rest[0]["detail"]) == entries[2]["detail"]
    only = slackwater("audit", "export", "--data", tmp_path / "data", "--resource", "tides").stdout
    assert len(only.splitlines()) == 2
    assert slackwater("audit", "export", "--data", tmp_path / "data", "--until", "2025-01-01").stdout == b""


def test_keys_of_the_command_line_are_in_the_audit_log(server: Server, tmp_path: Path) -> None:
    """In the words of the API, by `command line`, in the resource that they are of; what changed nothing is not there."""
    call = Caller(server, "openai", host="tides.test")
    call.key = call("POST", "/keys", {"role": "admin"}).json["data"][0]["value"]
    call("POST", "/keys", {"role": "user"})
    call("POST", "/keys/user/rotate", {"key": "key2"})
    call("DELETE", "/keys/user")
    assert server.terminate() == 0
    where = ("--data", tmp_path / "data", "--resource", "tides", "--role")
    made = slackwater("keys", "create", *where, "user")
    rotated = slackwater("keys", "rotate", *where, "user", "--key", "key2")
    assert slackwater("keys", "delete", *where, "user").returncode == 0
    assert slackwater("keys", "delete", *where, "user").returncode == 1
    assert slackwater("keys", "rotate", *where, "user", "--key", "key2").returncode == 2
    assert slackwater("keys", "list", "--data", tmp_path / "data").returncode == 0
    answer = slackwater("audit", "export", "--data", tmp_path / "data", "--resource", "tides")
    entries = [json.loads(line) for line in answer.stdout.splitlines()][1:]
    of_the_api, of_ours = entries[:3], entries[3:]
    for entry in of_the_api:
        del entry["detail"]["status"]
    words = [(entry["action"], entry["object"], entry["detail"]) for entry in of_the_api]
    assert [(entry["action"], entry["object"], entry["detail"]) for entry in of_ours] == words
    assert words[1] == ("rotate_key", "user", {"key": "key2"})
    assert {(entry["who"], entry["request_id"]) for entry in of_ours} == {("command line", "")}
    keys = [line.split()[1] for line in (made.stdout + rotated.stdout).splitlines()]
    assert len(keys) == 3
    assert not any(key in answer.stdout for key in keys)


@pytest.mark.parametrize(("section", "left"), [("", ["o2"]), ("[audit]\nkeep_days = 0\n", ["o1", "o2"])])
def test_what_the_audit_log_keeps(tmp_path: Path, section: str, left: list[str]) -> None:
    """400 days where nothing is said; with 0, everything. What went is gone from the API and from exports."""
    now = int(time.time())

    async def write() -> None:
        ledger = SqlLedger.open(tmp_path / "data" / "ledger.sqlite")
        for name, at in (("o1", now - 401 * 86_400), ("o2", now - 399 * 86_400)):
            entry = AuditEntry(at=at, resource="default", who="w", action="a", object=name, detail={}, request_id="i")
            await ledger.add_audit(entry)
        await ledger.close()

    (tmp_path / "data").mkdir()
    asyncio.run(write())
    (tmp_path / "slackwater.toml").write_text(section + CONFIG)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    try:
        call = Caller(server, "openai")
        # The janitor works in its own time; whatever it does, what is to be kept is there.
        deadline = time.monotonic() + 60
        while (seen := [each["target"] for each in call("GET", "/audit").json["data"]]) != left:
            assert set(left) <= set(seen)
            assert time.monotonic() < deadline, seen
    finally:
        server.kill()
    answer = slackwater("audit", "export", "--data", tmp_path / "data")
    assert [json.loads(line)["object"] for line in answer.stdout.splitlines()] == left


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """A sentence that says what to do, and exit code 2; nothing is made, and nothing is changed."""
    for words in (["usage"], ["audit", "export"]):
        answer = slackwater(*words, "--data", tmp_path / "nowhere")
        assert answer.returncode == 2
        assert b"name the data directory of a server with --data" in answer.stderr
    assert not (tmp_path / "nowhere").exists()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
        database.execute("PRAGMA user_version = 5")
    assert b"is no ledger" in slackwater("usage", "--data", tmp_path).stderr
    wrong = slackwater("usage", "--start", "tomorrow")
    assert (wrong.returncode, b"expected a day" in wrong.stderr) == (2, True)
    assert b"possible are resource, day" in slackwater("usage", "--group-by", "user").stderr
