"""Members over the API: of a ledger that has one server there is one, and only whoever runs the service sees it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slackwater.wiring.members_at import OWN_VERSION
from tests.api.calls import Caller, chat
from tests.server import Server

CONFIG = """
[server]
api_key_envs = ["SERVICE_KEY"]
[[resources]]
name = "red"
hosts = ["red.example"]
[[deployments]]
name = "steady"
[[deployments.backends]]
echo = { latency_seconds = 0.05 }
concurrency = 4
[[deployments]]
name = "steady"
resource = "red"
[[deployments.backends]]
echo = { latency_seconds = 0.05 }
concurrency = 4
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An embedded ledger."""
    scratch: Path = tmp_path_factory.mktemp("members")
    (scratch / "slackwater.toml").write_text(CONFIG)
    keys = {"SERVICE_KEY": "service"}
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log", keys)
    yield server
    server.kill()


def until(asked: Callable[[], Any], good: Callable[[Any], object]) -> Any:
    """Asks until the answer is good, and returns it."""
    deadline = time.monotonic() + 60
    while not good(answer := asked()):
        assert time.monotonic() < deadline, answer
    return answer


@pytest.mark.contract("VO GET /members")
@pytest.mark.parametrize("family", ["azure-v1", "openai"])
def test_a_server_that_is_alone_is_the_only_member(server: Server, family: str) -> None:
    """It is never empty: this process is one, it lives, and nothing is wrong with it."""
    answer = Caller(server, family, key="service")("GET", "/members")
    assert answer.status == 200
    [member] = answer.json["data"]
    assert (member["kind"], member["version"], member["state"]) == ("server", OWN_VERSION, "ok")
    assert (member["here"], member["watching"], member["lag_seconds"]) == (True, False, 0.0)
    assert time.time() - 600 < member["started_at"] <= member["last_seen_at"] <= time.time() + 1
    assert member["host"]
    assert (member["sends_for"], member["clock_ahead_seconds"]) == (["red/steady", "steady"], None)
    assert answer.json["warnings"] == []
    assert answer.json["shared"] is False


def test_what_it_holds(server: Server) -> None:
    """Shards by deployment, of every resource; calls that are out, by engine; how quickly it goes. Afterwards, nothing of it."""
    operator = Caller(server, "azure-v1", key="service")
    red = Caller(server, "azure-v1", key="service", host="red.example")
    made = red("POST", "/keys", {"role": "user"}).json["data"][0]["value"]
    call = Caller(server, "azure-v1", key=made)
    batch_id = call.create(chat(2500, model="steady")).json["id"]

    def mine() -> Any:
        return operator("GET", "/members").json["data"][0]

    member = until(mine, lambda each: each["shards"] and each["requests_out"] and each["tokens_per_second"])
    assert [each["deployment"] for each in member["shards"]] == ["red/steady"]
    assert 1 <= member["shards"][0]["shards"] <= 3
    [engine] = [each for each in member["engines"] if each["in_flight"]]
    assert (engine["engine"], engine["slots"], engine["wanted"]) == ("built-in-1-of-red:steady", 4, None)
    assert engine["in_flight"] <= 4
    call("POST", f"/batches/{batch_id}/cancel")
    call.ended(batch_id)
    until(mine, lambda each: not any(each[held] for held in ("shards", "requests_out", "duties")))


def test_validation_is_a_duty_of_its_own(server: Server) -> None:
    """Which batch is validated is said of a server that is alone, too, although its ledger has no row of it."""
    operator = Caller(server, "azure-v1", key="service")
    # Large enough to be seen at it.
    batch_id = operator.create(chat(40_000, model="steady")).json["id"]

    def duties() -> Any:
        status = operator("GET", f"/batches/{batch_id}").json["status"]
        return operator("GET", "/members").json["data"][0]["duties"], status

    seen, _ = until(duties, lambda each: each[0] or each[1] != "validating")
    assert seen == [{"duty": "validate", "count": 1, "things": [batch_id]}]
    operator("POST", f"/batches/{batch_id}/cancel")
    until(duties, lambda each: not each[0] and each[1] == "cancelled")


def test_tenants_learn_nothing(server: Server) -> None:
    """Not who works with the ledger, nor what others have running: an administrator of a resource may not ask, a user neither."""
    operator = Caller(server, "azure-v1", key="service")
    for role in ("admin", "user"):
        value = operator("POST", "/keys", {"role": role}).json["data"][0]["value"]
        for family in ("azure-v1", "openai"):
            refused = Caller(server, family, key=value)("GET", "/members")
            assert refused.status == 403
            assert set(refused.json) == {"error"}
    assert Caller(server, "openai", key="wrong-key")("GET", "/members").status == 401
    # Azure's own dialect has nothing like it.
    assert Caller(server, "azure", key="service")("GET", "/members").status == 404
