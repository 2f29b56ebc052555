"""Every sample of the contract's input files on the whole road: uploaded, made a batch of, and answered in each family.

`azure` is the dated family, `azure-v1` and `openai` are the other two. OpenAI's looks at the first line of an upload, and so
refuses some files before there can be a batch; what its validation would say of them is in tests/core.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.calls import FAMILIES, Caller
from tests.server import Server

SAMPLES = Path(__file__).parent.parent / "samples" / "input"
CONFIG = """
[[deployments]]
name = "REPLACE-WITH-MODEL-DEPLOYMENT-NAME"
[[deployments.backends]]
echo = {}
"""
# Code, line and parameter of each error.
Errors = list[tuple[str, int | None, str | None]]
REFUSED = "refused at upload"
# What Azure's two families say of a file that is wrong, and what OpenAI's says.
BAD: dict[str, tuple[Errors, Errors | str]] = {
    "bad_json_line": ([("invalid_json_line", 2, None)], [("invalid_json_line", 2, None)]),
    "bad_not_object": (
        [("invalid_request", line, None) for line in (1, 2, 3)],
        [("invalid_request", line, None) for line in (1, 2, 3)],
    ),
    "bad_missing_fields": (
        [("invalid_request", line, key) for line, key in enumerate(("custom_id", "method", "url", "body"), 1)],
        [
            ("missing_required_parameter", line, key)
            for line, key in enumerate(("custom_id", "method", "url", "body"), 1)
        ],
    ),
    "bad_method_get": ([("invalid_request", 1, "method")], [("invalid_request", 1, "method")]),
    "bad_url_mismatch": ([("url_mismatch", 2, "url")], [("invalid_url", 2, "url")]),
    "bad_model_mismatch": ([("model_mismatch", 2, "body.model")], [("mismatched_model", 2, "body.model")]),
    "bad_stream_true": ([("invalid_request", 1, "body.stream")], [("streaming_unsupported", 1, "body.stream")]),
    "bad_duplicate_custom_id": (
        [("duplicate_custom_id", 2, "custom_id")],
        [("duplicate_custom_id", 2, "custom_id")],
    ),
    "bad_empty": ([("empty_file", None, None)], REFUSED),
    "bad_whitespace_only": ([("empty_file", None, None)], REFUSED),
    "bad_utf8_bom": ([("invalid_request", None, None)], REFUSED),
    "bad_utf16le": ([("invalid_json_line", 1, None)], REFUSED),
}
# How many requests a good file has.
GOOD = {
    "ok_chat_azure": 3,
    "ok_chat_v1_url": 3,
    "ok_image_url": 1,
    "ok_responses": 3,
    "ok_structured_outputs": 1,
    "edge_blank_lines": 3,
    "edge_crlf": 3,
    "edge_no_trailing_newline": 3,
}
# OpenAI compares the urls of lines with the batch's endpoint to the letter; Azure's chat takes all that is here.
ENDPOINTS = {"ok_chat_v1_url": "/v1/chat/completions", "ok_responses": "/v1/responses"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has the deployment which the samples name."""
    scratch = tmp_path_factory.mktemp("samples")
    (scratch / "slackwater.toml").write_text(CONFIG)
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log")
    yield server
    server.kill()


@pytest.fixture(params=FAMILIES)
def call(server: Server, request: pytest.FixtureRequest) -> Caller:
    """Each family in turn."""
    return Caller(server, request.param)


def outcome(call: Caller, name: str) -> Any:
    """The batch that a sample ends as."""
    uploaded = call.upload((SAMPLES / f"{name}.jsonl").read_bytes(), name=f"{name}.jsonl")
    assert uploaded.status in (200, 201), uploaded
    endpoint = ENDPOINTS.get(name, "/chat/completions") if call.family == "openai" else "/chat/completions"
    order = {"input_file_id": uploaded.json["id"], "endpoint": endpoint, "completion_window": "24h"}
    created = call("POST", "/batches", order)
    assert (created.status, created.json["status"]) == (200, "validating")
    return call.ended(created.json["id"])


def test_every_sample_is_here() -> None:
    """No sample of the contract is left out."""
    assert {path.stem for path in SAMPLES.iterdir()} == BAD.keys() | GOOD.keys()


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.contract("A.12")
def test_good_samples_complete(call: Caller, name: str) -> None:
    """A file that the contract calls good runs to the end in every family, and each of its requests is answered."""
    batch = outcome(call, name)
    assert (batch["status"], batch["errors"]) == ("completed", None)
    assert batch["request_counts"] == {"total": GOOD[name], "completed": GOOD[name], "failed": 0}
    answers = call.lines(batch["output_file_id"])
    assert len({answer["custom_id"] for answer in answers}) == GOOD[name]
    assert all(answer["response"]["status_code"] == 200 for answer in answers)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.contract("A.14", "A.15")
def test_bad_samples_give_the_codes_of_the_contract(call: Caller, name: str) -> None:
    """A file that the contract calls bad fails with the codes, lines and parameters of the family, and nothing of it runs."""
    azure, openai = BAD[name]
    expected = openai if call.family == "openai" else azure
    if expected == REFUSED:
        refused = call.upload((SAMPLES / f"{name}.jsonl").read_bytes(), name=f"{name}.jsonl")
        assert (refused.status, refused.error["type"]) == (400, "invalid_request_error")
        return
    batch = outcome(call, name)
    assert batch["status"] == "failed"
    assert [(error["code"], error["line"], error["param"]) for error in batch["errors"]["data"]] == expected
    assert all(error["message"] for error in batch["errors"]["data"])
    assert (batch["output_file_id"], batch["error_file_id"], batch["in_progress_at"]) == (None, None, None)
    assert batch["request_counts"]["completed"] == batch["request_counts"]["failed"] == 0


@pytest.mark.parametrize("endpoint", ["/assistants", "/v1/threads", "/openai/threads/runs"])
def test_a_batch_of_assistants_is_told_so(call: Caller, endpoint: str) -> None:
    """An endpoint of the Assistants API is refused at once, and the message says that no such endpoint would do."""
    uploaded = call.upload((SAMPLES / "ok_chat_azure.jsonl").read_bytes())
    order = {"input_file_id": uploaded.json["id"], "endpoint": endpoint, "completion_window": "24h"}
    answer = call("POST", "/batches", order)
    assert (answer.status, answer.error["param"]) == (400, "endpoint")
    assert "not supported in a batch" in answer.error["message"]
