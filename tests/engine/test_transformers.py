"""A real engine, not ours: 200 chat requests through `slackwater run` and through `slackwater serve` (make test-engine)."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
REQUESTS = 200


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`transformers serve` on a free port; yields its base URL once it has answered a request."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [f"{os.environ['ENGINE_BIN']}/transformers", "serve", os.environ["ENGINE_MODEL"]]
    options = ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port), "--continuous-batching"]
    log = (tmp_path_factory.mktemp("engine") / "engine.log").open("w")
    process = subprocess.Popen(command + options, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        deadline = time.monotonic() + 180
        while True:
            assert process.poll() is None, f"the engine ended: {Path(log.name).read_text()[-2000:]}"
            assert time.monotonic() < deadline, "the engine answers within three minutes"
            try:
                body = json.dumps(
                    {"model": os.environ["ENGINE_MODEL"], "max_tokens": 2, "messages": [MESSAGE]}
                ).encode()
                request = urllib.request.Request(f"{url}/chat/completions", body, {"Content-Type": "application/json"})
                urllib.request.urlopen(request, timeout=60).read()
                break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(30)


MESSAGE = {"role": "user", "content": "Why is the sea salty?"}


def requests(model: str) -> bytes:
    lines = []
    for number in range(REQUESTS):
        body = {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": f"Question {number}?"}]}
        line = {"custom_id": f"q-{number}", "method": "POST", "url": "/chat/completions", "body": body}
        lines.append(json.dumps(line))
    return "\n".join(lines).encode()


def check(output: bytes) -> None:
    lines = [json.loads(line) for line in output.splitlines()]
    assert sorted(line["custom_id"] for line in lines) == sorted(f"q-{number}" for number in range(REQUESTS))
    for line in lines:
        assert line["response"]["status_code"] == 200
        assert line["response"]["body"]["choices"][0]["message"]["role"] == "assistant"
        assert line["response"]["body"]["usage"]["prompt_tokens"] > 0


def test_run(engine: str, tmp_path: Path) -> None:
    """`slackwater run` gets 200 answers out of the engine."""
    (tmp_path / "in.jsonl").write_bytes(requests("any"))
    command = [sys.executable, "-m", "slackwater", "run", "in.jsonl", "-o", "out.jsonl", "--backend", engine]
    options = ["--model", os.environ["ENGINE_MODEL"], "--concurrency", "16"]
    done = subprocess.run(command + options, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check((tmp_path / "out.jsonl").read_bytes())


def test_serve(engine: str, tmp_path: Path) -> None:
    """`slackwater serve` does, too, under the name of a deployment."""
    config = tmp_path / "slackwater.toml"
    config.write_text(
        f'[[deployments]]\nname = "tiny-batch"\n[[deployments.backends]]\nurl = "{engine}"\n'
        f'model = "{os.environ["ENGINE_MODEL"]}"\nconcurrency = 16\n'
    )
    server = Server(config, tmp_path / "data", tmp_path / "server.log")
    try:
        batch_id = server.create_batch(server.upload("in.jsonl", requests("tiny-batch")))
        deadline = time.monotonic() + 300
        while (batch := server.batch(batch_id))["status"] != "completed":
            assert batch["status"] in ("validating", "in_progress", "finalizing"), batch
            assert time.monotonic() < deadline, batch
            time.sleep(0.2)
        check(server.raw("GET", f"/files/{batch['output_file_id']}/content"))
        assert batch["usage"]["output_tokens"] > 0
    finally:
        assert server.terminate() == 0
