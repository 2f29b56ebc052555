"""Operators' verbs over the API: who may say them, what is shown, what is written down, and what a restart leaves of it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

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
name = "calm"
[[deployments.backends]]
echo = { latency_seconds = 0.05 }
[[deployments]]
name = "away"
[[deployments.backends]]
url = "http://127.0.0.1:9/v1?secret=1"
[[deployments]]
name = "same"
[[deployments.backends]]
url = "http://127.0.0.1:9/v2"
[[deployments]]
name = "steady"
resource = "red"
[[deployments.backends]]
echo = {}
"""
ENGINE = "http:127.0.0.1:9"
STEADY = "built-in-1-of-steady"
# Nobody pauses this one, so that nothing but its calls is in its history.
CALM = "built-in-1-of-calm"


# What an engine's history has of pacing that is a number in any case.
SECONDS = ("seconds", "shared_seconds", "frozen_seconds", "cache_full_seconds", "lost_seconds")


class World:
    """A server that may be killed and started again, and its callers."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        (scratch / "slackwater.toml").write_text(CONFIG)
        self.start()
        self.keys: dict[tuple[str, str], str] = {}

    def start(self) -> None:
        """Starts it, on the data that there is."""
        scratch = self.scratch
        self.server = Server(
            scratch / "slackwater.toml", scratch / "data", scratch / "server.log", {"SERVICE_KEY": "service"}
        )

    def operator(self, family: str = "azure-v1") -> Caller:
        """Whoever runs the service."""
        return Caller(self.server, family, key="service")

    def caller(self, role: str, *, resource: str = "default", family: str = "azure-v1") -> Caller:
        """Somebody with a key of a resource."""
        if (resource, role) not in self.keys:
            host = "red.example" if resource == "red" else None
            made = Caller(self.server, "azure-v1", key="service", host=host)("POST", "/keys", {"role": role}).json
            self.keys[resource, role] = made["data"][0]["value"]
        return Caller(self.server, family, key=self.keys[resource, role])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all."""
    world = World(tmp_path_factory.mktemp("pauses"))
    yield world
    world.server.kill()


def until(asked: Any, good: Any) -> Any:
    """Asks until the answer is good, and returns it."""
    deadline = time.monotonic() + 60
    while not good(answer := asked()):
        assert time.monotonic() < deadline, answer
    return answer


def running(call: Caller, *, model: str = "steady", count: int = 400) -> str:
    """A batch that has begun."""
    made: str = call.create(chat(count, model=model)).json["id"]
    until(lambda: call("GET", f"/batches/{made}").json["status"], lambda status: status == "in_progress")
    return made


def done(call: Caller, batch_id: str) -> int:
    """How many of its requests have an end."""
    counts = call("GET", f"/batches/{batch_id}").json["request_counts"]
    return int(counts["completed"] + counts["failed"])


def settled(call: Caller, batch_id: str) -> int:
    """The same, once it changes no more for a second."""
    seen, since = done(call, batch_id), time.monotonic()
    while time.monotonic() - since < 1.0:
        if (now := done(call, batch_id)) != seen:
            seen, since = now, time.monotonic()
    return seen


@pytest.mark.contract(
    "VO GET /engines",
    "VO GET /engines/{engine}",
    "VO POST /engines/{engine}/pause",
    "VO POST /engines/{engine}/resume",
    "VO POST /engines/{engine}/try",
    "VO POST /engines/{engine}/pace",
    "VO POST /deployments/{name}/pause",
    "VO POST /deployments/{name}/resume",
    "VO POST /deployments/{name}/try",
)
@pytest.mark.parametrize("family", ["azure-v1", "openai"])
def test_both_families_have_them(world: World, family: str) -> None:
    """The same answers below both prefixes."""
    call = world.operator(family)
    engines = {each["id"]: each for each in call("GET", "/engines").json["data"]}
    assert engines[ENGINE]["deployments"] == ["away", "same"]
    assert engines[ENGINE]["name"] == "http://127.0.0.1:9"
    for said, shown in (("Strict", "strict"), ("0.05s", "50ms"), ("fixed", "fixed"), ("configured", "gentle")):
        paced = call("POST", f"/engines/{ENGINE}/pace", {"pace": said})
        assert (paced.status, paced.json["pacing"]["pace"]) == (200, shown)
        by = "configuration" if said == "configured" else "command"
        assert (paced.json["pacing"]["pace_from"], paced.json["pacing"]["configured_pace"]) == (by, "gentle")
        assert call("GET", f"/engines/{ENGINE}").json["pacing"] == paced.json["pacing"]
    refused = call("POST", f"/engines/{ENGINE}/pace", {"pace": "fast"})
    assert (refused.status, refused.json["error"]["param"]) == (400, "pace")
    assert "gentle, strict, full, fixed" in refused.json["error"]["message"]
    for path in (f"/engines/{ENGINE}", "/deployments/away"):
        paused = call("POST", f"{path}/pause", {"reason": "new driver"})
        assert paused.status == 200
        assert paused.json["pause"]["reason"] == "new driver"
        assert call("POST", f"{path}/try").status == 409
        resumed = call("POST", f"{path}/resume")
        assert (resumed.status, resumed.json["pause"]) == (200, None)
        assert call("POST", f"{path}/resume").status == 200
        assert call("POST", f"{path}/try").status == 200
    assert call("GET", f"/engines/{ENGINE}").json["pause"] is None


@pytest.mark.contract(
    "AVO POST /batches/{batch_id}/pause", "AVO POST /batches/{batch_id}/resume", "AVO POST /batches/{batch_id}/try"
)
@pytest.mark.parametrize("family", ["azure", "azure-v1", "openai"])
def test_a_batch_in_every_family(world: World, family: str) -> None:
    """What was out is kept, nothing new is sent; everybody sees it; it goes on where it was."""
    call = world.caller("user", family=family)
    made = running(call)
    until(lambda: done(call, made), lambda number: number > 0)
    paused = call("POST", f"/batches/{made}/pause", {"reason": "wrong prompt?"})
    assert paused.status == 200
    waiting_on = paused.json["waiting_on"]
    assert (waiting_on["what"], waiting_on["health"]) == ("batch", "paused")
    assert (waiting_on["reason"], waiting_on["until"]) == ("wrong prompt?", None)
    before = settled(call, made)
    assert 0 < before < 400
    looked = call("GET", f"/batches/{made}")
    assert looked.json["status"] == "in_progress"
    assert looked.headers["slackwater-waiting-on"] == f"paused; what=batch; since={waiting_on['since']}"
    [row] = call("GET", "/batch_overview", query=f"search={made}").json["data"]
    assert row["waiting_on"] == waiting_on
    tried = call("POST", f"/batches/{made}/try")
    assert tried.status == 409
    assert "paused by an operator" in tried.error["message"]
    assert done(call, made) == before
    assert call("POST", f"/batches/{made}/resume").json["waiting_on"] is None
    assert "slackwater-waiting-on" not in call("GET", f"/batches/{made}").headers
    assert call("POST", f"/batches/{made}/try").status == 200
    ended = call.ended(made)
    assert ended["request_counts"] == {"total": 400, "completed": 400, "failed": 0}
    assert len({line["custom_id"] for line in call.lines(ended["output_file_id"])}) == 400
    assert call("POST", f"/batches/{made}/pause").status == 409
    assert call("POST", f"/batches/{made}/resume").status == 200


def test_a_cancel_while_paused(world: World) -> None:
    """It ends at once, with what was answered."""
    call = world.caller("user")
    made = running(call)
    call("POST", f"/batches/{made}/pause")
    before = settled(call, made)
    assert call("POST", f"/batches/{made}/cancel").status == 200
    ended = call.ended(made)
    assert (ended["status"], ended["request_counts"]["completed"]) == ("cancelled", before)


@pytest.mark.parametrize("what", ["engine", "deployment", "batch"])
def test_a_restart_while_paused(world: World, what: str) -> None:
    """kill -9, and the next life sends nothing either; what was out at that moment goes out again once it is resumed."""
    call = world.operator()
    made = running(call)
    path = {"engine": f"/engines/{STEADY}", "deployment": "/deployments/steady", "batch": f"/batches/{made}"}[what]
    assert call("POST", f"{path}/pause", {"reason": "power"}).status == 200
    before = settled(call, made)
    world.server.kill()
    world.start()
    call = world.operator()
    assert settled(call, made) == before
    waiting_on = call("GET", f"/batches/{made}/progress").json["waiting_on"]
    assert (waiting_on["what"], waiting_on["reason"], waiting_on["who"]) == (what, "power", "service")
    assert call("POST", f"{path}/resume").status == 200
    assert call.ended(made)["request_counts"]["completed"] == 400


def test_a_pace_outlives_the_server(world: World) -> None:
    """So does the word that ends it: kill -9 directly after the answer."""
    for said, shown in (("40ms", "40ms"), ("configured", "gentle")):
        assert world.operator()("POST", f"/engines/{ENGINE}/pace", {"pace": said}).status == 200
        world.server.kill()
        world.start()
        assert world.operator()("GET", f"/engines/{ENGINE}").json["pacing"]["pace"] == shown


def test_who_may(world: World) -> None:
    """A reader may look; a user pauses batches; an administrator deployments; whoever runs the service, engines."""
    made = running(world.caller("user"))
    verbs = ("pause", "resume", "try")
    for verb in verbs:
        assert world.caller("reader")("POST", f"/batches/{made}/{verb}").status == 403
        # Another resource's batch is like one that never was.
        assert world.caller("admin", resource="red")("POST", f"/batches/{made}/{verb}").status == 404
        assert world.caller("user")("POST", f"/deployments/away/{verb}").status == 403
        assert world.caller("admin", resource="red")("POST", f"/deployments/away/{verb}").status == 404
        for role in ("reader", "user", "admin"):
            assert world.caller(role)("POST", f"/engines/{ENGINE}/{verb}").status == 403
        assert (
            world.caller("admin")("POST", f"/engines/{ENGINE}/{verb}")
            .error["message"]
            .startswith("This is about the whole service")
        )
        assert Caller(world.server, "azure-v1", key=None)("POST", f"/engines/{ENGINE}/{verb}").status == 401
        assert world.operator()("POST", f"/engines/nobody/{verb}").status == 404
        assert world.operator()("POST", f"/deployments/nobody/{verb}").status == 404
        assert world.operator()("POST", f"/batches/nobody/{verb}").status == 404
    assert world.caller("admin")("GET", "/engines").status == 403
    # A deployment of the same name, of another resource, is another one.
    assert world.caller("admin", resource="red")("POST", "/deployments/steady/pause").status == 200
    status = world.caller("admin")("GET", "/deployment_status").json["data"]
    assert {each["pause"] for each in status} == {None}
    assert world.caller("user")("POST", f"/batches/{made}/pause").status == 200
    assert world.caller("user")("POST", f"/batches/{made}/cancel").status == 200


def test_what_is_written_down(world: World) -> None:
    """The audit log has who paused and resumed what, and why; looking again is written down, too."""
    call = world.operator()
    before = call("GET", "/audit", query="limit=1000").json["last_id"]
    call("POST", f"/engines/{ENGINE}/pause", {"reason": "new driver"})
    call("POST", f"/engines/{ENGINE}/resume")
    call("POST", f"/engines/{ENGINE}/pace", {"pace": "configured"})
    call("POST", "/deployments/away/pause", {"reason": "weights"})
    call("POST", "/deployments/away/resume")
    call("POST", "/deployments/away/try")
    entries = call("GET", "/audit", query=f"limit=1000&after={before}").json["data"]
    assert [(each["who"], each["action"], each["target"], each["detail"].get("reason")) for each in entries] == [
        ("service", "pause_engine", "http://127.0.0.1:9", "new driver"),
        ("service", "resume_engine", "http://127.0.0.1:9", None),
        ("service", "pace_engine", "http://127.0.0.1:9", None),
        ("service", "pause_deployment", "away", "weights"),
        ("service", "resume_deployment", "away", None),
        ("service", "try_deployment", "away", None),
    ]


def test_what_others_see(world: World) -> None:
    """An administrator reads who has paused an engine and why; others only that an operator has. Reasons have a bound."""
    operator, user, admin = world.operator(), world.caller("user"), world.caller("admin")
    made = running(user, model="away", count=3)
    assert operator("POST", f"/engines/{ENGINE}/pause", {"reason": "x" * 301}).status == 400
    operator("POST", f"/engines/{ENGINE}/pause", {"reason": "the bill of ACME"})
    seen = {each: each("GET", f"/batches/{made}/progress").json["waiting_on"] for each in (user, admin)}
    assert seen[user]["reason"] == "An operator has paused it."
    assert (seen[user]["who"], seen[user]["backend"]) == (None, "127.0.0.1:9")
    assert (seen[admin]["who"], seen[admin]["reason"]) == ("service", "the bill of ACME")
    operator("POST", f"/engines/{ENGINE}/resume")
    down = until(lambda: user("GET", f"/batches/{made}/progress").json["waiting_on"], lambda each: each)
    assert (down["what"], down["health"]) == ("backend", "down")
    assert down["reason"].startswith("It does not answer")
    user("POST", f"/batches/{made}/cancel")


def test_an_engine_that_is_paused_and_gone(world: World) -> None:
    """It can be resumed although no deployment names it any more."""
    world.operator()("POST", f"/engines/{ENGINE}/pause")
    world.server.kill()
    config = world.scratch / "slackwater.toml"
    config.write_text(CONFIG.replace("127.0.0.1:9", "127.0.0.1:10"))
    world.start()
    call = world.operator()
    engine = call("GET", f"/engines/{quote(ENGINE)}").json
    assert (engine["deployments"], engine["state"]) == ([], "paused")
    assert call("POST", f"/engines/{ENGINE}/try").status == 409
    assert call("POST", f"/engines/{ENGINE}/resume").status == 204
    assert call("GET", f"/engines/{ENGINE}").status == 404


@pytest.mark.contract("VO GET /engines/{engine}/history")
@pytest.mark.parametrize("family", ["azure-v1", "openai"])
def test_history(world: World, family: str) -> None:
    """What a gentle stop has written down of the last minute is there, for whoever runs the service, in steps."""
    call = world.operator(family)
    call.ended(call.create(chat(8, model="calm")).json["id"])
    assert world.server.terminate() == 0
    world.start()
    call = world.operator(family)
    path = f"/engines/{CALM}/history"
    found = call("GET", path, query="step=600").json
    assert (found["object"], found["engine"], found["step"]) == ("engine.history", CALM, 600)
    assert sum(each["requests"] for each in found["data"]) >= 8
    [*_, last] = [each for each in found["data"] if each["requests"]]
    assert last["state"] == "ok"
    assert last["failed"] == 0
    assert 0.0 < last["latency_mean"] < 5.0
    assert last["latency_p50"] <= last["latency_p95"]
    assert last["tokens"] > 0
    assert all(each["at"] % 600 == 0 for each in found["data"])
    # Nobody paces what is built in.
    assert last["pacing"] == dict.fromkeys(last["pacing"]) | dict.fromkeys(SECONDS, 0.0)
    assert call("GET", path, query="from=1000&to=2000").json["data"] == []
    for wrong in ("step=61", "step=30", "from=5&to=5", "from=-1", "to=x", "from=0"):
        assert call("GET", path, query=wrong).status == 400, wrong
    assert world.caller("admin", family=family)("GET", path).status == 403
    assert call("GET", "/engines/nobody/history").status == 404
