"""Signing in to Studio at an identity provider, with a real server and a real issuer: there, back, and everything going wrong."""

import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.browser import Browser
from tests.api.calls import Answer
from tests.issuer import AUTHORIZE, DISCOVERY, TOKEN, Issuer
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
issuers = ["https://other.example", "ISSUER"]
resource_claim = "team"
resource_map = { "r" = "research", "d" = "default" }
role_map = { "Batch.Read" = "reader", "Batch.Write" = "user" }
[studio]
oidc_client_id = "studio-client"
oidc_issuer = "ISSUER"
"""
MINE = {"team": "r", "roles": ["Batch.Write"], "preferred_username": "ann@example.com"}
SECRET = "slackwater_sign_in"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """The directory."""
    with Issuer() as issuer:
        yield issuer


def serve(scratch: Path, issuer: Issuer, more: str = "", environment: dict[str, str] | None = None) -> Server:
    """A server that sends people to the issuer."""
    (scratch / "slackwater.toml").write_text(CONFIG.replace("ISSUER", issuer.url) + more)
    return Server(scratch / "slackwater.toml", scratch / "data", scratch / "log", environment)


@pytest.fixture(scope="module")
def server(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all that does not need another."""
    server = serve(tmp_path_factory.mktemp("sign-in"), issuer)
    yield server
    server.kill()


def sent_away(browser: Browser) -> str:
    """Where the browser is sent to sign in."""
    answer = browser("GET", "/studio/sign-in", headers={})
    assert answer.status == 302
    assert answer.headers["cache-control"] == "no-store"
    return answer.headers["location"]


def back(browser: Browser, query: dict[str, str]) -> Answer:
    """The way back, which another site has begun."""
    path = f"/studio/signed-in?{urllib.parse.urlencode(query)}"
    return browser("GET", path, headers={"Sec-Fetch-Site": "cross-site"}, cross_site=True)


def signed_in(browser: Browser, issuer: Issuer, **claims: Any) -> Answer:
    """There and back."""
    return back(browser, issuer.consent(sent_away(browser), **(MINE | claims)))


def test_there_and_back(server: Server, issuer: Issuer) -> None:
    """A code becomes a session in the resource and role of the claims; a page in between goes on, so that the cookie is sent."""
    browser = Browser(server)
    assert browser("GET", "/studio/session").json["sign_in"] == {"key": False, "oidc": "/studio/sign-in"}
    answer = signed_in(browser, issuer)
    assert answer.status == 200
    assert 'content="0; url=/studio"' in answer.body.decode()
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    shown = browser("GET", "/studio/session").json
    assert (shown["signed_in"], shown["resource"], shown["role"]) == (True, "research", "user")
    assert shown["name"] == "token/ann@example.com/subject-1"
    assert browser.cookies["slackwater_session"]["samesite"].lower() == "strict"
    assert list(browser.cookies) == ["slackwater_session"]
    assert browser("GET", "/openai/v1/files").status == 200
    assert browser("GET", "/openai/v1/keys").status == 403


def test_what_the_browser_is_sent_with(server: Server, issuer: Issuer) -> None:
    """Code flow with PKCE, a state and a nonce; nothing of these twice, and the secret in a cookie for the way back alone."""
    browser = Browser(server)
    asked = [dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(sent_away(browser)).query)) for _ in range(2)]
    assert asked[0]["response_type"] == "code"
    assert asked[0]["client_id"] == "studio-client"
    assert asked[0]["redirect_uri"] == f"http://{server.address}/studio/signed-in"
    assert asked[0]["scope"] == "openid profile"
    assert asked[0]["code_challenge_method"] == "S256"
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[0][name]) == 43
        assert len({asked[0][name], asked[1][name]}) == 2
    cookie = browser.cookies[SECRET]
    assert (cookie["path"], cookie["samesite"].lower(), cookie["httponly"]) == ("/studio/signed-in", "lax", True)
    assert cookie.value not in asked[1].values()


def test_a_way_back_that_was_not_gone(server: Server, issuer: Issuer) -> None:
    """A code of somebody else's, a state that was made up, a second use: nobody is signed in, and the page says what to do."""
    stranger, browser = Browser(server), Browser(server)
    query = issuer.consent(sent_away(stranger), **MINE)
    asked = len(issuer.redeemed)
    for tried in (
        back(browser, query),
        (sent_away(browser), back(browser, query))[1],
        back(browser, query | {"state": ""}),
        back(stranger, {"code": query["code"]}),
    ):
        assert tried.status == 401
        assert "Sign in again" in tried.body.decode()
        assert 'href="/studio/sign-in"' in tried.body.decode()
    assert len(issuer.redeemed) == asked
    assert back(stranger, query).status == 200
    assert back(stranger, query).status == 401
    assert not browser("GET", "/studio/session").json["signed_in"]


def test_what_the_issuer_says_instead_of_a_code(server: Server, issuer: Issuer) -> None:
    """Its reason is shown where it looks like one, and never as a part of the page."""
    for reason, shown in (("access_denied", True), ("<script>alert(1)</script>", False), ("", False)):
        browser = Browser(server)
        state = issuer.consent(sent_away(browser))["state"]
        answer = back(browser, {"error": reason, "state": state})
        assert answer.status == 401
        assert ("access_denied" in answer.body.decode()) is shown
        assert b"<script>" not in answer.body


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"nonce": "another"}, 401),
        ({"nonce": None}, 401),
        ({"aud": "somebody-else"}, 401),
        ({"aud": ["studio-client", "other"], "azp": "other"}, 401),
        ({"aud": ["studio-client", "other"], "azp": "studio-client"}, 200),
        ({"iss": "https://other.example"}, 401),
        ({"exp": 1}, 401),
        ({"team": "nobody"}, 403),
        ({"roles": ["Batch.Nothing"]}, 403),
    ],
)
def test_tokens_that_are_not_for_this_sign_in(
    server: Server, issuer: Issuer, claims: dict[str, Any], status: int
) -> None:
    """The token must be for this client, of this issuer, of this sign-in, and lead to a resource and a role."""
    browser = Browser(server)
    answer = signed_in(browser, issuer, **claims)
    assert answer.status == status
    assert browser("GET", "/studio/session").json["signed_in"] is (status == 200)


def test_at_a_resource_s_host(server: Server, issuer: Issuer) -> None:
    """The browser comes back to the host it came from, and only whoever belongs there is signed in."""
    browser = Browser(server, host="research.example")
    assert "research.example%2Fstudio%2Fsigned-in" in sent_away(browser)
    assert signed_in(browser, issuer).status == 200
    assert browser("GET", "/studio/session").json["resource"] == "research"
    assert signed_in(Browser(server, host="research.example"), issuer, team="d").status == 403


def test_an_issuer_that_fails(tmp_path: Path) -> None:
    """503 with a sentence, then, when it is back, everything as usual; and it is not asked again and again meanwhile."""
    with Issuer() as issuer:
        issuer.answers[DISCOVERY] = b"{}"
        server = serve(tmp_path, issuer)
        try:
            browser = Browser(server)
            for _ in range(3):
                answer = browser("GET", "/studio/sign-in", headers={})
                assert answer.status == 503
                assert "later" in answer.body.decode()
            assert issuer.asked[DISCOVERY] == 1
            assert b"sign_in_unavailable" in (tmp_path / "log").read_bytes()
        finally:
            server.kill()


def test_an_issuer_whose_pages_are_elsewhere_in_the_open(tmp_path: Path) -> None:
    """Nobody is sent over plain http, and nobody else's document is believed."""
    with Issuer() as issuer:
        good = {"issuer": issuer.url, "jwks_uri": "https://a.example/k", "token_endpoint": "https://a.example/t"}
        for number, document in enumerate(
            (
                good | {"authorization_endpoint": "http://evil.example/a"},
                good | {"authorization_endpoint": "https://a.example/a", "issuer": "https://evil.example"},
            )
        ):
            issuer.answers[DISCOVERY] = repr(document).replace("'", '"').encode()
            scratch = tmp_path / str(number)
            scratch.mkdir()
            server = serve(scratch, issuer)
            try:
                assert Browser(server)("GET", "/studio/sign-in", headers={}).status == 503
            finally:
                server.kill()


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic"])
def test_a_client_with_a_secret(tmp_path: Path, method: str) -> None:
    """It is sent as the issuer wants it, behind a proxy the way back is the public one, and nothing of it is in the log."""
    more = 'oidc_client_secret_env = "STUDIO_SECRET"\npublic_url = "https://batch.example"\n'
    with Issuer() as issuer:
        issuer.auth_methods = [method]
        server = serve(tmp_path, issuer, more, {"STUDIO_SECRET": "hush & hush"})
        try:
            browser = Browser(server)
            address = sent_away(browser)
            assert "https%3A%2F%2Fbatch.example%2Fstudio%2Fsigned-in" in address
            assert browser.cookies[SECRET]["secure"]
            query = issuer.consent(address, **MINE)
            assert back(browser, query).status == 200
            assert browser.cookies["slackwater_session"]["secure"]
            [form], [header] = issuer.redeemed, issuer.credentials
            assert form["code"] == query["code"]
            if method == "client_secret_post":
                assert (form["client_secret"], header) == ("hush & hush", None)
            else:
                assert "client_secret" not in form
                assert header == "Basic c3R1ZGlvLWNsaWVudDpodXNoJTIwJTI2JTIwaHVzaA=="
            log = (tmp_path / "log").read_text()
            assert "signed_in" in log
            assert not any(secret in log for secret in ("hush", query["code"], form["code_verifier"]))
        finally:
            server.kill()


def test_the_issuer_of_a_session_must_stay(tmp_path: Path) -> None:
    """Where nobody signs in at it any more, the sessions that it has made are over; its token endpoint failing is told."""
    with Issuer() as issuer:
        server = serve(tmp_path, issuer)
        browser = Browser(server)
        assert signed_in(browser, issuer).status == 200
        query = issuer.consent(sent_away(browser), **MINE)
        issuer.status = 500
        assert back(browser, query).status == 503
        assert issuer.asked[TOKEN] == 2
        assert issuer.asked[AUTHORIZE] == 0
        server.terminate()
        config = tmp_path / "slackwater.toml"
        config.write_text(config.read_text().partition("[studio]")[0])
        browser.server = server = Server(config, tmp_path / "data", tmp_path / "log")
        try:
            assert browser("GET", "/studio/session").json["signed_in"] is False
            assert browser("GET", "/openai/v1/files").status == 401
            assert browser("GET", "/studio/sign-in").status == 404
        finally:
            server.kill()
