"""Audit log: newest first, searched, looked into, exported."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.api.calls import Caller, chat
from tests.studio.conftest import OpenPage, Watch
from tests.studio.looking import faults

pytestmark = pytest.mark.studio


def rows(page: Page) -> list[str]:
    """The objects of the entries that are shown, in order."""
    return page.locator(".audit tbody tr td:nth-child(4) code").all_inner_texts()


@pytest.fixture
def done(call: Caller) -> dict[str, str]:
    """Something that was done: a file, a batch, and the file deleted."""
    file_id = call.upload(chat(1)).json["id"]
    order = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch_id = call("POST", "/batches", order).json["id"]
    call.ended(batch_id)
    call("DELETE", f"/files/{file_id}")
    return {"file": file_id, "batch": batch_id}


def test_newest_first_and_live(open_page: OpenPage, call: Caller, done: dict[str, str]) -> None:
    """What happens while the page is open comes in front; nothing is there twice."""
    page = open_page("/audit")
    expect(page.locator(".audit tbody tr")).to_have_count(3)
    assert rows(page) == [done["file"], done["batch"], done["file"]]
    expect(page.get_by_role("row", name="Deleted a file")).to_contain_text("anonymous")
    assert faults(page) == []
    newest = call.upload(chat(1)).json["id"]
    expect(page.locator(".audit tbody tr")).to_have_count(4)
    assert rows(page) == [newest, done["file"], done["batch"], done["file"]]


def test_what_is_searched_for_is_live_too(open_page: OpenPage, call: Caller) -> None:
    """A search that finds nothing yet finds what comes, and does not look through the whole log again for it."""
    call.upload(chat(1))
    page = open_page("/audit?action=delete")
    expect(page.get_by_text("No entry fits")).to_be_visible()
    with page.expect_request(lambda request: "action=delete" in request.url) as again:
        file_id = call.upload(chat(1)).json["id"]
        call("DELETE", f"/files/{file_id}")
    assert "order=asc" in again.value.url
    assert "after=1" in again.value.url
    expect(page.locator(".audit tbody tr")).to_have_count(1)
    assert rows(page) == [file_id]


def test_objects_lead_to_their_pages(open_page: OpenPage, done: dict[str, str], watch: Watch) -> None:
    """A job is a link to it; what was deleted is not."""
    # The job's page asks for its file, which is gone.
    watch.allow("404")
    page = open_page("/audit")
    expect(page.get_by_role("row", name="Deleted a file").get_by_role("link")).to_have_count(0)
    page.get_by_role("row", name="Created a job").get_by_role("link").click()
    expect(page).to_have_url(f"http://{page.url.split('/')[2]}/studio/batches/{done['batch']}")


def test_searching(open_page: OpenPage, done: dict[str, str]) -> None:
    """By part of an action, by a click on an object or on a name; the address carries it; nothing found says so."""
    page = open_page("/audit")
    page.get_by_label("Action").fill("DELETE")
    expect(page.locator(".audit tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("action=DELETE"))
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".audit tbody tr")).to_have_count(3)
    page.get_by_role("row", name="Created a job").get_by_role(
        "button", name="Only what was done to this object"
    ).click()
    expect(page.locator(".audit tbody tr")).to_have_count(1)
    page.reload()
    expect(page.get_by_role("searchbox", name="Object")).to_have_value(done["batch"])
    expect(page.locator(".audit tbody tr")).to_have_count(1)
    page.get_by_role("button", name="anonymous").click()
    expect(page.get_by_label("Who")).to_have_value("anonymous")
    page.get_by_label("Who").fill("somebody else")
    expect(page.get_by_text("No entry fits")).to_be_visible()
    page.get_by_role("link", name="Show the whole log").click()
    expect(page.locator(".audit tbody tr")).to_have_count(3)


def test_looking_into_an_entry(open_page: OpenPage, call: Caller, done: dict[str, str]) -> None:
    """All that is known of it, at an address of its own, which also works when the list does not reach back so far."""
    page = open_page("/audit")
    page.get_by_role("row", name="Created a job").get_by_role("button", name="Details").click()
    entry = call("GET", "/audit", query="action=create_batch").json["data"][0]
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(entry["request_id"])
    expect(dialog).to_contain_text(done["batch"])
    assert faults(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    for _ in range(51):
        call.upload(chat(1))
    page.goto(f"/studio/audit?entry={entry['id']}")
    expect(dialog).to_contain_text(entry["request_id"])
    page.goto("/studio/audit?entry=999999")
    expect(dialog).to_contain_text("There is no entry with this number.")


def test_older_pages(open_page: OpenPage, call: Caller) -> None:
    """Further pages come on demand, without a gap or a repetition, also when something new has come meanwhile."""
    ids = [call.upload(chat(1)).json["id"] for _ in range(60)]
    page = open_page("/audit", size=(390, 844))
    expect(page.locator(".audit tbody tr")).to_have_count(50)
    ids.append(call.upload(chat(1)).json["id"])
    expect(page.locator(".audit tbody tr")).to_have_count(51)
    page.get_by_role("button", name="Load older").click()
    expect(page.get_by_text("That is all, 61 entries")).to_be_visible()
    assert rows(page) == ids[::-1]
    assert faults(page) == []


@pytest.mark.parametrize("form", ["CSV", "JSON lines"])
def test_exporting(open_page: OpenPage, call: Caller, done: dict[str, str], tmp_path: Path, form: str) -> None:
    """What the filters find, oldest first; a name that a spreadsheet would run is written as text."""
    call("POST", "/uploads", {"purpose": "batch", "filename": "a", "bytes": 1, "mime_type": "text/plain"})
    page = open_page("/audit?action=file")
    expect(page.locator(".audit tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name=form).check()
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Export").click()
    expect(dialog.get_by_text("2 entries are in the file.")).to_be_visible()
    assert faults(page) == []
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    entries = call("GET", "/audit", query="action=file").json["data"]
    if form == "CSV":
        with path.open(newline="") as file:
            read = list(csv.DictReader(file))
        assert [(each["id"], each["target"], json.loads(each["detail"])) for each in read] == [
            (each["id"], each["target"], each["detail"]) for each in entries
        ]
        assert read[0]["at"].endswith("Z")
    else:
        assert [json.loads(line) for line in path.read_text().splitlines()] == entries


def test_a_table_runs_nothing(open_page: OpenPage) -> None:
    """What a spreadsheet would take for a formula is marked as text; commas, quotes and new lines stay inside their cell."""
    page = open_page("/audit")
    module = page.locator("script[type=module]").get_attribute("src")
    assert module is not None
    values = ["=1+1", "+1", "-1", "@a", "\tb", "plain", 'a "b", c', "two\nlines", ""]
    ask = "([address, values]) => import(address).then((module) => module.row(values))"
    line = page.evaluate(ask, [module.replace("app/main.js", "pages/audit_export.js"), values])
    (read,) = csv.reader(io.StringIO(line))
    assert read == [f"'{each}" for each in values[:5]] + values[5:]


def test_nothing_yet(open_page: OpenPage) -> None:
    """An empty log says what will be here, and offers no export."""
    page = open_page("/audit")
    expect(page.get_by_text("Nothing has been changed yet")).to_be_visible()
    expect(page.get_by_role("button", name="Export")).to_be_disabled()
    assert faults(page) == []
