"""Files: what is there, from this computer to the service and back, looked into, checked, used and deleted."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.api.calls import Caller, chat
from tests.studio.conftest import OpenPage, Watch
from tests.studio.files import faulty, upload

pytestmark = pytest.mark.studio

DROP = """([name, text]) => {
  const brought = new DataTransfer();
  brought.items.add(new File([text], name));
  for (const type of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer: brought, bubbles: true, cancelable: true }));
  }
}"""


def test_an_empty_list_teaches_the_next_step(open_page: OpenPage) -> None:
    """Where there are no files, the page says what they are for; uploading from there makes the first row."""
    page = open_page("/files")
    expect(page.get_by_role("heading", name="No files yet")).to_be_visible()
    page.locator("input[type=file]").last.set_input_files(upload(chat(2), "tides.jsonl"))
    expect(page.get_by_role("status").get_by_text("tides.jsonl is uploaded.")).to_be_visible()
    expect(_row(page, "tides.jsonl")).to_contain_text("Input")
    expect(_row(page, "tides.jsonl")).to_contain_text("no job")


def test_several_files_can_be_chosen_or_dropped(open_page: OpenPage) -> None:
    """Files are sent one after the other; a drop anywhere on the page does the same."""
    page = open_page("/files")
    page.locator("input[type=file]").first.set_input_files([upload(chat(1), "one.jsonl"), upload(chat(1), "two.jsonl")])
    expect(_row(page, "one.jsonl")).to_be_visible()
    expect(_row(page, "two.jsonl")).to_be_visible()
    page.evaluate(DROP, ["three.jsonl", chat(1).decode()])
    expect(_row(page, "three.jsonl")).to_be_visible()
    expect(page.locator(".upload")).to_have_count(0)


def test_an_upload_can_be_cancelled(open_page: OpenPage) -> None:
    """Cancel ends the sending, and nothing stays."""
    page = open_page("/files")
    page.route("**/openai/v1/files", lambda route: None if route.request.method == "POST" else route.continue_())
    page.locator("input[type=file]").first.set_input_files(upload(chat(1), "held.jsonl"))
    page.locator(".upload").get_by_role("button", name="Cancel").click()
    expect(page.locator(".upload")).to_have_count(0)
    expect(page.get_by_role("heading", name="No files yet")).to_be_visible()


def test_a_file_over_200_megabytes_is_asked_about(open_page: OpenPage, tmp_path: Path) -> None:
    """Nothing is sent until somebody has read how to cut the file."""
    large = tmp_path / "large.jsonl"
    with large.open("wb") as file:
        file.truncate(201 * 1024 * 1024)
    page = open_page("/files")
    page.locator("input[type=file]").first.set_input_files(large)
    expect(page.get_by_text("large.jsonl has 211 MB.")).to_be_visible()
    expect(page.get_by_text("slackwater split")).to_be_visible()
    page.get_by_role("button", name="Leave it").click()
    expect(page.get_by_text("large.jsonl has")).to_have_count(0)


def test_kinds_and_search_are_part_of_the_address(open_page: OpenPage, call: Caller) -> None:
    """Inputs, outputs and errors can be told apart and sought by name; nothing found has a way back."""
    done = call.ended(call.create(chat(2)).json["id"])
    broken = call.ended(call.create(chat(2, model="broken-batch")).json["id"])
    call.upload(chat(1), name="Lighthouse.jsonl")
    page = open_page("/files")
    expect(page.locator("tbody tr")).to_have_count(5)
    page.get_by_role("button", name="Output").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_role("row", name=done["output_file_id"])).to_contain_text("Completed")
    page.get_by_role("button", name="Errors").click()
    expect(page.get_by_role("row", name=broken["error_file_id"])).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Input").click()
    expect(page.locator("tbody tr")).to_have_count(3)
    page.keyboard.press("/")
    page.keyboard.type("lighthouse")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.keyboard.type("nothing")
    expect(page.get_by_role("heading", name="No file fits")).to_be_visible()
    page.get_by_role("link", name="Show all files").click()
    expect(page.locator("tbody tr")).to_have_count(5)


def test_more_than_a_page_of_files(open_page: OpenPage, call: Caller) -> None:
    """A hundred are shown; the rest comes on demand, and the search finds what is not shown."""
    call.upload(chat(1), name="the-oldest.jsonl")
    for number in range(100):
        call.upload(chat(1), name=f"file-{number}.jsonl")
    page = open_page("/files")
    expect(page.locator("tbody tr")).to_have_count(100)
    page.get_by_label("Search files").fill("oldest")
    expect(_row(page, "the-oldest.jsonl")).to_be_visible()
    page.get_by_label("Search files").fill("")
    expect(page.locator("tbody tr")).to_have_count(100)
    page.get_by_role("button", name="Load more").click()
    expect(page.locator("tbody tr")).to_have_count(101)
    expect(page.get_by_role("button", name="Load more")).to_have_count(0)


def test_the_preview_fetches_only_the_beginning(open_page: OpenPage, call: Caller) -> None:
    """The first lines are shown as JSON that can be read, and a large file is not downloaded for that."""
    file_id = call.upload(chat(2000, text="Why is the sea salty?"), name="large.jsonl").json["id"]
    page = open_page("/files")
    with page.expect_response(f"**/files/{file_id}/content") as answer:
        page.get_by_role("link", name="large.jsonl", exact=True).click()
    assert (answer.value.status, len(answer.value.body())) == (206, 64 * 1024)
    dialog = page.get_by_role("dialog", name="large.jsonl")
    expect(dialog.get_by_role("region", name="Line 1", exact=True)).to_contain_text(
        '"content": "Why is the sea salty?"'
    )
    expect(dialog.get_by_text("The first 20 lines of 3")).to_be_visible()
    dialog.get_by_text("task-19", exact=True).click()
    expect(dialog.get_by_role("region", name="Line 20")).to_contain_text('"custom_id": "task-19"')
    expect(page).to_have_url(re.compile(f"file={file_id}"))
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("link", name="large.jsonl", exact=True)).to_be_focused()


def test_the_check_shows_faults_with_their_lines(open_page: OpenPage, call: Caller) -> None:
    """A good file is said to be good; a faulty one shows each fault, its line and the place in it."""
    good = call.upload(chat(2), name="good.jsonl").json["id"]
    bad = call.upload(faulty(), name="bad.jsonl").json["id"]
    page = open_page(f"/files?file={good}")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("No faults in 2 requests.")).to_be_visible()
    page.goto(f"/studio/files?file={bad}")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator(".faults li").first).to_contain_text("Line 2")
    expect(page.locator(".faults mark").first).to_be_visible()


def test_a_job_of_a_file(open_page: OpenPage, call: Caller) -> None:
    """A file leads to Create with the file chosen; afterwards it says which job has used it, and that leads there."""
    call.upload(chat(2), name="tides.jsonl")
    page = open_page("/files")
    page.get_by_role("link", name="Create a batch job of tides.jsonl").click()
    expect(page.get_by_role("heading", name="Create batch job")).to_be_visible()
    expect(page.locator(".chosen")).to_contain_text("tides.jsonl")
    page.get_by_role("button", name="Create", exact=True).click()
    page.wait_for_url("**/batches/batch_*")
    call.ended(page.url.rsplit("/", 1)[1])
    page.get_by_role("link", name="Files").click()
    _row(page, "tides.jsonl").locator("td[data-label='Used by'] a").click()
    expect(page.get_by_role("heading", name="tides.jsonl", level=1)).to_be_visible()


def test_a_file_can_be_downloaded(open_page: OpenPage, call: Caller) -> None:
    """The file comes whole, under its name."""
    data = chat(3)
    call.upload(data, name="tides.jsonl")
    page = open_page("/files")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download tides.jsonl").click()
    assert download.value.suggested_filename == "tides.jsonl"
    assert download.value.path().read_bytes() == data


def test_deleting_says_what_happens_to_running_jobs(open_page: OpenPage, call: Caller) -> None:
    """Before a file goes, the page says that its job goes on; Escape changes nothing; then it goes, and the job ends well."""
    # However long the page takes, the job is still there.
    call("POST", "/deployments/slow-batch/pause", {"reason": "a look at its file"})
    batch = call.create(chat(12, model="slow-batch")).json
    page = open_page("/files")
    page.get_by_role("button", name="Delete in.jsonl").click()
    dialog = page.get_by_role("dialog", name="Delete this file?")
    expect(dialog).to_contain_text("A job is working with it")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Delete in.jsonl").click()
    dialog.get_by_role("button", name="Delete the file").click()
    expect(page.get_by_role("link", name="in.jsonl", exact=True)).to_have_count(0)
    assert call("GET", f"/files/{batch['input_file_id']}").status == 404
    call("POST", "/deployments/slow-batch/resume")
    assert call.ended(batch["id"])["request_counts"]["completed"] == 12
    # Its results arrive in the list by themselves, and are not deleted without a word either.
    page.get_by_role("button", name=f"Delete {batch['id']}").click()
    expect(dialog).to_contain_text("results of a job that has ended")


def test_a_file_that_is_not_there(open_page: OpenPage, watch: Watch) -> None:
    """An old link says what may have happened, and leads to the list."""
    watch.allow("404")
    page = open_page("/files?file=file-gone")
    expect(page.get_by_role("heading", name="This file is not here")).to_be_visible()
    page.get_by_role("button", name="Show all files").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def _row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def test_two_refusals_at_once_are_one_banner(open_page: OpenPage, watch: Watch) -> None:
    """Files and their jobs are asked for together: where both calls are refused, neither ends as a fault that nobody caught."""
    watch.allow("503")
    page = open_page("/batches/new")
    refusal = {"error": {"code": "unavailable", "message": "The ledger is being waited for."}}
    page.route("**/openai/v1/files?*", lambda route: route.fulfill(status=503, json=refusal))
    page.route("**/openai/v1/batches?*", lambda route: route.fulfill(status=503, json=refusal))
    page.get_by_role("link", name="Files", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Connection lost, trying again in")
