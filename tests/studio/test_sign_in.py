"""The way in, where the service has keys."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.api.calls import Caller
from tests.issuer import Issuer
from tests.server import Server
from tests.studio.conftest import OpenPage, Watch, serve
from tests.studio.looking import faults

pytestmark = pytest.mark.studio

KEY = "a-key-of-the-service"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with one key."""
    locked = '[server]\napi_key_envs = ["STUDIO_TEST_KEY"]\n'
    server = serve(tmp_path, more=locked, environment={"STUDIO_TEST_KEY": KEY})
    yield server
    server.terminate()


def test_signing_in_and_out(open_page: OpenPage, watch: Watch) -> None:
    """A wrong key is refused in words; the right one leads to where one wanted to go; no script can read what was stored."""
    watch.allow("401")
    page = open_page("/files")
    expect(page.get_by_role("heading", name="Sign in to Slackwater Studio")).to_be_visible()
    page.get_by_label("Key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not known here")
    page.get_by_label("Key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Files", level=1)).to_be_visible()
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("slackwater_session", True, "Strict")
    stored = page.evaluate("JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie")
    assert KEY not in stored
    assert cookie["value"] not in stored
    page.reload()
    expect(page.get_by_role("heading", name="Files", level=1)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to Slackwater Studio")).to_be_visible()
    assert page.context.cookies() == []


def test_a_session_that_has_ended_leads_to_the_sign_in(open_page: OpenPage, watch: Watch) -> None:
    """Whoever loses the session is asked to sign in, and is then where they were."""
    watch.allow("401")
    page = open_page("")
    page.get_by_label("Key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("No batch jobs yet")).to_be_visible()
    page.context.clear_cookies()
    expect(page.get_by_role("heading", name="Sign in to Slackwater Studio")).to_be_visible()
    page.get_by_label("Key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("No batch jobs yet")).to_be_visible()


def test_whoever_may_only_look_sees_why(open_page: OpenPage, server: Server) -> None:
    """A reader finds what others can do where it always is, disabled, with the reason; and no pages of administrators."""
    call = Caller(server, "azure-v1", key=KEY)
    reader = call("POST", "/keys", {"role": "reader"}).json["data"][0]["value"]
    hook = {"name": "ours", "url": "https://receiver.invalid/hook", "event_types": ["batch.failed"]}
    endpoint = call("POST", "/webhook_endpoints", hook).json["id"]
    page = open_page(f"/webhooks/{endpoint}")
    page.get_by_label("Key").fill(reader)
    page.get_by_role("button", name="Sign in").click()
    for name in ("Send a test", "Change", "Rotate secret", "Turn off", "Delete"):
        expect(page.get_by_role("button", name=name)).to_be_disabled()
        expect(page.get_by_role("button", name=name)).to_have_attribute("title", re.compile("role user"))
    page.get_by_role("link", name="Webhooks").first.click()
    expect(page.get_by_role("button", name="Add webhook")).to_be_disabled()
    page.goto("/studio/webhooks?add=yes")
    expect(page.get_by_role("row", name="ours")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("link", name="Deployments").click()
    pause = page.get_by_role("button", name="Pause demo-batch")
    expect(pause).to_be_disabled()
    expect(pause).to_have_attribute("title", re.compile("Only administrators"))
    expect(page.get_by_role("region", name="Engines")).to_have_count(0)
    page.get_by_role("link", name="Batch jobs").click()
    create = page.locator(".heading").get_by_role("button", name="Create batch job")
    expect(create).to_be_disabled()
    expect(create).to_have_attribute("title", re.compile("role user"))
    navigation = page.get_by_role("navigation")
    expect(navigation.get_by_role("link", name="Webhooks")).to_be_visible()
    for name in ("Keys", "Audit log"):
        expect(navigation.get_by_role("link", name=name)).to_have_count(0)


def test_a_key_that_is_taken_away_ends_the_work_where_it_is(open_page: OpenPage, server: Server, watch: Watch) -> None:
    """In the middle of a search the session ends with its key; with another key, the same search goes on."""
    watch.allow("401")
    call = Caller(server, "azure-v1", key=KEY)
    first = call("POST", "/keys", {"role": "user"}).json["data"][0]["value"]
    page = open_page("/?search=nothing-has-this")
    page.get_by_label("Key").fill(first)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("No job fits")).to_be_visible()
    second = call("POST", "/keys", {"role": "user"}).json["data"][0]["value"]
    expect(page.get_by_role("heading", name="Sign in to Slackwater Studio")).to_be_visible()
    page.get_by_label("Key").fill(second)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("No job fits")).to_be_visible()
    expect(page.get_by_label("Search jobs")).to_have_value("nothing-has-this")


def test_the_way_in_can_be_used_by_everybody(open_page: OpenPage, watch: Watch) -> None:
    """On a phone, too, and with what went wrong on it."""
    watch.allow("401")
    page = open_page("/files", size=(390, 844))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Type or paste a key first.")
    page.get_by_label("Key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not known here")
    assert faults(page) == []


class TestWithAnOrganisation:
    """People sign in at an identity provider."""

    @pytest.fixture
    def issuer(self) -> Iterator[Issuer]:
        """The provider."""
        with Issuer() as issuer:
            yield issuer

    @pytest.fixture
    def server(self, tmp_path: Path, issuer: Issuer) -> Iterator[Server]:
        """A server without keys that knows it."""
        known = f'[oidc]\nissuers = ["{issuer.url}"]\n[studio]\noidc_client_id = "studio-client"\n'
        server = serve(tmp_path, more=known)
        yield server
        server.terminate()

    def test_there_and_back_to_where_one_wanted_to_go(self, open_page: OpenPage, issuer: Issuer, watch: Watch) -> None:
        """Whoever comes back from the provider's page is where they had begun, with the role of the token."""
        watch.allow(f"a call of another host: {issuer.url}")
        page = open_page("/webhooks?from=a-link")
        expect(page.get_by_label("Key")).to_have_count(0)
        page.get_by_role("link", name="Sign in with your organisation").click()
        page.get_by_role("link", name="Sign in as subject-1").click()
        expect(page.get_by_role("heading", name="Webhooks", level=1)).to_be_visible()
        assert page.url.endswith("/studio/webhooks?from=a-link")
        expect(page.get_by_text("· user")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("link", name="Sign in with your organisation")).to_be_visible()

    def test_a_way_back_that_nobody_began_is_explained(self, open_page: OpenPage, watch: Watch) -> None:
        """Whoever opens an old or a strange link gets a page with the next step, and no session."""
        watch.allow("400", "401", "403")
        page = open_page("/signed-in?code=stolen&state=strange")
        expect(page.get_by_role("heading", name="Not signed in")).to_be_visible()
        expect(page.get_by_role("link", name="Try again")).to_be_visible()
        assert page.context.cookies() == []
