"""A server without keys lets this machine's programs in. A browser on the same machine also runs other people's pages."""

import pytest

from tests.api.calls import Caller
from tests.server import Server

EVIL = "http://evil.example"


@pytest.fixture
def call(server: Server) -> Caller:
    """A program on this machine, without a key."""
    return Caller(server, "openai", key=None)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": EVIL},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9"},
        {"Origin": EVIL},
        {"Origin": "null"},
    ],
)
def test_pages_of_others_change_nothing(call: Caller, headers: dict[str, str]) -> None:
    """A page of another site, or of another port of this machine, is refused, whatever it calls itself a form or a fetch."""
    before = call("GET", "/batches").json["data"]
    answer = call("POST", "/keys", b'{"role": "admin"}', headers={**headers, "Content-Type": "text/plain"})
    assert answer.status == 403
    assert "another site" in answer.error["message"]
    assert call("GET", "/batches").json["data"] == before
    assert call("GET", "/models", headers=headers).status == 403


@pytest.mark.parametrize(
    "host", [EVIL.removeprefix("http://"), "127.0.0.1.evil.example:8080", "localhost.evil.example"]
)
def test_a_name_that_was_made_to_mean_this_machine_is_refused(server: Server, host: str) -> None:
    """DNS rebinding: a page's own host name leads here, so the browser takes us for the page's own server."""
    answer = Caller(server, "openai", key=None, host=host)("GET", "/models")
    assert answer.status == 403
    assert "slackwater keys create" in answer.error["message"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "team.localhost"]
)
def test_names_of_this_machine_are_fine(server: Server, host: str) -> None:
    """Programs call this machine by several names."""
    assert Caller(server, "openai", key=None, host=host)("GET", "/models").status == 200


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_own_page_and_the_address_bar_are_fine(call: Caller, site: str) -> None:
    """Studio calls from its own origin; an address that somebody has typed has no origin."""
    assert call("GET", "/models", headers={"Sec-Fetch-Site": site}).status == 200


@pytest.mark.parametrize("role", ["user", "reader"])
def test_the_first_key_is_an_administrators(call: Caller, role: str) -> None:
    """The first key locks out whoever has none. One that may not make others would lock out everybody for good."""
    answer = call("POST", "/keys", {"role": role})
    assert answer.status == 400
    assert "'admin'" in answer.error["message"]
    assert call("GET", "/keys").json["data"] == []
