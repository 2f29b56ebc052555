"""Signing in to Studio with a key: who may do what with the cookie, from which page, and when it ends."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slackwater.core.accounts.resource import Role
from tests.api.browser import SAME_ORIGIN, Browser
from tests.api.calls import Caller, chat
from tests.server import Server, ledger_options

COOKIE = "slackwater_session"
CONFIG = """
[server]
api_key_envs = ["STUDIO_TEST_KEY"]
region = "Sweden Central"
[webhooks]
enabled = false
[[resources]]
name = "red"
hosts = ["red.example"]
[[deployments]]
name = "demo-batch"
[[deployments.backends]]
echo = {}
"""
SERVICE_KEY = "the-key-of-the-service"
# The time of day is the ledger's: where that is a database, it may be some milliseconds before or behind this process's.
CLOCKS_DIFFER = 0.5


class World:
    """A server with a service key, and keys of every role in two resources."""

    def __init__(self, scratch: Path, more: str = "") -> None:
        self.config, self.data, self.log = scratch / "slackwater.toml", scratch / "data", scratch / "server.log"
        self.config.write_text(CONFIG + more)
        self.keys = {(resource, role): self.make(resource, role) for resource in ("red", "default") for role in Role}
        self.server = self.start()

    def start(self) -> Server:
        """A server on the data directory."""
        return Server(self.config, self.data, self.log, {"STUDIO_TEST_KEY": SERVICE_KEY})

    def make(self, resource: str, role: Role) -> str:
        """A key that was made on the command line."""
        arguments = [*ledger_options(self.config, self.data), "--resource", resource, "--role", role.value]
        ran = subprocess.run(
            [sys.executable, "-m", "slackwater", "keys", "create", *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        return dict(line.split() for line in ran.stdout.splitlines())["key1"]

    def signed_in(self, role: Role = Role.USER, resource: str = "default") -> Browser:
        """A browser that has signed in."""
        browser = Browser(self.server)
        assert browser("POST", "/studio/session", {"key": self.keys[resource, role]}).status == 200
        return browser


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all."""
    world = World(tmp_path_factory.mktemp("sessions"))
    yield world
    world.server.kill()


def test_before_anybody_has_signed_in(world: World) -> None:
    """A page learns how to, and nothing else."""
    answer = Browser(world.server)("GET", "/studio/session")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json == {
        "object": "session",
        "signed_in": False,
        "open": False,
        "resource": None,
        "role": None,
        "name": None,
        "expires_at": None,
        "sign_in": {"key": True, "oidc": None},
        "version": answer.json["version"],
        "webhooks": False,
        "imports": False,
        "resources": [],
        "operates": False,
        "region": "",
    }


def test_a_key_becomes_a_cookie(world: World) -> None:
    """The cookie is out of reach for scripts and other sites, lasts twelve hours, and opens what the key opens."""
    browser = Browser(world.server)
    before = int(time.time() - CLOCKS_DIFFER)
    answer = browser("POST", "/studio/session", {"key": f" {world.keys['default', Role.USER]}\n"})
    shown = answer.json
    assert (shown["signed_in"], shown["resource"], shown["role"], shown["name"]) == (
        True,
        "default",
        "user",
        "user/key1",
    )
    assert shown["region"] == "Sweden Central"
    assert 0 <= shown["expires_at"] - before - 12 * 3_600 < 60
    cookie = browser.cookies[COOKIE]
    assert (cookie["httponly"], cookie["samesite"].lower(), cookie["path"]) == (True, "strict", "/")
    assert not cookie["secure"]
    assert 12 * 3_600 - 60 <= int(cookie["max-age"]) <= 12 * 3_600
    assert browser("GET", "/studio/session").json == shown
    assert browser("GET", "/openai/v1/files").status == 200
    assert browser("GET", "/v1/keys").status == 403


def test_what_is_no_key_signs_nobody_in(world: World) -> None:
    """401 in the API's envelope, and no cookie; the session that there was stays."""
    browser = world.signed_in()
    for body in ({"key": "nonsense"}, {"key": ""}):
        assert Browser(world.server)("POST", "/studio/session", body).error["code"] == "401"
    fresh = Browser(world.server)
    assert fresh("POST", "/studio/session", {}).status == 401
    assert fresh("POST", "/studio/session", {"key": 7}).status == 400
    assert fresh.cookies == {}
    assert browser("POST", "/studio/session", {"key": "nonsense"}).status == 401
    assert browser("GET", "/studio/session").json["signed_in"]


def test_the_token_of_a_session_is_stored_nowhere(world: World) -> None:
    """Neither in the data directory nor in the log; a digest is no cookie."""
    browser = world.signed_in()
    token = browser.cookies[COOKIE].value.encode()
    for path in [*world.data.rglob("*"), world.log]:
        if path.is_file():
            assert token not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (SAME_ORIGIN, 200),
        ({"Origin": "http://HOST"}, 200),
        ({}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://HOST"}, 403),
    ],
)
def test_with_a_cookie_only_own_pages_change_anything(world: World, headers: dict[str, str], status: int) -> None:
    """A browser has to say that the call is from our page; looking needs no such word, because nobody else may read it."""
    browser = world.signed_in(Role.ADMIN)
    sent = {name: value.replace("HOST", world.server.address) for name, value in headers.items()}
    assert browser("DELETE", "/openai/v1/files/file-nothing", headers=sent).status == status
    assert browser("GET", "/openai/v1/files", headers=sent).status == 200


def test_keys_in_headers_come_before_cookies(world: World) -> None:
    """Whoever sends a header is that caller, or nobody: a cookie never helps out."""
    browser = world.signed_in(Role.ADMIN)
    reader = {"api-key": world.keys["default", Role.READER]}
    assert browser("GET", "/openai/v1/keys", headers=reader).status == 403
    for nobody in ({"api-key": ""}, {"api-key": "x"}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp4"}):
        assert browser("GET", "/openai/v1/files", headers=nobody).status == 401
    # With a header no page is asked for: a browser adds none by itself.
    assert (
        browser("DELETE", "/openai/v1/files/file-x", headers={"api-key": world.keys["default", Role.USER]}).status
        == 200
    )


def test_nobody_is_signed_in_by_another_page(world: World) -> None:
    """Nor out."""
    foreign = {"Sec-Fetch-Site": "cross-site"}
    browser = Browser(world.server)
    assert browser("POST", "/studio/session", {"key": SERVICE_KEY}, headers=foreign).status == 403
    assert browser.cookies == {}
    browser = world.signed_in()
    assert browser("DELETE", "/studio/session", headers=foreign).status == 403
    assert browser("GET", "/studio/session").json["signed_in"]


def test_signing_out(world: World) -> None:
    """The cookie goes, and whoever has copied it has nothing."""
    browser = world.signed_in()
    copy = Browser(world.server)
    copy.cookies = dict(browser.cookies)
    answer = browser("DELETE", "/studio/session")
    assert (answer.status, answer.body) == (204, b"")
    assert browser.cookies == {}
    assert not copy("GET", "/studio/session").json["signed_in"]
    refused = copy("GET", "/openai/v1/files")
    assert refused.status == 401
    assert refused.error["message"] == "Your session has ended. Sign in again."
    assert Browser(world.server)("DELETE", "/studio/session").status == 204


def test_signing_in_again_ends_the_session_before(world: World) -> None:
    """One browser has one session."""
    browser = world.signed_in(Role.READER)
    copy = Browser(world.server)
    copy.cookies = dict(browser.cookies)
    assert browser("POST", "/studio/session", {"key": world.keys["default", Role.ADMIN]}).json["role"] == "admin"
    assert not copy("GET", "/studio/session").json["signed_in"]


def test_a_session_ends_with_its_key(world: World) -> None:
    """Rotated or deleted, it takes the sessions that it has made along, at once; those of other keys stay."""
    admin = Caller(world.server, "azure-v1", key=world.keys["red", Role.ADMIN])
    made = {each["name"]: each["value"] for each in admin("POST", "/keys", {"role": "reader"}).json["data"]}
    browsers = {}
    for name, key in made.items():
        browsers[name] = Browser(world.server)
        assert browsers[name]("POST", "/studio/session", {"key": key}).json["resource"] == "red"

    def states() -> list[int]:
        return [browser("GET", "/openai/v1/files").status for browser in browsers.values()]

    assert states() == [200, 200]
    admin("POST", "/keys/reader/rotate", {"key": "key1"})
    assert states() == [401, 200]
    admin("DELETE", "/keys/reader")
    assert states() == [401, 401]


def test_a_service_key_opens_every_resource(world: World) -> None:
    """At sign-in and later, without the key; never longer than the session it goes on from. Other keys open their own."""
    browser = Browser(world.server)
    first = browser("POST", "/studio/session", {"key": SERVICE_KEY}).json
    assert (first["resource"], first["role"], first["name"]) == ("default", "admin", "service")
    assert (first["resources"], first["operates"]) == (["default", "red"], True)
    moved = browser("POST", "/studio/session", {"resource": "red"}).json
    assert (moved["resource"], moved["expires_at"]) == ("red", first["expires_at"])
    file_id = Caller(world.server, "azure-v1", key=world.keys["red", Role.USER]).upload(chat(1)).json["id"]
    assert browser("GET", f"/openai/v1/files/{file_id}").status == 200
    assert browser("POST", "/studio/session", {"resource": "nothing"}).status == 400
    assert browser("POST", "/studio/session", {"resource": "red"}, headers={}).status == 403
    assert browser("GET", "/studio/session").json["resource"] == "red"
    other = world.signed_in()
    there = other("GET", "/studio/session").json
    assert (there["resources"], there["operates"]) == ([], False)
    assert other("POST", "/studio/session", {"resource": "red"}).status == 403


def test_a_host_name_has_the_sessions_of_its_resource(world: World) -> None:
    """At red's host, red's key signs in and a session of another resource is none."""
    browser = Browser(world.server, host="red.example")
    assert browser("POST", "/studio/session", {"key": world.keys["default", Role.USER]}).status == 401
    shown = browser("POST", "/studio/session", {"key": SERVICE_KEY}).json
    assert (shown["resource"], shown["resources"]) == ("red", [])
    other = world.signed_in()
    other.host = "red.example"
    assert not other("GET", "/studio/session").json["signed_in"]
    assert other("GET", "/openai/v1/files").status == 401


def test_changes_are_written_down_under_the_key_s_name(world: World) -> None:
    """The audit log says who it was."""
    browser = world.signed_in(Role.ADMIN)
    made = browser("POST", "/openai/v1/keys", {"role": "reader"})
    assert made.status == 200
    entries = browser("GET", "/openai/v1/audit?limit=1000").json["data"]
    assert (entries[-1]["who"], entries[-1]["action"]) == ("admin/key1", "create_keys")


def test_sessions_outlive_a_restart_and_not_their_time(tmp_path: Path) -> None:
    """They are durable, and over when their time is; behind a proxy with https the cookie is for https alone."""
    short = '[studio]\nsession_hours = 0.0006\npublic_url = "https://batch.example"\n'
    world = World(tmp_path, short)
    try:
        browser = Browser(world.server)
        public = {"Origin": "https://batch.example"}
        shown = browser("POST", "/studio/session", {"key": SERVICE_KEY}, headers=public).json
        assert browser.cookies[COOKIE]["secure"]
        while browser("GET", "/studio/session").json["signed_in"]:
            assert time.time() < shown["expires_at"] + 10
        assert time.time() + CLOCKS_DIFFER >= shown["expires_at"]
        world.config.write_text(CONFIG + short.replace("0.0006", "1"))
        for expected in (False, True):
            world.server.terminate()
            browser.server = world.server = world.start()
            browser.host = world.server.address
            assert browser("GET", "/studio/session").json["signed_in"] is expected
            browser("POST", "/studio/session", {"key": SERVICE_KEY}, headers=public)
    finally:
        world.server.kill()


def test_an_open_server_needs_no_session(tmp_path: Path) -> None:
    """Everybody is its administrator; signing in changes nothing and leaves no cookie."""
    config = CONFIG.replace('api_key_envs = ["STUDIO_TEST_KEY"]', "")
    (tmp_path / "slackwater.toml").write_text(config)
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "log")
    try:
        browser = Browser(server)
        for answer in (browser("GET", "/studio/session"), browser("POST", "/studio/session", {"key": "x"})):
            shown = answer.json
            assert (shown["signed_in"], shown["open"], shown["role"], shown["resource"]) == (
                True,
                True,
                "admin",
                "default",
            )
            assert shown["sign_in"]["key"] is False
        assert browser.cookies == {}
    finally:
        server.kill()


def test_without_studio_there_are_no_sessions(tmp_path: Path) -> None:
    """The paths are not there, and a cookie is nothing."""
    (tmp_path / "slackwater.toml").write_text(CONFIG + "[studio]\nenabled = false\n")
    server = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "log", {"STUDIO_TEST_KEY": SERVICE_KEY})
    try:
        browser = Browser(server)
        assert browser("POST", "/studio/session", {"key": SERVICE_KEY}).status == 404
        assert browser("GET", "/openai/v1/files").status == 401
    finally:
        server.kill()
