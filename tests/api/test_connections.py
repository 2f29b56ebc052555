"""Engines that are added over the API: by whom, where, with which keys, and what is seen of those."""

import base64
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.calls import Answer, Caller, chat
from tests.odd_engine import OddEngine, answered, odd_engine
from tests.server import Server, ledger_options

CONFIG = """
[server]
api_key_envs = ["SERVICE_KEY"]
secrets_key_env = "SECRETS_KEY"
[control_plane]
backend_hosts = ["127.0.0.1:9", "169.254.7.7:8000"]
backend_key_envs = ["ENGINE_KEY"]
[[resources]]
name = "red"
hosts = ["red.example"]
[[deployments]]
name = "pool"
[[deployments.backends]]
echo = {}
"""
OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
SECRET = "sk-never-to-be-seen-4711"
ENV_SECRET = "sk-of-the-environment-0815"


class World:
    """A server that may be started again, with other keys."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.keys: dict[tuple[str, str], str] = {}
        self.start(OLD)

    def start(self, secrets: str, config: str = CONFIG) -> None:
        (self.scratch / "slackwater.toml").write_text(config)
        keys = {"SERVICE_KEY": "service", "ENGINE_KEY": ENV_SECRET, "SECRETS_KEY": secrets}
        self.server = Server(self.scratch / "slackwater.toml", self.scratch / "data", self.scratch / "server.log", keys)

    def again(self, secrets: str, config: str = CONFIG) -> None:
        """Another life, gently ended."""
        self.server.process.terminate()
        self.server.process.wait(30)
        self.start(secrets, config)

    def call(self, key: str = "service") -> Caller:
        """In the family of Studio."""
        return Caller(self.server, "azure-v1", key=key)

    def caller(self, role: str, resource: str) -> Caller:
        """Somebody with a key of a resource."""
        if (resource, role) not in self.keys:
            host = "red.example" if resource == "red" else None
            made = Caller(self.server, "azure-v1", key="service", host=host)("POST", "/keys", {"role": role}).json
            self.keys[resource, role] = made["data"][0]["value"]
        return self.call(self.keys[resource, role])

    def bytes_seen(self) -> bytes:
        """Everything that is on the disk but the data directory's copy of what was asked."""
        return b"".join(each.read_bytes() for each in self.scratch.rglob("*") if each.is_file())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests: each uses names of its own."""
    world = World(tmp_path_factory.mktemp("connections"))
    yield world
    world.server.kill()


@pytest.fixture(scope="module")
def engine() -> Iterator[OddEngine]:
    """One that wants a key."""
    with odd_engine(answered("llama", "mistral", key=SECRET)) as engine:
        yield engine


def on(connection: str, model: str = "llama", **more: Any) -> dict[str, Any]:
    """A deployment of a connection."""
    return {"properties": {"model": {"name": model}, "backends": [{"connection": connection, "model": model} | more]}}


def details(answer: Answer) -> dict[str, Any]:
    """What we say of a deployment beyond Azure."""
    assert answer.status < 300, answer.body
    found: dict[str, Any] = answer.json["properties"]["slackwater"]
    return found


@pytest.mark.contract(
    "VO GET /connections",
    "VO GET /connections/{connection}",
    "VO PUT /connections/{connection}",
    "VO PATCH /connections/{connection}",
    "VO DELETE /connections/{connection}",
    "VO POST /connections/test",
    "VO POST /connections/{connection}/test",
    "VO POST /connections/find",
)
def test_an_engine_is_added_used_changed_and_removed(world: World, engine: OddEngine) -> None:
    """Without the configuration file and without a restart; what uses it is named before it goes."""
    call = world.call()
    tried = call("POST", "/connections/test", {"url": engine.url, "api_key": SECRET}).json
    assert tried["well"]
    assert tried["models"] == ["llama", "mistral"]
    made = call("PUT", "/connections/gpu", {"url": engine.url, "api_key": SECRET}, headers={"If-None-Match": "*"})
    assert (made.status, made.json["key"], made.json["used_by"], made.json["made_by"]) == (201, "stored", [], "service")
    assert call("PUT", "/connections/gpu", {"url": engine.url}, headers={"If-None-Match": "*"}).status == 412
    served = details(call("PUT", "/deployments/llama", on("gpu")))
    assert [(each["connection"], each["url"]) for each in served["backends"]] == [("gpu", engine.url)]
    ended = call.ended(call.create(chat(3, model="llama")).json["id"])
    assert (ended["status"], ended["request_counts"]["completed"]) == ("completed", 3)
    used = call("DELETE", "/connections/gpu")
    assert used.status == 409
    assert "'llama'" in used.error["message"]
    assert call("GET", "/connections/gpu").json["used_by"] == ["llama"]
    # The key stays with a change that does not name it, and so does a deployment with a batch.
    changed = call("PATCH", "/connections/gpu", {"url": engine.url + "/"}, headers={"If-Match": made.headers["etag"]})
    assert (changed.status, changed.json["key"]) == (200, "stored")
    assert call("PATCH", "/connections/gpu", {}, headers={"If-Match": made.headers["etag"]}).status == 412
    assert call("POST", "/connections/gpu/test", {"model": "mistral"}).json["well"]
    ended = call.ended(call.create(chat(2, model="llama")).json["id"])
    assert ended["request_counts"]["completed"] == 2
    assert call("DELETE", "/deployments/llama").status == 204
    assert call("DELETE", "/connections/gpu").json["deleted"]
    assert call("GET", "/connections/gpu").status == 404
    assert call("DELETE", "/connections/gpu").status == 404


def test_a_key_is_given_once_and_never_seen(world: World, engine: OddEngine) -> None:
    """Not in an answer, the log, the audit log, the ledger or a look at a file of ours; the engine alone gets it."""
    call = world.call()
    new = {"url": engine.url, "api_key": SECRET}
    answers = [call("PUT", "/connections/quiet", new), call("GET", "/connections/quiet"), call("GET", "/connections")]
    answers += [call("POST", "/connections/quiet/test", {}), call("PATCH", "/connections/quiet", {})]
    answers.append(call("POST", "/connections/test", new))
    assert all(answer.status < 300 and SECRET not in answer.body.decode() for answer in answers)
    call("PUT", "/connections/quiet", {"url": engine.url, "api_key": SECRET + " and more"})
    details(call("PUT", "/deployments/quiet", on("quiet")))
    call("PUT", "/connections/quiet", {"url": engine.url, "api_key": SECRET})
    assert engine.asked[-1].headers["authorization"] == f"Bearer {SECRET}"
    page = call("GET", "/audit", query="limit=100").body.decode()
    assert "put_connection" in page
    assert '"key_given":"yes"' in page.replace('": "', '":"')
    assert SECRET not in page
    seen = world.bytes_seen()
    assert SECRET.encode() not in seen
    assert base64.b64encode(SECRET.encode()) not in seen


def test_the_key_of_one_server_is_not_sent_to_another(world: World, engine: OddEngine) -> None:
    """Otherwise whoever may change a URL could read the key. The same for a look."""
    call = world.call()
    call("PUT", "/connections/moved", {"url": engine.url, "api_key": SECRET})
    with odd_engine(answered("m")) as thief:
        for body in ({"url": thief.url}, {"url": thief.url, "api_key_header": "api-key"}):
            for answer in (
                call("PATCH", "/connections/moved", body),
                call("POST", "/connections/moved/test", body),
            ):
                assert (answer.status, answer.error["param"]) == (400, "api_key")
        assert thief.asked == []
        # With another key, or without any, it may go.
        assert call("PATCH", "/connections/moved", {"url": thief.url, "api_key": ""}).json["key"] == "none"
        assert call("POST", "/connections/moved/test", {}).json["well"]
        assert not any("authorization" in each.headers for each in thief.asked)


def test_who_may_add_what(world: World, engine: OddEngine) -> None:
    """A user none; an administrator of a resource at listed hosts, who runs the service elsewhere; nobody at metadata."""
    new = {"url": engine.url}
    for role in ("reader", "user"):
        call = world.caller(role, "default")
        answers = [
            call(*each)
            for each in (("GET", "/connections"), ("PUT", "/connections/x", new), ("POST", "/connections/test", new))
        ]
        assert {answer.status for answer in answers} == {403}
    asked = len(engine.asked)
    call = world.caller("admin", "red")
    assert call("POST", "/connections/find").status == 403
    for answer in (call("PUT", "/connections/x", new), call("POST", "/connections/test", new)):
        assert answer.status == 400
        assert "backend_hosts" in answer.error["message"]
    assert len(engine.asked) == asked
    assert call("GET", "/connections").json["hosts"] == ["127.0.0.1:9", "169.254.7.7:8000"]
    assert call("PUT", "/connections/x", {"url": "http://127.0.0.1:9/v1"}).status == 201
    operator = world.call()
    assert operator("GET", "/connections").json["hosts"] is None
    for host in ("169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"):
        answer = operator("PUT", "/connections/meta", {"url": f"http://{host}/v1"})
        assert answer.status == 400, host
        assert "nothing is sent there" in answer.error["message"]
    # What is listed is the operator's word.
    assert operator("PUT", "/connections/meta", {"url": "http://169.254.7.7:8000/v1"}).status == 201


def test_another_tenant_s_administrator_finds_nothing(world: World, engine: OddEngine) -> None:
    """What is not theirs is answered like what never was, and a deployment of theirs cannot use it."""
    world.call()("PUT", "/connections/mine", {"url": engine.url, "api_key": SECRET})
    call = world.caller("admin", "red")
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test")):
        known, never = (
            call(method, f"/connections/{name}{path}", {} if method != "GET" else None)
            for name in ("mine", "miné"[:3] + "x")
        )
        assert known.status == never.status == 404
    assert "mine" not in [each["name"] for each in call("GET", "/connections").json["data"]]
    answer = call("PUT", "/deployments/theirs", on("mine"))
    assert answer.status == 400
    assert "there is no connection 'mine'" in answer.error["message"]
    assert SECRET not in answer.body.decode()
    assert engine.url not in answer.body.decode()


def test_a_variable_that_is_listed_has_a_key_too(world: World) -> None:
    """Others are refused, whether they are set or not, and so is a name beside a key."""
    call = world.call()
    with odd_engine(answered("m", key=ENV_SECRET)) as engine:
        assert call("GET", "/connections").json["key_envs"] == ["ENGINE_KEY"]
        assert call("POST", "/connections/test", {"url": engine.url, "api_key_env": "ENGINE_KEY"}).json["well"]
        for name in ("SERVICE_KEY", "PATH", "NO_SUCH"):
            for path, method in (("/connections/test", "POST"), ("/connections/env", "PUT")):
                answer = call(method, path, {"url": engine.url, "api_key_env": name})
                assert answer.status == 400
                assert "backend_key_envs" in answer.error["message"]
        both = call("PUT", "/connections/env", {"url": engine.url, "api_key_env": "ENGINE_KEY", "api_key": "k"})
        assert both.status == 400
        assert (
            call("PUT", "/connections/env", {"url": engine.url, "api_key_env": "ENGINE_KEY"}).json["key"]
            == "environment"
        )
        details(call("PUT", "/deployments/env", on("env", "m")))
        ended = call.ended(call.create(chat(2, model="env")).json["id"])
        assert ended["request_counts"]["completed"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": ""},
        {"url": "ftp://x/v1"},
        {"url": "http://user:secret@127.0.0.1/v1"},
        {"url": "http://127.0.0.1:1/v1\r\nX: y"},
        {"url": "http://127.0.0.1:0/v1"},
        {"url": "http://a/v1?api-version=1&key=k"},
        {"url": "http://a/v1?***"},
        {"url": "http://a/v1#k"},
        {"url": "http://a/" + "v" * 5_000},
        {"url": "http://a/v1", "api_key": "two words"},
        {"url": "http://a/v1", "api_key": "line\nX-Other: 1"},
        {"url": "http://a/v1", "api_key_header": "cookie"},
        {"url": 7},
    ],
)
def test_what_cannot_be_used_is_refused(world: World, body: dict[str, Any]) -> None:
    """With one sentence, and nothing is kept."""
    answer = world.call()("PUT", "/connections/bad", body)
    assert answer.status == 400, answer.body
    assert "secret@" not in answer.body.decode()
    assert world.call()("GET", "/connections/bad").status == 404


def test_deployments_say_what_is_wrong_with_a_backend(world: World) -> None:
    """A connection has the URL and the key; nothing beside it does."""
    for backend in (
        {"connection": "none-such"},
        {"connection": "none-such", "url": "http://127.0.0.1:9"},
        {"model": "m"},
    ):
        answer = world.call()("PUT", "/deployments/bad", {"properties": {"backends": [backend]}})
        assert answer.status == 400
        assert "backend 1" in answer.error["message"]


def stored(world: World, name: str) -> str:
    """The sealed key of a connection, as the ledger has it."""
    ledger = sqlite3.connect(f"file:{world.scratch / 'data' / 'ledger.sqlite'}?mode=ro", uri=True)
    try:
        (sealed,) = ledger.execute("SELECT sealed FROM connection_secret WHERE name = ?", (name,)).fetchone()
    finally:
        ledger.close()
    return str(sealed)


def doctor(world: World, secrets: str) -> str:
    """What `slackwater doctor` says of keys of engines."""
    command = [
        sys.executable,
        "-m",
        "slackwater",
        "doctor",
        *ledger_options(world.scratch / "slackwater.toml", world.server.data),
    ]
    if "--config" not in command:
        command += ["--config", str(world.scratch / "slackwater.toml")]
    keys = {"SERVICE_KEY": "service", "ENGINE_KEY": ENV_SECRET, "SECRETS_KEY": secrets}
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | keys, timeout=90)
    return "\n".join(line for line in ran.stdout.splitlines() if "keys of engines" in line)


def test_keys_of_the_operator_come_and_go(world: World, engine: OddEngine) -> None:
    """A start with a newer key seals anew; with a wrong one nothing is sent, nothing is lost, and the way back is said."""
    call = world.call()
    for name in ("turned", "given-anew"):
        call("PUT", f"/connections/{name}", {"url": engine.url, "api_key": SECRET})
        details(call("PUT", f"/deployments/{name}", on(name)))
    first = stored(world, "turned")
    world.again(f"{NEW}\n{OLD}")
    sealed = stored(world, "turned")
    assert sealed.split(".")[1] != first.split(".")[1]
    assert world.call()("POST", "/connections/turned/test", {}).json["well"]
    world.again(OLD)
    call = world.call()
    fault = call("GET", "/connections/turned").json["fault"]
    assert "another secrets key" in fault
    assert "secrets_key_env" in fault
    assert "another secrets key" in details(call("GET", "/deployments/turned"))["fault"]
    refused = call("POST", "/connections/turned/test", {})
    assert refused.status == 409
    assert "another secrets key" in refused.error["message"]
    assert stored(world, "turned") == sealed
    told = doctor(world, OLD)
    assert "another secrets key" in told
    assert "default/" in told
    assert SECRET not in told
    # A key that is given anew does away with it at once.
    assert call("PATCH", "/connections/given-anew", {"api_key": SECRET}).json["fault"] is None
    assert details(call("GET", "/deployments/given-anew"))["fault"] is None
    world.again(f"{NEW}\n{OLD}")
    call = world.call()
    assert call("GET", "/connections/turned").json["fault"] is None
    for name in ("turned", "given-anew"):
        ended = call.ended(call.create(chat(1, model=name)).json["id"])
        assert ended["request_counts"]["completed"] == 1


def test_what_the_operator_does_not_want(world: World, engine: OddEngine) -> None:
    """Only listed hosts, for whoever runs the service, too; and without a secrets key none is stored, and it says what to set."""
    config = CONFIG.replace("[control_plane]", "[control_plane]\nconnect_anywhere = false")
    world.again("", config.replace('secrets_key_env = "SECRETS_KEY"', ""))
    call = world.call()
    assert call("PUT", "/connections/later", {"url": engine.url}).status == 400
    listed = call("GET", "/connections").json
    assert listed["hosts"] == ["127.0.0.1:9", "169.254.7.7:8000"]
    assert "openssl rand -base64 32" in listed["cannot_store"]
    answer = call("PUT", "/connections/more", {"url": "http://127.0.0.1:9/v1", "api_key": SECRET})
    assert answer.status == 403
    assert "secrets_key_file" in answer.error["message"]
