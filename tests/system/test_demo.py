"""`slackwater demo`: the first thing that a new user runs."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cli.scripted import Call, Reply, scripted
from tests.crash.counting_backend import CountingBackend

DEMO = [sys.executable, "-m", "slackwater", "demo"]


def test_the_demo_with_an_engine(tmp_path: Path) -> None:
    """With a URL it says which engine answers, goes the whole road, and leaves both files where it says."""
    with CountingBackend(latency=0.0) as backend:
        done = subprocess.run(
            [*DEMO, "--backend", backend.url], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert len(backend.received) == 12
    assert done.returncode == 0, done.stderr
    assert f"at {backend.url} with its model counting" in done.stdout
    assert "12 of 12 answered" in done.stdout
    # The last thing said is how to go on.
    assert "slackwater run FILE" in done.stdout[-300:]
    output = (tmp_path / "slackwater-demo" / "output.jsonl").read_bytes().splitlines()
    assert len({json.loads(line)["custom_id"] for line in output}) == 12
    assert (tmp_path / "slackwater-demo" / "error.jsonl").read_bytes() == b""


def test_the_demo_with_a_file_of_ones_own(tmp_path: Path) -> None:
    """The file's own model name and endpoint are served, whatever they are."""
    body = {"model": "whatever-you-call-it", "messages": [{"role": "user", "content": "Hello?"}]}
    line = {"custom_id": "mine", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (tmp_path / "mine.jsonl").write_text(json.dumps(line))
    with CountingBackend(latency=0.0) as backend:
        command = [*DEMO, "mine.jsonl", "--backend", backend.url]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 answered" in done.stdout


def test_the_demo_says_why_requests_failed(tmp_path: Path) -> None:
    """Each reason with the requests that it is of; and what an earlier demo has left is not lost."""
    (tmp_path / "slackwater-demo").mkdir()
    (tmp_path / "slackwater-demo" / "output.jsonl").write_text("mine\n")
    questions = [
        {
            "custom_id": f"q-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "tiny", "messages": [{"role": "user", "content": text}]},
        }
        for number, text in enumerate(["good", "refuse me", "good too"])
    ]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in questions))

    def script(call: Call) -> Reply:
        if call.path.endswith("/models"):
            return Reply.of({"object": "list", "data": [{"id": "tiny"}]})
        if b"refuse me" in call.body:
            return Reply.of({"error": {"message": "This is too much for me"}}, 400)
        return Reply.of({"choices": [{"message": {"role": "assistant", "content": "yes"}}]})

    with scripted(script) as engine:
        command = [*DEMO, "mine.jsonl", "--backend", f"{engine.url}/v1"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 of 3 answered" in done.stdout
    assert "not answered: q-1: status 400: This is too much for me" in done.stdout
    assert (tmp_path / "slackwater-demo" / "output-1.jsonl").read_text() == "mine\n"
    assert "output.jsonl was there already; it is slackwater-demo/output-1.jsonl now" in done.stdout


def test_the_demo_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    """A bad line is shown with its number, and the exit code is 1."""
    (tmp_path / "bad.jsonl").write_text("{broken\n")
    with CountingBackend(latency=0.0) as backend:
        command = [*DEMO, "bad.jsonl", "--backend", backend.url]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "line 1: invalid_json_line" in done.stdout


def test_a_url_without_an_engine(tmp_path: Path) -> None:
    """One line that says what to look at."""
    done = subprocess.run(
        [*DEMO, "--backend", "http://127.0.0.1:9/v1"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nothing answers at http://127.0.0.1:9/v1" in done.stderr
    assert "Is the engine running" in done.stderr


def test_the_demo_goes_on_with_studio(tmp_path: Path) -> None:
    """With --studio the server stays behind the batch, says where to look, and goes when the demo is ended."""
    with CountingBackend(latency=0.0) as backend:
        demo = subprocess.Popen(
            [*DEMO, "--backend", backend.url, "--studio"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        assert demo.stdout is not None
        line = next(line for line in demo.stdout if "Studio" in line)
        address = line.split()[-1]
        with urllib.request.urlopen(address, timeout=30) as page:
            assert b"Slackwater Studio" in page.read()
        demo.terminate()
        assert demo.wait(60) == 0
        assert "has ended" in demo.stdout.read()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=30)
