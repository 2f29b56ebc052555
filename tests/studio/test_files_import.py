"""Files that the service fetches itself, and what somebody who may only look can do with files."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.api.calls import Caller, chat
from tests.server import Server
from tests.studio.conftest import OpenPage, Watch, serve
from tests.studio.files import upload

pytestmark = pytest.mark.studio

KEY = "a-key-of-the-service"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with keys that may fetch from a host, but not from this computer, which that host is."""
    more = '[server]\napi_key_envs = ["STUDIO_TEST_KEY"]\n[limits]\nupload_bytes = 4000\n'
    more += '[imports]\nenabled = true\nhosts = ["localhost"]\n'
    server = serve(tmp_path, more=more, environment={"STUDIO_TEST_KEY": KEY})
    yield server
    server.terminate()


def test_an_import_is_followed_to_its_end(open_page: OpenPage, watch: Watch) -> None:
    """A URL that makes no sense is refused here, a host that is not allowed by the service, and a failed one says why."""
    watch.allow("401", "403", "400")
    page = open_page("/files")
    page.get_by_label("Key").fill(KEY)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Import from URL").click()
    dialog = page.get_by_role("dialog", name="Import a file from a URL")
    dialog.get_by_label("URL").fill("store")
    dialog.get_by_role("button", name="Import").click()
    expect(dialog.get_by_role("alert")).to_contain_text("begins with https://")
    dialog.get_by_label("URL").fill("https://elsewhere.invalid/tides.jsonl")
    expect(dialog.get_by_label("Name here")).to_have_value("tides.jsonl")
    dialog.get_by_role("button", name="Import").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The file is not being fetched.")
    dialog.get_by_label("URL").fill("https://localhost/tides.jsonl")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("row").filter(has_text="tides.jsonl")).to_contain_text("Import failed")
    page.get_by_role("link", name="tides.jsonl").click()
    expect(page.get_by_role("dialog")).to_contain_text("The file could not be fetched.")


def test_a_reader_looks_and_changes_nothing(open_page: OpenPage, watch: Watch, server: Server) -> None:
    """Files can be seen and downloaded; what changes something is off, and says why."""
    watch.allow("401")
    admin = Caller(server, "azure-v1", key=KEY)
    admin.upload(chat(2), name="tides.jsonl")
    reader = admin("POST", "/keys", {"role": "reader"}).json["data"][0]["value"]
    page = open_page("/files")
    page.get_by_label("Key").fill(reader)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Upload")).to_be_disabled()
    expect(page.get_by_role("button", name="Delete tides.jsonl")).to_be_disabled()
    assert "Ask for a key" in (page.get_by_title("Ask for a key").first.get_attribute("title") or "")
    expect(page.get_by_role("link", name="Download tides.jsonl")).to_be_visible()
    page.get_by_role("link", name="tides.jsonl", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("region", name="Line 1", exact=True)).to_contain_text("task-0")
    expect(page.get_by_role("dialog").get_by_role("button", name="Check")).to_be_disabled()


def test_a_refused_upload_says_why_and_can_be_left(open_page: OpenPage, watch: Watch) -> None:
    """The service's own words stand beside the name of the file, and the row goes when it is left."""
    watch.allow("401", "400", "413")
    page = open_page("/files")
    page.get_by_label("Key").fill(KEY)
    page.keyboard.press("Enter")
    page.locator("input[type=file]").first.set_input_files(upload(chat(50), "large.jsonl"))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("large.jsonl was not uploaded.")
    alert.get_by_role("button", name="Leave it").click()
    expect(alert).to_have_count(0)
    expect(page.get_by_role("heading", name="No files yet")).to_be_visible()
