"""Create: from a file on this computer to a finished job, with every turn that the way can take."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.api.calls import Caller, chat
from tests.studio.conftest import OpenPage, Watch
from tests.studio.files import faulty, upload

pytestmark = pytest.mark.studio


def test_from_a_file_to_a_finished_job(open_page: OpenPage, call: Caller) -> None:
    """Choose a file, see that it has no faults, add metadata, create, and watch it end: without leaving the page."""
    page = open_page("/batches/new")
    page.get_by_label("Choose a .jsonl file").set_input_files(upload(chat(5)))
    expect(page.get_by_text("No faults in 5 requests.")).to_be_visible()
    page.get_by_role("button", name="Add metadata").click()
    page.get_by_label("Name 1").fill("team")
    page.get_by_label("Value 1").fill("tides")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", name="questions.jsonl")).to_be_visible()
    expect(page.locator(".heading .pill")).to_have_text("Completed")
    batch = call("GET", f"/batches/{page.url.rpartition('/')[2]}").json
    assert (batch["metadata"], batch["request_counts"]["completed"]) == ({"team": "tides"}, 5)


def test_a_dropped_file_is_taken(open_page: OpenPage) -> None:
    """A file that is dropped is the same as one that is chosen."""
    page = open_page("/batches/new")
    transfer = page.evaluate_handle(
        "text => { const data = new DataTransfer(); data.items.add(new File([text], 'dropped.jsonl')); return data; }",
        chat(2).decode(),
    )
    page.locator(".drop").dispatch_event("drop", {"dataTransfer": transfer})
    expect(page.get_by_text("dropped.jsonl")).to_be_visible()
    expect(page.get_by_text("No faults in 2 requests.")).to_be_visible()


def test_faults_are_shown_before_anything_is_created(open_page: OpenPage, call: Caller) -> None:
    """Each fault has its line, the wrong place marked, and what to do; nothing can be created, and nothing is left behind."""
    page = open_page("/batches/new")
    page.get_by_label("Choose a .jsonl file").set_input_files(upload(faulty()))
    faults = page.locator(".faults li")
    expect(faults).to_have_count(2)
    expect(faults.nth(0)).to_contain_text("Line 2")
    expect(faults.nth(0)).to_contain_text("one whole JSON object")
    expect(faults.nth(0).locator("mark")).to_have_count(1)
    expect(faults.nth(1)).to_contain_text("Line 3")
    expect(faults.nth(1).locator("mark")).to_contain_text("task-0")
    expect(page.get_by_role("button", name="Create", exact=True)).to_be_disabled()
    with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        page.get_by_role("button", name="Choose another file").click()
    assert call("GET", "/files").json["data"] == []
    assert call("GET", "/batches").json["data"] == []


def test_another_deployment_is_written_into_the_file(open_page: OpenPage, call: Caller) -> None:
    """A file that names no deployment of this service can be sent to one all the same; nothing else in it changes."""
    data = chat(3, model="REPLACE-WITH-MODEL-DEPLOYMENT-NAME", text='Is 9007199254740993 "model": "odd"? 😀')
    page = open_page("/batches/new")
    page.get_by_label("Choose a .jsonl file").set_input_files(upload(data))
    expect(page.get_by_text("model_not_found").first).to_be_visible()
    page.get_by_label("Use this deployment instead").select_option("demo-batch")
    page.get_by_role("button", name="Change and check").click()
    expect(page.get_by_text("No faults in 3 requests.")).to_be_visible()
    (file,) = call("GET", "/files").json["data"]
    sent = [json.loads(line) for line in call("GET", f"/files/{file['id']}/content").body.splitlines()]
    wanted = [json.loads(line) for line in data.splitlines()]
    for line in wanted:
        line["body"]["model"] = "demo-batch"
    assert sent == wanted


def backends_of(call: Caller, deployment: str) -> list[Any]:
    """How the backends of a deployment are."""
    found = call("GET", "/deployment_status").json["data"]
    return next(each["backends"] for each in found if each["name"] == deployment)


def test_somebody_without_a_file_takes_the_example(open_page: OpenPage, call: Caller) -> None:
    """The example goes to a deployment that is known to answer, and runs to its end."""
    call.ended(call.create(chat(1)).json["id"])
    # What has just answered shows a moment later.
    while all(each["latency_seconds"] is None for each in backends_of(call, "demo-batch")):
        pass
    page = open_page("/batches/new")
    page.get_by_role("button", name="Use an example").click()
    expect(page.get_by_text("No faults in 5 requests.")).to_be_visible()
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator(".heading .pill")).to_have_text("Completed")
    expect(page.get_by_text("5 of 5 requests done")).to_be_visible()


def test_a_file_that_is_there_can_be_used_again(open_page: OpenPage, call: Caller) -> None:
    """An uploaded file is found by its name, checked, and kept when another one is chosen."""
    call.upload(chat(2), name="older.jsonl")
    kept = call.upload(chat(3), name="lighthouses.jsonl").json["id"]
    page = open_page("/batches/new")
    page.get_by_role("button", name="Use an uploaded file").click()
    expect(page.get_by_role("button", name="older.jsonl")).to_be_visible()
    page.get_by_label("Search files").fill("lightH")
    expect(page.get_by_role("button", name="older.jsonl")).to_have_count(0)
    page.get_by_role("button", name="lighthouses.jsonl").click()
    expect(page.get_by_text("No faults in 3 requests.")).to_be_visible()
    page.get_by_role("button", name="Choose another file").click()
    expect(page.get_by_role("button", name="older.jsonl")).to_be_visible()
    assert call("GET", f"/files/{kept}").status == 200


def test_an_upload_shows_its_progress_and_can_be_cancelled(open_page: OpenPage, call: Caller, watch: Watch) -> None:
    """On a slow line the bar says how much has been sent, and Cancel leaves nothing behind."""
    page = open_page("/batches/new")
    network = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": 1_000_000, "uploadThroughput": 200_000}
    network.send("Network.emulateNetworkConditions", slow)
    page.get_by_label("Choose a .jsonl file").set_input_files(upload(chat(1, text="a" * 4_000_000)))
    expect(page.get_by_role("progressbar", name="Upload")).to_be_visible()
    expect(page.locator(".chosen")).to_contain_text("of 4.0 MB")
    page.get_by_role("button", name="Cancel upload").click()
    expect(page.get_by_text("Choose a .jsonl file")).to_be_visible()
    assert call("GET", "/files").json["data"] == []


def test_a_file_that_is_too_large_is_explained(open_page: OpenPage, tmp_path: Path) -> None:
    """Over 200 MB the page says how to cut the file before it sends anything, and leaves the choice."""
    large = tmp_path / "large file.jsonl"
    with large.open("wb") as file:
        file.truncate(201 << 20)
    page = open_page("/batches/new")
    page.get_by_label("Choose a .jsonl file").set_input_files(large)
    expect(page.get_by_text('slackwater split "large file.jsonl"')).to_be_visible()
    expect(page.get_by_role("button", name="Upload it anyway")).to_be_visible()


def test_a_file_that_does_not_fit_the_quota_says_so(open_page: OpenPage) -> None:
    """A file with more tokens than its deployment may ever hold cannot be created, and the page says what helps."""
    page = open_page("/batches/new")
    page.get_by_label("Choose a .jsonl file").set_input_files(upload(chat(30, text="word " * 3000)))
    expect(page.get_by_text("It can never fit")).to_be_visible()
    expect(page.get_by_role("button", name="Create", exact=True)).to_be_disabled()
