"""Keys: made, seen once, rotated and deleted, without locking out whoever does it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.api.calls import Caller
from tests.server import Server
from tests.studio.conftest import OpenPage, Watch, serve
from tests.studio.looking import faults

pytestmark = pytest.mark.studio

KEY = "a-key-of-the-service"


def panel(page: Page, role: str) -> Locator:
    """The part of the page that is about a role."""
    return page.get_by_role("region", name=role, exact=True)


def copied(page: Page, label: str) -> str:
    """Copies what is shown once, and closes it."""
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=f"Copy: {label}").click()
    expect(dialog.get_by_role("button", name=f"Copy: {label}")).to_have_text("Copied")
    text: str = page.evaluate("navigator.clipboard.readText()")
    dialog.get_by_role("button", name="Done").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    return text


def signed_in(page: Page, key: str) -> Page:
    """The page behind the way in."""
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Sign in to Slackwater Studio")).to_have_count(0)
    return page


def made(server: Server, role: str, key: str = "any") -> list[str]:
    """Two keys of a role, made by a program."""
    answer = Caller(server, "azure-v1", key=key)("POST", "/keys", {"role": role})
    return [each["value"] for each in answer.json["data"]]


class TestOnAnOpenServer:
    """Nobody needs a key yet."""

    def test_the_first_keys_lock_the_door_behind_whoever_makes_them(self, open_page: OpenPage, server: Server) -> None:
        """Only the administrator's can be the first; everybody else is out, and the maker is signed in and goes on."""
        page = open_page("/keys")
        expect(page.get_by_text("whoever reaches it may do everything")).to_be_visible()
        expect(page.get_by_role("button", name="Make keys for users")).to_be_disabled()
        assert faults(page) == []
        page.get_by_role("button", name="Make keys for administrators").click()
        expect(page.get_by_role("dialog")).to_contain_text("This locks the door.")
        page.get_by_role("button", name="Make two keys").click()
        expect(page.get_by_role("dialog")).to_contain_text("You are signed in with key 1 now.")
        assert faults(page) == []
        key = copied(page, "Administrator, key 1")
        assert Caller(server, "azure-v1", key="any")("GET", "/files").status == 401
        assert Caller(server, "azure-v1", key=key)("GET", "/keys").status == 200
        mine = panel(page, "Administrator").get_by_role("listitem").filter(has_text="Key 1")
        expect(mine).to_contain_text("You are signed in with it")
        expect(page.get_by_text("whoever reaches it may do everything")).to_have_count(0)
        page.get_by_role("button", name="Make keys for users").click()
        page.get_by_role("button", name="Make two keys").click()
        user = copied(page, "User, key 2")
        assert Caller(server, "azure-v1", key=user)("GET", "/files").status == 200
        page.reload()
        expect(panel(page, "User").get_by_role("listitem").filter(has_text="Key 2")).to_contain_text(user[-4:])

    def test_a_dialog_is_open_before_the_next_key(self, open_page: OpenPage) -> None:
        """Whoever is quick with Escape is heard: a dialog is open as soon as it is drawn, not some time after."""
        page = open_page("/keys")
        expect(page.get_by_role("button", name="Make keys for administrators")).to_be_visible()
        drawn_and_open = """async () => {
            document.querySelector('[aria-label="Make keys for administrators"]').click();
            while (!document.querySelector("dialog")) await Promise.resolve();
            await Promise.resolve();
            return document.querySelector("dialog").open;
        }"""
        assert page.evaluate(drawn_and_open) is True

    def test_not_now_changes_nothing(self, open_page: OpenPage, call: Caller) -> None:
        """A question can be left, and what is shown once is not let go without a copy by a slip of the hand."""
        page = open_page("/keys")
        page.get_by_role("button", name="Make keys for administrators").click()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert call("GET", "/keys").json["data"] == []


def test_rotating_one_s_own_key_goes_on_with_the_new_one(open_page: OpenPage, server: Server) -> None:
    """The session would end with the old key; the page says so before, and is signed in with the new one after."""
    old, other = made(server, "admin")
    page = signed_in(open_page("/keys"), old)
    page.get_by_role("button", name="Rotate Key 1 of administrators").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("You are signed in with this key.")
    expect(dialog).to_contain_text(f"key 2 first, which ends in {other[-4:]}")
    assert faults(page) == []
    dialog.get_by_role("button", name="Rotate key 1").click()
    expect(dialog).to_contain_text("You are signed in with it now.")
    new = copied(page, "Administrator, key 1")
    statuses = [Caller(server, "azure-v1", key=key)("GET", "/keys").status for key in (old, other, new)]
    assert statuses == [401, 200, 200]
    expect(panel(page, "Administrator").get_by_role("listitem").filter(has_text="Key 1")).to_contain_text(new[-4:])
    page.reload()
    expect(page.get_by_role("heading", name="Keys", level=1)).to_be_visible()


def test_rotating_another_key_leaves_the_session_alone(open_page: OpenPage, server: Server) -> None:
    """Nothing is said about signing in, and the other key of the role goes on working."""
    admin = made(server, "admin")[0]
    users = made(server, "user", admin)
    page = signed_in(open_page("/keys"), admin)
    page.get_by_role("button", name="Rotate Key 2 of users").click()
    expect(page.get_by_role("dialog")).not_to_contain_text("signed in with this key")
    page.get_by_role("dialog").get_by_role("button", name="Rotate key 2").click()
    new = copied(page, "User, key 2")
    statuses = [Caller(server, "azure-v1", key=key)("GET", "/files").status for key in (*users, new)]
    assert statuses == [200, 401, 200]


def test_deleting_one_s_own_keys_leads_to_the_sign_in(open_page: OpenPage, tmp_path: Path, server: Server) -> None:
    """What it costs is said before: oneself signed out, and nobody left who can make keys."""
    admin = made(server, "admin")[0]
    user = made(server, "user", admin)[0]
    page = signed_in(open_page("/keys"), admin)
    page.get_by_role("button", name="Delete the keys of administrators").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("You are signed in with one of them")
    expect(dialog).to_contain_text("Afterwards nobody can make keys here")
    assert faults(page) == []
    dialog.get_by_role("button", name="Delete both keys").click()
    expect(page.get_by_role("heading", name="Sign in to Slackwater Studio")).to_be_visible()
    assert Caller(server, "azure-v1", key=admin)("GET", "/keys").status == 401
    assert Caller(server, "azure-v1", key=user)("GET", "/files").status == 200


def test_deleting_the_last_keys_says_that_the_door_opens(open_page: OpenPage, server: Server) -> None:
    """Without any key everybody may come in again, which nobody should do unawares."""
    admin = made(server, "admin")[0]
    page = signed_in(open_page("/keys"), admin)
    page.get_by_role("button", name="Delete the keys of administrators").click()
    expect(page.get_by_role("dialog")).to_contain_text("These are the last keys of this resource.")
    page.get_by_role("button", name="Delete both keys").click()
    expect(page.get_by_text("whoever reaches it may do everything")).to_be_visible()


class TestWithAKeyOfTheService:
    """The operator has put a key into the configuration."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Server]:
        """A server with that key."""
        locked = '[server]\napi_key_envs = ["STUDIO_TEST_KEY"]\n'
        server = serve(tmp_path, more=locked, environment={"STUDIO_TEST_KEY": KEY})
        yield server
        server.terminate()

    def test_roles_without_keys_are_explained(self, open_page: OpenPage, server: Server) -> None:
        """Any role's keys can be the first, because the door is locked already."""
        page = signed_in(open_page("/keys", size=(390, 844)), KEY)
        for role in ("Administrator", "User", "Reader"):
            expect(panel(page, role)).to_contain_text("No keys.")
            expect(panel(page, role)).to_contain_text("May ")
        assert faults(page) == []
        page.get_by_role("button", name="Make keys for readers").click()
        page.get_by_role("button", name="Make two keys").click()
        reader = copied(page, "Reader, key 1")
        caller = Caller(server, "azure-v1", key=reader)
        assert (caller("GET", "/files").status, caller("GET", "/keys").status) == (200, 403)

    @pytest.mark.parametrize("path", ["/keys", "/audit"])
    def test_who_is_no_administrator_is_told_so(
        self, open_page: OpenPage, server: Server, watch: Watch, path: str
    ) -> None:
        """The pages are not offered; a link to one says whom to ask, and asks the service for nothing."""
        page = signed_in(open_page(path), made(server, "user", KEY)[0])
        expect(page.get_by_text("Only administrators")).to_be_visible()
        expect(page.get_by_role("navigation").get_by_text("Keys")).to_have_count(0)
        page.get_by_role("link", name="Go to the batch jobs").click()
        expect(page.get_by_role("heading", name="Batch jobs", level=1)).to_be_visible()
