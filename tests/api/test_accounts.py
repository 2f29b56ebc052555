"""Usage and its cost, quotas, and the audit log, over HTTP."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.api.calls import FAMILIES, Caller, chat, order
from tests.server import Server

CONFIG = """
[limits]
lasting_files = 40
[[prices]]
model = "gpt-tide"
input = "2.50"
cached_input = "1.25"
output = "10"
[[prices]]
model = "*"
input = "0.15"
output = "0.60"
currency = "EUR"
[[deployments]]
name = "demo-batch"
model = "gpt-tide"
enqueued_token_limit = 100000
[[deployments.backends]]
echo = {}
[[deployments]]
name = "=other"
[[deployments.backends]]
echo = {}
[[deployments]]
name = "failing-batch"
[[deployments.backends]]
echo = { refusal_rate = 1.0 }
attempts = 1
[[deployments]]
name = "stuck-batch"
enqueued_token_limit = 1000
[[deployments.backends]]
echo = { hang_rate = 1.0 }
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of its own for each test: accounts are of the whole resource."""
    (tmp_path / "slackwater.toml").write_text(CONFIG)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    yield server
    server.kill()


@pytest.fixture
def call(server: Server) -> Caller:
    """OpenAI's family, which is as good as any."""
    return Caller(server, "openai")


def completed(call: Caller, count: int, **options: Any) -> tuple[Any, list[Any]]:
    """A batch that has ended, and the lines of its output file."""
    batch = call.ended(call.create(chat(count, **options)).json["id"])
    return batch, call.lines(batch["output_file_id"])


def cost(lines: list[Any], price_in: str, price_cached: str, price_out: str) -> Decimal:
    """What lines cost at half of these prices, added up line by line."""
    whole = Decimal(0)
    for line in lines:
        usage = line["response"]["body"]["usage"]
        cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
        whole += (usage["prompt_tokens"] - cached) * Decimal(price_in)
        whole += cached * Decimal(price_cached) + usage["completion_tokens"] * Decimal(price_out)
    return whole / 10**6 / 2


def tokens(lines: list[Any], kind: str) -> int:
    """Tokens that lines say they took."""
    return sum(line["response"]["body"]["usage"][kind] for line in lines)


# Usage and cost


@pytest.mark.contract(
    "O GET /usage",
    "O GET /batches/{batch_id}/cost",
)
def test_cost_is_the_sum_over_the_output_lines(call: Caller) -> None:
    """Of a batch, of a deployment and of the day, to the last digit, with the batch discount taken off."""
    first, first_lines = completed(call, 7)
    second, second_lines = completed(call, 4, text="And why is that?")
    third, third_lines = completed(call, 3, model="=other")
    for batch, lines, prices in (
        (first, first_lines, ("2.50", "1.25", "10")),
        (second, second_lines, ("2.50", "1.25", "10")),
        (third, third_lines, ("0.15", "0.15", "0.60")),
    ):
        found = call("GET", f"/batches/{batch['id']}/cost").json
        assert found["batch_id"] == batch["id"]
        assert Decimal(found["usage"]["cost"]) == cost(lines, *prices) > 0
        assert found["usage"]["requests"] == len(lines) == batch["request_counts"]["completed"]
        assert found["usage"]["output_tokens"] == tokens(lines, "completion_tokens")
        assert found["price"]["batch_discount"] == 50
        assert [found["price"][kind] for kind in ("input", "cached_input")] == [
            f"{Decimal(price):.2f}" for price in prices[:2]
        ]
    report = call("GET", "/usage").json
    rows = {row["deployment"]: row for row in report["data"]}
    assert set(rows) == {"demo-batch", "=other"}
    tides = first_lines + second_lines
    assert Decimal(rows["demo-batch"]["cost"]) == cost(tides, "2.50", "1.25", "10")
    assert Decimal(rows["=other"]["cost"]) == cost(third_lines, "0.15", "0.15", "0.60")
    assert [rows[name]["currency"] for name in ("demo-batch", "=other")] == ["USD", "EUR"]
    assert rows["demo-batch"]["input_tokens"] == tokens(tides, "prompt_tokens")
    totals = {row["currency"]: (row["requests"], row["cost"]) for row in report["total"]}
    assert totals == {"USD": (11, rows["demo-batch"]["cost"]), "EUR": (3, rows["=other"]["cost"])}
    assert report["group_by"] == ["day", "deployment"]
    by_model = call("GET", "/usage", query="group_by=model").json["data"]
    assert sorted(row["requests"] for row in by_model) == [3, 11]
    assert all("day" not in row and "deployment" not in row for row in by_model)


def test_only_completed_work_is_charged(call: Caller) -> None:
    """Failed lines, refused files and batches that never ran cost nothing and leave no row."""
    batch = call.ended(call.create(chat(3, model="failing-batch")).json["id"])
    assert batch["request_counts"]["failed"] == 3
    refused = call.ended(call.create(b'{"no": "request"}\n').json["id"])
    assert refused["status"] == "failed"
    assert call("GET", "/usage").json["data"] == call("GET", "/usage").json["total"] == []
    assert call("GET", f"/batches/{batch['id']}/cost").json["usage"]["cost"] == "0.00"
    never = call("GET", f"/batches/{refused['id']}/cost").json
    assert (never["price"], never["usage"]["cost"], never["usage"]["currency"]) == (None, None, None)
    assert call("GET", "/batches/batch_nobody/cost").status == 404


def test_a_new_price_changes_nothing_that_was_agreed(tmp_path: Path) -> None:
    """After a restart with other prices, old work keeps its cost and new work has the new one."""
    config = tmp_path / "slackwater.toml"
    config.write_text(CONFIG)
    server = Server(config, tmp_path / "data", tmp_path / "server.log")
    try:
        call = Caller(server, "openai")
        old, old_lines = completed(call, 3)
        before = call("GET", f"/batches/{old['id']}/cost").json
        server.kill()
        config.write_text(CONFIG.replace('"2.50"', '"5.00"').replace('"10"', '"20"').replace('"1.25"', '"2.50"'))
        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        call = Caller(server, "openai")
        _, new_lines = completed(call, 3)
        assert call("GET", f"/batches/{old['id']}/cost").json == before
        (row,) = call("GET", "/usage").json["data"]
        assert Decimal(row["cost"]) == cost(old_lines, "2.50", "1.25", "10") + cost(new_lines, "5", "2.50", "20")
        assert row["requests"] == 6
    finally:
        server.kill()


@pytest.mark.contract("O GET /usage")
def test_usage_as_a_table(call: Caller) -> None:
    """CSV by `format` or by Accept, read back by a CSV reader; no cell is a formula."""
    completed(call, 2)
    completed(call, 1, model="=other")
    rows = call("GET", "/usage", query="group_by=day,deployment,model").json["data"]
    for answer in (
        call("GET", "/usage", query="format=csv&group_by=model,deployment,day"),
        call("GET", "/usage", query="group_by=day,deployment,model", headers={"Accept": "text/csv"}),
    ):
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        table = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
        assert list(table[0]) == [
            *("day", "deployment", "model", "requests", "input_tokens", "cached_tokens"),
            *("output_tokens", "reasoning_tokens", "currency", "cost"),
        ]
        assert {row["deployment"] for row in table} == {"demo-batch", "'=other"}
        assert [row["cost"] for row in table] == [row["cost"] for row in rows]
        assert [int(row["requests"]) for row in table] == [row["requests"] for row in rows]
    for accept in ("*/*", "application/json, text/csv"):
        answer = call("GET", "/usage", headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/json"
    empty = call("GET", "/usage", query="format=csv&start=2020-01-01&end=2020-12-31")
    assert empty.body.count(b"\r\n") == 1


def test_the_period(call: Caller) -> None:
    """Both days are included; without any, it is this month so far."""
    completed(call, 1)
    today = datetime.now(UTC).date()
    yesterday, tomorrow = today - timedelta(days=1), today + timedelta(days=1)
    assert call("GET", "/usage", query=f"start={yesterday}&end={tomorrow}&group_by=").json["data"][0]["requests"] == 1
    assert call("GET", "/usage", query=f"start={yesterday - timedelta(days=9)}&end={yesterday}").json["data"] == []
    report = call("GET", "/usage").json
    assert (report["start"][-3:], report["start"][:7]) == ("-01", report["end"][:7])


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("start=2025-13-01", "expected a day"),
        ("start=20250101", "expected a day"),
        ("end=yesterday", "expected a day"),
        ("start=2025-02-01&end=2025-01-01", "not be after"),
        ("start=2020-01-01&end=2025-01-01", "400 days"),
        ("start=0001-01-01&end=9999-12-31", "400 days"),
        ("group_by=day,user", "'user'"),
        ("format=xml", "json or csv"),
    ],
)
def test_what_makes_no_sense_is_refused(server: Server, query: str, word: str) -> None:
    """With the parameter and what it could be, in every family."""
    for family in FAMILIES:
        answer = Caller(server, family)("GET", "/usage", query=query)
        assert answer.status == 400
        assert word in answer.error["message"]


# Quotas


@pytest.mark.contract("O GET /usages")
def test_quotas_in_the_shape_of_the_control_plane(call: Caller) -> None:
    """Each deployment's enqueued tokens and the files, against their limits; null where there is none."""
    file_id = call.upload(chat(3, model="stuck-batch")).json["id"]
    call("POST", "/batches", order(file_id))
    assert call.upload(b"{}", purpose="user_data").status == 200
    batches = call("GET", "/batches").json["data"]
    while call("GET", f"/batches/{batches[0]['id']}").json["status"] == "validating":
        pass
    value = call("GET", "/usages").json["value"]
    assert all(set(quota) == {"name", "unit", "currentValue", "limit"} for quota in value)
    assert all(set(quota["name"]) == {"value", "localizedValue"} for quota in value)
    found = {quota["name"]["value"]: (quota["currentValue"], quota["limit"]) for quota in value}
    taken, limit = found.pop("OpenAI.GlobalBatch.stuck-batch")
    assert 0 < taken <= 1000 == limit
    assert found == {
        "OpenAI.GlobalBatch.demo-batch": (0, 100_000),
        "OpenAI.GlobalBatch.=other": (0, None),
        "OpenAI.GlobalBatch.failing-batch": (0, None),
        "OpenAI.Files.Lasting": (1, 40),
        "OpenAI.Files.Expiring": (1, 10_000),
    }


# Audit


@pytest.mark.contract("AVO GET /audit")
@pytest.mark.parametrize("family", FAMILIES)
def test_who_did_what(server: Server, family: str) -> None:
    """Everything that changed something, in order, with the request that did it; what changed nothing is not there."""
    call = Caller(server, family)
    uploaded = call.upload(chat(2, model="stuck-batch"))
    file_id = uploaded.json["id"]
    made = call("POST", "/batches", order(file_id), headers={"Idempotency-Key": "k"})
    batch_id = made.json["id"]
    call("POST", "/batches", order(file_id), headers={"Idempotency-Key": "k"})
    call("POST", "/batches", order("file-nobody"))
    call("GET", f"/batches/{batch_id}")
    call("POST", f"/batches/{batch_id}/cancel")
    call("DELETE", f"/files/{file_id}")
    call("DELETE", f"/files/{file_id}")
    entries = call("GET", "/audit").json["data"]
    assert [(entry["action"], entry["target"]) for entry in entries] == [
        ("upload_file", file_id),
        ("create_batch", batch_id),
        ("cancel_batch", batch_id),
        ("delete_file", file_id),
    ]
    assert [entries[0]["request_id"], entries[1]["request_id"]] == [
        answer.headers["x-request-id"] for answer in (uploaded, made)
    ]
    assert {entry["who"] for entry in entries} == {"anonymous"}


def test_what_became_of_what(call: Caller) -> None:
    """A retry names the batch that it is of, a part its upload."""
    batch = call.ended(call.create(chat(1, model="failing-batch")).json["id"])
    again = call("POST", f"/batches/{batch['id']}/retry").json["id"]
    new = {"purpose": "user_data", "filename": "a", "bytes": 3, "mime_type": "text/plain"}
    upload = call("POST", "/uploads", new).json["id"]
    form = b'--m\r\nContent-Disposition: form-data; name="data"; filename="b"\r\n\r\nabc\r\n--m--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=m"}
    part = call("POST", f"/uploads/{upload}/parts", form, headers=headers).json["id"]
    call("POST", f"/uploads/{upload}/complete", {"part_ids": [part]})
    entries = call("GET", "/audit").json["data"]
    assert [(entry["action"], entry["target"], entry["detail"]) for entry in entries[2:]] == [
        ("retry_batch", again, {"batch_id": batch["id"], "status": 200}),
        ("create_upload", upload, {"status": 200}),
        ("add_upload_part", part, {"upload_id": upload, "status": 200}),
        ("complete_upload", upload, {"status": 200}),
    ]


def test_keys_have_names_in_the_log(server: Server) -> None:
    """Who did it is the key that was used; what was done to keys is there, without them; only administrators may read it."""
    call = Caller(server, "openai")
    admin = call("POST", "/keys", {"role": "admin"}).json["data"][0]["value"]
    call = Caller(server, "openai", key=admin)
    keys = [key["value"] for key in call("POST", "/keys", {"role": "user"}).json["data"]]
    made = call("POST", "/keys", {"role": "reader"}).json["data"]
    call("POST", "/keys/user/rotate", {"key": "key1"})
    user, reader = Caller(server, "openai", key=keys[1]), Caller(server, "openai", key=made[0]["value"])
    file_id = user.upload(chat(1)).json["id"]
    assert user("GET", "/audit").status == reader("GET", "/audit").status == 403
    call("DELETE", "/keys/reader")
    assert user("GET", "/usage").status == user("GET", "/usages").status == 200
    answer = call("GET", "/audit")
    assert [(each["who"], each["action"], each["target"], each["detail"]) for each in answer.json["data"]] == [
        ("anonymous", "create_keys", "admin", {"status": 200}),
        ("admin/key1", "create_keys", "user", {"status": 200}),
        ("admin/key1", "create_keys", "reader", {"status": 200}),
        ("admin/key1", "rotate_key", "user", {"key": "key1", "status": 200}),
        ("user/key2", "upload_file", file_id, {"status": 200}),
        ("admin/key1", "delete_keys", "reader", {"status": 200}),
    ]
    assert not any(key.encode() in answer.body for key in (admin, *keys))


@pytest.mark.parametrize(("family", "place"), [("openai", ""), ("azure-v1", "/dashboard")])
def test_webhook_endpoints_are_in_the_log(call: Caller, family: str, place: str) -> None:
    """Who added, changed, deleted one or gave it another secret, at either place; without secrets and URLs."""
    at, names = place + "/webhook_endpoints", "dashboard_" if place else ""
    hooks = Caller(call.server, family)
    new = {"name": "ours", "url": "https://receiver.invalid/hook", "event_types": ["batch.failed"]}
    made = hooks("POST", at, new).json
    one = f"{at}/{made['id']}"
    assert hooks("POST", one, {"name": "theirs"}).status == 200
    rotated = hooks("POST", f"{one}/rotate_secret").json
    assert hooks("POST", at, new | {"url": "nonsense"}).status == 400
    hooks("GET", one)
    assert hooks("DELETE", one).status == 200
    assert hooks("DELETE", one).status == 404
    answer = call("GET", "/audit")
    assert [(entry["action"], entry["target"], entry["detail"]) for entry in answer.json["data"]] == [
        (f"create_{names}webhook_endpoint", made["id"], {"status": 200}),
        (f"update_{names}webhook_endpoint", made["id"], {"status": 200}),
        (f"rotate_{names}webhook_secret", made["id"], {"status": 200}),
        (f"delete_{names}webhook_endpoint", made["id"], {"status": 200}),
    ]
    assert made["signing_secret"] != rotated["signing_secret"]
    for secret in (made["signing_secret"], rotated["signing_secret"], "receiver.invalid"):
        assert secret.encode() not in answer.body


@pytest.mark.contract("O GET /audit")
def test_the_audit_log_is_paged(call: Caller) -> None:
    """Every entry once, oldest first; a cursor that was never given is refused."""
    ids = [call.upload(chat(1)).json["id"] for _ in range(7)]
    seen: list[str] = []
    after = ""
    while True:
        page = call("GET", "/audit", query=f"limit=3{after}").json
        seen += [entry["target"] for entry in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert seen == ids
    assert call("GET", "/audit", query=f"after={page['last_id']}").json == {
        "object": "list",
        "data": [],
        "last_id": None,
        "has_more": False,
    }
    for wrong in ("x", "-1", "9" * 30, "1.5"):
        assert call("GET", "/audit", query=f"after={wrong}").status == 400


@pytest.mark.contract("O GET /audit")
def test_the_audit_log_is_paged_backwards(call: Caller) -> None:
    """Newest first with `order=desc`: a person who looks for what has just happened begins at the end."""
    ids = [call.upload(chat(1)).json["id"] for _ in range(5)]
    first = call("GET", "/audit", query="order=desc&limit=3").json
    rest = call("GET", "/audit", query=f"order=desc&limit=3&after={first['last_id']}").json
    assert [entry["target"] for entry in first["data"] + rest["data"]] == ids[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    refused = call("GET", "/audit", query="order=sideways")
    assert (refused.status, refused.error["param"]) == (400, "order")


@pytest.mark.contract("O GET /audit")
def test_the_audit_log_is_searched(call: Caller) -> None:
    """By who, by action and by target, all of which have to hold; what is longer than any of them is refused."""
    file_id = call.upload(chat(1)).json["id"]
    batch_id = call("POST", "/batches", order(file_id)).json["id"]
    call("DELETE", f"/files/{file_id}")
    for query, actions in (
        (f"target={file_id}", ["upload_file", "delete_file"]),
        ("action=batch", ["create_batch"]),
        (f"who=ANON&action=e&target={batch_id}", ["create_batch"]),
        ("who=nobody", []),
        ("who=&action=&target=&order=desc&limit=1", ["delete_file"]),
    ):
        assert [entry["action"] for entry in call("GET", "/audit", query=query).json["data"]] == actions
    for name in ("who", "action", "target"):
        refused = call("GET", "/audit", query=f"{name}={'x' * 201}")
        assert (refused.status, refused.error["param"]) == (400, name)


def test_an_entry_survives_whatever_comes_after_the_answer(tmp_path: Path) -> None:
    """Who was told that it worked finds it in the log, even if the server was killed at that moment."""
    (tmp_path / "slackwater.toml").write_text(CONFIG)
    told = []
    for _ in range(3):
        server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
        told.append(Caller(server, "azure").upload(json.dumps({"a": 1}).encode()).json["id"])
        server.kill()
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    try:
        assert [entry["target"] for entry in Caller(server, "azure")("GET", "/audit").json["data"]] == told
    finally:
        server.kill()
