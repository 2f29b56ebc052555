"""Tokens of a directory, through a real server and a real issuer: who may call, in which resource, as what."""

import http.client
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.api.calls import Caller
from tests.issuer import Issuer
from tests.server import Server

CONFIG = """
[[resources]]
name = "research"
hosts = ["research.example"]
[[deployments]]
name = "demo-batch"
[[deployments.backends]]
echo = {}
[oidc]
issuers = ["ISSUER"]
resource_claim = "team"
resource_map = { "r" = "research", "d" = "default" }
role_map = { "Batch.Read" = "reader", "Batch.Write" = "user" }
"""


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """The directory."""
    with Issuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def server(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that trusts it, and has no key."""
    scratch: Path = tmp_path_factory.mktemp("tokens")
    (scratch / "slackwater.toml").write_text(CONFIG.replace("ISSUER", issuer.url))
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log")
    yield server
    server.kill()


def caller(server: Server, token: str | None, family: str = "azure") -> Caller:
    """Whoever carries this token."""
    return Caller(server, family, key=token)


def test_a_token_opens_its_resource(server: Server, issuer: Issuer) -> None:
    """Files of one team are not seen by the other; no token and a wrong one are 401."""
    research = caller(server, issuer.token(team="r", roles=["Batch.Write"]))
    default = caller(server, issuer.token(team="d", roles=["Batch.Write"]))
    file_id = research.upload(b"{}\n").json["id"]
    assert research("GET", f"/files/{file_id}").status == 200
    assert default("GET", f"/files/{file_id}").status == 404
    for token in (None, "nonsense", issuer.token(team="r", roles=["Batch.Write"])[:-4] + "AAAA"):
        assert caller(server, token)("GET", "/files").status == 401


def test_a_role_bounds_a_token(server: Server, issuer: Issuer) -> None:
    """A reader may look; who has no role of ours may not even that, and hears 403."""
    reader = caller(server, issuer.token(team="r", roles=["Batch.Read"]))
    assert reader("GET", "/files").status == 200
    refused = reader.upload(b"{}\n")
    assert (refused.status, refused.error["code"]) == (403, "PermissionDenied")
    assert caller(server, issuer.token(team="r", roles=["Other"]))("GET", "/files").status == 403


def test_a_host_name_and_a_token_have_to_agree(server: Server, issuer: Issuer) -> None:
    """At the host of research, a token of another resource is refused."""
    statuses = []
    for team in ("r", "d"):
        connection = http.client.HTTPConnection(server.address, timeout=20)
        token = issuer.token(team=team, roles=["Batch.Read"])
        headers = {"Host": "research.example", "Authorization": f"Bearer {token}"}
        connection.request("GET", "/openai/files?api-version=2024-10-21", headers=headers)
        statuses.append(connection.getresponse().status)
        connection.close()
    assert statuses[0] == 200
    assert statuses[1] in (401, 403)


def test_the_seed_s_client_with_a_token_provider(server: Server, issuer: Issuer) -> None:
    """AzureOpenAI with azure_ad_token_provider, as the seed's page has it."""
    client = openai.AzureOpenAI(
        azure_endpoint=f"http://{server.address}",
        azure_ad_token_provider=lambda: issuer.token(team="d", roles=["Batch.Write"]),
        api_version="2024-10-21",
        max_retries=0,
    )
    file = client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch")
    assert client.files.retrieve(file.id).id == file.id


def test_tokens_are_not_logged(server: Server, issuer: Issuer) -> None:
    """Neither accepted nor refused ones."""
    token = issuer.token(team="r", roles=["Batch.Read"])
    caller(server, token)("GET", "/files")
    caller(server, token[:-4] + "AAAA")("GET", "/files")
    log = (server.data.parent / "server.log").read_text()
    assert token.rpartition(".")[2] not in log
    assert token.split(".")[1] not in log
