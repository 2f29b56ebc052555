"""How engines are paced over the API: whoever has a deployment on one sees it, and nobody sees what others' batches do there."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.calls import Caller, chat
from tests.server import Server
from tests.system.test_sim_engine import SimEngine, sim_engine

LOOKS_SECONDS = 3.0
CONFIG = """
[server]
api_key_envs = ["SERVICE_KEY"]
[[resources]]
name = "red"
hosts = ["red.example"]
[[resources]]
name = "blue"
hosts = ["blue.example"]
[[deployments]]
name = "mine"
[[deployments.backends]]
url = "{own}/v1"
[[deployments]]
name = "ours"
[[deployments.backends]]
url = "{shared}/v1"
[[deployments]]
name = "theirs"
resource = "red"
[[deployments.backends]]
url = "{shared}/v1"
"""


class World:
    """A server, two engines, and keys of three resources."""

    def __init__(self, scratch: Path, own: SimEngine, shared: SimEngine) -> None:
        self.own, self.shared = own.url, shared.url
        self._keys: dict[tuple[str, str], str] = {}
        self.seen: dict[str, Any] = {}
        self.engine: dict[str, Any] = {}
        (scratch / "slackwater.toml").write_text(CONFIG.format(own=own.url, shared=shared.url))
        self._start = (scratch / "slackwater.toml", scratch / "data", scratch / "log", {"SERVICE_KEY": "service"})
        self.server = Server(*self._start)

    def again(self) -> None:
        """A gentle stop, which writes the last minute down, and another life."""
        assert self.server.terminate() == 0
        self.server = Server(*self._start)

    def operator(self) -> Caller:
        """Whoever runs the service."""
        return Caller(self.server, "azure-v1", key="service")

    def caller(self, role: str, resource: str = "default") -> Caller:
        """Somebody with a key of a resource."""
        host = None if resource == "default" else f"{resource}.example"
        if (role, resource) not in self._keys:
            made = Caller(self.server, "azure-v1", key="service", host=host)("POST", "/keys", {"role": role}).json
            self._keys[role, resource] = made["data"][0]["value"]
        return Caller(self.server, "azure-v1", key=self._keys[role, resource], host=host)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Batches have been sent to both engines, one of which online users use, too; and a life has ended since."""
    with sim_engine("--online", "poisson:4.0", scale=10) as own, sim_engine(scale=10) as shared:
        world = World(tmp_path_factory.mktemp("pacing"), own, shared)
        call = world.operator()
        call.create(chat(20_000, model="mine"))
        call.ended(call.create(chat(20, model="ours")).json["id"])
        deadline = time.monotonic() + 90
        while not written(call):
            # It is looked at once a second, and a life of less leaves nothing.
            since = None
            while since is None or time.monotonic() - since < LOOKS_SECONDS:
                assert time.monotonic() < deadline
                pacing = backend(call, "mine")["pacing"]
                if pacing["slower"] is not None and pacing["others"]:
                    world.seen, since = pacing, since or time.monotonic()
            world.engine = call("GET", f"/engines/{own.url.replace('://', ':')}").json
            world.again()
            call = world.operator()
        yield world
        world.server.kill()


def written(call: Caller) -> bool:
    """Whether what others felt is in the history."""
    [engine] = call("GET", "/deployment_status/mine/history").json["engines"]
    return any(each["pacing"]["shared_seconds"] for each in engine["data"])


def backend(call: Caller, name: str) -> Any:
    """The one of a deployment."""
    [found] = [each for each in call("GET", "/deployment_status").json["data"] if each["name"] == name]
    return found["backends"][0]


def test_how_it_is_paced_now(world: World) -> None:
    """Everything that the pace goes by is there while it is read, at the deployment and at the engine."""
    seen = world.seen
    assert (seen["pace"], seen["state"]) == ("gentle", "paced")
    assert seen["slower_most"] == 1.25
    assert seen["slower"] >= 1.0
    assert seen["window"] >= 1
    assert min(seen["step_ms"], seen["alone_ms"]) > 0.0
    assert seen.keys() == world.engine["pacing"].keys()


def test_what_became_of_it(world: World) -> None:
    """The minutes have what batches got beside the steps of others, over a restart; steps are asked for as elsewhere."""
    call = world.caller("reader")
    found = call("GET", "/deployment_status/mine/history", query="step=600").json
    assert (found["deployment"], found["step"]) == ("mine", 600)
    [engine] = found["engines"]
    assert engine["engine"] == world.own.partition("://")[2]
    points = [each for each in engine["data"] if each["pacing"]["shared_seconds"]]
    assert points
    assert sum(each["requests_per_second"] * each["seconds"] for each in points) >= 1
    for each in points:
        assert 0.0 < each["pacing"]["alone_ms"] <= each["pacing"]["step_ms"]
        assert each["pacing"]["others"] > 0.0
        assert each["pacing"]["window"] >= 1.0
    [named] = world.caller("admin")("GET", "/deployment_status/mine/history").json["engines"]
    assert named["engine"] == world.own
    for wrong in ("step=61", "from=5&to=5", "from=0"):
        assert call("GET", "/deployment_status/mine/history", query=wrong).status == 400, wrong


def test_others_batches_are_not_to_be_told(world: World) -> None:
    """Of an engine that another resource uses, too, a resource sees how it is paced, and not what batches made of it."""
    for call, name, whole in (
        (world.caller("admin"), "ours", False),
        (world.caller("admin", "red"), "theirs", False),
        (world.caller("admin"), "mine", True),
        (world.operator(), "ours", True),
    ):
        [engine] = call("GET", f"/deployment_status/{name}/history", query="step=600").json["engines"]
        assert engine["data"]
        for each in engine["data"]:
            got = {each["in_flight_mean"], each["requests_per_second"], each["tokens_per_second"]}
            assert (None not in got) is whole, (name, each)
            assert each["slots"] >= 1
        assert (backend(call, name)["pacing"]["in_flight"] is not None) is whole


def test_a_deployment_of_somebody_else_is_none(world: World) -> None:
    """Neither its history nor its engines are to be had, whatever the role; nor does an answer name them."""
    for call, name in (
        (world.caller("admin"), "theirs"),
        (world.caller("admin", "red"), "mine"),
        (world.caller("admin", "blue"), "ours"),
    ):
        answer = call("GET", f"/deployment_status/{name}/history")
        assert answer.status == 404, name
        assert world.own not in json.dumps(answer.json)
    assert world.caller("admin", "blue")("GET", "/deployment_status").json["data"] == []
    assert Caller(world.server, "azure-v1", key=None)("GET", "/deployment_status/mine/history").status == 401
