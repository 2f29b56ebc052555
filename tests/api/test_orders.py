"""Creating batches: keys of repeated creates, and the enqueued-token quota."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.calls import FAMILIES, Caller, chat, order
from tests.server import Server

CONFIG = """
[limits]
lasting_files = 40
[[deployments]]
name = "demo-batch"
[[deployments.backends]]
echo = {}
[[deployments]]
name = "small-batch"
enqueued_token_limit = 1000
[[deployments.backends]]
echo = { hang_rate = 1.0 }
[[deployments]]
name = "queue-batch"
enqueued_token_limit = 1000
when_full = "queue"
[[deployments.backends]]
echo = { hang_rate = 1.0 }
"""
# About 500 tokens each by characters.
HALF = 2_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of its own for each test: held tokens would spill over."""
    (tmp_path / "slackwater.toml").write_text(CONFIG)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    yield server
    server.kill()


@pytest.fixture(params=FAMILIES)
def call(server: Server, request: pytest.FixtureRequest) -> Caller:
    """Each family in turn."""
    return Caller(server, request.param)


def batch_count(call: Caller) -> int:
    """How many batches there are."""
    return len(call("GET", "/batches").json["data"])


# Keys


@pytest.mark.parametrize("place", ["header", "body"])
def test_a_repeated_create_makes_one_batch(call: Caller, place: str) -> None:
    """The same key and the same order return the first batch, as it is by now, and say that they do."""
    body = order(call.upload(chat(2)).json["id"]) | {"metadata": {"a": "b", "c": "d"}}
    headers = {"Idempotency-Key": "mine"} if place == "header" else {}
    body |= {"idempotency_key": "mine"} if place == "body" else {}
    first = call("POST", "/batches", body, headers=headers)
    assert first.status == 200
    assert "idempotent-replayed" not in first.headers
    call.ended(first.json["id"])
    again = call("POST", "/batches", body | {"metadata": {"c": "d", "a": "b"}}, headers=headers)
    assert (again.status, again.headers["idempotent-replayed"]) == (200, "true")
    assert (again.json["id"], again.json["status"]) == (first.json["id"], "completed")
    assert batch_count(call) == 1


def test_a_repeated_create_does_not_need_its_file_any_more(call: Caller) -> None:
    """The batch is there, and so is the answer."""
    body = order(call.upload(chat(1)).json["id"]) | {"idempotency_key": "mine"}
    first = call("POST", "/batches", body).json["id"]
    call("DELETE", f"/files/{body['input_file_id']}")
    assert call("POST", "/batches", body).json["id"] == first


@pytest.mark.parametrize("change", [{"metadata": {"x": "y"}}, {"endpoint": "/v1/embeddings"}, {"input_file_id": "f"}])
def test_a_key_of_another_order(call: Caller, change: dict[str, Any]) -> None:
    """409, not to be retried; the message names the batch that has the key."""
    body = order(call.upload(chat(1)).json["id"]) | {"idempotency_key": "mine"}
    first = call("POST", "/batches", body).json["id"]
    refused = call("POST", "/batches", body | change)
    assert (refused.status, refused.headers["x-should-retry"]) == (409, "false")
    assert first in refused.error["message"]
    assert batch_count(call) == 1


def test_a_failed_create_does_not_use_its_key_up(call: Caller) -> None:
    """What was refused can be put right and sent again under the same key."""
    body = order("file-nobody") | {"idempotency_key": "mine"}
    assert call("POST", "/batches", body).status == 400
    body["input_file_id"] = call.upload(chat(1)).json["id"]
    assert call("POST", "/batches", body).status == 200


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_a_length(call: Caller, key: str) -> None:
    """Neither empty nor longer than 255 characters."""
    refused = call("POST", "/batches", order("f") | {"idempotency_key": key})
    assert (refused.status, refused.error["param"]) == (400, "idempotency_key")


def test_creates_at_once_under_one_key(server: Server) -> None:
    """Many at the same time make one batch, and all hear of it."""
    call = Caller(server, "openai")
    body = order(call.upload(chat(1)).json["id"]) | {"idempotency_key": "mine"}
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda: ids.append(call("POST", "/batches", body).json["id"])) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 12
    assert len(set(ids)) == 1


def test_a_key_survives_a_kill(server: Server, tmp_path: Path) -> None:
    """The batch and its key are one fact: after kill -9 a repeated create finds what the first one made."""
    call = Caller(server, "openai")
    body = order(call.upload(chat(1)).json["id"]) | {"idempotency_key": "mine"}
    first = call("POST", "/batches", body).json["id"]
    server.kill()
    again = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    try:
        call = Caller(again, "openai")
        repeated = call("POST", "/batches", body)
        assert (repeated.json["id"], repeated.headers["idempotent-replayed"]) == (first, "true")
        assert batch_count(call) == 1
    finally:
        again.kill()


# Enqueued tokens


@pytest.mark.parametrize("family", ["azure", "azure-v1"])
@pytest.mark.contract("A.19")
def test_no_room_is_said_at_once(server: Server, family: str) -> None:
    """Fail fast: 400 whose code and text say token_limit_exceeded, as soon as the estimate does not fit (spec 3.1, 6.2)."""
    call = Caller(server, family)
    first = call.create(chat(1, model="small-batch", text="x" * HALF))
    assert first.status == 200
    assert 400 < int(first.headers["deployment-enqueued-tokens"]) < 600
    assert first.headers["deployment-maximum-enqueued-tokens"] == "1000"
    refused = call.create(chat(1, model="small-batch", text="y" * HALF + "z" * 500))
    assert (refused.status, refused.error["code"]) == (400, "token_limit_exceeded")
    assert "limit of 1K for the deployment 'small-batch'" in refused.error["message"]
    assert refused.headers["deployment-enqueued-tokens"] == first.headers["deployment-enqueued-tokens"]
    assert refused.headers["deployment-maximum-enqueued-tokens"] == "1000"
    assert batch_count(call) == 1
    call("POST", f"/batches/{first.json['id']}/cancel")
    call.ended(first.json["id"])
    assert call.create(chat(1, model="small-batch", text="y" * HALF)).status == 200


@pytest.mark.parametrize("family", ["azure", "azure-v1"])
def test_what_never_fits_is_told_apart(server: Server, family: str) -> None:
    """A file that alone is larger than the limit is not sent to wait: it says so, and by how much. Both say what is held."""
    call = Caller(server, family)
    refused = call.create(chat(1, model="small-batch", text="y" * HALF * 5))
    assert (refused.status, refused.error["code"]) == (400, "token_limit_exceeded")
    words = r"alone has about 2\.\dK tokens, 1\.\dK more than that: either increase the limit or split the file\."
    assert re.search(words, refused.error["message"])
    held, limit = (refused.headers[f"deployment-{name}enqueued-tokens"] for name in ("", "maximum-"))
    assert (held.isdecimal(), limit) == (True, "1000")


def test_openai_says_it_after_validation(server: Server) -> None:
    """In OpenAI's family the batch is made, and fails with OpenAI's words."""
    call = Caller(server, "openai")
    # Words are about as many tokens as they are; the estimate by characters would be no more than a quarter of these.
    text = "a b c d e f g h " * 100
    first = call.create(chat(1, model="small-batch", text=text))
    assert first.status == 200
    # Several are validated at once: who is through first has the room.
    while call("GET", f"/batches/{first.json['id']}").json["status"] != "in_progress":
        pass
    batch = call.ended(call.create(chat(1, model="small-batch", text=text)).json["id"])
    assert batch["status"] == "failed"
    [error] = batch["errors"]["data"]
    assert (error["code"], error["line"], error["param"]) == ("token_limit_exceeded", None, None)
    assert "Limit: 1,000 enqueued tokens" in error["message"]


def test_a_queue_waits(server: Server) -> None:
    """Where the operator lets batches wait, the second one is `validating` until the first has ended."""
    call = Caller(server, "azure")
    text = "a b c d e f g h " * 100
    first = call.create(chat(1, model="queue-batch", text=text)).json["id"]
    while call("GET", f"/batches/{first}").json["status"] != "in_progress":
        pass
    second = call.create(chat(1, model="queue-batch", text=text)).json["id"]
    while call("GET", f"/batches/{second}").json["request_counts"]["total"] == 0:
        pass
    assert call("GET", f"/batches/{second}").json["status"] == "validating"
    call("POST", f"/batches/{first}/cancel")
    while call("GET", f"/batches/{second}").json["status"] != "in_progress":
        pass
    call("POST", f"/batches/{second}/cancel")


def test_a_file_that_says_nothing_has_no_headers(server: Server) -> None:
    """Nothing is invented for a file whose deployment cannot be told."""
    call = Caller(server, "azure")
    made = call.create(b"hello\n")
    assert made.status == 200
    assert "deployment-enqueued-tokens" not in made.headers
    assert call.ended(made.json["id"])["status"] == "failed"


# Files


def test_the_quota_of_files(server: Server) -> None:
    """The recorded code and words; files with an expiry have a quota of their own (spec 6.1)."""
    call = Caller(server, "azure")
    ids = [call.upload(b"{}\n").json["id"] for _ in range(40)]
    refused = call.upload(b"{}\n")
    assert (refused.status, refused.error["code"]) == (400, "quotaExceeded")
    assert refused.error["message"].startswith("The quota for files without expiry is reached. The maximum is 40.")
    anchor = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    assert call.upload(b"{}\n", **anchor).status == 201
    blobs = list((server.data / "blobs" / "files").iterdir())
    assert len(blobs) == 41
    call("DELETE", f"/files/{ids[0]}")
    assert call.upload(b"{}\n").status == 201
