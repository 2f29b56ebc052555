"""Results as a table over HTTP: orders, jumps, searches, comparisons, exports; whose they are; and questions that are none."""

import base64
import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.api.calls import FAMILIES, Answer, Caller, chat
from tests.api.test_studio_watching import finished, until
from tests.server import Server

CONFIG = """
[server]
api_key_envs = ["ADMIN_KEY"]
[[resources]]
name = "other"
hosts = ["other.example"]
[[deployments]]
name = "quick"
[[deployments.backends]]
echo = {}
[[deployments]]
name = "quick"
resource = "other"
[[deployments.backends]]
echo = {}
[[deployments]]
name = "steady"
[[deployments.backends]]
echo = { latency_seconds = 0.05 }
concurrency = 4
[[deployments]]
name = "failing"
[[deployments.backends]]
echo = { error_rate = 0.5 }
concurrency = 8
attempts = 1
"""
PROMPTS = ("Why is the sea salty?", "Was ist Straße?", "un cafe\u0301", ".* [a-z]+ (x", "=1+1", "潮 the tide")
TABLE, SEARCH, EXPORT, COMPARISON = "result_table", "result_search", "result_export", "comparison"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all."""
    scratch: Path = tmp_path_factory.mktemp("tables")
    (scratch / "slackwater.toml").write_text(CONFIG)
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "log", {**os.environ, "ADMIN_KEY": "any"})
    yield server
    server.kill()


@pytest.fixture(scope="module")
def call(server: Server) -> Caller:
    """The family that Studio uses."""
    return Caller(server, "azure-v1")


def prompts(*texts: str, model: str = "quick", ids: str = "task") -> bytes:
    """An input file of these prompts, letters as they are."""
    lines = []
    for number, text in enumerate(texts):
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        line = {"custom_id": f"{ids}-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        lines.append(json.dumps(line, ensure_ascii=number % 2 == 0) + "\n")
    return "".join(lines).encode()


@pytest.fixture(scope="module")
def batch(call: Caller) -> Any:
    """One that has ended, with the prompts above, over and over."""
    return finished(call, prompts(*(PROMPTS[number % len(PROMPTS)] for number in range(60))))


def ask(call: Caller, batch_id: str, what: str, **query: Any) -> Answer:
    """One call about a batch."""
    return call("GET", f"/batches/{batch_id}/{what}", query=urlencode(query))


def rows_of(answer: Answer) -> list[dict[str, str]]:
    """Those of a table of CSV."""
    assert answer.status == 200, answer.body
    return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))


def ids(answer: Answer) -> list[str]:
    """Those of the rows."""
    assert answer.status == 200, answer.body
    return [row["custom_id"] for row in answer.json["data"]]


@pytest.mark.contract(
    "AVO GET /batches/{batch_id}/result_table",
    "AVO GET /batches/{batch_id}/result_search",
    "AVO GET /batches/{batch_id}/result_export",
    "AVO GET /batches/{batch_id}/comparison",
)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_tables(server: Server, family: str) -> None:
    """The same answers below every prefix."""
    call = Caller(server, family)
    one, two = (finished(call, chat(2, model="quick"))["id"] for _ in range(2))
    assert ask(call, one, TABLE).json["total"] == 2
    assert ask(call, one, SEARCH, text="why").json["results"] == 2
    assert len(rows_of(ask(call, one, EXPORT))) == 2
    assert ask(call, one, COMPARISON, **{"with": two}).json["counts"]["same"] == 2


def test_a_row(call: Caller, batch: Any) -> None:
    """What it says, and that it is the line of the output file."""
    page = ask(call, batch["id"], TABLE, order="line", limit=2).json
    assert {name: page[name] for name in ("object", "offset", "total", "ready")} == {
        "object": "list",
        "offset": 0,
        "total": 60,
        "ready": True,
    }
    [line] = [each for each in call.lines(batch["output_file_id"]) if each["custom_id"] == "task-1"]
    usage = line["response"]["body"]["usage"]
    assert page["data"][1] == {
        "object": "batch.result",
        "custom_id": "task-1",
        "line": 2,
        "outcome": "completed",
        "status_code": 200,
        "code": None,
        "message": None,
        "answer": line["response"]["body"]["choices"][0]["message"]["content"],
        "input_tokens": usage["prompt_tokens"],
        "output_tokens": usage["completion_tokens"],
        "latency_seconds": int(line["response"]["request_id"][:8], 16) / 1000,
    }


@pytest.mark.parametrize(
    ("order", "column"), [("line", "line"), ("output_tokens", "output_tokens"), ("latency", "latency_seconds")]
)
@pytest.mark.parametrize("descending", ["true", "false"])
def test_orders_page_by_page(call: Caller, batch: Any, order: str, column: str, descending: str) -> None:
    """Each row once, by its column, in either direction."""
    rows: list[Any] = []
    for offset in range(0, 60, 17):
        page = ask(call, batch["id"], TABLE, order=order, descending=descending, offset=offset, limit=17).json
        assert (page["offset"], page["total"]) == (offset, 60)
        rows += page["data"]
    assert len({row["custom_id"] for row in rows}) == 60
    values = [row[column] for row in rows]
    assert values == sorted(values, reverse=descending == "true")


def test_jumps(call: Caller, batch: Any) -> None:
    """To a line, to the end, and behind it."""
    page = ask(call, batch["id"], TABLE, order="line", line=42, limit=10).json
    assert (page["offset"], page["data"][1]["line"]) == (40, 42)
    page = ask(call, batch["id"], TABLE, order="line", descending="true", line=1, limit=25).json
    assert (page["offset"], page["data"][-1]["line"]) == (50, 1)
    page = ask(call, batch["id"], TABLE, offset=2**40, limit=25).json
    assert (page["offset"], len(page["data"])) == (50, 10)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("SALTY", 0),
        ("strasse", 1),
        ("CAFÉ", 2),
        ("cafe\u0301", 2),
        (".*", 3),
        ("[a-z]+ (", 3),
        ("=1+1", 4),
        ("ＴＩＤＥ", 5),
        ("潮", 5),
    ],
)
def test_what_a_search_finds(call: Caller, batch: Any, text: str, prompt: int) -> None:
    """Whatever case and normal form it is in, and whatever its characters mean to others. In answers, or in prompts."""
    for places, where in (("answer", "answer"), ("prompt", "prompt"), ("custom_id,answer,prompt", "answer")):
        found = ask(call, batch["id"], SEARCH, text=text, **{"in": places})
        assert sorted(ids(found)) == sorted(f"task-{number}" for number in range(prompt, 60, len(PROMPTS)))
        assert {row["found_in"] for row in found.json["data"]} == {where}
        assert (found.json["has_more"], found.json["next"], found.json["stopped"]) == (False, None, None)
        excerpt = found.json["data"][0]["excerpt"]
        assert excerpt["text"][excerpt["start"] : excerpt["end"]].casefold() in PROMPTS[prompt].casefold()


def test_a_search_in_parts(call: Caller, batch: Any) -> None:
    """It stops where it has found enough, says how far it has come, and goes on from there; none twice."""
    seen: list[str] = []
    after = ""
    while True:
        page = ask(call, batch["id"], SEARCH, text="echo", limit=7, after=after).json
        seen += [row["custom_id"] for row in page["data"]]
        assert page["results_searched"] == len(seen)
        if not page["has_more"]:
            break
        assert page["stopped"] == "limit"
        after = page["next"]
    assert len(seen) == len(set(seen)) == 60
    assert (page["results"], page["input_bytes_searched"]) == (60, page["input_bytes"])
    # One that is found by its id is not found again by its prompt.
    assert ids(ask(call, batch["id"], SEARCH, text="task-59")) == ["task-59"]
    assert ids(ask(call, batch["id"], SEARCH, text="nowhere to be found")) == []


def all_found(call: Caller, batch_id: str, **query: Any) -> list[Any]:
    """What a search finds in as many calls as it takes: each goes on for a second at most."""
    found: list[Any] = []
    page = {"next": ""}
    while page["next"] is not None:
        page = ask(call, batch_id, SEARCH, after=page["next"], **query).json
        found += page["data"]
    return found


def test_errors_as_a_table(call: Caller) -> None:
    """By outcome and by group, as the groups count them; failed ones are searched, too."""
    made = finished(call, chat(40, model="failing"))
    counts = made["request_counts"]
    [group] = ask(call, made["id"], "error_groups").json["data"]
    for query in ({"outcome": "failed"}, {"code": group["code"]}, {"code": group["code"], "status_code": 500}):
        page = ask(call, made["id"], TABLE, **query).json
        assert page["total"] == counts["failed"] == group["count"]
        assert {row["code"] for row in page["data"]} == {"server_error"}
    assert ask(call, made["id"], TABLE, outcome="completed").json["total"] == counts["completed"]
    assert ask(call, made["id"], TABLE, code="nothing").json["total"] == 0
    assert len(all_found(call, made["id"], text=group["message"])) == counts["failed"]
    assert ask(call, made["id"], SEARCH, text="why", outcome="failed", limit=100).json["results"] == 40
    everything = ask(call, made["id"], TABLE, order="line").json
    assert [row["line"] for row in everything["data"]] == list(range(1, 41))


def test_a_table_of_a_running_batch(call: Caller) -> None:
    """What is durable so far, and then the rest, with the same numbers."""
    made = call.create(chat(200, model="steady")).json["id"]
    page = until(lambda: ask(call, made, TABLE, order="line").json, lambda found: found["total"])
    if call("GET", f"/batches/{made}").json["status"] == "in_progress":
        assert page["total"] < 200
    assert all(row["custom_id"] == f"task-{row['line'] - 1}" for row in page["data"])
    assert all(row["latency_seconds"] >= 0.05 for row in page["data"])
    assert ask(call, made, SEARCH, text="echo", limit=1).json["data"]
    assert rows_of(ask(call, made, EXPORT))
    call("POST", f"/batches/{made}/cancel")
    call.ended(made)
    page = ask(call, made, TABLE, order="line", descending="true").json
    assert (page["total"], page["data"][0]["line"]) == (200, 200)
    assert ask(call, made, TABLE, code="batch_cancelled").json["total"] > 0


def test_an_export(call: Caller, batch: Any) -> None:
    """As lines they are those of the file; as a table nothing in it is a formula, unless that is wanted."""
    answer = ask(call, batch["id"], EXPORT, format="jsonl", order="line")
    assert answer.headers["content-type"] == "application/jsonl"
    lines = call("GET", f"/files/{batch['output_file_id']}/content").body.splitlines()
    assert sorted(answer.body.splitlines()) == sorted(lines)
    assert [json.loads(line)["custom_id"] for line in answer.body.splitlines()] == [f"task-{n}" for n in range(60)]
    made = finished(call, prompts("a", ids="=HYPERLINK(1)") + prompts("b", ids="@x"))
    for query, first in (({}, "'=HYPERLINK(1)-0"), ({"formulas": "true"}, "=HYPERLINK(1)-0")):
        answer = ask(call, made["id"], EXPORT, order="line", **query)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert f"{made['id']}_results.csv" in answer.headers["content-disposition"]
        rows = rows_of(answer)
        assert rows[0]["custom_id"] == first
        assert [row["line"] for row in rows] == ["1", "2"]
    assert len(rows_of(ask(call, batch["id"], EXPORT, text="salty", **{"in": "prompt"}))) == 10


def test_two_batches_side_by_side(call: Caller, batch: Any) -> None:
    """Those that differ come first; each kind alone; a line of one batch only has nothing on the other side."""
    changed = [PROMPTS[number % len(PROMPTS)] for number in range(1, 50)]
    other = finished(call, prompts(PROMPTS[0], "another answer", *changed[1:], ids="task") + prompts("z", ids="new"))
    page = ask(call, batch["id"], COMPARISON, **{"with": other["id"]}).json
    assert page["counts"] == {"all": 61, "different": 1, "same": 49, "only_here": 10, "only_there": 1}
    first = page["data"][0]
    assert (first["custom_id"], first["same"]) == ("task-1", False)
    assert first["here"]["answer"].startswith("Echo of: Was ist Straße?")
    assert first["there"]["answer"].startswith("Echo of: another answer")
    [only] = ask(call, batch["id"], COMPARISON, show="only_there", **{"with": other["id"]}).json["data"]
    assert (only["custom_id"], only["here"], only["there"]["line"]) == ("new-0", None, 51)
    page = ask(call, batch["id"], COMPARISON, show="same", offset=40, limit=20, **{"with": other["id"]}).json
    assert (page["offset"], page["total"], len(page["data"])) == (40, 49, 9)
    assert all(pair["same"] for pair in page["data"])


def test_files_that_were_deleted(call: Caller) -> None:
    """Their rows are gone, and whoever asks is told what there is: no row, no error."""
    made = finished(call, prompts(*PROMPTS))
    assert ask(call, made["id"], TABLE).json["total"] == 6
    call("DELETE", f"/files/{made['input_file_id']}")
    found = ask(call, made["id"], SEARCH, text="salty", **{"in": "prompt"}).json
    assert (found["data"], found["input_gone"], found["has_more"]) == ([], True, False)
    call("DELETE", f"/files/{made['output_file_id']}")
    for query in ({}, {"order": "line"}, {"order": "latency", "offset": 3}):
        assert ask(call, made["id"], TABLE, **query).json["total"] == 0
    assert ask(call, made["id"], SEARCH, text="salty").json["data"] == []
    assert rows_of(ask(call, made["id"], EXPORT)) == []
    assert ask(call, made["id"], EXPORT, format="jsonl").body == b""
    refused = finished(call, b"nonsense\n")
    assert ask(call, refused["id"], TABLE).json["total"] == 0


def test_nobody_sees_those_of_another_resource(server: Server, call: Caller, batch: Any) -> None:
    """Not by any of the calls, and not as the other side of a comparison."""
    other = Caller(server, "azure-v1", host="other.example")
    own = finished(other, chat(1, model="quick"))["id"]
    assert ask(other, own, TABLE).json["total"] == 1
    for what, query in ((TABLE, {}), (SEARCH, {"text": "sea"}), (EXPORT, {}), (COMPARISON, {"with": own})):
        answer = ask(other, batch["id"], what, **query)
        assert answer.status == 404, what
        assert answer.body == ask(other, "batch_nothing", what, **query).body.replace(
            b"batch_nothing", batch["id"].encode()
        )
    assert ask(other, own, COMPARISON, **{"with": batch["id"]}).status == 404
    assert ask(call, batch["id"], COMPARISON, **{"with": own}).status == 404


@pytest.mark.parametrize(
    ("what", "query", "param"),
    [
        (TABLE, "limit=201", "limit"),
        (TABLE, "limit=99999999999999999999", "limit"),
        (TABLE, "offset=-1", "offset"),
        (TABLE, f"offset={10**30}", "offset"),
        (TABLE, "order=price", "order"),
        (TABLE, "descending=1", "descending"),
        (TABLE, "line=5", "line"),
        (TABLE, "order=line&line=0", "line"),
        (TABLE, "order=line&line=5&offset=5", "line"),
        (TABLE, "outcome=done", "outcome"),
        (TABLE, "status_code=500", "status_code"),
        (TABLE, "code=x&status_code=1", "status_code"),
        (TABLE, "code=x&outcome=completed", "code"),
        (TABLE, f"code={'x' * 201}", "code"),
        (SEARCH, "", "text"),
        (SEARCH, "text=%20%20", "text"),
        (SEARCH, f"text={'x' * 501}", "text"),
        (SEARCH, "text=x&in=body", "in"),
        (SEARCH, "text=x&in=prompt,", "in"),
        (SEARCH, "text=x&after=nonsense", "after"),
        (SEARCH, f"text=x&after={'A' * 300}", "after"),
        (SEARCH, "text=x&after=eyJhIjoxfQ", "after"),
        (SEARCH, "text=x&after=eyJlbmRlZCI6dHJ1ZSwiYXQiOi0xfQ", "after"),
        (SEARCH, f"text=x&after={quote('ä')}", "after"),
        (EXPORT, "format=xlsx", "format"),
        (EXPORT, "formulas=yes", "formulas"),
        (COMPARISON, "", "with"),
        (COMPARISON, "with=nothing&show=some", "show"),
    ],
)
def test_questions_that_are_none(call: Caller, batch: Any, what: str, query: str, param: str) -> None:
    """400, and the parameter is named."""
    answer = call("GET", f"/batches/{batch['id']}/{what}", query=query)
    assert (answer.status, answer.error["param"]) == (400, param), answer.body


@pytest.mark.parametrize("text", ["%FF%FE", "%00", "%EF%BF%BF", "%F0%9F%8C%8A", "x" * 500, "%22%5C%2F%0A"])
def test_any_text_may_be_searched_for(call: Caller, batch: Any, text: str) -> None:
    """It is found, or it is not."""
    assert call("GET", f"/batches/{batch['id']}/{SEARCH}", query=f"text={text}").status == 200


@pytest.mark.parametrize("at", [0, 59, 60, 10**15])
@pytest.mark.parametrize("prompts_too", [True, False])
def test_a_cursor_of_somebody_s_making(call: Caller, batch: Any, at: int, prompts_too: bool) -> None:
    """It leads somewhere or to the end, and to nobody else's bytes."""
    made = base64.urlsafe_b64encode(json.dumps({"ended": True, "prompts": prompts_too, "at": at}).encode()).decode()
    found = ask(call, batch["id"], SEARCH, text="salty", after=made.rstrip("="))
    assert set(ids(found)) <= {f"task-{number}" for number in range(0, 60, 6)}


def test_with_itself(call: Caller, batch: Any) -> None:
    """That says nothing."""
    answer = ask(call, batch["id"], COMPARISON, **{"with": batch["id"]})
    assert (answer.status, answer.error["param"]) == (400, "with")
