"""The page Servers: who shares a ledger and what each has in hand; one that is late, one of another version; and who may look."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import expect

from slackwater import __version__
from tests.api.calls import Caller, chat
from tests.postgresql import Databases
from tests.server import Server
from tests.studio.conftest import OpenPage, serve
from tests.studio.looking import faults

pytestmark = pytest.mark.studio
PHONE = (390, 844)


@pytest.fixture
def address(postgresql: Databases) -> str:
    """A ledger for several."""
    return postgresql.new(template="template1")


@pytest.fixture
def key() -> str:
    """That of whoever runs the service, where it lets nobody in without one."""
    return "service"


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """The one that is asked; on PostgreSQL where the test has a database, and with a key where it needs one."""
    more = ""
    if "address" in request.fixturenames:
        more = f'[server]\ndatabase = "{request.getfixturevalue("address")}"\n'
    if "key" in request.fixturenames:
        more = '[server]\napi_key_envs = ["SERVICE_KEY"]\n'
    server = serve(tmp_path, more=more, environment={"SERVICE_KEY": "service"})
    yield server
    server.kill()


def test_a_server_that_is_alone(open_page: OpenPage, call: Caller) -> None:
    """It is there, with what it does, and the page says that there can be no other one."""
    page = open_page()
    page.get_by_role("navigation").get_by_role("link", name="Servers").click()
    expect(page.get_by_role("heading", name="Servers", level=1)).to_be_visible()
    row = page.locator(".servers tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Working")
    expect(row).to_contain_text("answers you")
    expect(row).to_contain_text(__version__)
    expect(row).to_contain_text("Nothing at the moment")
    expect(page.get_by_label("Together")).to_contain_text("has its ledger to itself")
    call.create(chat(400, model="slow-batch"))
    expect(row).to_contain_text("1 shard: slow-batch 1")
    expect(row).to_contain_text("2 requests out, 2 slots at 1 engine")


def test_several_of_them(open_page: OpenPage, address: str, server: Server, tmp_path: Path, call: Caller) -> None:
    """What is wrong is said in words: an upgrade that is half done, and one that is stopped. Everybody can read it."""
    second = Server(tmp_path / "slackwater.toml", tmp_path / "data", tmp_path / "second.log")
    try:
        page = open_page("/servers")
        rows = page.locator(".servers tbody tr")
        expect(rows).to_have_count(2)
        together = page.get_by_label("Together")
        expect(together).to_contain_text("2 members of one version. Nothing is known to be wrong.")
        expect(page.get_by_text("answers you")).to_have_count(1)
        expect(page.get_by_text("watches", exact=False)).to_have_count(1)
        call.create(chat(2500, model="slow-batch"))
        expect(rows.filter(has_text="slow-batch").first).to_be_visible()
        with psycopg.connect(address, autocommit=True) as ledger:
            mine = rows.filter(has_text="answers you").locator("code").inner_text()
            ledger.execute("UPDATE member SET version = '0.0.9' WHERE id != %s", (mine,))
        expect(together).to_contain_text("Members are of different versions")
        expect(together).to_contain_text("An upgrade is under way, or one was forgotten")
        assert faults(page) == []
        page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        assert faults(page) == []
        second.process.send_signal(signal.SIGSTOP)
        late = page.locator(".server-lag.late")
        expect(late).to_be_visible()
        expect(together).to_contain_text("after 15 s it is taken for dead")
        # The others bury it, and the page follows.
        expect(rows).to_have_count(1)
        expect(together).to_contain_text("1 member of one version")
    finally:
        second.process.send_signal(signal.SIGCONT)
        second.kill()


def test_who_may_look(open_page: OpenPage, server: Server, key: str) -> None:
    """An administrator of a resource has no such page, and is told who has; nothing of the servers is on it."""
    admin = Caller(server, "azure-v1", key=key)("POST", "/keys", {"role": "admin"}).json["data"][0]["value"]
    for given, sees in ((key, True), (admin, False)):
        page = open_page("/servers")
        page.get_by_label("Key").fill(given)
        page.get_by_role("button", name="Sign in").click()
        if sees:
            expect(page.locator(".servers tbody tr")).to_have_count(1)
            continue
        expect(page.get_by_text("Only whoever runs the service sees its servers")).to_be_visible()
        expect(page.get_by_role("navigation").get_by_role("link", name="Servers")).to_have_count(0)
        expect(page.locator(".servers")).to_have_count(0)
