"""Recordings of Azure OpenAI, replayed: statuses, headers, keys and types agree, but for listed differences."""

import json
from typing import Any

import pytest

from tests.contract.exchange import House, form
from tests.contract.recorded_backend import RecordedBackend
from tests.contract.samples import (
    NO_EMPTY_IDS,
    SAMPLES,
    SUPERSET,
    Difference,
    agree,
    headers_agree,
    replays,
    sample,
    sample_lines,
)
from tests.server import Server

VERSION = "2025-04-01-preview"


@pytest.fixture
def azure(server: Server) -> House:
    """The version of most recordings."""
    return House(server, "A", version=VERSION)


@replays("azure/file_create.exchange.json")
@pytest.mark.contract("A.5", "A POST /files")
def test_upload(azure: House) -> None:
    """201, the place of the new file, the versions, and a file without keys that are not set."""
    recorded = sample("azure/file_create.exchange.json")
    answer = azure.upload(azure.chat(2), filename="temp-test-batch-input.jsonl")
    agree(recorded["body"], answer.json)
    headers_agree(recorded["headers"], answer)
    assert answer.status == recorded["status"]
    ours, path = answer.headers["location"], f"/openai/files/{answer.json['id']}?api-version={VERSION}"
    assert ours == f"http://{azure.server.address}{path}"
    versions = recorded["headers"]["api-supported-versions"].split(",")
    assert [version.strip() for version in answer.headers["api-supported-versions"].split(",")] == versions


@replays("azure/file_create_pending.json", "azure/file_get_processed.json", "azure/file_create_with_expiry.json")
def test_files(azure: House) -> None:
    """A file as its upload shows it, with an expiry and without, and as it is got later."""
    answer = azure.upload(azure.chat(1), filename="test.jsonl")
    at_once = Difference(("status",), "=pending", "=processed", "As the service does since 2025 (spec 2.1).")
    agree(sample("azure/file_create_pending.json"), answer.json, at_once)
    agree(sample("azure/file_get_processed.json"), azure.call("GET", f"/files/{answer.json['id']}").json)
    recorded = sample("azure/file_create_with_expiry.json")
    seconds = recorded["expires_at"] - recorded["created_at"]
    fields = {"expires_after.anchor": "created_at", "expires_after.seconds": str(seconds)}
    file = azure.upload(azure.chat(1), filename="test.jsonl", fields=fields).json
    agree(recorded, file)
    assert file["expires_at"] - file["created_at"] == seconds


@replays("azure/file_delete.json", "azure/file_delete_again.json")
@pytest.mark.contract("A.6", "A DELETE /files/{file_id}")
def test_delete_twice(azure: House) -> None:
    """The second time the answer is 200 as well, and says that nothing was deleted."""
    file_id = azure.file(azure.chat(1))
    for name in ("azure/file_delete.json", "azure/file_delete_again.json"):
        answer = azure.call("DELETE", f"/files/{file_id}")
        agree(sample(name), answer.json)
        assert answer.status == 200


@replays("azure/file_list_spec.json")
@pytest.mark.contract("A GET /files")
def test_list_of_files(azure: House) -> None:
    """The list has its items, and beside them what a pager needs."""
    azure.file(b"{}\n", purpose="fine-tune")
    answer = azure.call("GET", "/files", query="purpose=fine-tune")
    pager = Difference(
        ("first_id", "last_id", "has_more"), "absent", "*", "Without has_more a client never stops asking (spec 2.3)."
    )
    agree(sample("azure/file_list_spec.json"), answer.json, pager)


@replays("azure/file_import.exchange.json")
@pytest.mark.contract("A POST /files/import")
def test_import(azure: House, recorded_backend: RecordedBackend) -> None:
    """201 with the file's place; the file is pending and has no size yet."""
    recorded = sample("azure/file_import.exchange.json")
    body = recorded["request"]["body"] | {"content_url": f"{recorded_backend.host}/import.jsonl"}
    answer = azure.post("/files/import", body)
    assert answer.status == recorded["status"]
    agree(recorded["body"], answer.json)
    headers_agree(recorded["headers"], answer)


@replays("azure/batch_blob_storage.json")
@pytest.mark.contract("A POST /batches", "A GET /batches/{batch_id}")
def test_blobs_of_the_caller_s(azure: House) -> None:
    """From its create to its end: what it names instead of files, which is empty before, and the same folder for both."""
    recorded = sample("azure/batch_blob_storage.json")
    storage = azure.server.data.parent
    (storage / "test.jsonl").write_bytes(azure.chat(3))
    here = {"input_blob": f"file://{storage}/test.jsonl", "output_folder": {"url": f"file://{storage}/batch-output"}}
    answer = azure.post("/batches", recorded["request"]["body"] | here)
    assert answer.status == 200
    agree(recorded["created"], answer.json, SUPERSET)
    assert (answer.json["output_blob"], answer.json["error_blob"]) == ("", "")
    batch = azure.until(answer.json["id"])
    agree(recorded["completed"], batch, SUPERSET)
    assert batch["input_blob"] == here["input_blob"]
    for name in ("output_blob", "error_blob"):
        begins, _, ends = recorded["completed"][name].partition("{GUID}")
        assert batch[name].startswith(begins.replace("https://docstest002.blob.core.windows.net", f"file://{storage}"))
        assert batch[name].endswith(ends)


FILE_WHEN_DONE = Difference(
    ("file",),
    "object",
    "absent",
    "The description's examples have a file everywhere; recordings not before the end (spec 2.5).",
)


@replays("azure/uploads_spec.json", "azure/uploads_recorded_assistants.json")
@pytest.mark.contract(
    "A POST /uploads",
    "A POST /uploads/{upload_id}/parts",
    "A POST /uploads/{upload_id}/complete",
    "A POST /uploads/{upload_id}/cancel",
)
def test_uploads(azure: House) -> None:
    """An upload from its start over its parts, named by their block ids, to its end; and one that is cancelled."""
    recorded = sample("azure/uploads_spec.json")
    pieces = (b'{"a": 1}\n', b'{"b": 2}\n')
    new = recorded["start"]["request_body"] | {"bytes": sum(map(len, pieces))}
    started = azure.post("/uploads", new)
    agree(recorded["start"]["body"], started.json, FILE_WHEN_DONE)
    path = f"/uploads/{started.json['id']}"
    blocks = []
    for piece in pieces:
        body, headers = form(('form-data; name="data"; filename="blob"', piece))
        part = azure.call("POST", f"{path}/parts", body, headers=headers)
        agree(recorded["part"]["body"], part.json)
        blocks.append(part.json["azure_block_id"])
    completed = azure.post(f"{path}/complete", {"part_ids": blocks})
    agree(recorded["complete"]["body"], completed.json)
    assert azure.content(completed.json["file"]["id"]) == b"".join(pieces)
    cancelled = azure.call("POST", f"/uploads/{azure.post('/uploads', new).json['id']}/cancel")
    agree(recorded["cancel"]["body"], cancelled.json, FILE_WHEN_DONE)
    assert {started.status, part.status, completed.status, cancelled.status} == {200}
    older = sample("azure/uploads_recorded_assistants.json")
    started = azure.post("/uploads", older["start"]["request"]["body"])
    agree(older["start"]["body"], started.json)
    agree(older["cancel"]["body"], azure.call("POST", f"/uploads/{started.json['id']}/cancel").json)


@replays("azure/models_list_spec.json")
@pytest.mark.contract("A GET /models")
def test_models(azure: House) -> None:
    """The dated family describes what a model can do."""
    answer = azure.call("GET", "/models")
    assert answer.status == 200
    agree(
        sample("azure/models_list_spec.json"),
        answer.json,
        Difference(
            ("data.*.model",), "absent", "string", "The model behind the deployment's name, where people look for it."
        ),
        Difference(("data.*.deprecation.fine_tune",), "number", "absent", "Nothing is fine-tuned here."),
    )


@replays("azure/legacy_deployments_list_2022-12-01.json")
@pytest.mark.contract("A GET /deployments")
def test_deployments(server: Server) -> None:
    """The listing of 2022, which some tools still ask for."""
    answer = House(server, "A", version="2022-12-01").call("GET", "/deployments")
    assert answer.status == 200
    agree(sample("azure/legacy_deployments_list_2022-12-01.json"), answer.json)


@replays("azure/file_content_headers.json", "azure/output_chat.jsonl", "azure/error_file_empty.jsonl")
@pytest.mark.contract("A.11", "A.18", "A GET /files/{file_id}/content")
def test_result_files(azure: House) -> None:
    """Both files are there, the error file without a byte, under the recorded names; what the backend said is untouched."""
    lines = azure.chat(2, model="recorded", text="azure/output_chat").replace(b"?", b"")
    batch = azure.run(lines)
    recorded = sample("azure/file_content_headers.json")
    answer = azure.call("GET", f"/files/{batch['output_file_id']}/content", headers={"Accept": "application/json"})
    headers_agree(recorded["headers"], answer)
    name = f"{batch['id']}_results.jsonl"
    assert answer.headers["content-disposition"] == f"attachment; filename={name}; filename*=UTF-8''{name}"
    assert answer.headers["content-length"] == str(len(answer.data))
    whole = sample_lines("azure/output_chat.jsonl")
    ours = {line["response"]["body"]["id"]: line for line in map(json.loads, answer.data.splitlines())}
    for line in whole:
        agree(line, ours[line["response"]["body"]["id"]], LINE_ID)
        assert ours[line["response"]["body"]["id"]]["response"]["body"] == line["response"]["body"]
    assert azure.content(batch["error_file_id"]) == (SAMPLES / "azure/error_file_empty.jsonl").read_bytes() == b""


LINE_ID = Difference(("id",), "absent", "string", "One shape of line with the keys of both vendors (spec 4.2).")


@replays("azure/output_responses.jsonl", "azure/error_400_content_filter.json")
@pytest.mark.contract("A.13")
def test_what_a_backend_says_is_kept(azure: House) -> None:
    """A response, and a refusal by a content filter, are in the files as the backend wrote them."""
    recorded = sample_lines("azure/output_responses.jsonl")[0]
    asked: dict[str, Any] = {"model": "recorded", "input": "azure/output_responses 0"}
    line = {"custom_id": "task-0", "method": "POST", "url": "/responses", "body": asked}
    batch = azure.run(json.dumps(line).encode(), endpoint="/responses")
    (ours,) = azure.lines(batch["output_file_id"])
    agree(recorded, ours, LINE_ID)
    assert ours["response"]["body"] == recorded["response"]["body"]
    refused = sample("azure/error_400_content_filter.json")
    asked = {"model": "recorded", "messages": [{"role": "user", "content": "azure/error_400_content_filter"}]}
    line = {"custom_id": "task-1", "method": "POST", "url": "/chat/completions", "body": asked}
    batch = azure.run(json.dumps(line).encode())
    (ours,) = azure.lines(batch["error_file_id"])
    assert (ours["response"]["status_code"], ours["response"]["body"]) == (refused["status"], refused["body"])
    assert (ours["error"], batch["request_counts"]["failed"]) == (None, 1)


@replays("azure/batch_create.exchange.json")
@pytest.mark.contract("A.8", "A.9", "A POST /batches")
def test_create(azure: House) -> None:
    """200, the endpoint without its version, both token headers as decimal numbers, and a batch of both vendors' keys."""
    recorded = sample("azure/batch_create.exchange.json")
    answer = azure.create(azure.file(azure.chat(2)), endpoint=recorded["request"]["body"]["endpoint"])
    assert answer.status == recorded["status"]
    agree(recorded["body"], answer.json, SUPERSET, NO_EMPTY_IDS)
    headers_agree(recorded["headers"], answer)
    assert int(answer.headers["deployment-enqueued-tokens"]) > 0
    maximum = "deployment-maximum-enqueued-tokens"
    assert answer.headers[maximum] == recorded["headers"][maximum]
    assert answer.json["expires_at"] == answer.json["created_at"] + 86_400


@replays("azure/batch_lifecycle_completed.json")
@pytest.mark.contract("A.10", "A GET /batches/{batch_id}")
def test_lifecycle(azure: House) -> None:
    """From validating to completed, with the same object all the way."""
    recorded = [state["body"] for state in sample("azure/batch_lifecycle_completed.json")]
    created = azure.begin(azure.chat(4, model="slow"))
    agree(recorded[0], created, SUPERSET, NO_EMPTY_IDS)
    running = azure.until(created["id"], "in_progress")
    assert (running["in_progress_at"] is not None, running["request_counts"]["total"]) == (True, 4)
    completed = azure.until(created["id"])
    agree(recorded[-1], completed, SUPERSET)
    for moments in (recorded[-1], completed):
        names = ("created_at", "in_progress_at", "finalizing_at", "completed_at")
        assert sorted(moments[name] for name in names) == [moments[name] for name in names]


@replays("azure/batch_cancelling.json", "azure/batch_cancelled_from_validating.json")
@pytest.mark.contract("A.16", "A POST /batches/{batch_id}/cancel")
def test_cancel_while_validating(azure: House) -> None:
    """Cancelled before anything ran: no files, and no moment of a start."""
    # So many lines that they are still being read when the cancel comes.
    created = azure.begin(azure.chat(15_000))
    answer = azure.call("POST", f"/batches/{created['id']}/cancel")
    assert (answer.status, answer.json["in_progress_at"]) == (200, None)
    agree(sample("azure/batch_cancelling.json"), answer.json, SUPERSET, NO_EMPTY_IDS)
    agree(sample("azure/batch_cancelled_from_validating.json"), azure.until(created["id"]), SUPERSET)


@replays("azure/batch_list_docs.json")
@pytest.mark.contract("A.17", "A GET /batches")
def test_list_of_batches(azure: House) -> None:
    """The documented list, which is ordered by creation; ours has its type as well."""
    made = [azure.run(azure.chat(2)) for _ in range(2)]
    since = made[0]["created_at"] - 1
    spelled = (
        f"$filter=created_at%20gt%20{since}%20and%20status%20eq%20'Completed'&$orderby=created_at%20asc",
        f"$filter=created_at+gt+{since}+and+status+eq+'Completed'&$orderby=created_at+asc",
    )
    named = Difference(("object",), "absent", "string", "The documentation's list lacks its type (spec 11.2, 10).")
    for query in spelled:
        answer = azure.call("GET", "/batches", query=query)
        # Others may have been made in the same second, for other endpoints.
        ours = [batch for batch in answer.json["data"] if batch["id"] in {each["id"] for each in made}]
        assert len(ours) == len(made)
        agree(sample("azure/batch_list_docs.json"), answer.json | {"data": ours}, named, SUPERSET)
        assert [batch["created_at"] for batch in answer.json["data"]] == sorted(
            batch["created_at"] for batch in answer.json["data"]
        )


INCONSISTENT = "The documentation's object contradicts itself: failed, and finished as well (spec 11.2, 4)."


@replays("azure/batch_failed_docs.json")
@pytest.mark.contract("A.14")
def test_an_empty_file(azure: House) -> None:
    """A batch over nothing fails with the documented code and sentence, and with the moment of its failure."""
    recorded = sample("azure/batch_failed_docs.json")["body"]
    failed = azure.run(b"")
    agree(
        recorded,
        failed,
        SUPERSET,
        Difference(("completed_at", "finalizing_at", "in_progress_at"), "number", "null", INCONSISTENT),
        Difference(("failed_at",), "null", "number", INCONSISTENT),
        Difference(("output_file_id", "error_file_id"), "string", "null", INCONSISTENT),
        Difference(("request_counts.completed", "request_counts.failed"), "null", "number", INCONSISTENT),
        Difference(
            ("errors.data.*.param", "errors.data.*.line"), "absent", "null", "All four keys, always (spec 3.2)."
        ),
    )
    assert failed["errors"]["data"][0]["message"] == recorded["errors"]["data"][0]["message"]
