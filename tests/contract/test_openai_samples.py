"""Recordings of OpenAI, replayed: statuses, headers, keys and types agree, but for listed differences."""

import json

import pytest

from tests.contract.exchange import House, form
from tests.contract.samples import (
    MODEL,
    Difference,
    agree,
    headers_agree,
    replays,
    sample,
    sample_lines,
)


@replays("openai/file_create.exchange.json")
@pytest.mark.contract("A.5", "O POST /files")
def test_upload(plain: House) -> None:
    """200, a name without an ending is welcome, and a file that is for batches goes after 30 days."""
    recorded = sample("openai/file_create.exchange.json")
    answer = plain.upload(plain.chat(1), filename=recorded["body"]["filename"])
    assert answer.status == recorded["status"]
    agree(recorded["body"], answer.json)
    headers_agree(recorded["headers"], answer)
    for file in (recorded["body"], answer.json):
        assert file["expires_at"] - file["created_at"] == 2_592_000


@replays("openai/file_delete.json")
@pytest.mark.contract("A.6", "O DELETE /files/{file_id}")
def test_delete(plain: House) -> None:
    """The same three keys as Azure's; the second time there is nothing to delete."""
    file_id = plain.file(plain.chat(1))
    agree(sample("openai/file_delete.json"), plain.call("DELETE", f"/files/{file_id}").json)
    assert plain.call("DELETE", f"/files/{file_id}").status == 404


@replays("openai/batch_create.exchange.json")
@pytest.mark.contract("A.9", "O POST /batches")
def test_create(plain: House) -> None:
    """200 and the whole object, with the endpoint as it was sent."""
    recorded = sample("openai/batch_create.exchange.json")
    answer = plain.create(plain.file(plain.chat(1)), metadata=recorded["request"]["body"]["metadata"])
    assert answer.status == recorded["status"]
    agree(recorded["body"], answer.json)
    headers_agree(recorded["headers"], answer)
    assert answer.json["metadata"] == recorded["body"]["metadata"]


@replays("openai/batch_in_progress.json", "openai/batch_completed.json")
@pytest.mark.contract("A.10", "A.11", "O GET /batches/{batch_id}")
def test_lifecycle(plain: House) -> None:
    """A batch that runs, and one that has completed: no id of an error file where nothing failed."""
    batch = plain.begin(plain.chat(2, model="slow"), metadata={"team": "tides"})
    agree(sample("openai/batch_in_progress.json"), plain.until(batch["id"], "in_progress"), MODEL)
    completed = plain.until(batch["id"])
    agree(sample("openai/batch_completed.json"), completed, MODEL)
    assert completed["error_file_id"] is None


@replays("openai/batch_cancel.exchange.json", "openai/batch_cancelled_from_validating.json")
@pytest.mark.contract("A.16", "O POST /batches/{batch_id}/cancel")
def test_cancel_while_validating(plain: House) -> None:
    """200 and the batch, on its way to its end."""
    recorded = sample("openai/batch_cancel.exchange.json")
    # So many lines that they are still being read when the cancel comes.
    batch = plain.begin(plain.chat(15_000), metadata={"team": "tides"})
    answer = plain.call("POST", f"/batches/{batch['id']}/cancel")
    assert (answer.status, answer.json["in_progress_at"]) == (recorded["status"], None)
    agree(recorded["body"], answer.json)
    headers_agree(recorded["headers"], answer)
    agree(sample("openai/batch_cancelled_from_validating.json"), answer.json)


@replays("openai/batch_cancelled_from_in_progress.json")
@pytest.mark.contract("A.12", "A.16", "O POST /batches/{batch_id}/cancel")
def test_cancel_while_running(plain: House) -> None:
    """An error file for the lines that never ran, no finalizing moment, and nothing counted as failed."""
    batch = plain.begin(plain.chat(3, model="stuck"), metadata={"team": "tides"})
    plain.until(batch["id"], "in_progress")
    plain.call("POST", f"/batches/{batch['id']}/cancel")
    cancelled = plain.until(batch["id"])
    agree(sample("openai/batch_cancelled_from_in_progress.json"), cancelled, MODEL)
    assert cancelled["request_counts"] == {"total": 3, "completed": 0, "failed": 0}
    assert len(plain.lines(cancelled["error_file_id"])) == 3


@replays("openai/batch_list_page.json")
@pytest.mark.contract("A.7", "O GET /batches")
def test_page_of_batches(plain: House) -> None:
    """A page of two, newest first, that says that there is more."""
    made = [plain.run(plain.chat(1), metadata={"team": "tides"})["id"] for _ in range(3)]
    recorded = sample("openai/batch_list_page.json")
    answer = plain.call("GET", "/batches", query="limit=2")
    assert answer.status == recorded["status"]
    page = answer.json
    assert ([batch["id"] for batch in page["data"]], page["has_more"]) == (made[:0:-1], recorded["body"]["has_more"])
    assert (page["first_id"], page["last_id"]) == (made[2], made[1])
    # The recorded batches were cancelled, or ran.
    ended = Difference(
        ("data.*.status", "data.*.*_at", "data.*.model", "data.*.*_file_id"),
        "*",
        "*",
        "Ours have completed; the recorded were cancelled.",
    )
    agree(recorded["body"], page, ended)


@replays("openai/output_ok.jsonl", "openai/error_line_http_400.jsonl")
@pytest.mark.contract("A.12", "A.13")
def test_lines(plain: House) -> None:
    """A line that succeeded, and one that the backend refused: the recorded keys, and the backend's body untouched."""
    for name, file in (("openai/output_ok", "output_file_id"), ("openai/error_line_http_400", "error_file_id")):
        recorded = sample_lines(f"{name}.jsonl")[0]
        batch = plain.run(plain.chat(1, model="recorded", text=name).replace(b"?", b""))
        (line,) = plain.lines(batch[file])
        agree(recorded, line)
        assert line["response"]["body"] == recorded["response"]["body"]
        assert line["response"]["status_code"] == recorded["response"]["status_code"]


@replays("openai/uploads_shapes.json")
@pytest.mark.contract(
    "O POST /uploads",
    "O POST /uploads/{upload_id}/parts",
    "O POST /uploads/{upload_id}/complete",
    "O POST /uploads/{upload_id}/cancel",
)
def test_uploads(plain: House) -> None:
    """Two parts, in the order of `part_ids`, make one file; a cancelled upload makes none."""
    shapes = sample("openai/uploads_shapes.json")
    pieces = [plain.chat(1) + b"\n", b"\n"]
    new = shapes["create"]["request"]["body"] | {"bytes": sum(map(len, pieces))}
    created = plain.post("/uploads", new)
    path = f"/uploads/{created.json['id']}"
    part_ids: list[str] = []
    for piece in reversed(pieces):
        body, headers = form(('form-data; name="data"; filename="blob"', piece))
        part = plain.call("POST", f"{path}/parts", body, headers=headers)
        agree(shapes["part"]["body"], part.json)
        part_ids.insert(0, part.json["id"])
    completed = plain.post(f"{path}/complete", {"part_ids": part_ids})
    cancelled = plain.call("POST", f"/uploads/{plain.post('/uploads', new).json['id']}/cancel")
    for step, answer in (("create", created), ("complete", completed), ("cancel", cancelled)):
        assert answer.status == shapes[step]["status"]
        agree(shapes[step]["body"], answer.json)
    assert plain.content(completed.json["file"]["id"]) == b"".join(pieces)


@replays("openai/batch_errors_validation.json")
@pytest.mark.contract("A.14", "A.15")
def test_validation_errors(plain: House) -> None:
    """Every bad line with its number, and OpenAI's code, sentence and parameter."""
    recorded = sample("openai/batch_errors_validation.json")["data"]
    good = json.loads(plain.chat(1))
    rows = [
        # The first line is looked at when the file is uploaded.
        json.dumps(good),
        "{broken",
        json.dumps({key: value for key, value in good.items() if key != "custom_id"}),
        json.dumps(good | {"custom_id": "3", "body": good["body"] | {"stream": True}}),
        json.dumps(good | {"custom_id": "4", "url": "/v1/embeddings"}),
    ]
    batch = plain.run("\n".join(rows).encode())
    assert (batch["status"], batch["output_file_id"], batch["error_file_id"]) == ("failed", None, None)
    found = batch["errors"]["data"]
    # What is ours comes behind OpenAI's sentence: the column, and what is there.
    sentence, _, rest = found[0]["message"].partition(" Column ")
    assert rest
    found[0]["message"] = sentence
    assert found == [error | {"line": error["line"] + 1} for error in recorded[:4]]
    # The recording puts several reports into one list; beside other lines, this one would not fit the first line's model.
    (error,) = plain.run(plain.chat(1, model="x"))["errors"]["data"]
    assert error == recorded[4] | {"line": error["line"]}
