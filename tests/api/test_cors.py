"""Pages of other sites in a browser: none may read an answer, but those that the operator has named, and never with a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.calls import FAMILIES, Answer, Caller
from tests.server import Server

APP, OTHER = "https://app.example", "https://other.example"
CONFIG = f"""
[server]
api_key_envs = ["SERVICE_KEY"]
cors_origins = ["{APP}", "http://localhost:3000"]
[[deployments]]
name = "demo-batch"
[[deployments.backends]]
echo = {{}}
"""
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-stainless-os"}


@pytest.fixture(scope="module")
def open_to_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two origins."""
    scratch: Path = tmp_path_factory.mktemp("cors")
    (scratch / "slackwater.toml").write_text(CONFIG)
    server = Server(scratch / "slackwater.toml", scratch / "data", scratch / "server.log", {"SERVICE_KEY": "service"})
    yield server
    server.kill()


def words(answer: Answer) -> dict[str, str]:
    """What an answer says to a browser about pages."""
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("origin", [APP, "http://localhost:3000"])
def test_a_page_that_may(open_to_app: Server, family: str, origin: str) -> None:
    """A browser asks first, without a key, and is told yes; the page reads answers and errors, and what is in their headers."""
    stranger, caller = Caller(open_to_app, family, key=None), Caller(open_to_app, family, key="service")
    asked = stranger("OPTIONS", "/batches", headers={"Origin": origin, **ASKS})
    assert (asked.status, asked.body, asked.headers["access-control-allow-origin"]) == (204, b"", origin)
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert asked.headers["access-control-allow-headers"] == ASKS["Access-Control-Request-Headers"]
    for answer, status in (
        (caller("GET", "/models", headers={"Origin": origin}), 200),
        (caller("GET", "/batches/nobody", headers={"Origin": origin}), 404),
        (stranger("GET", "/models", headers={"Origin": origin}), 401),
        (caller("GET", "/nothing", headers={"Origin": origin}), 404),
    ):
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == origin
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", [OTHER, "null", APP + ".evil", APP.upper(), "http://app.example", APP + "/"])
def test_pages_that_may_not(open_to_app: Server, origin: str) -> None:
    """To every other origin nothing is said, whatever it looks like; caches are told that answers differ."""
    caller = Caller(open_to_app, "openai", key="service")
    asked = caller("OPTIONS", "/batches", headers={"Origin": origin, **ASKS})
    answer = caller("GET", "/models", headers={"Origin": origin})
    assert (asked.status, words(asked), words(answer), answer.headers["vary"]) == (405, {}, {}, "Origin")


def test_not_where_sessions_are_made(open_to_app: Server) -> None:
    """The calls of Studio's own pages, and everything else that is no API, are for no other page."""
    caller = Caller(open_to_app, "", key="service")
    for path in ("/studio/session", "/healthz", "/studio/"):
        assert words(caller("GET", path, headers={"Origin": APP})) == {}
        assert words(caller("OPTIONS", path, headers={"Origin": APP, **ASKS})) == {}


def test_a_session_counts_for_no_other_page(open_to_app: Server) -> None:
    """The cookie of somebody who has signed in opens nothing to a page that may call; to ours it does."""
    caller = Caller(open_to_app, "", key=None)
    own = {"Origin": f"http://{open_to_app.address}", "Sec-Fetch-Site": "same-origin"}
    signed_in = caller("POST", "/studio/session", {"key": "service"}, headers=own)
    assert signed_in.status < 300, signed_in.body
    cookie = {"Cookie": signed_in.headers["set-cookie"].partition(";")[0]}
    assert caller("GET", "/v1/models", headers=own | cookie).status == 200
    assert caller("GET", "/v1/models", headers={"Origin": APP, "Sec-Fetch-Site": "same-site"} | cookie).status == 401


def test_nobody_by_default(server: Server) -> None:
    """Without the setting there is no word about it, and no header more."""
    caller = Caller(server, "openai")
    asked = caller("OPTIONS", "/batches", headers={"Origin": APP, **ASKS})
    assert (asked.status, words(asked), "vary" in caller("GET", "/models").headers) == (405, {}, False)
