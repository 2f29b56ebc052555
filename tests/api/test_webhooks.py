"""Webhooks with the clients that people have: a real server sends to a real receiver, which verifies with OpenAI's client."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.api.calls import Caller, chat
from tests.api.conftest import CONFIG
from tests.api.receiver import Receiver
from tests.server import Server

LISTENING = """
[webhooks]
allow_http = true
allow_private_addresses = true
"""
EVERYTHING: list[Any] = ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"]


@pytest.fixture(scope="module")
def sending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that may send to this machine. A proxy of its environment, which does not exist, must not matter."""
    scratch = tmp_path_factory.mktemp("webhooks")
    (scratch / "slackwater.toml").write_text(LISTENING + CONFIG)
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log", proxies)
    yield server
    server.kill()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One receiver per test."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(params=["/v1", "/v1/dashboard", "/openai/v1", "/openai/v1/dashboard"])
def client(sending: Server, request: pytest.FixtureRequest) -> openai.OpenAI:
    """OpenAI's client at every place where endpoints of webhooks are served."""
    return openai.OpenAI(base_url=f"http://{sending.address}{request.param}", api_key="any", max_retries=0)


@pytest.fixture(params=["azure-v1", "openai"])
def caller(sending: Server, request: pytest.FixtureRequest) -> Caller:
    """Both families that have webhooks."""
    return Caller(sending, request.param)


@pytest.fixture(autouse=True)
def _alone(sending: Server) -> Iterator[None]:
    """Endpoints of a test go with it."""
    yield
    caller = Caller(sending, "openai")
    for endpoint in caller("GET", "/webhook_endpoints", query="limit=100").json["data"]:
        caller("DELETE", f"/webhook_endpoints/{endpoint['id']}")


def listening(caller: Caller, url: str, **changes: Any) -> Any:
    """A new endpoint of everything."""
    body = {"name": "ours", "url": url, "event_types": EVERYTHING} | changes
    return caller("POST", "/webhook_endpoints", body).json


@pytest.mark.contract(
    "VO POST /webhook_endpoints",
    "VO GET /webhook_endpoints",
    "VO GET /webhook_endpoints/{webhook_endpoint_id}",
    "VO POST /webhook_endpoints/{webhook_endpoint_id}",
    "VO DELETE /webhook_endpoints/{webhook_endpoint_id}",
    "VO GET /webhook_event_types",
    "VO POST /dashboard/webhook_endpoints",
    "VO GET /dashboard/webhook_endpoints",
    "VO GET /dashboard/webhook_endpoints/{webhook_endpoint_id}",
    "VO POST /dashboard/webhook_endpoints/{webhook_endpoint_id}",
    "VO DELETE /dashboard/webhook_endpoints/{webhook_endpoint_id}",
)
def test_the_life_of_an_endpoint(client: openai.OpenAI, receiver: Receiver) -> None:
    """Created, found, listed, changed, deleted; its secret is seen once."""
    created = client.webhooks.create(name="ours", url=receiver.url(), event_types=["batch.completed"])
    family = "webhook.endpoint" if "/openai/" in str(client.base_url) else "webhook_endpoint"
    assert created.object == family
    assert created.signing_secret.startswith("whsec_")
    assert created.signing_secret_hint == f"whsec_...{created.signing_secret[-4:]}"
    found = client.webhooks.retrieve(created.id)
    assert "signing_secret" not in found.to_dict()
    assert found.to_dict() == {key: value for key, value in created.to_dict().items() if key != "signing_secret"}
    second = client.webhooks.create(name="second", url=receiver.url(), event_types=EVERYTHING)
    assert [each.id for each in client.webhooks.list()] == [second.id, created.id]
    assert [each.id for each in client.webhooks.list(limit=1)] == [second.id, created.id], "page by page"
    changed = client.webhooks.update(created.id, name="renamed", event_types=["batch.failed"])
    assert (changed.name, changed.event_types, changed.url) == ("renamed", ["batch.failed"], receiver.url())
    assert client.webhooks.update(created.id).to_dict() == changed.to_dict()
    deleted = client.webhooks.delete(created.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (created.id, True, f"{family}.deleted")
    for call in (client.webhooks.retrieve, client.webhooks.delete, client.webhooks.rotate_secret):
        with pytest.raises(openai.NotFoundError, match="No such webhook endpoint"):
            call(created.id)
    assert client.webhooks.event_types.list().data == EVERYTHING


@pytest.mark.contract("VO POST /webhook_endpoints/{webhook_endpoint_id}/test")
def test_a_test(client: openai.OpenAI, receiver: Receiver) -> None:
    """A sample comes at once and signed; its status is passed on whatever it is; it is counted nowhere."""
    endpoint = client.webhooks.create(name="ours", url=receiver.url(), event_types=["batch.completed"])
    for status in (200, 500, 410):
        receiver.statuses["/hook"] = status
        tested = client.webhooks.test(endpoint.id, event_type="batch.expired")
        assert (tested.status_code, tested.success, tested.event_type) == (status, True, "batch.expired")
        assert tested.webhook_endpoint_id == endpoint.id
        event = receiver.next().event(endpoint.signing_secret)
        assert (event.type, event.data.id) == ("batch.expired", "batch_test")
    assert client.webhooks.retrieve(endpoint.id).to_dict()["status"] == "active"
    client.webhooks.update(endpoint.id, url="http://127.0.0.1:9/")
    with pytest.raises(openai.BadRequestError, match=r"did not answer the test\. No connection to '127\.0\.0\.1'"):
        client.webhooks.test(endpoint.id, event_type="batch.completed")


@pytest.mark.contract("VO GET /webhook_endpoints/{webhook_endpoint_id}/deliveries")
@pytest.mark.contract("A.20")
def test_every_end_of_a_batch(caller: Caller, receiver: Receiver) -> None:
    """A batch that completes, one that fails and one that is cancelled: each is heard of once, as what it ended as."""
    endpoint = listening(caller, receiver.url())
    batches = {}
    done = caller.create(chat(3)).json["id"]
    batches["batch.completed"] = done
    batches["batch.failed"] = caller.create(b'{"custom_id": "a"}\n').json["id"]
    cancelled = caller.create(chat(2, model="stuck-batch")).json["id"]
    caller("POST", f"/batches/{cancelled}/cancel")
    batches["batch.cancelled"] = cancelled
    for batch_id in batches.values():
        caller.ended(batch_id)
    calls = [receiver.next() for _ in range(3)]
    heard = {}
    for call in calls:
        event = call.event(endpoint["signing_secret"])
        heard[event.type] = event.data.id
        assert abs(event.created_at - time.time()) < 60
        assert call.headers["user-agent"].startswith("OpenAI/1.0")
        assert call.headers["content-type"] == "application/json"
    assert heard == batches
    assert len({call.id for call in calls}) == 3
    listed = settled(caller, endpoint["id"], 3)
    assert {each["id"] for each in listed} == {call.id for call in calls}
    assert all((each["state"], each["tries"], each["last_status_code"]) == ("delivered", 1, 200) for each in listed)
    assert receiver.calls.empty()
    shown = caller("GET", f"/webhook_endpoints/{endpoint['id']}").json
    assert (shown["status"], shown["last_failure"]) == ("active", None)
    assert shown["last_success_at"] >= shown["created_at"]


def settled(caller: Caller, endpoint_id: str, count: int) -> list[Any]:
    """The deliveries of an endpoint, once so many have been tried."""
    while True:
        listed: list[Any] = caller("GET", f"/webhook_endpoints/{endpoint_id}/deliveries").json["data"]
        if sum(each["tries"] > 0 for each in listed) >= count:
            return listed


def test_only_what_was_asked_for(caller: Caller, receiver: Receiver) -> None:
    """Another event than the chosen one is not sent."""
    endpoint = listening(caller, receiver.url(), event_types=["batch.failed"])
    caller.ended(caller.create(chat(1)).json["id"])
    failed = caller.create(b"{}\n").json["id"]
    assert receiver.next().event(endpoint["signing_secret"]).data.id == failed
    assert [each["batch_id"] for each in settled(caller, endpoint["id"], 1)] == [failed]


@pytest.mark.contract("VO POST /webhook_endpoints/{webhook_endpoint_id}/rotate_secret")
def test_rotation(client: openai.OpenAI, receiver: Receiver) -> None:
    """Both secrets verify where the old one is kept; otherwise only the new one does."""
    first = client.webhooks.create(name="ours", url=receiver.url(), event_types=EVERYTHING)
    second = client.webhooks.rotate_secret(first.id, keep_old_secret_active_for_24_hours=True)
    assert second.signing_secret != first.signing_secret
    client.webhooks.test(first.id, event_type="batch.completed")
    call = receiver.next()
    for secret in (first.signing_secret, second.signing_secret):
        assert call.event(secret).type == "batch.completed"
    third = client.webhooks.rotate_secret(first.id)
    client.webhooks.test(first.id, event_type="batch.completed")
    call = receiver.next()
    assert call.event(third.signing_secret).type == "batch.completed"
    for secret in (first.signing_secret, second.signing_secret):
        with pytest.raises(openai.InvalidWebhookSignatureError):
            call.event(secret)


def test_turned_off_and_on(caller: Caller, receiver: Receiver) -> None:
    """While it is off, an endpoint is sent nothing and misses what happens; a change that does not say so turns it on."""
    endpoint = listening(caller, receiver.url())
    one = f"/webhook_endpoints/{endpoint['id']}"
    assert caller("POST", one, {"enabled": False}).json["status"] == "disabled"
    caller.ended(caller.create(b"{}\n").json["id"])
    assert caller("GET", f"{one}/deliveries").json["data"] == []
    assert caller("POST", one, {}).json["status"] == "active"
    heard = caller.create(b"{}\n").json["id"]
    assert receiver.next().event(endpoint["signing_secret"]).data.id == heard


def test_a_failing_receiver(caller: Caller, receiver: Receiver) -> None:
    """It is seen to fail, with the next try; a change has it tried at once, under the same id."""
    receiver.statuses["/wrong"] = 404
    endpoint = listening(caller, receiver.url("/wrong"))
    batch_id = caller.create(b"{}\n").json["id"]
    first = receiver.next()
    (delivery,) = settled(caller, endpoint["id"], 1)
    assert (delivery["state"], delivery["batch_id"], delivery["last_status_code"]) == ("pending", batch_id, 404)
    assert delivery["next_try_at"] > delivery["created_at"]
    assert delivery["event_type"] == "batch.failed"
    shown = caller("GET", f"/webhook_endpoints/{endpoint['id']}").json
    assert (shown["status"], shown["last_failure"]) == ("failing", "The endpoint answered with status 404.")
    caller("POST", f"/webhook_endpoints/{endpoint['id']}", {"url": receiver.url("/right")})
    second = receiver.next()
    while second.path == "/wrong":
        second = receiver.next()
    assert (second.path, second.id, second.body) == ("/right", first.id, first.body)


def test_a_receiver_that_is_gone(caller: Caller, receiver: Receiver) -> None:
    """410 disables the endpoint, and that is seen."""
    receiver.statuses["/hook"] = 410
    endpoint = listening(caller, receiver.url())
    caller.create(b"{}\n")
    receiver.next()
    (delivery,) = settled(caller, endpoint["id"], 1)
    assert (delivery["state"], delivery["next_try_at"]) == ("dead", None)
    assert caller("GET", f"/webhook_endpoints/{endpoint['id']}").json["status"] == "disabled"


def test_a_slow_receiver(caller: Caller, receiver: Receiver) -> None:
    """Others hear while it keeps its connection open."""
    receiver.held.add("/slow")
    listening(caller, receiver.url("/slow"))
    quick = listening(caller, receiver.url("/quick"))
    for _ in range(3):
        caller.create(b"{}\n")
    listed = settled(caller, quick["id"], 3)
    assert [each["state"] for each in listed] == ["delivered"] * 3
    receiver.released.set()


def test_what_is_refused(caller: Caller, receiver: Receiver) -> None:
    """Each with the parameter that is wrong; nothing is made."""
    good = {"name": "ours", "url": receiver.url(), "event_types": ["batch.failed"]}
    for change, param in (
        ({"url": "ftp://receiver.example"}, "url"),
        ({"url": "https://169.254.169.254/"}, "url"),
        ({"url": 5}, "url"),
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["batch.failed", "response.completed"]}, "event_types[1]"),
    ):
        answer = caller("POST", "/webhook_endpoints", good | change)
        assert (answer.status, answer.error["param"]) == (400, param), change
    assert caller("GET", "/webhook_endpoints").json == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    made = listening(caller, receiver.url())
    path = f"/webhook_endpoints/{made['id']}"
    assert caller("POST", path, {"url": "nonsense"}).error["param"] == "url"
    assert caller("POST", f"{path}/test", {"event_type": "no"}).error["param"] == "event_type"
    assert caller("GET", f"{path}/deliveries", query="after=nobody").error["param"] == "after"
    assert caller("GET", "/webhook_endpoints", query="limit=101").error["param"] == "limit"
    assert caller("GET", f"{path}x/deliveries").status == 404


def test_as_many_as_there_may_be(sending: Server, receiver: Receiver) -> None:
    """A hundred endpoints."""
    caller = Caller(sending, "openai")
    for _ in range(100):
        assert "id" in listening(caller, receiver.url())
    answer = caller("POST", "/webhook_endpoints", {"name": "x", "url": receiver.url(), "event_types": EVERYTHING})
    assert answer.status == 400
    assert "100 webhook endpoints already" in answer.error["message"]


def test_https_and_public_addresses_by_default(server: Server) -> None:
    """Neither plain http nor an address of the house, and the message names the setting."""
    caller = Caller(server, "openai")
    for url, words in (("http://receiver.example/", "allow_http"), ("https://127.0.0.1/", "allow_private_addresses")):
        answer = caller("POST", "/webhook_endpoints", {"name": "x", "url": url, "event_types": EVERYTHING})
        assert answer.status == 400
        assert words in answer.error["message"]
    # A name that leads into the house is only known to when it is resolved.
    made = listening(caller, "https://localhost/hook")
    answer = caller("POST", f"/webhook_endpoints/{made['id']}/test", {"event_type": "batch.failed"})
    assert "loopback" in answer.error["message"]


def test_a_resource_of_its_own(receiver: Receiver, tmp_path: Path) -> None:
    """Endpoints of another resource are as if they did not exist, and hear nothing of its batches."""
    blue = '[[resources]]\nname = "blue"\nhosts = ["blue.test"]\n'
    (tmp_path / "slackwater.toml").write_text(LISTENING + blue + CONFIG)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    caller, host = Caller(server, "openai"), {"Host": "blue.test"}
    body = {"name": "ours", "url": receiver.url("/blue"), "event_types": EVERYTHING}
    theirs = caller("POST", "/webhook_endpoints", body, headers=host).json["id"]
    mine = listening(caller, receiver.url("/mine"))["id"]
    for method, ending in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", ""),
        ("POST", "/rotate_secret"),
        ("GET", "/deliveries"),
    ):
        assert caller(method, f"/webhook_endpoints/{theirs}{ending}", {} if method == "POST" else None).status == 404
    assert [each["id"] for each in caller("GET", "/webhook_endpoints").json["data"]] == [mine]
    caller.create(b"{}\n")
    settled(caller, mine, 1)
    assert receiver.next().path == "/mine"
    assert caller("GET", f"/webhook_endpoints/{theirs}/deliveries", headers=host).json["data"] == []
    assert server.terminate() == 0


def test_turned_off(tmp_path: Path) -> None:
    """403 that names the setting for whatever would promise a delivery; one can still look and delete."""
    (tmp_path / "slackwater.toml").write_text("[webhooks]\nenabled = false\n" + CONFIG)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "server.log")
    caller = Caller(server, "openai")
    for path in ("/webhook_endpoints", "/webhook_endpoints/x", "/webhook_endpoints/x/test"):
        answer = caller("POST", path, {})
        assert answer.status == 403
        assert "enabled = true under [webhooks]" in answer.error["message"]
    assert caller("GET", "/webhook_endpoints").json["data"] == []
    assert caller("DELETE", "/webhook_endpoints/x").status == 404
    assert server.terminate() == 0


def test_neither_urls_nor_secrets_reach_the_log(sending: Server, receiver: Receiver) -> None:
    """A URL may carry a token."""
    caller = Caller(sending, "openai")
    endpoint = listening(caller, receiver.url("/hook?token=hush"))
    caller.create(b"{}\n")
    receiver.next()
    settled(caller, endpoint["id"], 1)
    # It is told after it is written down.
    while "webhook_delivered delivery=wh_" not in (log := (sending.data.parent / "server.log").read_text()):
        pass
    assert "hush" not in log
    assert endpoint["signing_secret"][6:] not in log
