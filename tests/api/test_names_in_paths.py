"""Names in paths: engines call models `meta-llama/Llama-3.1-8B`, and clients write the slash as it is or as `%2F`."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from slackwater.api.dialects import ARM, DIALECTS, Dialect
from slackwater.api.operation import NAMES, Operation
from slackwater.api.operations import OPERATIONS
from tests.api.calls import FAMILIES, Caller, chat, order
from tests.server import Server

# As they are, or as they might be: like an operation, like a path that leads elsewhere, with nothing between two slashes.
CHOSEN = ("meta-llama/Llama-3.1-8B", "a/batches", "a/b/pause", "a/../b", "..", "a//b", "/a", "v1/models")
NAMED = [
    pytest.param(dialect, operation, id=f"{dialect.name}-{operation.name}")
    for dialect in (*DIALECTS, ARM)
    for operation in OPERATIONS
    if operation.served_by(dialect) and NAMES.search(operation.path)
]
# What is answered about a deployment of the configuration, which nobody changes over the API.
STATUSES = {
    "create_batch_of_deployment": 200,
    "get_model": 200,
    "get_deployment": 200,
    "get_deployment_history": 200,
    "put_deployment": 400,
    "change_deployment": 409,
    "delete_deployment": 409,
    "pause_deployment": 200,
    "resume_deployment": 200,
    "try_deployment": 200,
}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a deployment of each name."""
    scratch: Path = tmp_path_factory.mktemp("names")
    deployments = "".join(
        f'[[deployments]]\nname = "{name}"\n[[deployments.backends]]\necho = {{}}\n' for name in CHOSEN
    )
    (scratch / "slackwater.toml").write_text(deployments)
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log")
    yield server
    server.kill()


@pytest.mark.parametrize(("dialect", "operation"), NAMED)
@pytest.mark.contract("A.1", "A POST /deployments/{deployment}/batches", "AVO GET /models/{model}")
def test_a_name_may_have_slashes(named: Server, dialect: Dialect, operation: Operation) -> None:
    """Every operation that has a name in its path finds the deployment of that name, in both spellings."""
    arm = dialect is ARM
    caller = Caller(named, "" if arm else dialect.name)
    prefix = dialect.prefix.format(subscription="s", group="g", account="default") if arm else ""
    body = None
    if operation.name == "create_batch_of_deployment":
        body = order(caller.upload(chat(1, model=CHOSEN[0])).json["id"])
    elif operation.body is not None:
        body = {}
    for name in CHOSEN:
        for spelling in (name, quote(name, safe="")):
            path = prefix + NAMES.sub(lambda _, text=spelling: text, operation.path)
            answer = caller(operation.method, path, body)
            assert answer.status == STATUSES[operation.name], (path, answer.body)
            if answer.status == 200 and operation.name != "create_batch_of_deployment":
                assert name in [answer.json.get(key) for key in ("id", "name", "deployment")], path


@pytest.mark.parametrize("family", FAMILIES)
def test_a_name_that_nobody_has(named: Server, family: str) -> None:
    """It is not found, in words that have all of it."""
    answer = Caller(named, family)("GET", "/models/meta-llama/Llama")
    assert (answer.status, "'meta-llama/Llama'" in answer.error["message"]) == (404, True)


def test_nothing_is_no_name(named: Server) -> None:
    """A path has a name where it says that there is one."""
    assert Caller(named, "azure")("POST", "/deployments//batches", {}).status == 404
