"""Adding an engine: tested first, a deployment of one of its models, changed and removed, without the configuration file."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.api.calls import Caller, chat
from tests.odd_engine import OddEngine, answered, odd_engine
from tests.server import Server
from tests.studio.conftest import DESK, OpenPage, Watch, serve
from tests.studio.looking import faults

pytestmark = pytest.mark.studio

SECRET = "sk-typed-into-a-form"
PHONE = (390, 844)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that may store keys."""
    more = '[server]\nsecrets_key_file = "secrets.key"\n[control_plane]\nbackend_key_envs = ["ENGINE_KEY"]\n'
    (tmp_path / "secrets.key").write_text(base64.b64encode(b"s" * 32).decode())
    server = serve(tmp_path, more=more, environment={"ENGINE_KEY": SECRET})
    yield server
    server.terminate()


@pytest.fixture
def engine() -> Iterator[OddEngine]:
    """One that wants a key."""
    with odd_engine(answered("meta-llama/Llama-3.1-8B", "small", key=SECRET)) as engine:
        yield engine


def added(page: Page, url: str) -> None:
    """Opens the form and writes a URL."""
    page.get_by_role("button", name="Add an engine").first.click()
    page.get_by_role("dialog", name="Add an engine").get_by_label("URL").fill(url)


def test_an_engine_from_its_url_to_a_job(
    open_page: OpenPage, call: Caller, engine: OddEngine, watch: Watch, tmp_path: Path
) -> None:
    """A missing key is said before anything is kept; then the key, the test, a deployment, and a job that it answers."""
    page = open_page("/deployments")
    added(page, engine.url)
    dialog = page.get_by_role("dialog", name="Add an engine")
    dialog.get_by_role("button", name="Test it").click()
    found = dialog.get_by_role("status", name="What was found")
    expect(found).to_contain_text("it wants a key; give one")
    dialog.get_by_label("Key", exact=True).select_option("stored")
    expect(found).to_have_count(0)
    dialog.get_by_label("The key").fill(SECRET)
    dialog.get_by_role("button", name="Test it").click()
    expect(found).to_contain_text("meta-llama/Llama-3.1-8B answers a request of one token")
    assert faults(page) == []
    page.screenshot(path=tmp_path / "add.png")
    dialog.get_by_label("Name").fill("gpu")
    dialog.get_by_role("button", name="Add", exact=True).click()
    dialog = page.get_by_role("dialog", name="gpu is added")
    expect(dialog.get_by_label("Model", exact=True)).to_have_value("meta-llama/Llama-3.1-8B")
    expect(dialog.get_by_label("Name of the deployment")).to_have_value("Llama-3.1-8B")
    assert faults(page) == []
    dialog.get_by_role("button", name="Create deployment").click()
    expect(page.get_by_role("region", name="Llama-3.1-8B", exact=True)).to_be_visible()
    row = page.get_by_role("region", name="Added engines").get_by_role("row", name="gpu")
    expect(row).to_contain_text("Stored here, sealed")
    expect(row).to_contain_text("Llama-3.1-8B")
    assert SECRET not in page.content()
    ended = call.ended(call.create(chat(2, model="Llama-3.1-8B")).json["id"])
    assert ended["request_counts"]["completed"] == 2
    for theme, size in (("light", DESK), ("dark", PHONE)):
        looked = open_page("/deployments", theme=theme, size=size)
        expect(looked.get_by_role("region", name="Added engines").get_by_role("row", name="gpu")).to_be_visible()
        assert faults(looked) == []
        looked.get_by_role("region", name="Added engines").first.screenshot(path=tmp_path / f"added-{theme}.png")


def test_what_is_used_stays_and_says_why(open_page: OpenPage, call: Caller, engine: OddEngine, watch: Watch) -> None:
    """Then it is changed, and removed once nothing uses it. A key is not sent to another server by a change of the URL."""
    watch.allow("409", "400")
    call("PUT", "/connections/gpu", {"url": engine.url, "api_key": SECRET})
    call("PUT", "/deployments/on-gpu", {"properties": {"backends": [{"connection": "gpu", "model": "small"}]}})
    page = open_page("/deployments")
    row = page.get_by_role("region", name="Added engines").get_by_role("row", name="gpu")
    row.get_by_role("button", name="Remove gpu").click()
    dialog = page.get_by_role("dialog", name="Remove gpu?")
    expect(dialog).to_contain_text("on-gpu uses it")
    dialog.get_by_role("button", name="Remove the engine").click()
    expect(dialog.get_by_role("alert")).to_contain_text("is used by the deployment 'on-gpu'")
    page.keyboard.press("Escape")
    row.get_by_role("button", name="Edit gpu").click()
    dialog = page.get_by_role("dialog", name="Edit gpu")
    dialog.get_by_label("URL").fill("http://127.0.0.1:9/v1")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("the key was given for another server")
    dialog.get_by_label("URL").fill(engine.url)
    dialog.get_by_label("Key", exact=True).select_option("environment")
    dialog.get_by_role("button", name="Test it").click()
    expect(dialog.get_by_role("status", name="What was found")).to_contain_text("answers a request")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(row).to_contain_text("ENGINE_KEY")
    call("DELETE", "/deployments/on-gpu")
    expect(row).to_contain_text("nothing")
    row.get_by_role("button", name="Remove gpu").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove the engine").click()
    expect(row).to_have_count(0)
