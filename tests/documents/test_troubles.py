"""docs/troubles.md: every message that the page quotes is said, by a server or a command that has that trouble."""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import Struct

from slackwater.adapters.disk.disk import storage_full
from slackwater.cli import main
from slackwater.cli.patience import Seen, waiting
from slackwater.core.sending.door import DoorState
from tests.api.calls import Caller, chat
from tests.cli.scripted import Call, Reply, scripted
from tests.documents.reading import ROOT, commands, unknown_options
from tests.server import Server

PAGE = ROOT / "docs" / "troubles.md"
KEY = "a-key-of-the-tests"
# Nobody listens there.
NOWHERE = "http://127.0.0.1:9/v1"
CONFIG = """
[server]
api_key_envs = ["SERVICE_KEY"]
[[deployments]]
name = "llama-batch"
[[deployments.backends]]
echo = {}
[[deployments]]
name = "failing-batch"
[[deployments.backends]]
echo = { refusal_rate = 1.0 }
[[deployments]]
name = "gone-batch"
[[deployments.backends]]
url = "http://127.0.0.1:9/v1"
[[deployments]]
name = "online"
sku = "Standard"
[[deployments.backends]]
echo = {}
[[deployments]]
name = "small-batch"
enqueued_token_limit = 100
[[deployments.backends]]
echo = { hang_rate = 1.0 }
"""
FENCED = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOO_LONG = {
    "error": {
        "message": "This model's maximum context length is 8192 tokens. However, your request has 9120 input tokens.",
        "type": "BadRequestError",
        "code": 400,
    }
}


class Desk(Struct):
    """A folder, a server, and what commands print."""

    folder: Path
    server: Server
    said: list[str]

    def run(self, *words: str, key: str = KEY) -> str:
        """What a command prints, on both outputs."""
        url = f"http://{self.server.address}"
        told = {
            "SLACKWATER_URL": url,
            "SLACKWATER_API_KEY": key,
            "XDG_CONFIG_HOME": str(self.folder),
            "COLUMNS": "1000",
        }
        result = CliRunner().invoke(main, list(words), env=told)
        self.said.append(result.output)
        return result.output

    def write(self, data: bytes | str) -> None:
        Path("questions.jsonl").write_bytes(data.encode() if isinstance(data, str) else data)

    def run_at(self, script: Any, *more: str) -> None:
        """`slackwater run` at an engine that answers so."""
        with scripted(script) as engine:
            self.run(
                "run", "questions.jsonl", "-o", "answers.jsonl", "--backend", f"{engine.url}/v1", "--overwrite", *more
            )


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slackwater.toml").write_text(CONFIG)
    monkeypatch.setenv("SERVICE_KEY", KEY)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "slackwater-data", tmp_path / "server.log")
    yield Desk(tmp_path, server, [])
    server.kill()


def answering(status: int, body: object, **headers: str) -> Any:
    """An engine that lists its models, and answers every request so."""

    def script(call: Call) -> Reply:
        if call.method == "GET":
            return Reply.of({"data": [{"id": "llama-batch"}]})
        return Reply.of(body, status, **headers)

    return script


def broken_inputs(desk: Desk) -> None:
    good = chat(3, model="llama-batch")
    line = good.splitlines()[0].decode()
    faults: list[bytes | str] = [
        good.decode().encode("utf-16"),
        f"{line[:-1]},}}\n",
        f"[{line}]\n",
        json.dumps(json.loads(line), indent=2),
        f"{line}\n{line}\n",
        line + "\n" + line.replace("/chat/completions", "/embeddings").replace("task-0", "task-1") + "\n",
    ]
    for fault in faults:
        desk.write(fault)
        desk.run("validate", "questions.jsonl")
    desk.write(good)
    desk.run("validate", "questions.jsonl", "--requests", "2")
    desk.write(line.replace('"messages"', '"stream": true, "messages"') + "\n")
    desk.run("validate", "questions.jsonl")
    desk.write(b"\xef\xbb\xbf" + good)
    desk.run("validate", "questions.jsonl")
    desk.run("batches", "submit", "questions.jsonl", "--no-check", "--wait")


def at_the_server(desk: Desk) -> None:
    desk.write(chat(3, model="no-such-batch"))
    desk.run("batches", "submit", "questions.jsonl")
    desk.run("batches", "submit", "questions.jsonl", "--no-check", "--wait")
    desk.run("batches", "submit", "questions.jsonl", "--no-check", "--wait", "--deployment", "online")
    desk.run("batches", "submit", "questions.jsonl", "--deployment", "llama-batch", key="wrong")
    for _ in range(8):
        desk.run("batches", "submit", "questions.jsonl", "--deployment", "small-batch")
    desk.write(chat(30, model="small-batch"))
    desk.run("batches", "submit", "questions.jsonl", "--no-check", "--wait")
    desk.write(chat(3, model="failing-batch"))
    desk.run("batches", "submit", "questions.jsonl", "--output", "answers.jsonl")
    call = Caller(desk.server, "openai", key=KEY)
    gone = call.create(chat(3, model="gone-batch")).json["id"]
    while "slackwater-waiting-on" not in call("GET", f"/batches/{gone}").headers:
        pass
    desk.run("batches", "show", gone)
    desk.run("deployments", "list")


def at_an_engine(desk: Desk) -> None:
    desk.write(chat(3, model="llama-batch"))
    desk.run("run", "questions.jsonl", "-o", "never.jsonl", "--backend", NOWHERE)
    desk.run_at(answering(401, {"error": {"message": "Unauthorized"}}))
    desk.run_at(answering(404, {"error": {"message": "The model does not exist", "code": 404}}), "--model", "llama")
    shutil.rmtree("answers.jsonl.slackwater")
    answer = {"choices": [{"message": {"role": "assistant", "content": "yes"}}], "usage": {"prompt_tokens": 1}}

    def too_long(call: Call) -> Reply:
        return (answering(400, TOO_LONG) if b"Tell me all" in call.body else answering(200, answer))(call)

    lines = chat(3, model="llama-batch").decode().splitlines(keepends=True)
    desk.write(lines[0].replace("Why?", "Tell me all") + "".join(lines[1:]))
    desk.run_at(too_long)
    # A minute of waiting is not waited for: this is what is shown of it.
    busy = Seen(
        now=112.0, news=90.0, left=3, in_flight=0, state=DoorState.BUSY, reason="status 429 (slow down)",
        since=100.0, until=160.0, refused=None, readable=True,
    )  # fmt: skip
    desk.said.append(", ".join(waiting(busy)))


def on_the_disk(desk: Desk) -> None:
    desk.run("serve", "--config", "slackwater.toml", "--port", "0")
    full = storage_full(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), Path("slackwater-data"))
    desk.said.append(str(full))


def test_every_message_is_said(desk: Desk) -> None:
    """A line of a `text` block is said as it stands there, but for `…`."""
    blocks = FENCED.findall(PAGE.read_text("utf-8"))
    quoted = [line for block in blocks for line in block.splitlines()]
    assert len(quoted) >= len(blocks) > 10
    for case in (broken_inputs, at_the_server, at_an_engine, on_the_disk):
        case(desk)
    said = "\n".join(desk.said)
    unsaid = [line for line in quoted if not re.search(".*".join(map(re.escape, line.split("…"))), said)]
    assert not unsaid, "\n".join([*unsaid, "", said])


def test_every_command_is_one() -> None:
    """What is to be typed has a command and options that there are; its troubles are not made here again."""
    told = [command.text for command in commands(PAGE)]
    assert told
    for text in told:
        assert not unknown_options(text), text
