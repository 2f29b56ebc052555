"""The whole road with the clients that people already have: only the base URL differs."""

import json
import time
import urllib.request
from typing import Any

import openai
import pytest

from tests.server import Server


def lines(count: int, *, model: str = "demo-batch", url: str = "/chat/completions") -> bytes:
    """Chat requests."""
    rows = []
    for number in range(count):
        body = {"model": model, "messages": [{"role": "user", "content": f"Question {number}?"}]}
        rows.append(json.dumps({"custom_id": f"task-{number}", "method": "POST", "url": url, "body": body}))
    return "\n".join(rows).encode()


def ended(client: Any, batch_id: str) -> Any:
    """Polls until the batch has ended."""
    deadline = time.monotonic() + 30
    while (batch := client.batches.retrieve(batch_id)).status not in ("completed", "failed", "cancelled", "expired"):
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)
    return batch


def content(client: Any, file_id: str) -> list[dict[str, Any]]:
    """The lines of a file."""
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


@pytest.mark.contract(
    "A.8",
    "A.11",
    "A POST /files",
    "A POST /batches",
    "A GET /batches/{batch_id}",
    "A GET /files/{file_id}/content",
)
def test_the_seed_walk_through(azure: openai.AzureOpenAI) -> None:
    """Upload, create, poll, download with AzureOpenAI: the seed's page, step by step."""
    file = azure.files.create(file=("test.jsonl", lines(3)), purpose="batch")
    assert (file.status, file.purpose, file.filename) == ("processed", "batch", "test.jsonl")
    assert azure.files.wait_for_processing(file.id).status == "processed"
    batch = azure.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")
    assert (batch.status, batch.endpoint, batch.completion_window) == ("validating", "/chat/completions", "24h")
    assert batch.expires_at == batch.created_at + 86_400
    batch = ended(azure, batch.id)
    assert batch.status == "completed"
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (3, 3, 0)
    answers = content(azure, batch.output_file_id)
    assert sorted(line["custom_id"] for line in answers) == ["task-0", "task-1", "task-2"]
    assert all(line["response"]["status_code"] == 200 and line["error"] is None for line in answers)
    assert azure.files.content(batch.error_file_id).content == b""
    assert batch.in_progress_at <= batch.finalizing_at <= batch.completed_at
    assert batch.usage.total_tokens > 0


@pytest.mark.contract(
    "A.11",
    "VO POST /files",
    "VO POST /batches",
    "VO GET /batches/{batch_id}",
    "VO GET /files/{file_id}/content",
)
def test_openai_families(plain: openai.OpenAI) -> None:
    """The OpenAI client does the same under /v1 and /openai/v1; an error file without lines is not made."""
    file = plain.files.create(file=("requests.jsonl", lines(5, url="/v1/chat/completions")), purpose="batch")
    batch = plain.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"team": "tides"}
    )
    batch = ended(plain, batch.id)
    assert (batch.status, batch.error_file_id, batch.metadata) == ("completed", None, {"team": "tides"})
    assert len(content(plain, batch.output_file_id)) == 5


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/completions", {"prompt": "Once"}),
        ("/v1/embeddings", {"input": ["one", "two"]}),
        ("/v1/responses", {"input": "Why is the sea salty?"}),
    ],
)
def test_other_endpoints(server: Server, endpoint: str, body: dict[str, Any]) -> None:
    """Completions, embeddings and responses go the same road as chat."""
    client = openai.OpenAI(base_url=f"http://{server.address}/v1", api_key="any")
    line = {"custom_id": "a", "method": "POST", "url": endpoint, "body": {"model": "demo-batch"} | body}
    file = client.files.create(file=("in.jsonl", json.dumps(line).encode()), purpose="batch")
    batch = ended(client, client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h").id)  # type: ignore[arg-type]
    assert batch.status == "completed", batch.errors
    assert content(client, batch.output_file_id)[0]["response"]["body"]["usage"]


@pytest.mark.contract("A.13")
def test_failed_lines_are_in_the_error_file(azure: openai.AzureOpenAI) -> None:
    """A request that the backend refuses is in the error file with its real status and body, and counted as failed."""
    bad = {"custom_id": "bad", "method": "POST", "url": "/chat/completions"}
    bad["body"] = {"model": "demo-batch", "messages": ["not a message"]}  # type: ignore[assignment]
    file = azure.files.create(file=("in.jsonl", lines(2) + b"\n" + json.dumps(bad).encode()), purpose="batch")
    batch = azure.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")
    batch = ended(azure, batch.id)
    assert (batch.status, batch.request_counts.completed, batch.request_counts.failed) == ("completed", 2, 1)
    (line,) = content(azure, batch.error_file_id)
    assert (line["custom_id"], line["response"]["status_code"], line["error"]) == ("bad", 400, None)
    assert "message" in line["response"]["body"]["error"]


@pytest.mark.contract("A.14")
def test_invalid_files_fail_with_every_line(azure: openai.AzureOpenAI) -> None:
    """Every bad line is listed with its number, and nothing is sent."""
    data = lines(2) + b"\n{broken\n" + lines(1, url="/embeddings").replace(b"task-0", b"x")
    file = azure.files.create(file=("in.jsonl", data), purpose="batch")
    batch = azure.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")
    batch = ended(azure, batch.id)
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert [(error.code, error.line) for error in batch.errors.data] == [("invalid_json_line", 3), ("url_mismatch", 4)]
    assert (batch.output_file_id, batch.in_progress_at) == (None, None)


def test_a_file_over_the_token_limit_fails(azure: openai.AzureOpenAI) -> None:
    """A batch that alone weighs more than the deployment may hold fails with the contract's code."""
    text = "tide " * 60_000
    line = lines(1).replace(b"Question 0?", text.encode())
    data = b"\n".join(line.replace(b"task-0", f"task-{number}".encode()) for number in range(4))
    file = azure.files.create(file=("in.jsonl", data), purpose="batch")
    batch = azure.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")
    batch = ended(azure, batch.id)
    assert batch.errors.data[0].code == "token_limit_exceeded"
    assert "100K" in batch.errors.data[0].message


@pytest.mark.contract("A.12", "A.16", "A POST /batches/{batch_id}/cancel")
def test_cancel_keeps_what_is_done(azure: openai.AzureOpenAI) -> None:
    """A cancelled batch has its finished lines in the output file and a coded line for each that never ran."""
    file = azure.files.create(file=("in.jsonl", lines(200, model="slow-batch")), purpose="batch")
    batch = azure.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")
    deadline = time.monotonic() + 30
    while azure.batches.retrieve(batch.id).request_counts.completed < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert azure.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    batch = ended(azure, batch.id)
    assert batch.status == "cancelled"
    done, never = content(azure, batch.output_file_id), content(azure, batch.error_file_id)
    assert len(done) == batch.request_counts.completed >= 2
    assert len(done) + len(never) == 200
    assert {line["error"]["code"] for line in never} == {"batch_cancelled"}
    assert azure.batches.cancel(batch.id).status == "cancelled"


def test_cancel_aborts_hanging_calls_within_a_second(azure: openai.AzureOpenAI) -> None:
    """Calls that would never end do not keep a batch from being cancelled."""
    file = azure.files.create(file=("in.jsonl", lines(4, model="stuck-batch")), purpose="batch")
    batch = azure.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")
    deadline = time.monotonic() + 30
    while azure.batches.retrieve(batch.id).status != "in_progress":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    azure.batches.cancel(batch.id)
    batch = ended(azure, batch.id)
    assert batch.status == "cancelled"
    assert batch.cancelled_at - batch.cancelling_at <= 2


@pytest.mark.contract("A.16", "A POST /batches/{batch_id}/cancel")
def test_cancelling_a_completed_batch_is_a_conflict(azure: openai.AzureOpenAI) -> None:
    """409, with a word to the client not to try again."""
    file = azure.files.create(file=("in.jsonl", lines(1)), purpose="batch")
    batch = azure.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")
    ended(azure, batch.id)
    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'completed'") as caught:
        azure.batches.cancel(batch.id)
    assert caught.value.response.headers["x-should-retry"] == "false"


@pytest.mark.contract("A.7", "VO GET /files", "VO GET /batches")
def test_paging_over_several_pages_ends(plain: openai.OpenAI) -> None:
    """The client's own iteration sees every file and every batch once, newest first."""
    file = plain.files.create(file=("in.jsonl", lines(1, url="/v1/chat/completions")), purpose="batch")
    made = [
        plain.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h").id
        for _ in range(7)
    ]
    listed = [batch.id for batch in plain.batches.list(limit=3)]
    assert len(listed) == len(set(listed))
    assert [batch_id for batch_id in listed if batch_id in made] == made[::-1]
    files = [item.id for item in plain.files.list(limit=2, purpose="batch")]
    assert file.id in files
    assert len(files) == len(set(files))


@pytest.mark.contract("A.6", "AO DELETE /files/{file_id}")
def test_deleting_a_file(server: Server, azure: openai.AzureOpenAI) -> None:
    """Azure says `deleted: false` the second time, OpenAI says that there is none."""
    file = azure.files.create(file=("in.jsonl", lines(1)), purpose="batch")
    assert azure.files.delete(file.id).deleted is True
    assert azure.files.delete(file.id).deleted is False
    client = openai.OpenAI(base_url=f"http://{server.address}/v1", api_key="any", max_retries=0)
    with pytest.raises(openai.NotFoundError):
        client.files.delete(file.id)
    with pytest.raises(openai.NotFoundError):
        azure.files.content(file.id)


def test_deleting_the_input_of_a_running_batch(azure: openai.AzureOpenAI) -> None:
    """The batch goes on; its bytes are kept until it has ended."""
    file = azure.files.create(file=("in.jsonl", lines(6, model="slow-batch")), purpose="batch")
    batch = azure.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")
    azure.files.delete(file.id)
    batch = ended(azure, batch.id)
    assert (batch.status, batch.request_counts.completed) == ("completed", 6)


@pytest.mark.contract("A GET /batches/{batch_id}/results")
def test_results_can_be_read_while_the_batch_runs(server: Server, azure: openai.AzureOpenAI) -> None:
    """What is journaled can be read before the batch has ended; with a cursor, each line comes once."""
    file = azure.files.create(file=("in.jsonl", lines(200, model="slow-batch")), purpose="batch")
    batch = azure.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")
    deadline = time.monotonic() + 30
    url = f"http://{server.address}/openai/batches/{batch.id}/results?api-version=2024-10-21"
    seen: list[str] = []
    cursor = ""
    while len(seen) < 12:
        assert time.monotonic() < deadline
        with urllib.request.urlopen(f"{url}&after={cursor}") as answer:
            cursor = answer.headers["slackwater-results-cursor"]
            seen += [json.loads(line)["custom_id"] for line in answer]
        time.sleep(0.05)
    assert len(seen) == len(set(seen))
    assert server.raw("GET", f"/batches/{batch.id}/results").count(b"\n") >= len(seen)
    with pytest.raises(openai.BadRequestError, match="slackwater-results-cursor"):
        azure.get(f"/batches/{batch.id}/results?after=nonsense!", cast_to=object)
    azure.batches.cancel(batch.id)
    ended(azure, batch.id)
