"""The content filter from end to end, with the client that people have: a real server, a real classifier's address."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.server import Server

CONFIG = r"""
[[content_filters]]
name = "strict"
[[content_filters.blocklists]]
name = "fish"
file = "terms.txt"
patterns = ['(?i)\bproject-\d{4}\b']
[content_filters.classifier]
url = "CLASSIFIER/v1"
[content_filters.categories]
sexual = { severity = "low", action = "annotate" }

[[content_filters]]
name = "lenient"
when_down = "open"
[content_filters.classifier]
url = "http://127.0.0.1:1/v1"

[[deployments]]
name = "strict-batch"
rai_policy_name = "strict"
[[deployments.backends]]
echo = {}
[[deployments]]
name = "lenient-batch"
rai_policy_name = "lenient"
[[deployments.backends]]
echo = {}
[[deployments]]
name = "free-batch"
[[deployments.backends]]
echo = {}
"""
SECRET = "the-word-that-is-in-every-prompt"


class Moderations(BaseHTTPRequestHandler):
    """Finds texts with `blood` in them violent, and those with `kiss` sexual."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        scores = {"violence": 0.9 if "blood" in text else 0.0, "sexual": 0.3 if "kiss" in text else 0.0}
        data = json.dumps({"results": [{"flagged": False, "categories": {}, "category_scores": scores}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the test's own failure is what counts."""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server's configuration, data and log are."""
    return tmp_path_factory.mktemp("filter")


@pytest.fixture(scope="module")
def server(scratch: Path) -> Iterator[Server]:
    """A server with two policies, and the classifier of one of them."""
    classifier = ThreadingHTTPServer(("127.0.0.1", 0), Moderations)
    classifier.daemon_threads = True
    thread = threading.Thread(target=classifier.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{classifier.server_address[1]}"
    (scratch / "slackwater.toml").write_text(CONFIG.replace("CLASSIFIER", url))
    (scratch / "terms.txt").write_text("# Fish that is not to be named\nBluefin\n\nクロマグロ\n", "utf-8")
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log")
    yield server
    server.kill()
    classifier.shutdown()
    classifier.server_close()
    thread.join(10)


def answered(
    server: Server, model: str, texts: list[str], url: str = "/chat/completions"
) -> tuple[Any, dict[str, Any]]:
    """The ended batch of these prompts, and its lines by custom_id."""
    client = openai.AzureOpenAI(
        azure_endpoint=f"http://{server.address}", api_key="any", api_version="2024-10-21", max_retries=0
    )
    rows = []
    for number, text in enumerate(texts):
        said = f"{SECRET} {text}"
        payload: Any = {"input": said} if url == "/responses" else {"messages": [{"role": "user", "content": said}]}
        rows.append({"custom_id": f"r{number}", "method": "POST", "url": url, "body": {"model": model, **payload}})
    data = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h")
    deadline = time.monotonic() + 30
    while (batch := client.batches.retrieve(batch.id)).status not in ("completed", "failed"):
        assert time.monotonic() < deadline, batch
        time.sleep(0.02)
    lines: dict[str, Any] = {}
    for name, file_id in (("output", batch.output_file_id), ("error", batch.error_file_id)):
        for row in client.files.content(file_id).text.splitlines() if file_id else []:
            read = json.loads(row)
            lines[read["custom_id"]] = read | {"file": name}
    return batch, lines


def test_a_strict_policy(server: Server) -> None:
    """Blocked prompts are lines of the error file with the documented 400, and failed; the rest is annotated."""
    texts = ["hello", "a BLUEFIN", "赤いクロマグロ", "see Project-1234", "blood", "a kiss"]
    batch, lines = answered(server, "strict-batch", texts)
    assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 4)
    assert {name: line["file"] for name, line in lines.items()} == {
        "r0": "output",
        "r1": "error",
        "r2": "error",
        "r3": "error",
        "r4": "error",
        "r5": "output",
    }
    for name in ("r1", "r2", "r3"):
        error = lines[name]["response"]["body"]["error"]
        assert lines[name]["response"]["status_code"] == error["status"] == 400
        assert error["code"] == "content_filter"
        assert error["innererror"]["content_filter_result"] == {
            "custom_blocklists": {"details": [{"filtered": True, "id": "fish"}], "filtered": True}
        }
    found = lines["r4"]["response"]["body"]["error"]["innererror"]["content_filter_result"]
    assert found["violence"] == {"filtered": True, "severity": "high"}
    body = lines["r5"]["response"]["body"]
    prompt = body["prompt_filter_results"][0]["content_filter_results"]
    assert prompt["sexual"] == {"filtered": False, "severity": "low"}
    assert body["choices"][0]["content_filter_results"].keys() == prompt.keys()


def test_open_and_down(server: Server) -> None:
    """A policy that fails open lets requests pass while its classifier is down, and says so in every answer."""
    batch, lines = answered(server, "lenient-batch", ["blood", "hello"])
    assert batch.request_counts.completed == 2
    for line in lines.values():
        said = line["response"]["body"]["choices"][0]["content_filter_results"]
        assert said["error"]["code"] == "content_filter_error"


def test_without_a_policy_nothing_is_invented(server: Server) -> None:
    """A deployment without a policy answers what its backend answers."""
    _, lines = answered(server, "free-batch", ["a bluefin in blood"])
    body = lines["r0"]["response"]["body"]
    assert "prompt_filter_results" not in body
    assert "content_filter_results" not in body["choices"][0]


def test_responses(server: Server) -> None:
    """The Responses API has its own place for the same findings."""
    _, lines = answered(server, "strict-batch", ["hello", "bluefin"], "/responses")
    filters = lines["r0"]["response"]["body"]["content_filters"]
    assert [each["source_type"] for each in filters] == ["prompt", "completion"]
    assert lines["r1"]["response"]["body"]["error"]["code"] == "content_filter"


def test_prompts_never_enter_logs(server: Server, scratch: Path) -> None:
    """Whatever was blocked, annotated or let pass, and whatever broke: the log has nothing of it."""
    answered(server, "lenient-batch", ["blood"])
    log = (scratch / "server.log").read_text()
    assert "content_filter_paused" in log
    for text in (SECRET, "bluefin", "BLUEFIN", "クロマグロ", "Project-1234", "blood"):
        assert text not in log
