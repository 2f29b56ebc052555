"""Resources do not see each other, keys belong to one, and roles bound what a key may do: over every route there is."""

import http.client
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slackwater.api.dialects import DIALECTS
from slackwater.api.operation import Operation
from slackwater.api.operations import OPERATIONS
from slackwater.core.accounts.resource import RANKS, Role
from tests.api.calls import FAMILIES, Answer, Caller, chat, order
from tests.server import Server, ledger_options

CONFIG = """
[limits]
lasting_files = 3
[[resources]]
name = "red"
hosts = ["red.example"]
[[resources]]
name = "blue"
[[deployments]]
name = "model"
resource = "red"
enqueued_token_limit = 100000
[[deployments.backends]]
echo = { latency_seconds = 0.05 }
[[deployments]]
name = "model"
resource = "blue"
[[deployments.backends]]
echo = {}
[[deployments]]
name = "blue-only"
resource = "blue"
[[deployments.backends]]
echo = {}
"""
CASES = [
    pytest.param(dialect.name, operation, id=f"{dialect.name}-{operation.name}")
    for dialect in DIALECTS
    for operation in OPERATIONS
    if operation.served_by(dialect)
]


class World:
    """A server with two resources, and keys of every role in each."""

    def __init__(self, scratch: Path) -> None:
        self.config, self.data = scratch / "slackwater.toml", scratch / "data"
        self.config.write_text(CONFIG)
        self.keys = {
            (resource, role): self.command("create", resource, role)["key1"]
            for resource in ("red", "blue", "default")
            for role in Role
        }
        self.server = Server(self.config, self.data, scratch / "server.log")

    def command(self, name: str, resource: str, role: Role, *more: str) -> dict[str, str]:
        """`slackwater keys`; what it printed, by slot."""
        arguments = [*ledger_options(self.config, self.data), "--resource", resource, "--role", role.value, *more]
        ran = subprocess.run(
            [sys.executable, "-m", "slackwater", "keys", name, *arguments], capture_output=True, text=True, check=True
        )
        return dict(line.split() for line in ran.stdout.splitlines())

    def call(self, family: str, resource: str, role: Role = Role.USER) -> Caller:
        """Whoever has that key."""
        return Caller(self.server, family, key=self.keys[resource, role])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all: nothing of one test matters to another."""
    world = World(tmp_path_factory.mktemp("resources"))
    yield world
    world.server.kill()


@pytest.fixture(scope="module")
def red_ids(world: World) -> dict[str, str]:
    """What the red resource has: ids by the names that paths call them."""
    red = world.call("azure", "red")
    file_id = red.upload(chat(3, model="model")).json["id"]
    batch = red("POST", "/batches", order(file_id)).json
    upload = red(
        "POST", "/uploads", {"purpose": "batch", "filename": "a", "bytes": 3, "mime_type": "application/jsonl"}
    ).json
    endpoint = world.call("openai", "red")(
        "POST",
        "/webhook_endpoints",
        {"name": "a", "url": "https://receiver.example/x", "event_types": ["batch.completed"]},
    ).json
    return {
        "file_id": file_id,
        "webhook_endpoint_id": endpoint["id"],
        "batch_id": red.ended(batch["id"])["id"],
        "upload_id": upload["id"],
        "model": "blue-only",
        "deployment": "model",
    }


def path_of(operation: Operation, ids: dict[str, str]) -> str:
    """A path with these ids in it."""
    return re.sub(r"{(\w+)}", lambda found: ids.get(found[1], "unknown"), operation.path)


def body_of(operation: Operation, ids: dict[str, str]) -> Any:
    """A body that asks for somebody's things."""
    if operation.body is None:
        return None
    more = {"part_ids": ["x"], "role": "user", "key": "key1", "event_type": "batch.completed"}
    return order(ids["file_id"]) | more


def same_but_for_ids(answer: Answer, ids: dict[str, str]) -> tuple[int, Any]:
    """Status and body, with every id replaced by what it is an id of."""
    text = answer.body.decode()
    for name, value in ids.items():
        text = text.replace(value, name)
    return answer.status, text


@pytest.mark.parametrize(("family", "operation"), CASES)
def test_what_is_another_s_is_answered_like_what_never_was(
    world: World, red_ids: dict[str, str], family: str, operation: Operation
) -> None:
    """For every operation of every family: blue asks for red's things, and hears word for word what it hears of nothing."""
    if (
        not re.search(r"{(file_id|batch_id|upload_id|webhook_endpoint_id)}", operation.path)
        and operation.name != "create_batch"
    ):
        return
    blue = world.call(family, "blue", Role.ADMIN)
    nothing = {
        "file_id": "file-" + "0" * 32,
        "batch_id": "batch_00000000-0000-0000-0000-000000000000",
        "upload_id": "upload_" + "0" * 32,
        "webhook_endpoint_id": "we_" + "0" * 32,
        "model": "nothing",
    }
    theirs = blue(operation.method, path_of(operation, red_ids), body_of(operation, red_ids))
    nobody = blue(operation.method, path_of(operation, nothing), body_of(operation, nothing))
    assert same_but_for_ids(theirs, red_ids) == same_but_for_ids(nobody, nothing)
    # Whatever blue tried, red still has everything.
    red = world.call("azure", "red")
    assert red("GET", f"/files/{red_ids['file_id']}").status == 200
    assert red("GET", f"/batches/{red_ids['batch_id']}").json["status"] == "completed"


@pytest.mark.parametrize("family", FAMILIES)
def test_lists_show_one_s_own(world: World, red_ids: dict[str, str], family: str) -> None:
    """Files, batches and models; a cursor of another resource is no cursor."""
    red, blue = world.call(family, "red"), world.call(family, "blue")
    assert red_ids["file_id"] in [file["id"] for file in red("GET", "/files").json["data"]]
    assert red_ids["batch_id"] in [batch["id"] for batch in red("GET", "/batches").json["data"]]
    text = blue("GET", "/files").body + blue("GET", "/batches").body + blue("GET", "/models").body
    assert not any(red_ids[name].encode() in text for name in ("file_id", "batch_id"))
    assert [model["id"] for model in red("GET", "/models").json["data"]] == ["model"]
    assert blue("GET", "/files", query=f"after={red_ids['file_id']}").status == 400
    assert blue("GET", "/batches", query=f"after={red_ids['batch_id']}").status == 400


@pytest.mark.parametrize("family", FAMILIES)
def test_results_belong_to_whom_their_batch_does(world: World, red_ids: dict[str, str], family: str) -> None:
    """Its own users fetch them, and nobody else does: not another resource, and not the default one."""
    red = world.call(family, "red")
    wrong = chat(1, model="model").replace(b"Why?", b"Fail, please")
    batch = red.ended(red.create(chat(2, model="model") + wrong.replace(b"task-0", b"task-9")).json["id"])
    results = [file_id for file_id in (batch["output_file_id"], batch["error_file_id"]) if file_id]
    assert results
    for file_id in results:
        assert red("GET", f"/files/{file_id}").status == 200
        assert red("GET", f"/files/{file_id}/content").status == 200
        assert file_id in [file["id"] for file in red("GET", "/files").json["data"]]
        for resource in ("blue", "default"):
            stranger = world.call(family, resource, Role.ADMIN)
            assert stranger("GET", f"/files/{file_id}").status == 404
            assert stranger("GET", f"/files/{file_id}/content").status == 404
            assert file_id not in [file["id"] for file in stranger("GET", "/files").json["data"]]
    for file_id in (*results, batch["input_file_id"]):
        assert red("DELETE", f"/files/{file_id}").status == 200


def test_deployments_of_one_name_are_different(world: World) -> None:
    """Both resources have a deployment `model`: each batch runs on its own, and its tokens count there."""
    red, blue = world.call("azure", "red"), world.call("azure", "blue")
    made = blue.create(chat(2, model="model"))
    assert "deployment-maximum-enqueued-tokens" not in made.headers
    assert blue.ended(made.json["id"])["status"] == "completed"
    assert red.create(chat(1, model="model")).headers["deployment-maximum-enqueued-tokens"] == "100000"
    failed = red.ended(red.create(chat(1, model="blue-only")).json["id"])
    assert failed["errors"]["data"][0]["code"] == "model_not_found"


def test_quotas_and_keys_of_creates_are_each_resource_s_own(world: World) -> None:
    """One may have used up its files, and an idempotency key; the other has not."""
    blue, default = world.call("azure", "blue"), world.call("azure", "default")
    first = blue.upload(chat(1, model="model"))
    while blue.upload(b"{}\n").status == 201:
        pass
    other = default.upload(chat(1, model="model"))
    assert (first.status, other.status) == (201, 201)
    made = [
        call("POST", "/batches", order(file.json["id"]), headers={"Idempotency-Key": "same"}).json["id"]
        for call, file in ((blue, first), (default, other))
    ]
    assert made[0] != made[1]
    for file in blue("GET", "/files", query="purpose=batch").json["data"]:
        blue("DELETE", f"/files/{file['id']}")


@pytest.mark.parametrize(("family", "operation"), CASES)
@pytest.mark.parametrize("role", list(Role))
def test_roles_over_every_operation(
    world: World, red_ids: dict[str, str], family: str, operation: Operation, role: Role
) -> None:
    """A key does what its role allows; everything else is 403, in words, and changes nothing."""
    allowed = RANKS[role] >= RANKS[operation.role]
    if allowed and operation.name in ("create_keys", "delete_keys", "rotate_key"):
        # Would take the keys of the other tests away.
        return
    caller = world.call(family, "default", role)
    answer = caller(operation.method, path_of(operation, {}), body_of(operation, red_ids))
    if allowed and operation.service:
        # An administrator of a resource does not run the service.
        assert (answer.status, "whole service" in answer.error["message"]) == (403, True)
    elif allowed:
        assert answer.status not in (401, 403) or operation.name == "import_file"
    else:
        assert answer.status == 403
        assert operation.role.value in answer.error["message"]


def test_no_key_and_wrong_keys(world: World) -> None:
    """401 for nothing, for nonsense, and for a key that has been changed."""
    for key in (None, "", "nonsense", world.keys["red", Role.USER][:-1]):
        assert Caller(world.server, "openai", key=key)("GET", "/files").status == 401


def test_a_host_name_stands_for_its_resource(world: World) -> None:
    """At red's host, red's keys work and blue's are no keys."""
    for resource, status in (("red", 200), ("blue", 401)):
        connection = http.client.HTTPConnection(world.server.address, timeout=20)
        headers = {"Host": "Red.Example:8080", "api-key": world.keys[resource, Role.USER]}
        connection.request("GET", "/openai/files?api-version=2024-10-21", headers=headers)
        assert connection.getresponse().status == status
        connection.close()


@pytest.mark.contract(
    "O GET /keys",
    "O POST /keys",
    "O POST /keys/{role}/rotate",
    "O DELETE /keys/{role}",
)
def test_keys_over_the_api(world: World) -> None:
    """Made, listed without values, rotated one by one, and taken away; what is not valid any more is refused at once."""
    admin = world.call("openai", "blue", Role.ADMIN)
    made = {key["name"]: key["value"] for key in admin("POST", "/keys", {"role": "reader"}).json["data"]}
    reader = {name: Caller(world.server, "openai", key=key) for name, key in made.items()}
    assert [call("GET", "/files").status for call in reader.values()] == [200, 200]
    listed = admin("GET", "/keys")
    assert not any(key.encode() in listed.body for key in made.values())
    assert {key["hint"] for key in listed.json["data"] if key["role"] == "reader"} == {
        f"...{key[-4:]}" for key in made.values()
    }
    [fresh] = [k for k in admin("POST", "/keys/reader/rotate", {"key": "key1"}).json["data"] if k["name"] == "key1"]
    assert reader["key1"]("GET", "/files").status == 401
    assert reader["key2"]("GET", "/files").status == 200
    assert Caller(world.server, "openai", key=fresh["value"])("GET", "/files").status == 200
    assert admin("DELETE", "/keys/reader").status == 200
    assert reader["key2"]("GET", "/files").status == 401
    assert admin("DELETE", "/keys/reader").status == 404
    assert admin("POST", "/keys", {"role": "king"}).error["param"] == "role"
    world.keys["blue", Role.READER] = admin("POST", "/keys", {"role": "reader"}).json["data"][0]["value"]


def test_keys_are_nowhere_in_the_data_directory(world: World) -> None:
    """Only digests are stored, and nothing in the log has a key."""
    for path in [*world.data.rglob("*"), world.data.parent / "server.log"]:
        if path.is_file():
            data = path.read_bytes()
            assert not any(key.encode() in data for key in world.keys.values()), path


def test_the_command_says_when_a_server_is_running(world: World) -> None:
    """One line, with the way through the server."""
    ran = subprocess.run(
        [sys.executable, "-m", "slackwater", "keys", "create", *ledger_options(world.config, world.data)],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2
    assert "add --server http://" in ran.stderr
