"""kill -9 of a real server around its webhooks: every event arrives at least once, under one id, and is counted once."""

import json
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.api.calls import Caller
from tests.api.conftest import CONFIG
from tests.api.receiver import Receiver
from tests.server import Server

LISTENING = "[webhooks]\nallow_http = true\nallow_private_addresses = true\n"


def started(root: Path) -> tuple[Server, Caller]:
    """Another life over the same data."""
    (root / "slackwater.toml").write_text(LISTENING + CONFIG)
    server = Server(root / "slackwater.toml", root / "data", root / "server.log")
    return server, Caller(server, "openai")


def listening(caller: Caller, receiver: Receiver) -> Any:
    """A new endpoint."""
    body = {"name": "ours", "url": receiver.url(), "event_types": ["batch.failed"]}
    return caller("POST", "/webhook_endpoints", body).json


def deliveries(caller: Caller, endpoint: Any) -> list[Any]:
    """All of them."""
    page: list[Any] = caller("GET", f"/webhook_endpoints/{endpoint['id']}/deliveries", query="limit=100").json["data"]
    return page


@pytest.mark.crash
def test_killed_between_the_answer_and_its_record(tmp_path: Path) -> None:
    """The receiver has it, the ledger does not know: the next life sends the same again, under the same id."""
    with Receiver() as receiver:
        server, caller = started(tmp_path)
        endpoint = listening(caller, receiver)
        receiver.held.add("/hook")
        caller.create(b"{}\n")
        first = receiver.next()
        server.kill()
        receiver.released.set()
        server, caller = started(tmp_path)
        second = receiver.next()
        assert (second.id, second.body) == (first.id, first.body)
        assert second.event(endpoint["signing_secret"]).type == "batch.failed"
        while (delivery := deliveries(caller, endpoint)[0])["state"] == "pending":
            pass
        assert (delivery["id"], delivery["tries"]) == (first.id, 1)
        assert server.terminate() == 0


@pytest.mark.crash
def test_killed_at_random(tmp_path: Path) -> None:
    """Batches end and the service is killed again and again: nothing is lost, and no id means two things."""
    chance = random.Random(7)
    with Receiver() as receiver:
        server, caller = started(tmp_path)
        endpoint = listening(caller, receiver)
        batches: list[str] = []
        for _ in range(6):
            file_id = caller.upload(b"{}\n").json["id"]
            order = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
            batches += [caller("POST", "/batches", order).json["id"] for _ in range(8)]
            # Somewhere between the first scan and the last delivery; which step it hits differs from round to round.
            signal.sigtimedwait([], chance.uniform(0.0, 0.6))
            server.kill()
            server, caller = started(tmp_path)
        while sum(each["state"] == "delivered" for each in deliveries(caller, endpoint)) < len(batches):
            pass
        calls = [receiver.calls.get_nowait() for _ in range(receiver.calls.qsize())]
        meanings = {call.id: call.body for call in calls}
        assert all(meanings[call.id] == call.body for call in calls)
        assert sorted(json.loads(body)["data"]["id"] for body in meanings.values()) == sorted(batches)
        listed = deliveries(caller, endpoint)
        assert {each["id"] for each in listed} == set(meanings)
        assert all(each["tries"] == 1 for each in listed)
        assert server.terminate() == 0
