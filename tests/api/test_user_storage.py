"""Batches whose user keeps input and results himself: a real server, and folders in the place of an object store."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.api.calls import Caller, chat
from tests.server import Server

pytest.importorskip("obstore")

GUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
CONFIG = """
[limits]
input_blob_bytes = 100_000
[[storage]]
url = "file://{scratch}/mine"
[[storage]]
url = "file://{scratch}/theirs"
resource = "other"
[[resources]]
name = "other"
[[deployments]]
name = "demo-batch"
[[deployments.backends]]
echo = {{}}
[[deployments]]
name = "refusing-batch"
[[deployments.backends]]
echo = {{ refusal_rate = 1.0 }}
[[deployments]]
name = "small-batch"
enqueued_token_limit = 20
[[deployments.backends]]
echo = {{ hang_rate = 1.0 }}
[[deployments]]
name = "stuck-batch"
[[deployments.backends]]
echo = {{ hang_rate = 1.0 }}
"""


class House:
    """A server, and folders of two tenants. Callers are of the resource `default`."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.mine, self.theirs = scratch / "mine", scratch / "theirs"
        self.mine.mkdir()
        self.theirs.mkdir()
        (self.theirs / "in.jsonl").write_bytes(chat(1))
        self.config = scratch / "slackwater.toml"
        self.config.write_text('[server]\napi_key_envs = ["STORAGE_TEST_KEY"]\n' + CONFIG.format(scratch=scratch))
        self.start()

    def start(self) -> None:
        """Begins, or begins again."""
        self.server = Server(self.config, self.scratch / "data", self.log, {"STORAGE_TEST_KEY": "any"})
        self.call = Caller(self.server, "azure")

    @property
    def log(self) -> Path:
        """What it logs."""
        return self.scratch / "server.log"

    def url(self, name: str) -> str:
        """The URL of something of the caller's."""
        return f"file://{self.mine}/{name}"

    def order(self, name: str = "in.jsonl", **changes: Any) -> dict[str, Any]:
        """The body that makes a batch of a blob."""
        body = {"input_file_id": None, "endpoint": "/chat/completions", "completion_window": "24h"}
        return body | {"input_blob": self.url(name), "output_folder": {"url": self.url("out")}} | changes

    def batch(self, data: bytes, name: str = "in.jsonl", **changes: Any) -> Any:
        """Puts a blob there and makes a batch of it."""
        (self.mine / name).write_bytes(data)
        made = self.call("POST", "/batches", self.order(name, **changes))
        assert made.status == 200, made.body
        return made.json


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One per module of tests."""
    house = House(tmp_path_factory.mktemp("storage"))
    yield house
    house.server.kill()


def at(url: str) -> Path:
    """Where a blob is."""
    return Path(url.removeprefix("file://"))


def lines(url: str) -> list[Any]:
    """The lines of a blob."""
    return [json.loads(line) for line in at(url).read_bytes().splitlines()]


def test_input_and_results_stay_with_the_user(house: House) -> None:
    """The results are in a folder of their own; no file is anywhere else, and no error blob where nothing failed."""
    made = house.batch(chat(3))
    assert made["input_file_id"] is None
    assert (made["input_blob"], made["output_blob"], made["error_blob"]) == (house.url("in.jsonl"), "", "")
    batch = house.call.ended(made["id"])
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    assert (batch["output_file_id"], batch["error_file_id"], batch["input_file_id"]) == (None, None, None)
    folder = re.escape(house.url("out"))
    assert re.fullmatch(f"{folder}/{GUID}/results.jsonl", batch["output_blob"])
    assert batch["error_blob"] == batch["output_blob"].replace("results", "errors")
    assert sorted(line["custom_id"] for line in lines(batch["output_blob"])) == ["task-0", "task-1", "task-2"]
    assert [path.name for path in at(batch["output_blob"]).parent.iterdir()] == ["results.jsonl"]
    assert house.call("GET", "/files").json["data"] == []
    listed = next(each for each in house.call("GET", "/batches").json["data"] if each["id"] == made["id"])
    assert listed == batch == house.call("GET", f"/batches/{made['id']}").json


def test_lines_that_fail_are_in_the_error_blob(house: House) -> None:
    """And the results are a blob without lines."""
    batch = house.call.ended(house.batch(chat(2, model="refusing-batch"))["id"])
    assert batch["request_counts"]["failed"] == 2
    assert [line["response"]["status_code"] for line in lines(batch["error_blob"])] == [400, 400]
    assert at(batch["output_blob"]).read_bytes() == b""


def test_with_the_vendor_s_client(house: House) -> None:
    """`extra_body`, and the names that its answer carries."""
    (house.mine / "client.jsonl").write_bytes(chat(1))
    client = openai.AzureOpenAI(
        azure_endpoint=f"http://{house.server.address}", api_key="any", api_version="2025-04-01-preview", max_retries=0
    )
    batch = client.batches.create(
        input_file_id=None,  # type: ignore[arg-type]
        endpoint="/chat/completions",  # type: ignore[arg-type]
        completion_window="24h",
        extra_body={"input_blob": house.url("client.jsonl"), "output_folder": {"url": house.url("")}},
    )
    house.call.ended(batch.id)
    ended = client.batches.retrieve(batch.id)
    assert ended.model_extra is not None
    assert lines(ended.model_extra["output_blob"])[0]["custom_id"] == "task-0"


def test_an_input_with_faults(house: House) -> None:
    """Fails with its lines, like a file; nothing is written anywhere."""
    batch = house.call.ended(house.batch(chat(1) + b"{\n")["id"])
    assert batch["status"] == "failed"
    assert [(error["code"], error["line"]) for error in batch["errors"]["data"]] == [("invalid_json_line", 2)]
    assert (batch["output_blob"], batch["error_blob"]) == ("", "")


def test_an_empty_one(house: House) -> None:
    """The same as an empty file."""
    batch = house.call.ended(house.batch(b"")["id"])
    assert [error["code"] for error in batch["errors"]["data"]] == ["empty_file"]


def test_a_cancelled_one(house: House) -> None:
    """What never ran is in the error blob."""
    made = house.batch(chat(2, model="stuck-batch"))
    while house.call("GET", f"/batches/{made['id']}").json["status"] == "validating":
        pass
    house.call("POST", f"/batches/{made['id']}/cancel")
    batch = house.call.ended(made["id"])
    assert batch["status"] == "cancelled"
    assert [line["error"]["code"] for line in lines(batch["error_blob"])] == ["batch_cancelled"] * 2
    refused = house.call("POST", f"/batches/{made['id']}/retry", {})
    assert refused.status == 409
    assert "in your storage" in refused.error["message"]


def test_quota_counts_for_it(house: House) -> None:
    """Nobody has let it in before its tokens were counted: where there is no room then, it fails."""
    holds = house.batch(chat(3, model="small-batch"))
    while house.call("GET", f"/batches/{holds['id']}").json["status"] == "validating":
        pass
    batch = house.call.ended(house.batch(chat(3, model="small-batch"), "in2.jsonl")["id"])
    assert [error["code"] for error in batch["errors"]["data"]] == ["token_limit_exceeded"]
    house.call("POST", f"/batches/{holds['id']}/cancel")
    house.call.ended(holds["id"])


@pytest.mark.parametrize(
    ("changes", "status", "param"),
    [
        ({"output_folder": None}, 400, "output_folder"),
        ({"input_blob": None}, 400, "input_blob"),
        ({"input_blob": None, "output_folder": None}, 400, "input_file_id"),
        ({"output_folder": {}}, 400, "output_folder.url"),
        ({"output_folder": {"url": "{mine}/out", "delimiter": "|"}}, 400, "output_folder.delimiter"),
        ({"input_file_id": "file-x"}, 400, "input_file_id"),
        ({"metadata": {"a": "b"}}, 400, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 86400}}, 400, "output_expires_after"),
        ({"input_blob": "{mine}/missing.jsonl"}, 400, "input_blob"),
        ({"input_blob": "{mine}/large.jsonl"}, 400, "input_blob"),
        ({"input_blob": "{mine}/in.jsonl?sig=secret"}, 400, "input_blob"),
        ({"input_blob": "in.jsonl"}, 400, "input_blob"),
        ({"input_blob": "{mine}/../theirs/in.jsonl"}, 400, "input_blob"),
        ({"input_blob": "{mine}/%2e%2e/theirs/in.jsonl"}, 400, "input_blob"),
        ({"input_blob": "{mine}"}, 400, "input_blob"),
        ({"output_folder": {"url": "{mine}/../theirs"}}, 400, "output_folder.url"),
        ({"input_blob": "{theirs}/in.jsonl"}, 403, "input_blob"),
        ({"input_blob": "{theirs}/nothing.jsonl"}, 403, "input_blob"),
        ({"input_blob": "{mine}-too/in.jsonl"}, 403, "input_blob"),
        ({"output_folder": {"url": "{theirs}"}}, 403, "output_folder.url"),
        ({"input_blob": "file:///etc/passwd"}, 403, "input_blob"),
        ({"input_blob": "http://169.254.169.254/latest/meta-data"}, 403, "input_blob"),
        ({"input_blob": "https://anybody.blob.core.windows.net/secret/in.jsonl"}, 403, "input_blob"),
    ],
)  # fmt: skip
def test_what_is_refused_at_once(house: House, changes: dict[str, Any], status: int, param: str) -> None:
    """With the parameter, without what it said, and without a batch."""
    (house.mine / "in.jsonl").write_bytes(chat(1))
    (house.mine / "large.jsonl").write_bytes(bytes(100_001))
    text = json.dumps(house.order(**changes)).replace("{mine}", house.url("").rstrip("/"))
    body = json.loads(text.replace("{theirs}", f"file://{house.theirs}"))
    before = len(house.call("GET", "/batches", query="limit=100").json["data"])
    answer = house.call("POST", "/batches", body)
    assert (answer.status, answer.error["param"]) == (status, param), answer.body
    assert "secret" not in answer.error["message"]
    assert "theirs" not in answer.error["message"]
    assert len(house.call("GET", "/batches", query="limit=100").json["data"]) == before


def test_whose_a_storage_is_nobody_learns(house: House) -> None:
    """Another tenant's and nobody's are refused in the same words."""
    said = {
        house.call("POST", "/batches", house.order(input_blob=url)).error["message"]
        for url in (f"file://{house.theirs}/in.jsonl", "s3://nobody-s/in.jsonl")
    }
    assert len(said) == 1


def test_a_link_leads_nowhere(house: House) -> None:
    """Whoever may write into the folder may not read with the rights of the service."""
    (house.scratch / "private.jsonl").write_bytes(chat(1))
    link = house.mine / "link.jsonl"
    link.symlink_to(house.scratch / "private.jsonl")
    batch = house.call.ended(house.call("POST", "/batches", house.order("link.jsonl")).json["id"])
    assert [error["code"] for error in batch["errors"]["data"]] == ["input_no_permissions"]


def test_a_repeated_create(house: House) -> None:
    """One key makes one batch, and another blob under it is refused."""
    (house.mine / "in.jsonl").write_bytes(chat(1))
    (house.mine / "in2.jsonl").write_bytes(chat(1))
    headers = {"Idempotency-Key": "blob-1"}
    made = [house.call("POST", "/batches", house.order(), headers=headers).json["id"] for _ in range(2)]
    assert made[0] == made[1]
    assert house.call("POST", "/batches", house.order("in2.jsonl"), headers=headers).status == 409


def test_killed_while_results_wait_for_their_storage(house: House) -> None:
    """A storage that takes nothing is waited for and said, and after kill -9 the results are there once."""
    folder = house.mine / "late"
    folder.write_text("in the way")
    made = house.batch(chat(5), output_folder={"url": house.url("late")})
    other = house.batch(chat(1), "in2.jsonl")
    assert house.call.ended(other["id"])["status"] == "completed"
    while "results_wait_for_storage" not in house.log.read_text():
        pass
    said = house.call("GET", f"/batches/{made['id']}")
    assert said.json["status"] == "finalizing"
    assert said.headers["slackwater-waiting-on"].startswith("refusing; what=storage; since=")
    waiting = Caller(house.server, "openai")("GET", f"/batches/{made['id']}/progress").json["waiting_on"]
    assert (waiting["what"], waiting["health"]) == ("storage", "refusing")
    assert waiting["reason"].startswith("it does not let the service in"), waiting["reason"]
    assert "(Not a directory)" in house.log.read_text()
    house.server.kill()
    house.start()
    folder.unlink()
    batch = house.call.ended(made["id"])
    assert batch["status"] == "completed"
    assert sorted(line["custom_id"] for line in lines(batch["output_blob"])) == [
        f"task-{number}" for number in range(5)
    ]
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["results.jsonl"]
    # What was made here on the way goes when the batch has ended.
    while any((house.scratch / "data" / "blobs" / "outputs").glob("*")):
        pass
