"""Every command line of README.md and docs/ works as it stands there.

A page's commands are run in order in one shell, as somebody would copy them; only addresses and directories are replaced by
those of the test. What cannot be run here is in elsewhere.toml, with the reason and with what runs it instead.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from msgspec import Struct

from tests.api.calls import Caller, chat
from tests.cli.scripted import Call, Reply, scripted
from tests.crash.counting_backend import CountingBackend
from tests.documents.reading import ROOT, Command, commands, pages
from tests.server import Server

# A page is some forty processes, which is a few seconds on an idle machine.
pytestmark = pytest.mark.timeout(600)

KEY = "a-key-of-the-tests"
ELSEWHERE = tomllib.loads((Path(__file__).parent / "elsewhere.toml").read_text("utf-8"))["commands"]
# curl is to fail where the server refuses; otherwise a wrong path would look well.
PRELUDE = """set -euo pipefail
trap 'echo "line $number of the page failed" >&2' ERR
curl() { command curl --silent --show-error --fail-with-body "$@"; }
"""
CONFIG = """
[server]
api_key_envs = ["SERVICE_KEY"]
[[deployments]]
name = "llama-batch"
[[deployments.backends]]
echo = {{}}
[[deployments]]
name = "failing-batch"
[[deployments.backends]]
echo = {{ refusal_rate = 1.0 }}
attempts = 1
[[deployments]]
name = "stuck-batch"
[[deployments.backends]]
echo = {{ hang_rate = 1.0 }}
[[deployments]]
name = "slow-batch"
[[deployments.backends]]
url = "{slow}/v1"
concurrency = 2
"""


class World(Struct):
    """A server, and what a shell in an empty directory knows of it."""

    server: Server
    directory: Path
    environment: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://{self.server.address}"

    def write(self, name: str, data: bytes | str) -> None:
        (self.directory / name).write_bytes(data.encode() if isinstance(data, str) else data)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose slow deployment answers nothing until its first calls have been given up."""
    scratch = tmp_path_factory.mktemp("documents")
    over = threading.Event()
    answer = {"choices": [{"message": {"role": "assistant", "content": "at last"}}], "usage": {"prompt_tokens": 1}}
    asked: list[Call] = []

    def slow(call: Call) -> Reply:
        if call.method != "POST":
            # Who only looks whether the engine is there is no request of a batch.
            return Reply.of({"data": []})
        asked.append(call)
        if len(asked) <= 2:
            over.wait(60)
            return Reply(cut=-1)
        return Reply.of(answer)

    with scripted(slow) as engine:
        (scratch / "slackwater.toml").write_text(CONFIG.format(slow=engine.url))
        server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log", {"SERVICE_KEY": KEY})
        yield server
        server.kill()
        over.set()


@pytest.fixture
def world(server: Server, tmp_path: Path) -> World:
    """A shell that finds `slackwater` on its path, and nothing that the machine's own user has set."""
    assert shutil.which("curl") is not None, (
        "curl is missing; install it (apt-get install curl) and run the tests again"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLACKWATER", "AZURE", "OPENAI"))}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    directory = tmp_path / "work"
    directory.mkdir()
    environment = kept | {"PATH": programs, "HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "KEY": KEY}
    world = World(server, directory, environment | {"URL": f"http://{server.address}", "SERVICE_KEY": KEY})
    world.write("questions.jsonl", chat(12, model="llama-batch"))
    world.write("reviews.csv", "id,text\n" + "".join(f"{number},It was late.\n" for number in range(1, 6)))
    shutil.copy(server.data.parent / "slackwater.toml", directory)
    return world


def listed_elsewhere(command: Command) -> list[dict[str, str]]:
    return [each for each in ELSEWHERE if each["page"] == command.page and command.text.startswith(each["begins"])]


def walk(world: World, page: str, replaced: Mapping[str, str] = {}) -> str:
    """Runs the commands of a page that are not listed elsewhere; returns what they print."""
    script = PRELUDE
    told = [command for command in commands(ROOT / page) if not listed_elsewhere(command)]
    for command, following in zip(told, [*told[1:], None], strict=True):
        text = command.text
        for before, after in replaced.items():
            # What has two lines is about a command that another one follows.
            before, _, behind = before.partition("\n")
            if not behind or (following is not None and following.text.startswith(behind)):
                text = text.replace(before, after.partition("\n")[0])
        script += f"number={command.line}\n{text}\n"
    ran = subprocess.run(
        ["bash", "-c", script], cwd=world.directory, env=world.environment, capture_output=True, text=True, timeout=500
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


WALKED = {
    "README.md",
    "docs/api.md",
    "docs/authentication.md",
    "docs/command-line.md",
    "docs/operating.md",
    "docs/upgrading.md",
    "docs/usage.md",
}


def test_no_command_line_is_untried() -> None:
    """A page with commands is walked below, or each of its commands is listed with what runs it."""
    untried = [
        f"{command.page}:{command.line}: {command.text}"
        for page in pages()
        for command in commands(page)
        if command.page not in WALKED and not listed_elsewhere(command)
    ]
    assert not untried, "add a test here that runs them, or say in elsewhere.toml what does:\n" + "\n".join(untried)


def test_the_list_of_the_others_is_true() -> None:
    """Every entry is about a command that there is, and names a file or a make target that there is."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    there = [command for page in pages() for command in commands(page)]
    for entry in ELSEWHERE:
        assert any(entry in listed_elsewhere(command) for command in there), f"no such command any more: {entry}"
        kind, _, target = entry["run_by"].partition(" ")
        assert (kind == "make" and target in targets) or (ROOT / entry["run_by"]).is_file(), entry
        assert entry["why"]


def test_command_line(world: World) -> None:
    """docs/command-line.md, from top to bottom: at its end every file that it speaks of is there and whole."""
    submit, pause = "batches submit questions.jsonl --deployment", 'slackwater batches pause "$BATCH"'
    # One that is to be paused must not have ended by then.
    stuck = {f"{submit} slow-batch)\n{pause}": f"{submit} stuck-batch)\n{pause}"}
    known = {"http://127.0.0.1:8080": world.url, "the-key-you-were-given": KEY}
    with CountingBackend(latency=0.0) as backend:
        printed = walk(world, "docs/command-line.md", known | stuck | {"http://127.0.0.1:8000/v1": backend.url})
    assert "llama-batch" in printed
    for name in ("answers.jsonl", "local.jsonl", "nightly.jsonl", "rest.jsonl"):
        assert len((world.directory / name).read_bytes().splitlines()) == 12, name
    for name in ("answered.csv", "friendly.csv"):
        rows = list(csv.reader((world.directory / name).read_text().splitlines(keepends=True)))
        assert (rows[0], len(rows)) == (["id", "text", "answer", "error"], 6), name
    metadata = json.loads((world.directory / "batch.json").read_text())["metadata"]
    assert metadata == {"name": "Prices, week 12", "team": "tides"}
    assert (world.directory / "copy.jsonl").read_bytes() == chat(12, model="llama-batch")


def test_readme(world: World) -> None:
    """README.md: a file against an engine, keys of a resource, usage."""
    config = world.directory / "slackwater.toml"
    config.write_text(config.read_text() + '[[resources]]\nname = "research"\n')
    with CountingBackend(latency=0.0) as backend:
        world.environment |= {"SLACKWATER_API_KEY": KEY}
        printed = walk(
            world, "README.md", {"http://127.0.0.1:8000/v1": backend.url, "http://127.0.0.1:8080": world.url}
        )
        assert sum(map(len, backend.received.values())) == 12 + 5
    assert (world.directory / "answered.csv").read_text().startswith("id,text,answer,error\n1,It was late.,")
    assert len((world.directory / "answers.jsonl").read_bytes().splitlines()) == 12
    assert "key1" in printed
    assert "resource,day,deployment" in printed


def test_the_pieces_of_readme_fit() -> None:
    """The line of the file names the deployment of the configuration, and the command what its engine calls the model."""
    text = (ROOT / "README.md").read_text("utf-8")
    (line,), (config, *_) = (re.findall(rf"^```{kind}\n(.+?)^```$", text, re.M | re.S) for kind in ("json", "toml"))
    (deployment,) = tomllib.loads(config)["deployments"]
    assert json.loads(line)["body"]["model"] == deployment["name"]
    told = [each.text for each in commands(ROOT / "README.md") if each.text.startswith("slackwater run questions")]
    assert told
    for each in told:
        assert f"--backend {deployment['backends'][0]['url']} --model {deployment['backends'][0]['model']}" in each


def test_api(world: World) -> None:
    """docs/api.md: results while a batch runs, another try, a filter."""
    call = Caller(world.server, "openai", key=KEY)
    running = call.create(chat(1, model="stuck-batch")).json["id"]
    failed = call.create(chat(1, model="failing-batch")).json["id"]
    call.ended(failed)
    while call("GET", f"/batches/{running}").json["status"] != "in_progress":
        pass
    world.environment |= {"CURSOR": ""}
    printed = walk(world, "docs/api.md", {"$BATCH/results": f"{running}/results", "$BATCH/retry": f"{failed}/retry"})
    assert failed in printed


def test_usage(world: World) -> None:
    """docs/usage.md: the account over HTTP and from the data directory, and the audit log."""
    # An entry of the audit log, whichever tests came before.
    call = Caller(world.server, "openai", key=KEY)
    call.ended(call.create(chat(1, model="failing-batch")).json["id"])
    (world.directory / "slackwater-data").symlink_to(world.server.data)
    world.environment |= {"ADMIN_KEY": KEY, "LAST_ID": "0"}
    walk(world, "docs/usage.md", {"/var/lib/slackwater": str(world.server.data)})
    assert (world.directory / "usage.csv").read_text().startswith("resource,day,requests")
    assert (world.directory / "january.jsonl").exists()


def test_authentication(world: World) -> None:
    """docs/authentication.md: keys, made in a data directory that no server uses."""
    assert "key1" in walk(world, "docs/authentication.md")


@pytest.mark.parametrize("page", ["docs/operating.md", "docs/upgrading.md"])
def test_operating(world: World, page: str) -> None:
    """docs/operating.md and docs/upgrading.md: look at a server that runs, back it up, check the copy, restore it."""
    engine = tomllib.loads((world.directory / "slackwater.toml").read_text())["deployments"][-1]
    directories = {
        "/var/lib/slackwater-restored": str(world.directory / "restored"),
        "/var/lib/slackwater": str(world.server.data),
        "/backup/slackwater": str(world.directory / "backup"),
        "http://127.0.0.1:8080": world.url,
        "engine.local:8000": engine["backends"][0]["url"].split("/")[2],
    }
    world.environment |= {"SLACKWATER_API_KEY": KEY}
    walk(world, page, directories)
    assert any((world.directory / "backup").iterdir())
