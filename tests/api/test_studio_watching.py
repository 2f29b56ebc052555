"""The calls that Studio's pages are made of: batches in short, how they get on, their lines, errors, checks, deployments."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from slackwater.api.deployment_status import shown_name
from tests.api.calls import FAMILIES, Answer, Caller, chat, order
from tests.server import Server

CONFIG = """
[limits]
validation_errors = 10
[[prices]]
model = "priced"
currency = "EUR"
input = "2.50"
output = "10.00"
[[deployments]]
name = "quick"
model = "priced"
[[deployments.backends]]
echo = {}
region = "west"
[[deployments]]
name = "steady"
[[deployments.backends]]
echo = { latency_seconds = 0.05 }
concurrency = 4
[[deployments]]
name = "failing"
[[deployments.backends]]
echo = { error_rate = 0.3 }
concurrency = 8
attempts = 1
[[deployments]]
name = "narrow"
enqueued_token_limit = 100
when_full = "queue"
[[deployments.backends]]
echo = { hang_rate = 1.0 }
concurrency = 1
[[deployments]]
name = "away"
version = "7"
rai_policy_name = "Microsoft.Default"
[[deployments.backends]]
url = "http://127.0.0.1:9/v1"
region = "north"
data_zone = "eu"
concurrency = 3
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all."""
    scratch: Path = tmp_path_factory.mktemp("watching")
    (scratch / "slackwater.toml").write_text(CONFIG)
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "log")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def call(server: Server) -> Caller:
    """The family that Studio uses."""
    return Caller(server, "azure-v1")


def until(asked: Any, good: Any) -> Any:
    """Asks until the answer is good, and returns it."""
    deadline = time.monotonic() + 60
    while not good(answer := asked()):
        assert time.monotonic() < deadline, answer
    return answer


def finished(call: Caller, data: bytes, **more: Any) -> Any:
    """A batch that has ended."""
    return call.ended(call.create(data, **more).json["id"])


@pytest.mark.contract(
    "AVO GET /batch_overview",
    "AVO GET /batches/{batch_id}/progress",
    "AVO GET /batches/{batch_id}/history",
    "AVO GET /batches/{batch_id}/lines",
    "AVO GET /batches/{batch_id}/line",
    "AVO GET /batches/{batch_id}/error_groups",
    "AVO POST /files/{file_id}/validate",
    "AVO GET /deployment_status",
    "AVO GET /deployment_status/{name}/history",
)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_them(server: Server, family: str) -> None:
    """The same answers below every prefix."""
    call = Caller(server, family)
    batch = finished(call, chat(1, model="quick"))
    assert call("GET", "/deployment_status/quick/history").json["object"] == "deployment.history"
    for path in ("/batch_overview", "/deployment_status", *(f"/batches/{batch['id']}/{p}" for p in PARTS)):
        assert call("GET", path).status == 200, path
    assert call("GET", f"/batches/{batch['id']}/line", query="custom_id=task-0").status == 200
    assert call("POST", f"/files/{batch['input_file_id']}/validate").json["valid"] is True


PARTS = ("progress", "history", "lines", "error_groups")


def test_an_overview(call: Caller) -> None:
    """A row says what a list shows: names, counts, tokens, cost, why it failed."""
    file_id = call.upload(chat(2, model="quick"), name="Quarter.jsonl").json["id"]
    made = call("POST", "/batches", order(file_id) | {"metadata": {"team": "Tides"}}).json
    ended = call.ended(made["id"])
    answer = call("GET", "/batch_overview", query="search=tides&status=completed,failed").json
    [row] = answer["data"]
    assert row == {
        "object": "batch.overview",
        "id": made["id"],
        "status": "completed",
        "created_at": ended["created_at"],
        "ended_at": ended["completed_at"],
        "endpoint": "/v1/chat/completions",
        "deployment": "quick",
        "model": "echo",
        "input_file_id": file_id,
        "filename": "Quarter.jsonl",
        "counts": {"total": 2, "completed": 2, "failed": 0},
        "input_tokens": ended["usage"]["input_tokens"],
        "output_tokens": ended["usage"]["output_tokens"],
        "enqueued_tokens": row["enqueued_tokens"],
        "cost": call("GET", f"/batches/{made['id']}/cost").json["usage"]["cost"],
        "currency": "EUR",
        "queue_position": None,
        "error": None,
        "waiting_on": None,
        "requests_out": None,
        "quiet_since": None,
        "metadata": {"team": "Tides"},
    }
    assert answer["has_more"] is False
    for query, found in {
        "metadata%5Bteam%5D=Tides": [row["id"]],
        "metadata[team]=tides": [],
        "metadata[x]=Tides": [],
    }.items():
        assert [each["id"] for each in call("GET", "/batch_overview", query=query).json["data"]] == found, query
    query = "%24filter=metadata/team%20eq%20'Tides'"
    assert [each["id"] for each in call("GET", "/batches", query=query).json["data"]] == [row["id"]]
    wrong = finished(call, b"nonsense\n")
    [row] = call("GET", "/batch_overview", query="limit=1&status=failed").json["data"]
    assert (row["id"], row["cost"], row["ended_at"]) == (wrong["id"], None, wrong["failed_at"])
    assert row["error"] == wrong["errors"]["data"][0]["message"]


def test_pages_of_an_overview(call: Caller) -> None:
    """Newest first, each batch once, with a count over the whole resource on every page."""
    for _ in range(3):
        finished(call, chat(1, model="quick"))
    seen: list[str] = []
    query = "limit=2"
    while True:
        page = call("GET", "/batch_overview", query=query).json
        seen += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            break
        query = f"limit=2&after={seen[-1]}"
    everything = [batch["id"] for batch in call("GET", "/batches", query="limit=100").json["data"]]
    assert sorted(seen) == sorted(everything)
    assert sum(page["counts"].values()) == len(seen)
    assert [row["deployment"] for row in call("GET", "/batch_overview", query="deployment=failing").json["data"]] == []


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "status=done", "with_failures=yes", "after=nothing", f"search={'x' * 201}", "metadata=x"),
        "metadata%5Bteam=x",
        "&".join(f"metadata[{number}]=x" for number in range(17)),
    ],
)
def test_wrong_questions_about_batches(call: Caller, query: str) -> None:
    """400, and the parameter is named."""
    answer = call("GET", "/batch_overview", query=query)
    param = re.match("[a-z_]+", query)
    assert param
    assert (answer.status, answer.error["param"]) == (400, param[0])


def test_progress_of_a_running_batch(call: Caller) -> None:
    """Rates come once there is something to measure, near to what the backend does; the time left follows; the end has none."""
    made = call.create(chat(400, model="steady")).json["id"]
    path = f"/batches/{made}/progress"
    first = call("GET", path).json
    assert first["requests_per_second"] is first["seconds_left"] is first["seconds_left_range"] is None
    running = until(lambda: call("GET", path).json, lambda answer: answer["seconds_left"])
    # Four at a time, each a twentieth of a second, committed in bursts.
    assert 0 < running["requests_per_second"] <= 200
    assert running["tokens_per_second"] > running["requests_per_second"]
    low, high = running["seconds_left_range"]
    assert low <= running["seconds_left"] <= high
    assert running["first_result_at"] is not None
    assert (running["status"], running["deployment"], running["counts"]["total"]) == ("in_progress", "steady", 400)
    call("POST", f"/batches/{made}/cancel")
    call.ended(made)
    ended = call("GET", path).json
    assert (ended["status"], ended["seconds_left"], ended["requests_per_second"]) == ("cancelled", None, None)


def test_the_history_of_a_batch(call: Caller) -> None:
    """What ended when, how long calls took and how long answers were: all of it, some seconds after the end."""
    batch = finished(call, chat(3, model="quick"))
    path = f"/batches/{batch['id']}/history"
    found = until(lambda: call("GET", path).json, lambda answer: sum(each["completed"] for each in answer["data"]) == 3)
    assert (found["object"], found["batch_id"], found["step"]) == ("batch.history", batch["id"], 1)
    assert all(batch["in_progress_at"] <= each["at"] <= batch["completed_at"] for each in found["data"])
    assert sum(each["output_tokens"] for each in found["data"]) == batch["usage"]["output_tokens"]
    assert [each["failed"] for each in found["data"]] == [0] * len(found["data"])
    for spread in (found["latency_seconds"], found["answer_tokens"]):
        assert spread["count"] == sum(bar["count"] for bar in spread["data"]) == 3
        assert (
            spread["data"][0]["above"] <= spread["p50"] <= spread["p90"] <= spread["p99"] <= spread["data"][-1]["upto"]
        )
    refused = finished(call, b"nonsense\n")
    nothing = call("GET", f"/batches/{refused['id']}/history").json
    assert (nothing["data"], nothing["latency_seconds"], nothing["answer_tokens"]) == ([], None, None)


def test_progress_of_a_finished_batch(call: Caller) -> None:
    """What it has used and cost, and where it was answered."""
    batch = finished(call, chat(3, model="quick"))
    progress = call("GET", f"/batches/{batch['id']}/progress").json
    assert progress["counts"] == batch["request_counts"]
    assert progress["input_tokens"] == batch["usage"]["input_tokens"]
    assert progress["answers_mended"] == 0
    assert (progress["regions"], progress["currency"], progress["model"]) == (["west"], "EUR", "echo")
    assert progress["cost"] == call("GET", f"/batches/{batch['id']}/cost").json["usage"]["cost"]


def test_waiting_for_room(call: Caller) -> None:
    """Whoever waits is told its place, in every view, and moves up when one before it goes."""
    body = chat(1, model="narrow", text="word " * 60)
    batches = [call.create(body).json["id"] for _ in range(3)]
    places = until(
        lambda: [call("GET", f"/batches/{each}/progress").json["queue_position"] for each in batches],
        lambda found: found == [None, 1, 2],
    )
    assert places == [None, 1, 2]
    answer = call("GET", f"/batches/{batches[2]}")
    assert (answer.json["status"], answer.headers["slackwater-queue-position"]) == ("validating", "2")
    assert "slackwater-queue-position" not in call("GET", f"/batches/{batches[0]}").headers
    rows = call("GET", "/batch_overview", query="deployment=narrow").json["data"]
    assert [row["queue_position"] for row in rows] == [2, 1, None]
    # The only request of the first one is out, and is never answered.
    hung = until(lambda: call("GET", f"/batches/{batches[0]}/progress").json, lambda found: found["quiet_since"])
    assert (hung["requests_out"], rows[2]["requests_out"], rows[0]["requests_out"]) == (1, 1, None)
    status = status_of(call, "narrow")
    assert (status["health"], status["backends"][0]["quiet_since"]) == ("serving", hung["quiet_since"])
    assert call("GET", f"/batches/{batches[2]}/progress").json["waiting_on"] is None
    call("POST", "/deployments/narrow/pause", {"reason": "new weights"})
    for row in call("GET", "/batch_overview", query="deployment=narrow").json["data"]:
        assert (row["waiting_on"]["what"], row["waiting_on"]["reason"]) == ("deployment", "new weights")
    assert call("GET", f"/batches/{batches[2]}/progress").json["waiting_on"]["health"] == "paused"
    assert status_of(call, "narrow")["health"] == "paused"
    call("POST", "/deployments/narrow/resume")
    quota = status_of(call, "narrow")["quota"]
    assert quota["waiting_batches"] == 2
    assert quota["waiting"] == 2 * quota["held"] > 0
    assert (quota["limit"], quota["limit_now"], quota["when_full"]) == (100, 100, "queue")
    call("POST", f"/batches/{batches[1]}/cancel")
    assert call("GET", f"/batches/{batches[2]}/progress").json["queue_position"] == 1
    for each in batches:
        call("POST", f"/batches/{each}/cancel")
        call.ended(each)


def walked(call: Caller, batch_id: str, query: str = "", *, limit: int = 7) -> list[Any]:
    """Every line, page by page."""
    lines: list[Any] = []
    after = ""
    while True:
        page = call("GET", f"/batches/{batch_id}/lines", query=f"limit={limit}&after={after}&{query}").json
        lines += page["data"]
        assert page["next"]
        if not page["has_more"]:
            return lines
        after = page["next"]


def test_lines_of_a_finished_batch(call: Caller) -> None:
    """Each once, with the beginning of its answer; selected by outcome and by a part of the id."""
    batch = finished(call, chat(30, model="quick"))
    lines = walked(call, batch["id"])
    assert sorted(line["custom_id"] for line in lines) == sorted(f"task-{number}" for number in range(30))
    assert lines[0] == {
        "object": "batch.line",
        "custom_id": lines[0]["custom_id"],
        "outcome": "completed",
        "status_code": 200,
        "code": None,
        "message": None,
        "answer": lines[0]["answer"],
        "input_tokens": lines[0]["input_tokens"],
        "output_tokens": lines[0]["output_tokens"],
    }
    assert lines[0]["answer"].startswith("Echo of: Why?")
    assert {line["custom_id"] for line in walked(call, batch["id"], "custom_id=TASK-2", limit=2)} == {
        "task-2",
        *(f"task-2{digit}" for digit in range(10)),
    }
    assert walked(call, batch["id"], "outcome=failed") == []
    assert len(walked(call, batch["id"], "outcome=completed")) == 30
    # Nothing comes behind the end, and asking again is no mistake.
    end = call("GET", f"/batches/{batch['id']}/lines", query="limit=200").json["next"]
    again = call("GET", f"/batches/{batch['id']}/lines", query=f"after={end}").json
    assert (again["data"], again["has_more"], again["next"]) == ([], False, end)


def test_lines_as_they_come_and_through_the_end(call: Caller) -> None:
    """A cursor finds what has come since, each line once while it runs; over the end of the batch, none is missed."""
    made = call.create(chat(120, model="steady")).json["id"]
    seen: list[str] = []
    cursor, during = "", 0
    while True:
        running = call("GET", f"/batches/{made}").json["status"] in ("validating", "in_progress")
        page = call("GET", f"/batches/{made}/lines", query=f"limit=9&after={cursor}").json
        if running and call("GET", f"/batches/{made}").json["status"] == "in_progress":
            during += len(page["data"])
            assert not {line["custom_id"] for line in page["data"]} & set(seen)
        seen += [line["custom_id"] for line in page["data"]]
        cursor = page["next"]
        if not running and not page["data"] and call("GET", f"/batches/{made}").json["status"] == "completed":
            break
    assert during
    assert set(seen) == {f"task-{number}" for number in range(120)}


def test_error_groups(call: Caller) -> None:
    """By code, the largest first, with examples; lines that never ran are counted when the batch has ended."""
    made = call.create(chat(100, model="failing")).json["id"]
    path = f"/batches/{made}/error_groups"
    until(lambda: call("GET", path).json["failed"], lambda failed: failed > 0)
    batch = call.ended(made)
    answer = call("GET", path).json
    failed = batch["request_counts"]["failed"]
    [group] = answer["data"]
    assert answer["failed"] == failed > 5
    assert (group["code"], group["status_code"], group["count"]) == ("server_error", 500, failed)
    assert group["message"] == group["examples"][0]["message"]
    assert len(group["examples"]) == 5
    page = call("GET", "/batch_overview", query="with_failures=true&status=completed").json
    assert [row["id"] for row in page["data"]] == [made]
    assert page["completed_with_failures"] == 1
    # Asking again reads nothing twice.
    assert call("GET", path).json == answer
    assert all(line["code"] == "server_error" for line in walked(call, made, "outcome=failed"))
    cancelled = call.create(chat(50, model="steady")).json["id"]
    until(lambda: call("GET", f"/batches/{cancelled}").json["status"], lambda status: status == "in_progress")
    call("POST", f"/batches/{cancelled}/cancel")
    call.ended(cancelled)
    answer = call("GET", f"/batches/{cancelled}/error_groups").json
    assert [group["code"] for group in answer["data"]] == ["batch_cancelled"]
    assert answer["failed"] == answer["data"][0]["count"] > 0


def detail(call: Caller, batch_id: str, custom_id: str) -> Answer:
    """One request of a batch."""
    return call("GET", f"/batches/{batch_id}/line", query=urlencode({"custom_id": custom_id}))


@pytest.mark.parametrize(
    ("custom_id", "written"),
    [
        ("plain", '"plain"'),
        ("user", '"user"'),
        ("tä/sk", '"tä/sk"'),
        ("tä/sk", '"t\\u00e4/sk"'),
        ("tä/sk", '"t\\u00E4\\/sk"'),
        ("odd", '"\\u006fd\\u0064"'),
        ("a\u2028b\u0085ä", '"a\u2028b\u0085ä"'),
        ('a "b" \\ c', '"a \\"b\\" \\\\ c"'),
    ],
)
def test_one_request_and_its_result(call: Caller, custom_id: str, written: str) -> None:
    """Found however its id is written, with its number in the file; what was asked and answered comes as it is."""
    body = '{"model": "quick", "messages": [{"role": "user", "content": "plain odd"}], "temperature": 1.50}'
    head = chat(40, model="quick").decode() + "\n"
    line = f'{{"custom_id": {written}, "method": "POST", "url": "/v1/chat/completions", "body": {body}}}'
    batch = finished(call, (head + line + "\n" + chat(3, model="quick").replace(b"task", b"last").decode()).encode())
    assert batch["status"] == "completed", batch
    answer = detail(call, batch["id"], custom_id)
    found = answer.json
    assert (found["custom_id"], found["line"]) == (custom_id, 42)
    assert found["request"] == json.loads(line)
    assert b'"temperature": 1.50' in answer.body
    assert found["result"]["custom_id"] == custom_id
    assert found["result"]["response"]["status_code"] == 200


def test_requests_that_are_not_there(call: Caller) -> None:
    """404 for an id that neither file has; 400 without one; half of the answer where one of the files is gone."""
    batch = finished(call, chat(5, model="quick"))
    assert detail(call, batch["id"], "task-9").status == 404
    assert detail(call, batch["id"], "x" * 4_097).status == 400
    missing = call("GET", f"/batches/{batch['id']}/line")
    assert (missing.status, missing.error["param"]) == (400, "custom_id")
    call("DELETE", f"/files/{batch['output_file_id']}")
    found = detail(call, batch["id"], "task-3").json
    assert (found["line"], found["result"]) == (4, None)
    other = finished(call, chat(5, model="quick"))
    call("DELETE", f"/files/{other['input_file_id']}")
    found = detail(call, other["id"], "task-3").json
    assert (found["line"], found["request"], found["result"]["custom_id"]) == (None, None, "task-3")


def test_a_request_of_a_running_batch(call: Caller) -> None:
    """Its line is there before its result is."""
    made = call.create(chat(200, model="steady")).json["id"]
    until(lambda: call("GET", f"/batches/{made}").json["status"], lambda status: status == "in_progress")
    assert detail(call, made, "task-199").json["result"] is None
    found = until(lambda: detail(call, made, "task-0").json, lambda answer: answer["result"])
    assert found["request"]["custom_id"] == found["result"]["custom_id"] == "task-0"
    call("POST", f"/batches/{made}/cancel")
    call.ended(made)


@pytest.mark.parametrize("after", ["nonsense", "e30x", "WzFd", "eyJhIjotMX0", "eyJhIjoiYiJ9", "ä"])
def test_cursors_that_are_none(call: Caller, after: str) -> None:
    """400, whatever they are."""
    batch = finished(call, chat(1, model="quick"))
    answer = call("GET", f"/batches/{batch['id']}/lines", query=f"after={quote(after)}")
    assert (answer.status, answer.error["param"]) == (400, "after")
    assert call("GET", f"/batches/{batch['id']}/lines", query="outcome=done").status == 400


def checked(call: Caller, data: bytes, body: Any = None) -> Any:
    """What validation finds in a file."""
    return call("POST", f"/files/{call.upload(data).json['id']}/validate", body).json


def test_a_good_file(call: Caller) -> None:
    """Its size, whether it fits, and what its input will cost; nothing is made of it, and nothing is written down."""
    before = call("GET", "/audit", query="limit=1000").json["last_id"]
    found = checked(call, chat(100, model="quick"))
    assert found["valid"] is True
    assert (found["endpoint"], found["deployment"], found["model"]) == ("/v1/chat/completions", "quick", "priced")
    assert (found["requests"], found["error_count"], found["errors"]) == (100, 0, [])
    assert found["quota"] == {"held": 0, "limit": None, "fits": True, "waits": False}
    # 2.50 for a million, and half of that for batches.
    assert found["estimated_cost"]["currency"] == "EUR"
    assert float(found["estimated_cost"]["input"]) == pytest.approx(found["tokens"] * 1.25 / 1e6)
    batch = finished(call, chat(100, model="quick"))
    [row] = call("GET", "/batch_overview", query=f"search={batch['id']}").json["data"]
    assert row["enqueued_tokens"] == found["tokens"]
    entries = call("GET", "/audit", query=f"limit=1000&after={before or 0}").json["data"]
    assert not any(entry["action"] == "validate_file" for entry in entries)


def test_how_long_it_would_take(call: Caller) -> None:
    """By what its deployment was seen to finish in a minute of work or more, and never a guess."""
    assert checked(call, chat(10, model="narrow"))["estimated_time"] is None
    # A mean of a moment's work is far too small: a job would be said to take fifty times as long as it does.
    finished(call, chat(100, model="quick"))
    assert checked(call, chat(10, model="quick"))["estimated_time"] is None
    assert checked(call, b"no json\n")["estimated_time"] is None


def test_a_file_that_does_not_fit(call: Caller) -> None:
    """It is valid, and its batch would wait."""
    found = checked(call, chat(50, model="narrow"))
    assert found["valid"] is True
    assert found["quota"]["limit"] == 100
    assert (found["quota"]["fits"], found["quota"]["waits"]) == (False, True)
    assert found["estimated_cost"] is None


def test_a_wrong_file(call: Caller) -> None:
    """The errors of the batch that it would be, with their places; a cap, and how many there are in all."""
    data = (
        chat(2, model="quick")
        + b'{"custom_id": "task-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "quick", '
        + b'"messages": [{}]}}\n{"broken": \n'
        + chat(1, model="other").replace(b"task-0", b"x")
    )
    found = checked(call, data)
    assert (found["valid"], found["requests"], found["error_count"], found["tokens"]) == (False, 5, 3, 0)
    assert found["quota"] is found["estimated_cost"] is None
    marked = []
    for error in found["errors"]:
        excerpt = error["excerpt"]
        marked.append((error["line"], excerpt["text"][excerpt["start"] : excerpt["end"]]))
    assert marked == [(3, '"task-1"'), (4, ""), (5, '"other"')]
    batch = finished(call, data)
    assert [{name: error[name] for name in ("code", "message", "line", "param")} for error in found["errors"]] == batch[
        "errors"
    ]["data"]
    many = checked(call, b"x\n" * 50)
    assert (many["error_count"], len(many["errors"])) == (50, 11)
    assert many["errors"][-1]["excerpt"] is None
    assert checked(call, b"")["errors"][0]["code"] == "empty_file"


def test_the_endpoint_is_the_file_s_own_or_the_one_that_is_asked_for(call: Caller) -> None:
    """A file of embeddings is not all wrong because nobody has said so."""
    body = {"model": "quick", "input": "a"}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": body}
    data = json.dumps(line).encode()
    assert (checked(call, data)["valid"], checked(call, data)["endpoint"]) == (True, "/v1/embeddings")
    assert checked(call, data, {"endpoint": "/v1/embeddings"})["valid"]
    assert not checked(call, data, {"endpoint": "/v1/chat/completions"})["valid"]
    file_id = call.upload(data).json["id"]
    wrong = call("POST", f"/files/{file_id}/validate", {"endpoint": "/v1/dreams"})
    assert (wrong.status, wrong.error["param"]) == (400, "endpoint")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_url_without_its_version(server: Server, family: str) -> None:
    """What a file is called is what becomes of its batch: OpenAI compares urls to the letter, and Azure does not."""
    call = Caller(server, family)
    data = chat(2, model="quick").replace(b"/v1/chat", b"/chat")
    for body in (None, {"endpoint": "/v1/chat/completions"}):
        said = checked(call, data, body)
        ended = call.ended(call.create(data).json["id"])
        assert said["valid"] == (ended["status"] == "completed") == (call.family != "openai")
        assert [each["code"] for each in said["errors"]] == [
            each["code"] for each in (ended["errors"] or {"data": []})["data"]
        ]


def test_files_that_cannot_be_validated(call: Caller) -> None:
    """No such file, and one for something else."""
    assert call("POST", "/files/file-nothing/validate").status == 404
    other = call.upload(b"{}\n", purpose="fine-tune").json["id"]
    assert call("POST", f"/files/{other}/validate").status == 400


def status_of(call: Caller, name: str) -> Any:
    """A deployment now."""
    return next(each for each in call("GET", "/deployment_status").json["data"] if each["name"] == name)


@pytest.mark.parametrize(
    ("name", "whole", "host"),
    [
        (
            "https://ann:secret@engine.example:8443/v1?key=hidden#x",
            "https://engine.example:8443/v1",
            "engine.example:8443",
        ),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1", "127.0.0.1:8000"),
        ("built-in", "built-in", "built-in"),
    ],
)
def test_names_of_backends(name: str, whole: str, host: str) -> None:
    """Nobody sees what is secret in a URL; who does not administer the resource sees the host alone."""
    assert shown_name(name, everything=True) == whole
    assert shown_name(name, everything=False) == host


def test_deployments_now(call: Caller) -> None:
    """What an administrator sees: the backend's address without its secrets, its health, and what it does."""
    names = [each["name"] for each in call("GET", "/deployment_status").json["data"]]
    assert names == ["away", "failing", "narrow", "quick", "steady"]
    made = call.create(chat(1, model="away")).json["id"]
    away = until(lambda: status_of(call, "away"), lambda found: found["backends"][0]["health"] == "down")
    assert (away["version"], away["content_filter"], away["regions"]) == ("7", "Microsoft.Default", ["north"])
    assert (away["health"], away["accepts"], away["open_batches"]) == ("down", True, 1)
    [backend] = away["backends"]
    assert backend["name"] == "http://127.0.0.1:9/v1"
    assert (backend["region"], backend["data_zone"]) == ("north", "eu")
    assert backend["window"] <= 1
    assert backend["last_error"]
    assert not any(secret in json.dumps(away) for secret in ("secret", "hidden"))
    call("POST", f"/batches/{made}/cancel")
    call.ended(made)
    running = call.create(chat(400, model="steady")).json["id"]
    [backend] = until(
        lambda: status_of(call, "steady")["backends"],
        lambda backends: (
            backends[0]["in_flight"] and backends[0]["requests_per_second"] and backends[0]["latency_seconds"]
        ),
    )
    assert (backend["health"], backend["window"], backend["last_error"]) == ("ok", 4, None)
    assert backend["in_flight"] <= 4
    assert backend["latency_seconds"] >= 0.05
    assert backend["tokens_per_second"] > 0
    call("POST", f"/batches/{running}/cancel")
    call.ended(running)
