"""`If-Match` and `If-None-Match` on deployments: nobody overwrites a version that they have not seen."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.calls import Answer, Caller, chat
from tests.server import Server

CONFIG = """
[[deployments]]
name = "pool"
model = "gpt-4o"
[[deployments.backends]]
echo = {}
[[deployments]]
name = "stuck"
[[deployments.backends]]
echo = { hang_rate = 1.0 }
"""
BODY = {"properties": {"backendsOf": "pool"}}
ARM = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/default/deployments/"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests: each uses names of its own."""
    scratch = tmp_path_factory.mktemp("preconditions")
    (scratch / "slackwater.toml").write_text(CONFIG)
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log")
    yield server
    server.kill()


def send(server: Server, method: str, name: str, body: Any = None, **headers: str) -> Answer:
    """A call in Azure v1, with headers whose names have underscores here."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Caller(server, "azure-v1")(method, f"/deployments/{name}", body, headers=given)


def test_an_etag_names_a_version(server: Server) -> None:
    """The header has what the body has; a change brings another one, a look does not, and the configuration has none."""
    made = send(server, "PUT", "seen", BODY)
    assert made.headers["etag"] == made.json["etag"]
    assert made.headers["etag"].strip('"').isalnum()
    assert send(server, "GET", "seen").headers["etag"] == made.headers["etag"]
    changed = send(server, "PATCH", "seen", {"sku": {"capacity": 5}})
    assert changed.headers["etag"] == changed.json["etag"] != made.headers["etag"]
    configured = send(server, "GET", "pool")
    assert "etag" not in configured.headers | configured.json


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_change_of_a_version_that_is_over(server: Server, method: str) -> None:
    """412 `PreconditionFailed` in Azure's shape, and nothing has changed; with the etag of today it is done."""
    name, body = f"over-{method.lower()}", None if method == "DELETE" else BODY | {"tags": {"by": method}}
    old = send(server, "PUT", name, BODY).headers["etag"]
    now = send(server, "PATCH", name, {"sku": {"capacity": 5}})
    refused = send(server, method, name, body, If_Match=old)
    assert (refused.status, refused.error["code"]) == (412, "PreconditionFailed")
    assert set(refused.error) >= {"code", "message"}
    assert now.headers["etag"] in refused.error["message"]
    assert send(server, "GET", name).json == now.json
    assert send(server, method, name, body, If_Match=now.headers["etag"]).status == (204 if method == "DELETE" else 200)


@pytest.mark.parametrize("write", ["{}", "W/{}", '"other", {}', '{},"other"', "bare"])
def test_how_an_etag_may_be_written(server: Server, write: str) -> None:
    """As it was given, in a list, without its quotes, or with what a proxy that compresses makes of it."""
    etag = send(server, "PUT", "written", BODY).headers["etag"]
    given = etag.strip('"') if write == "bare" else write.format(etag)
    assert send(server, "PATCH", "written", {}, If_Match=given).status == 200
    assert send(server, "PATCH", "written", {}, If_Match=given).status == 412
    assert send(server, "PATCH", "written", {}, If_Match="").status == 412


def test_whether_it_is_there(server: Server) -> None:
    """`If-Match: *` wants it to be, `If-None-Match: *` wants it not to be; both answer 412 otherwise."""
    assert send(server, "PUT", "there", BODY, If_Match="*").status == 412
    assert send(server, "GET", "there").status == 404
    assert send(server, "DELETE", "there", If_Match="*").status == 412
    assert send(server, "PATCH", "there", {}, If_Match="*").status == 404
    made = send(server, "PUT", "there", BODY, If_None_Match="*")
    assert made.status == 201
    assert send(server, "PUT", "there", BODY, If_None_Match="*").status == 412
    assert send(server, "PUT", "there", BODY, If_None_Match=made.headers["etag"]).status == 412
    assert send(server, "PUT", "there", BODY, If_Match="*").status == 200
    assert send(server, "DELETE", "there", If_Match="*").status == 204
    # What cannot be done at all is said first.
    assert send(server, "PUT", "pool", BODY, If_None_Match="*").status == 409


def test_a_deletion_that_waits_for_batches_keeps_the_etag(server: Server) -> None:
    """A client that did not hear the answer sends its DELETE again as it was, and it holds still."""
    etag = send(server, "PUT", "leaving", {"properties": {"backendsOf": "stuck"}}).headers["etag"]
    call = Caller(server, "openai")
    batch_id = call.create(chat(1, model="leaving")).json["id"]
    for _ in range(2):
        assert (answer := send(server, "DELETE", "leaving", If_Match=etag)).status == 202
        assert answer.headers["etag"] == etag
    assert send(server, "DELETE", "leaving", If_Match='"other"').status == 412
    call("POST", f"/batches/{batch_id}/cancel")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_of_administrators_at_once_one_wins(server: Server, method: str) -> None:
    """All change the version that all have seen: one is answered 200, and what is kept is what that one wrote."""
    for round_ in range(5):
        etag = send(server, "PUT", f"race-{method}", BODY).headers["etag"]

        def change(number: int, etag: str = etag, round_: int = round_) -> Answer:
            body = BODY | {"tags": {"by": f"{round_}-{number}"}}
            return send(server, method, f"race-{method}", body, If_Match=etag)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(change, range(8)))
        assert sorted(answer.status for answer in answers) == [200] + [412] * 7
        (won,) = [answer.json for answer in answers if answer.status == 200]
        kept = send(server, "GET", f"race-{method}").json
        assert (kept["etag"], kept["tags"]) == (won["etag"], won["tags"])


def test_of_those_who_make_it_at_once_one_does(server: Server) -> None:
    """With `If-None-Match: *`, one is answered 201, and the others hear that it is there."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(server, "PUT", "single", BODY, If_None_Match="*"), range(8)))
    assert sorted(answer.status for answer in answers) == [201] + [412] * 7


@pytest.mark.contract(
    "MO PUT /deployments/{name}",
    "MO GET /deployments/{name}",
    "MO PATCH /deployments/{name}",
    "MO DELETE /deployments/{name}",
)
def test_in_every_family_that_has_deployments(server: Server) -> None:
    """OpenAI's and ARM's paths have the header, and mind those of the caller, too."""
    for family, path in (("openai", "/deployments/everywhere"), ("none", ARM + "everywhere")):
        call = Caller(server, family)
        etag = call("PUT", path, BODY).headers["etag"]
        assert call("GET", path).headers["etag"] == etag
        refused = call("PUT", path, BODY, headers={"If-None-Match": "*"})
        assert (refused.status, refused.error["code"]) == (412, "PreconditionFailed")
        changed = call("PATCH", path, {"sku": {"capacity": 5}}, headers={"If-Match": etag})
        assert (changed.status, changed.json["sku"]["capacity"]) == (200, 5)
        assert call("DELETE", path, headers={"If-Match": etag}).status == 412
        assert call("DELETE", path, headers={"If-Match": changed.headers["etag"]}).status == 204
