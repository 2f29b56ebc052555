"""Recorded errors, caused again: status, code, type and parameter agree, and the sentence where it is known exactly."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.exchange import Answer, House, call
from tests.contract.samples import SAMPLES, Difference, agree, replays, sample
from tests.server import Server

KEYS_OF_BOTH = Difference(
    ("error.type", "error.param"), "absent", "*", "One envelope with the keys of both vendors (spec 7.1)."
)
REPEATED = Difference(
    ("detail",), "absent", "object", "This one has `error` alone; the Files API repeats it everywhere else (spec 7.1)."
)
LIMITED = """
[server]
api_key_envs = ["CONTRACT_KEY"]
[limits]
upload_bytes = 3000
lasting_files = 2
[[deployments]]
name = "quick"
[[deployments.backends]]
echo = {}
"""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key, and with little room."""
    scratch = tmp_path_factory.mktemp("limited")
    (scratch / "slackwater.toml").write_text(LIMITED)
    server = Server(
        scratch / "slackwater.toml", scratch / "data", scratch / "server.log", environment={"CONTRACT_KEY": "right"}
    )
    yield server
    server.kill()


def same_error(recorded: Any, answer: Answer, *differences: Difference, more: bool = False) -> None:
    """The recorded error, in our envelope. With `more`, the recorded sentence is followed by one that says what to do."""
    agree(recorded["body"], answer.json, *differences)
    assert answer.status == recorded["status"]
    ours, theirs = answer.json["error"]["message"], recorded["body"]["error"]["message"]
    assert ours.startswith(theirs) if more else ours == theirs


@replays("azure/error_400_invalid_purpose.json", "openai/error_400_bad_purpose.json")
@pytest.mark.contract("A POST /files", "O POST /files")
def test_purpose(azure: House, plain: House) -> None:
    """A purpose that nobody knows; OpenAI's sentence lists those that there are."""
    answer = azure.upload(b"{}", purpose="world_domination")
    same_error(sample("azure/error_400_invalid_purpose.json"), answer, KEYS_OF_BOTH, more=True)
    same_error(sample("openai/error_400_bad_purpose.json"), plain.upload(b"{}", purpose="world_domination"), REPEATED)


@replays("azure/error_401_bad_key.json")
@pytest.mark.contract("A.2")
def test_key(limited: Server) -> None:
    """A wrong key in the dated family: the code is text, and the sentence is the recorded one."""
    for headers in ({"api-key": "wrong"}, {}):
        house = House(limited, "A", key="right")
        house.key = headers
        same_error(sample("azure/error_401_bad_key.json"), house.call("GET", "/files"), KEYS_OF_BOTH)


@replays("azure/error_400_file_quota.json", "openai/error_400_file_too_large.json")
@pytest.mark.contract("A POST /files", "O POST /files")
def test_room_for_files(limited: Server) -> None:
    """As many files as there may be, and one that is too large."""
    azure, plain = House(limited, "A", key="right"), House(limited, "O", key="right")
    same_error(sample("openai/error_400_file_too_large.json"), plain.upload(b"{}\n" * 2_000), REPEATED, more=True)
    same_error(
        {"status": 400, "body": {"error": {"code": "invalidPayload", "message": ""}}},
        azure.upload(b"{}\n" * 2_000),
        KEYS_OF_BOTH,
        more=True,
    )
    for _ in range(2):
        azure.file(b"{}\n")
    recorded = sample("azure/error_400_file_quota.json")
    recorded["body"]["error"]["message"] = recorded["body"]["error"]["message"].replace("500", "2")
    same_error(recorded, azure.upload(b"{}\n"), KEYS_OF_BOTH, more=True)


@replays("openai/error_400_not_jsonl.json")
def test_name(plain: House) -> None:
    """A batch file whose name ends in something else; the message comes twice, as on every answer of the Files API."""
    same_error(sample("openai/error_400_not_jsonl.json"), plain.upload(b"{}\n", filename="in.txt"))


@replays("openai/error_404_file.json")
@pytest.mark.contract("O GET /files/{file_id}", "O GET /files/{file_id}/content", "O DELETE /files/{file_id}")
def test_no_such_file(plain: House) -> None:
    """Get, content and delete of nothing."""
    for method, path in (("GET", "/files/fake_id"), ("GET", "/files/fake_id/content"), ("DELETE", "/files/fake_id")):
        same_error(sample("openai/error_404_file.json"), plain.call(method, path))


@replays(
    "openai/error_400_missing_input_file_id.json",
    "openai/error_400_invalid_endpoint.json",
    "openai/error_400_metadata.json",
)
@pytest.mark.contract("O POST /batches")
def test_wrong_orders(plain: House) -> None:
    """What is wrong with a new batch is said at once, in OpenAI's words."""
    file_id = plain.file(plain.chat(1))
    answer = plain.post("/batches", {"endpoint": plain.endpoint, "completion_window": "24h"})
    same_error(sample("openai/error_400_missing_input_file_id.json"), answer)
    answer = plain.create(file_id, endpoint="/v1/invalid/endpoint")
    recorded = sample("openai/error_400_invalid_endpoint.json")
    # Which endpoints there are is ours to say.
    error = recorded["body"]["error"]
    error["message"] = error["message"].partition(" are: ")[0]
    same_error(recorded, answer, more=True)
    wrong: tuple[Any, ...] = ({"tags": ["a"]}, "text", {str(number): "x" for number in range(24)})
    for body, metadata in zip(sample("openai/error_400_metadata.json"), wrong, strict=True):
        same_error({"status": 400, "body": body}, plain.create(file_id, metadata=metadata))


@replays("openai/error_409_cancel_terminal.json")
@pytest.mark.contract("A.16", "AVO POST /batches/{batch_id}/cancel")
def test_cancel_too_late(house: House) -> None:
    """A batch that has completed or failed cannot be cancelled, and trying again will not help."""
    recorded = sample("openai/error_409_cancel_terminal.json")
    for data in (house.chat(1), house.chat(1) + b"\n{broken\n"):
        batch = house.run(data)
        answer = house.call("POST", f"/batches/{batch['id']}/cancel")
        assert (answer.status, answer.headers["x-should-retry"]) == (409, "false")
        message = recorded["body"]["error"]["message"].replace("completed", batch["status"])
        assert answer.json["error"]["message"] == message
        if house.family == "O":
            agree(recorded["body"], answer.json)
        else:
            assert answer.json["error"]["code"] == "conflict"


@replays("azure/batch_errors_token_limit.json", "openai/batch_errors_token_limit.json")
@pytest.mark.contract("A.19", "AVO POST /batches")
def test_no_room_for_tokens(house: House) -> None:
    """While others hold the tokens: 400 at once with the code in its text (A, V), or a batch that fails with it (O)."""
    recorded = sample(f"{'openai' if house.family == 'O' else 'azure'}/batch_errors_token_limit.json")["data"][0]
    lines = house.chat(200, model="small", text=" ".join(["tide"] * 90))
    holding = house.begin(lines)
    house.until(holding["id"], "in_progress")
    answer = house.create(house.file(lines))
    if house.family == "O":
        (error,) = house.until(answer.json["id"])["errors"]["data"]
        agree(recorded, error)
        # There are no organisations here.
        message = recorded["message"].replace(" in organization org-XXXX", "")
        assert error["message"] == message.replace("gpt-4o-mini", "small").replace("2,000,000", "30,000")
    else:
        error = answer.json["error"]
        assert answer.status == 400
        assert "token_limit_exceeded" in answer.data.decode()
        assert (error["code"], error["param"]) == (recorded["code"], recorded["param"])
        assert error["message"] == recorded["message"].replace("gpt-4.1-batch", "small")
    house.call("POST", f"/batches/{holding['id']}/cancel")
    house.until(holding["id"])


@replays("openai/batch_errors_missing_file.json")
@pytest.mark.contract("AVO POST /batches")
def test_unknown_input_file(house: House) -> None:
    """Refused at once, as in 2024, and not by a batch that fails, as in 2025 (spec 11.2, 24)."""
    recorded = sample("openai/batch_errors_missing_file.json")["data"][0]
    answer = house.create("file-XXXX")
    assert answer.status == 400
    begins = recorded["message"].partition(", or ")[0]
    assert answer.json["error"]["message"].replace("'", "").startswith(begins)
    assert answer.json["error"]["param"] in ("file_id", "input_file_id")


@pytest.mark.contract("A POST /batches")
def test_a_storage_account(azure: House) -> None:
    """Nobody's blobs are fetched that the operator has not listed."""
    answer = azure.post("/batches", sample("azure/batch_blob_storage.json")["request"]["body"])
    assert (answer.status, answer.json["error"]["param"]) == (403, "input_blob")


@replays("azure/error_404_resource_not_found.raw.json")
@pytest.mark.contract("A.3")
def test_no_version(server: Server) -> None:
    """Byte for byte what the service answers to a missing, to an unknown version, and to an unknown path."""
    recorded = (SAMPLES / "azure/error_404_resource_not_found.raw.json").read_bytes()
    for target in (
        "/openai/batches",
        "/openai/batches?api-version=2023-11-01-preview",
        "/openai/x?api-version=2024-10-21",
    ):
        answer = call(server, "GET", target, None, {"api-key": "any"})
        assert (answer.status, answer.data) == (404, recorded)
