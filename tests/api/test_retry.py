"""Another try of what a batch did not get done (an extension of ours)."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.calls import FAMILIES, Answer, Caller, chat, order
from tests.server import Server

CONFIG = """
[[deployments]]
name = "demo-batch"
[[deployments.backends]]
echo = {}
[[deployments]]
name = "broken-batch"
[[deployments.backends]]
echo = { error_rate = 0.5 }
attempts = 1
[[deployments]]
name = "stuck-batch"
[[deployments.backends]]
echo = { hang_rate = 1.0 }
concurrency = 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Deployments that answer, that fail half the time, and that never answer."""
    scratch: Path = tmp_path_factory.mktemp("retry")
    (scratch / "slackwater.toml").write_text(CONFIG)
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log")
    yield server
    server.kill()


@pytest.fixture(params=FAMILIES)
def call(server: Server, request: pytest.FixtureRequest) -> Caller:
    """Each family in turn."""
    return Caller(server, request.param)


def ids(lines: list[Any]) -> set[str]:
    """The custom_ids of lines."""
    return {line["custom_id"] for line in lines}


def failed_half(call: Caller, count: int = 40) -> Any:
    """A batch that has ended, some of whose lines failed."""
    batch = call.ended(call.create(chat(count, model="broken-batch"), metadata={"team": "tides"}).json["id"])
    assert 0 < batch["request_counts"]["failed"] < count
    return batch


@pytest.mark.contract("AVO POST /batches/{batch_id}/retry")
def test_the_failed_lines_are_tried_again(call: Caller) -> None:
    """Exactly the lines of the error file, byte for byte as they were, in a batch that names the first one."""
    first = failed_half(call)
    failed = ids(call.lines(first["error_file_id"]))
    made = call("POST", f"/batches/{first['id']}/retry")
    assert made.status == 200
    second = made.json
    assert second["metadata"] == {"team": "tides", "retry_of": first["id"]}
    assert second["input_file_id"] != first["input_file_id"]
    sent = call("GET", f"/files/{second['input_file_id']}/content").body
    assert ids(call.lines(second["input_file_id"])) == failed
    assert set(sent.splitlines()) <= set(chat(40, model="broken-batch").splitlines())
    ended = call.ended(second["id"])
    assert ended["request_counts"]["total"] == len(failed)
    # The first batch is as it was.
    assert call("GET", f"/batches/{first['id']}").json == first


def test_lines_that_never_ran_are_tried_again(call: Caller) -> None:
    """A cancelled batch's unanswered lines."""
    batch = call.create(chat(5, model="stuck-batch")).json
    while call("GET", f"/batches/{batch['id']}").json["status"] != "in_progress":
        pass
    call("POST", f"/batches/{batch['id']}/cancel")
    call.ended(batch["id"])
    again = call("POST", f"/batches/{batch['id']}/retry").json
    sent = call("GET", f"/files/{again['input_file_id']}/content").body
    assert sent == chat(5, model="stuck-batch")
    call("POST", f"/batches/{again['id']}/cancel")


def test_lines_written_in_an_unusual_way_are_found(call: Caller) -> None:
    """Of a repeated key the last counts, as in validation; blank lines and line ends do not matter."""
    line = chat(1, model="broken-batch").decode().replace('{"custom_id"', '{"custom_id": 5, "custom_id"')
    data = "".join(line.replace("task-0", f"task-{number}") + " \r\n" for number in range(40)).encode()
    first = call.ended(call.create(data).json["id"])
    failed = ids(call.lines(first["error_file_id"]))
    second = call("POST", f"/batches/{first['id']}/retry").json
    assert (
        ids([json.loads(line) for line in call("GET", f"/files/{second['input_file_id']}/content").body.splitlines()])
        == failed
    )


def test_a_batch_that_failed_validation_is_tried_as_it_is(call: Caller) -> None:
    """Nothing of it ran: the new batch has the same file (the deployment may be there by now)."""
    first = call.ended(call.create(chat(2, model="nobody")).json["id"])
    assert first["status"] == "failed"
    second = call("POST", f"/batches/{first['id']}/retry").json
    assert second["input_file_id"] == first["input_file_id"]


def test_without_the_error_file_the_output_file_says_what_is_missing(call: Caller) -> None:
    """A deleted error file is no hindrance."""
    first = failed_half(call)
    done = ids(call.lines(first["output_file_id"]))
    call("DELETE", f"/files/{first['error_file_id']}")
    second = call("POST", f"/batches/{first['id']}/retry").json
    sent = ids(call.lines(second["input_file_id"]))
    assert sent | done == {f"task-{number}" for number in range(40)}
    assert not sent & done


@pytest.mark.parametrize("gone", [["input_file_id"], ["error_file_id", "output_file_id"]])
def test_what_is_gone_cannot_be_tried_again(call: Caller, gone: list[str]) -> None:
    """409, and the message says which file is missing and what to do."""
    first = failed_half(call)
    for name in gone:
        call("DELETE", f"/files/{first[name]}")
    refused = call("POST", f"/batches/{first['id']}/retry")
    assert (refused.status, refused.headers["x-should-retry"]) == (409, "false")
    assert "Upload the input file again" in refused.error["message"]


def test_nothing_to_try_again(call: Caller) -> None:
    """A batch that is complete, and one that runs, are refused; an unknown one is not found."""
    complete = call.ended(call.create(chat(2)).json["id"])
    refused = call("POST", f"/batches/{complete['id']}/retry")
    assert (refused.status, "nothing to try again" in refused.error["message"]) == (409, True)
    running = call.create(chat(1, model="stuck-batch")).json
    refused = call("POST", f"/batches/{running['id']}/retry")
    assert (refused.status, "has ended" in refused.error["message"]) == (409, True)
    call("POST", f"/batches/{running['id']}/cancel")
    assert call("POST", "/batches/batch_nobody/retry").status == 404


def test_a_retry_has_a_key_too(call: Caller) -> None:
    """A repeated retry under one key makes one batch and one file."""
    first = failed_half(call)
    headers = {"Idempotency-Key": f"again-{first['id']}"}
    made = [call("POST", f"/batches/{first['id']}/retry", headers=headers) for _ in range(3)]
    assert {answer.status for answer in made} == {200}
    assert len({answer.json["id"] for answer in made}) == 1
    assert len({answer.json["input_file_id"] for answer in made}) == 1
    other = call("POST", "/batches", order(first["input_file_id"]), headers=headers)
    assert other.status == 409


def test_retries_at_once_under_one_key_leave_one_file(call: Caller) -> None:
    """Whoever comes second has made a file for nothing, and it does not stay."""
    first = failed_half(call)
    headers = {"Idempotency-Key": f"at-once-{first['id']}"}
    before = len(call("GET", "/files", query="purpose=batch").json["data"])
    answers: list[Answer] = []

    def retry() -> None:
        answers.append(call("POST", f"/batches/{first['id']}/retry", headers=headers))

    threads = [threading.Thread(target=retry) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200] * 6
    assert len({answer.json["id"] for answer in answers}) == 1
    assert len(call("GET", "/files", query="purpose=batch").json["data"]) == before + 1


def test_metadata_of_one_s_own(call: Caller) -> None:
    """Given in the body, it takes the place of the first batch's; 16 pairs leave no room for the link."""
    first = failed_half(call)
    second = call("POST", f"/batches/{first['id']}/retry", {"metadata": {"round": "2"}}).json
    assert second["metadata"] == {"round": "2", "retry_of": first["id"]}
    full = {"metadata": {str(number): "x" for number in range(16)}}
    files = len(call("GET", "/files").json["data"])
    refused = call("POST", f"/batches/{first['id']}/retry", full)
    assert (refused.status, refused.error["param"]) == (400, "metadata")
    assert len(call("GET", "/files").json["data"]) == files
