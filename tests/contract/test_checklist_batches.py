"""Points of the contract's checklist (spec, Appendix A) about batches, their lines and their files, in all three families."""

import json
import time
from typing import Any

import openai
import pytest

from tests.contract.exchange import House, chat
from tests.contract.samples import SAMPLES, sample


@pytest.mark.contract("A.1", "A POST /deployments/{deployment}/batches")
def test_the_path_of_the_node_client(azure: House) -> None:
    """The Node client puts a deployment before this one path; the batch is got and cancelled without it."""
    order = {"input_file_id": azure.file(azure.chat(1)), "endpoint": "/chat/completions", "completion_window": "24h"}
    answer = azure.post("/deployments/quick/batches", order)
    assert answer.status == 200
    assert azure.until(answer.json["id"])["status"] == "completed"


@pytest.mark.contract("A.8", "AVO POST /batches")
def test_both_spellings_of_the_endpoint(house: House) -> None:
    """With `/v1` and without; the dated family writes it back without, the others as it was sent. Azure counts tokens."""
    for endpoint in ("/v1/chat/completions", "/chat/completions"):
        if house.family == "O" and endpoint == "/chat/completions":
            continue
        answer = house.create(house.file(chat(1, url=endpoint)), endpoint=endpoint)
        assert (answer.status, answer.json["endpoint"]) == (
            200,
            "/chat/completions" if house.family == "A" else endpoint,
        )
        assert house.until(answer.json["id"])["status"] == "completed"
        tokens = [answer.headers.get(f"deployment-{name}enqueued-tokens") for name in ("", "maximum-")]
        if house.family == "O":
            assert tokens == [None, None]
        else:
            assert int(tokens[0] or 0) > 0
            assert tokens[1] == "24487000"


@pytest.mark.contract("A.9", "A.10", "AVO GET /batches/{batch_id}")
def test_the_life_of_a_batch(house: House) -> None:
    """Statuses in lower case and in order, moments as integers that never go back, counts from the first answer on."""
    created = house.begin(house.chat(6, model="slow"))
    assert created["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert created["expires_at"] == created["created_at"] + 86_400
    order = ("validating", "in_progress", "finalizing", "completed")
    seen = [created]
    deadline = time.monotonic() + 60
    while seen[-1]["status"] != "completed":
        assert time.monotonic() < deadline
        seen.append(house.call("GET", f"/batches/{created['id']}").json)
    steps = [order.index(batch["status"]) for batch in seen]
    assert steps == sorted(steps)
    # Finalizing may be over between two looks; its moment stays.
    assert {0, 1, 3} <= set(steps)
    moments = [seen[-1][f"{name}_at"] for name in ("created", "in_progress", "finalizing", "completed")]
    assert all(type(moment) is int for moment in moments)
    assert moments == sorted(moments)
    for batch in seen:
        assert all(type(count) is int for count in batch["request_counts"].values())


@pytest.mark.contract("A.11", "A.12", "AVO GET /files/{file_id}/content")
def test_every_line_is_answered_once(house: House) -> None:
    """Each line is in exactly one file, once. An empty file is there in the dated family, and null in the others."""
    batch = house.run(house.chat(40))
    assert batch["request_counts"] == {"total": 40, "completed": 40, "failed": 0}
    answered = [line["custom_id"] for line in house.lines(batch["output_file_id"])]
    assert sorted(answered) == sorted(f"task-{number}" for number in range(40))
    if house.family == "A":
        assert house.content(batch["error_file_id"]) == b""
    else:
        assert batch["error_file_id"] is None


@pytest.mark.contract("A.13", "AVO GET /files/{file_id}/content")
def test_a_refused_request(house: House) -> None:
    """What the backend refuses is in the error file with its real status and no error of ours; an empty output as above."""
    row = json.loads(house.chat(1)) | {"body": {"model": "quick", "messages": [{"role": "user", "content": 5}]}}
    batch = house.run(json.dumps(row).encode())
    (line,) = house.lines(batch["error_file_id"])
    assert (line["response"]["status_code"] >= 400, line["error"]) == (True, None)
    assert (batch["status"], batch["request_counts"]["failed"]) == ("completed", 1)
    if house.family == "A":
        assert house.content(batch["output_file_id"]) == b""
    else:
        assert batch["output_file_id"] is None


@pytest.mark.contract("A.14", "AVO GET /batches/{batch_id}")
def test_a_failed_validation(house: House) -> None:
    """The moment of the failure, every fault with its four keys, and not one request sent."""
    batch = house.run(house.chat(2) + b"\n{broken\n" + house.chat(1))
    assert (batch["status"], type(batch["failed_at"])) == ("failed", int)
    assert [error["line"] for error in batch["errors"]["data"]] == [3, 4]
    assert all(set(error) == {"code", "message", "param", "line"} for error in batch["errors"]["data"])
    assert (batch["in_progress_at"], batch["output_file_id"], batch["error_file_id"]) == (None, None, None)
    assert batch["request_counts"]["completed"] == batch["request_counts"]["failed"] == 0


FAULTS: dict[str, tuple[str, str]] = {
    "bad_empty.jsonl": ("empty_file", "empty_file"),
    "bad_whitespace_only.jsonl": ("empty_file", "empty_file"),
    "bad_json_line.jsonl": ("invalid_json_line", "invalid_json_line"),
    "bad_duplicate_custom_id.jsonl": ("duplicate_custom_id", "duplicate_custom_id"),
    "bad_model_mismatch.jsonl": ("model_mismatch", "mismatched_model"),
    "bad_url_mismatch.jsonl": ("url_mismatch", "invalid_url"),
    "bad_stream_true.jsonl": ("invalid_request", "streaming_unsupported"),
}


@pytest.mark.contract("A.15")
@pytest.mark.parametrize("name", sorted(FAULTS))
def test_faults_of_input_files(azure: House, plain: House, name: str) -> None:
    """The code of each fault in both vendors' words; what OpenAI sees at upload it refuses there."""
    data = (SAMPLES / "input" / name).read_bytes().replace(b"REPLACE-WITH-MODEL-DEPLOYMENT-NAME", b"quick")
    codes = {error["code"] for error in azure.run(data)["errors"]["data"]}
    assert FAULTS[name][0] in codes
    uploaded = plain.upload(data.replace(b'"/chat/completions"', b'"/v1/chat/completions"'))
    if uploaded.status != 400:
        errors: Any = plain.until(plain.create(uploaded.json["id"]).json["id"])["errors"]
        assert FAULTS[name][1] in {error["code"] for error in errors["data"]}


@pytest.mark.contract("A.15")
def test_a_byte_order_mark(azure: House) -> None:
    """Azure's sentence for a file that begins with one, word for word."""
    data = (SAMPLES / "input" / "bad_utf8_bom.jsonl").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    (error,) = azure.run(data)["errors"]["data"]
    assert (error["code"], error["line"]) == ("invalid_request", None)
    assert error["message"] == (
        "Validation failed: A valid model deployment name couldn't be extracted from the input file. Please ensure that each "
        "row in the input file has a valid deployment name specified in the 'model' field, and that the deployment name is "
        "consistent across all rows."
    )


@pytest.mark.contract("A.16", "AVO POST /batches/{batch_id}/cancel")
def test_cancelling(house: House) -> None:
    """200 while it runs and after it was cancelled; what has finished is in the output file, the rest in the error file."""
    batch = house.begin(house.chat(60, model="slow"))
    deadline = time.monotonic() + 60
    while house.call("GET", f"/batches/{batch['id']}").json["request_counts"]["completed"] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first = house.call("POST", f"/batches/{batch['id']}/cancel", headers={"Content-Type": "application/json"})
    assert first.json["status"] in ("cancelling", "cancelled")
    cancelled = house.until(batch["id"])
    again = house.call("POST", f"/batches/{batch['id']}/cancel")
    assert (first.status, again.status, again.json) == (200, 200, cancelled)
    done, never = house.lines(cancelled["output_file_id"]), house.lines(cancelled["error_file_id"])
    assert (len(done) >= 2, len(done) + len(never)) == (True, 60)
    assert len(done) == cancelled["request_counts"]["completed"]


@pytest.mark.contract("A.17", "AVO GET /batches")
@pytest.mark.parametrize("space", ["%20", "+"])
def test_filters(house: House, space: str) -> None:
    """The documented filter and order, with both spellings of a space."""
    made = [house.run(house.chat(1)) for _ in range(2)]
    failed = house.run(house.chat(1, model="nobody"))
    since = made[0]["created_at"] - 1
    query = f"$filter=created_at gt {since} and status eq 'Completed'&$orderby=created_at asc&limit=100"
    answer = house.call("GET", "/batches", query=query.replace(" ", space))
    assert answer.status == 200
    listed = [batch["id"] for batch in answer.json["data"]]
    assert [batch["id"] for batch in made] == [
        batch_id for batch_id in listed if batch_id in {each["id"] for each in made}
    ]
    assert failed["id"] not in listed
    assert {batch["status"] for batch in answer.json["data"]} == {"completed"}


@pytest.mark.contract("A.20")
def test_the_signature_of_a_webhook() -> None:
    """The recorded vector is what OpenAI's client verifies; tests/core/test_webhooks.py holds ours to it."""
    vector = sample("webhooks/batch_completed_vector.json")
    client = openai.OpenAI(api_key="any", base_url="http://127.0.0.1:9", webhook_secret=vector["secret"])
    # The vector is years old: without tolerance for that, the client refuses it for its age alone.
    client.webhooks.verify_signature(vector["body_utf8"], vector["headers"], tolerance=10**9)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.verify_signature(vector["body_utf8"] + " ", vector["headers"], tolerance=10**9)
    assert json.loads(vector["body_utf8"])["type"] == "batch.completed"
