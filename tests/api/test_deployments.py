"""Deployments over the API: made, changed, drained and deleted while batches run, in our paths and in ARM's."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.calls import Answer, Caller, chat
from tests.server import Server

CONFIG = """
[server]
region = "Sweden Central"
api_key_envs = ["SERVICE_KEY"]
[worker]
grace_seconds = 1.0
[control_plane]
backend_hosts = ["127.0.0.1:9"]
[[resources]]
name = "red"
region = "East US"
[[deployments]]
name = "pool"
model = "gpt-4o"
enqueued_token_limit = 50000
[[deployments.backends]]
echo = { latency_seconds = 0.01 }
region = "swedencentral"
data_zone = "eu"
concurrency = 4
[[deployments.backends]]
echo = { latency_seconds = 0.01 }
region = "eastus"
data_zone = "us"
concurrency = 4
[[deployments]]
name = "stuck"
model = "stuck"
[[deployments.backends]]
echo = { hang_rate = 1.0 }
concurrency = 2
[[deployments]]
name = "online"
model = "gpt-4o"
sku = "global-standard"
[[deployments.backends]]
echo = {}
"""
SAMPLES = Path(__file__).parent.parent / "samples" / "arm"
DEADLINE = 60.0


class World:
    """A server that may be killed and started again."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        (scratch / "slackwater.toml").write_text(CONFIG)
        self.start()

    def start(self) -> None:
        scratch = self.scratch
        self.server = Server(
            scratch / "slackwater.toml", scratch / "data", scratch / "server.log", {"SERVICE_KEY": "service"}
        )

    def call(self, family: str = "azure-v1") -> Caller:
        """Whoever runs the service."""
        return Caller(self.server, family, key="service")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests: each uses names of its own."""
    world = World(tmp_path_factory.mktemp("deployments"))
    yield world
    world.server.kill()


def body(*, of: str = "pool", capacity: int | None = None, **properties: Any) -> dict[str, Any]:
    """What is asked for."""
    sku = {"name": "GlobalBatch"} | ({} if capacity is None else {"capacity": capacity})
    return {"sku": sku, "properties": {"backendsOf": of} | properties}


def until(ask: Any, holds: Any) -> Any:
    """Asks until the answer is as it should become; the last answer."""
    deadline = time.monotonic() + DEADLINE
    while not holds(answer := ask()) and time.monotonic() < deadline:
        pass
    assert holds(answer), answer
    return answer


def arm(world: World, method: str, path: str, content: Any = None) -> Answer:
    """A call as `az rest` makes it, with the host of ours."""
    return Caller(world.server, "none", key="service")(method, path, content)


@pytest.mark.contract(
    "M PUT /deployments/{name}",
    "M GET /deployments",
    "M DELETE /deployments/{name}",
)
def test_a_recorded_body_can_be_sent_as_it_is(world: World) -> None:
    """ARM's path, body and answers (spec 9.2): 201 `Accepted`, then 200 `Succeeded`, with what the samples have."""
    sample = json.loads((SAMPLES / "put_deployment_spec_shape.json").read_text())
    path = sample["request"]["path"].replace("ACCT", "default")
    for status, key in ((201, "response_201"), (200, "response_200")):
        answer = arm(world, "PUT", path, sample["request"]["body"])
        assert answer.status == status
        expected = json.loads(json.dumps(sample[key]).replace("ACCT", "default"))
        properties = answer.json["properties"]
        assert {name: properties[name] for name in expected["properties"]} == expected["properties"]
        assert {name: answer.json[name] for name in expected if name != "properties"} == {
            name: expected[name] for name in expected if name != "properties"
        }
    listed = arm(world, "GET", path.partition("/gpt-4o-batch")[0]).json["value"]
    assert {each["name"] for each in listed} >= {"gpt-4o-batch", "pool", "stuck", "online"}
    shape = json.loads((SAMPLES / "list_deployments_spec.json").read_text())["value"][0]
    assert all(set(shape) <= set(each) and set(shape["properties"]) <= set(each["properties"]) for each in listed)
    assert arm(world, "DELETE", path).status == 204


@pytest.mark.contract(
    "V PUT /deployments/{name}",
    "O PATCH /deployments/{name}",
)
def test_a_batch_on_a_deployment_of_the_api(world: World) -> None:
    """It runs, counts against the capacity, and its models list and usages have it at once."""
    call = world.call("azure")
    assert world.call()("PUT", "/deployments/made", body(capacity=9)).status == 201
    assert "made" in [model["id"] for model in call("GET", "/models").json["data"]]
    created = call.create(chat(3, model="made"))
    assert created.headers["deployment-maximum-enqueued-tokens"] == "9000"
    ended = call.ended(created.json["id"])
    assert (ended["status"], ended["request_counts"]["completed"]) == ("completed", 3)
    refused = call.create(chat(200, model="made", text="word " * 100))
    assert (refused.status, refused.error["code"]) == (400, "token_limit_exceeded")
    # A capacity can be changed alone.
    changed = world.call("openai")("PATCH", "/deployments/made", {"sku": {"capacity": 60}}).json
    assert (changed["sku"], changed["properties"]["currentCapacity"]) == ({"name": "GlobalBatch", "capacity": 60}, 60)
    assert call.create(chat(200, model="made", text="word " * 100)).status == 200


def test_a_batch_goes_on_when_its_deployment_changes(world: World) -> None:
    """Nothing is lost and nothing is twice: what was in flight on the old backends is asked of the new ones."""
    call, admin = world.call("azure"), world.call()
    assert admin("PUT", "/deployments/moving", body(of="stuck")).status == 201
    batch_id = call.create(chat(50, model="moving")).json["id"]
    until(lambda: call("GET", f"/batches/{batch_id}").json["status"], lambda status: status == "in_progress")
    assert admin("PUT", "/deployments/moving", body(of="pool")).status == 200
    ended = call.ended(batch_id)
    assert (ended["status"], ended["request_counts"]) == ("completed", {"total": 50, "completed": 50, "failed": 0})
    ids = [line["custom_id"] for line in call.lines(ended["output_file_id"])]
    assert sorted(ids) == sorted(f"task-{number}" for number in range(50))


@pytest.mark.contract(
    "V GET /deployments/{name}",
    "V DELETE /deployments/{name}",
)
def test_a_deployment_in_use_does_not_vanish(world: World) -> None:
    """DELETE lets nothing new in (202); when the last batch has ended, it is gone (204)."""
    call, admin = world.call("azure"), world.call()
    admin("PUT", "/deployments/leaving", body(of="stuck"))
    batch_id = call.create(chat(1, model="leaving")).json["id"]
    until(lambda: call("GET", f"/batches/{batch_id}").json["status"], lambda status: status == "in_progress")
    answer = admin("DELETE", "/deployments/leaving")
    assert (answer.status, answer.json["properties"]["provisioningState"]) == (202, "Deleting")
    assert admin("DELETE", "/deployments/leaving").status == 202
    assert admin("PUT", "/deployments/leaving", body()).status == 409
    assert "leaving" not in [model["id"] for model in call("GET", "/models").json["data"]]
    # Moments are whole seconds: what is created in the second of the deletion is let in.
    began = time.time()
    until(time.time, lambda now: now > began + 1.1)
    late = call.ended(call.create(chat(1, model="leaving")).json["id"])
    assert [error["code"] for error in late["errors"]["data"]] == ["model_not_found"]
    call("POST", f"/batches/{batch_id}/cancel")
    assert call.ended(batch_id)["status"] == "cancelled"
    until(lambda: admin("DELETE", "/deployments/leaving").status, lambda status: status == 204)
    assert admin("GET", "/deployments/leaving").status == 404
    assert admin("DELETE", "/deployments/never-was").status == 204


def test_what_was_made_outlives_a_kill(world: World) -> None:
    """kill -9 while its batch runs: the next start has the deployment, as it was changed last, and ends the batch on it."""
    call, admin = world.call("azure"), world.call()
    admin("PUT", "/deployments/lasting", body(of="stuck", raiPolicyName="Microsoft.Default") | {"tags": {"team": "ä"}})
    batch_id = call.create(chat(20, model="lasting")).json["id"]
    until(lambda: call("GET", f"/batches/{batch_id}").json["status"], lambda status: status == "in_progress")
    before = admin("PUT", "/deployments/lasting", body(of="pool", capacity=7) | {"tags": {"team": "ä"}}).json
    world.server.kill()
    world.start()
    call, admin = world.call("azure"), world.call()
    after = admin("GET", "/deployments/lasting").json
    assert (after["etag"], after["sku"], after["tags"]) == (before["etag"], before["sku"], {"team": "ä"})
    ended = call.ended(batch_id)
    assert (ended["status"], ended["request_counts"]["completed"]) == ("completed", 20)
    until(lambda: admin("DELETE", "/deployments/lasting").status, lambda status: status == 204)
    world.server.kill()
    world.start()
    assert world.call()("GET", "/deployments/lasting").status == 404


def test_what_the_configuration_no_longer_allows_is_shown_and_waits(world: World) -> None:
    """A start without the backends that it used: `Failed`, with the reason; with them again, it is served again."""
    admin = world.call()
    admin("PUT", "/deployments/orphan", body(of="stuck"))
    made = admin.create(chat(1, model="orphan")).json["id"]
    until(lambda: admin("GET", f"/batches/{made}").json["status"], lambda status: status == "in_progress")
    world.server.kill()
    (world.scratch / "slackwater.toml").write_text(CONFIG.replace('name = "stuck"', 'name = "renamed"'))
    world.start()
    properties = world.call()("GET", "/deployments/orphan").json["properties"]
    assert properties["provisioningState"] == "Failed"
    assert "Configured are: 'pool'" in properties["slackwater"]["fault"]
    waiting_on = world.call()("GET", f"/batches/{made}/progress").json["waiting_on"]
    assert (waiting_on["what"], waiting_on["health"], waiting_on["since"]) == ("deployment", "down", None)
    assert "not served" in waiting_on["reason"]
    world.server.kill()
    (world.scratch / "slackwater.toml").write_text(CONFIG)
    world.start()
    admin = world.call()
    assert admin("GET", "/deployments/orphan").json["properties"]["provisioningState"] == "Succeeded"
    assert admin("GET", f"/batches/{made}/progress").json["waiting_on"] is None
    admin("POST", f"/batches/{made}/cancel")
    admin.ended(made)
    assert admin("DELETE", "/deployments/orphan").status == 204


def test_a_deployment_that_takes_no_batches(world: World) -> None:
    """Any SKU but `GlobalBatch` and `DataZoneBatch`: `invalid_request`, once for the file (spec 5.1)."""
    call = world.call("openai")
    failed = call.ended(call.create(chat(3, model="online")).json["id"])
    (error,) = failed["errors"]["data"]
    assert (failed["status"], error["code"], error["line"]) == ("failed", "invalid_request", None)
    assert "'GlobalStandard'" in error["message"]
    assert "'DataZoneBatch'" in error["message"]


@pytest.mark.contract("A GET /regions")
def test_regions_that_answered(world: World) -> None:
    """The header of the batch has them; a deployment of a data zone uses no other; the table says who answers where."""
    call, admin = world.call("azure"), world.call()
    zone = {"sku": {"name": "datazonebatch"}, "properties": {"backendsOf": "pool", "dataZone": "eu"}}
    assert admin("PUT", "/deployments/zoned", zone).json["sku"]["name"] == "DataZoneBatch"
    for model, regions in (("zoned", "swedencentral"), ("pool", "eastus, swedencentral")):
        batch_id = call.ended(call.create(chat(60, model=model)).json["id"])["id"]
        answer = call("GET", f"/batches/{batch_id}")
        assert (answer.headers["slackwater-regions"], answer.headers["x-ms-region"]) == (regions, "Sweden Central")
    table = call("GET", "/regions").json
    by_region = {row["region"]: row for row in table["data"]}
    assert (table["home"], set(by_region)) == ("Sweden Central", {None, "eastus", "swedencentral"})
    (model,) = by_region["swedencentral"]["models"]
    assert (model["model"], model["skus"]) == ("gpt-4o", ["DataZoneBatch", "GlobalBatch"])
    assert "zoned" in model["deployments"]
    assert "zoned" not in by_region["eastus"]["models"][0]["deployments"]
    assert "x-ms-region" not in world.call("openai")("GET", "/files").headers


def test_dynamic_quota_lets_in_what_the_backends_can_finish(world: World) -> None:
    """Nothing beyond the limit before work was measured; after that what fits the window, and the numbers are shown."""
    call, admin = world.call("azure"), world.call()
    admin("PUT", "/deployments/elastic", body(capacity=1))
    big = chat(100, model="elastic", text="word " * 20)
    assert call.create(big).status == 400
    assert admin("PATCH", "/deployments/elastic", {"properties": {"dynamicThrottlingEnabled": True}}).status == 200
    failed = call.ended(call.create(big).json["id"])
    assert failed["errors"]["data"][0]["code"] == "token_limit_exceeded"
    assert call.ended(call.create(chat(10, model="elastic", text="word " * 20)).json["id"])["status"] == "completed"

    def details() -> Any:
        return admin("GET", "/deployments/elastic").json["properties"]["slackwater"]

    dynamic = until(details, lambda shown: shown["dynamicQuota"]["enqueuedTokensNow"] > 100_000)["dynamicQuota"]
    assert 86_000 < dynamic["secondsLeft"] <= 86_400
    assert dynamic["enqueuedTokensNow"] == pytest.approx(dynamic["tokensPerSecond"] * 86_400, rel=0.05)
    assert details()["enqueuedTokenLimit"] == 1_000
    created = call.create(big)
    assert created.headers["deployment-maximum-enqueued-tokens"] == "1000"
    assert call.ended(created.json["id"])["status"] == "completed"
    log = (world.scratch / "server.log").read_text()
    assert "dynamic_quota batch=" in log
    assert "admitted=True" in log
    assert "admitted=False" in log


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "words"),
    [
        ("PUT", "/deployments/pool", body(), 409, "is in the configuration file"),
        ("PATCH", "/deployments/pool", {"sku": {"capacity": 1}}, 409, "is in the configuration file"),
        ("DELETE", "/deployments/pool", None, 409, "is in the configuration file"),
        ("PATCH", "/deployments/nobody", {}, 404, "There is no deployment 'nobody'"),
        ("GET", "/deployments/nobody", None, 404, "There is no deployment 'nobody'"),
        ("PUT", "/deployments/-x", body(), 400, "begins with a letter or digit"),
        ("PUT", "/deployments/x", {"properties": {"model": {"name": "unknown"}}}, 400, "nothing is known of the model"),
        ("PUT", "/deployments/x", {"properties": {"model": 1}}, 400, "expected an object"),
        (
            "PUT",
            "/deployments/x",
            {"sku": {"name": "Huge"}, "properties": {"backendsOf": "pool"}},
            400,
            "no SKU 'Huge'",
        ),
        ("PUT", "/deployments/x", {"properties": {"backends": [{"url": "http://10.0.0.1/v1"}]}}, 400, "is not allowed"),
        (
            "PUT",
            "/deployments/x",
            {"properties": {"backends": [{"url": "http://127.0.0.1:9/v1?***"}]}},
            400,
            "its query is masked here",
        ),
    ],
)
def test_what_is_refused(world: World, method: str, path: str, content: Any, status: int, words: str) -> None:
    """In words that say what to do; nothing has changed."""
    answer = world.call()(method, path, content)
    assert answer.status == status
    assert words in answer.error["message"]


def test_accounts_are_resources(world: World) -> None:
    """The service's own key may name any; what is none, or is not the caller's, is not there."""
    paths = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/{}/deployments"
    of_red = arm(world, "GET", paths.format("Red"))
    assert (of_red.json["value"], of_red.headers["x-ms-region"]) == ([], "East US")
    own = {"properties": {"model": {"name": "m"}, "backends": [{"url": "http://127.0.0.1:9/v1", "region": "north"}]}}
    made = arm(world, "PUT", paths.format("red") + "/own?api-version=2025-09-01", own)
    assert made.json["properties"]["slackwater"]["backends"] == [
        {"url": "http://127.0.0.1:9/v1", "region": "north", "concurrency": 64}
    ]
    assert "own" not in [each["name"] for each in world.call()("GET", "/deployments").json["value"]]
    assert arm(world, "GET", paths.format("nobody")).status == 404
    key = world.call("openai")("POST", "/keys", {"role": "admin"}).json["data"][0]["value"]
    stranger = Caller(world.server, "none", key=key)
    assert stranger("GET", paths.format("default")).status == 200
    theirs, nobodys = (stranger("GET", paths.format(name)) for name in ("red", "xxx"))
    assert theirs.status == nobodys.status == 404
    assert theirs.body.replace(b"red", b"xxx") == nobodys.body
