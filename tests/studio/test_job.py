"""One job: its life, its progress, its errors and its answers, and what can be done with it."""

import re

import pytest
from playwright.sync_api import expect

from tests.api.calls import Caller, chat
from tests.studio.conftest import OpenPage, Watch
from tests.studio.files import PICTURE, faulty, pictured
from tests.studio.looking import faults

pytestmark = pytest.mark.studio

# The sum of all unexpected layout shifts, as browsers' makers count them.
SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
  }).observe({ type: "layout-shift", buffered: true });
}"""


def test_a_running_job_is_live_and_nothing_jumps(open_page: OpenPage, call: Caller) -> None:
    """Counts, answers, errors and states arrive by themselves until the job has ended, and nothing moves while they do."""
    batch_id = call.create(chat(24, model="shaky-batch")).json["id"]
    page = open_page(f"/batches/{batch_id}")
    expect(page.get_by_role("heading", name="in.jsonl")).to_be_visible()
    expect(page.locator(".line-open").first).to_be_visible()
    page.evaluate(SHIFTS)
    call("POST", "/deployments/shaky-batch/pause", {"reason": "new weights, " * 20})
    waiting = page.locator(".waiting-on")
    expect(waiting).to_contain_text("The deployment shaky-batch is paused since")
    expect(waiting).to_contain_text("Nothing is lost meanwhile. By anonymous. new weights")
    expect(page.get_by_text("Time left: not known while it waits")).to_be_visible()
    expect(page.locator(".heading .pill")).to_have_text("Waiting")
    call("POST", "/deployments/shaky-batch/resume")
    expect(waiting).to_have_count(0)
    expect(page.locator(".heading .pill")).to_have_text(re.compile(r"Completed, \d+ failed"))
    expect(page.locator(".line-open")).to_have_count(24)
    expect(page.get_by_text("24 of 24 requests done")).to_be_visible()
    drawn = page.locator(".throughput .bars.done")
    expect(drawn).not_to_have_count(0)
    expect(page.locator(".throughput .bars.not-done")).to_have_count(drawn.count())
    expect(page.locator(".groups > li")).to_have_count(1)
    expect(page.get_by_role("listitem").filter(has_text="Completed").locator("time")).to_be_visible()
    assert page.evaluate("window.shifts.reduce((sum, each) => sum + each, 0)") < 0.02


def test_prompt_and_answer_stand_side_by_side(open_page: OpenPage, call: Caller) -> None:
    """A line shows what was asked and answered; the address leads to it; Next and Escape work; the JSON is one step away."""
    batch_id = call.create(chat(3, text="Why is the sea salty?")).json["id"]
    call.ended(batch_id)
    page = open_page(f"/batches/{batch_id}")
    page.get_by_label("Search results").fill("task-1")
    expect(page.locator(".line-open")).to_have_count(1)
    page.get_by_role("button", name="task-1").click()
    dialog = page.get_by_role("dialog", name="task-1")
    expect(dialog.get_by_role("region", name="Asked (line 2)")).to_contain_text("Why is the sea salty?")
    expect(dialog.get_by_role("region", name="Answered")).to_contain_text("Echo of: Why is the sea salty?")
    expect(page).to_have_url(re.compile("line=task-1"))
    dialog.get_by_role("button", name="Show JSON").click()
    expect(dialog.get_by_role("region", name="Answered")).to_contain_text('"status_code": 200')
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page).not_to_have_url(re.compile("line="))


def test_pictures_in_prompts(open_page: OpenPage, call: Caller) -> None:
    """A picture that is in the file is shown; one at another host is a link, and nothing is loaded from there."""
    inside = call.create(pictured(PICTURE)).json["id"]
    outside = call.create(pictured("https://pictures.invalid/cat.png")).json["id"]
    call.ended(inside)
    call.ended(outside)
    page = open_page(f"/batches/{inside}?line=picture")
    picture = page.get_by_alt_text("A picture of the request")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == 1
    page = open_page(f"/batches/{outside}?line=picture")
    expect(page.get_by_role("link", name="https://pictures.invalid/cat.png")).to_be_visible()


def test_failed_requests_are_grouped_and_tried_again(open_page: OpenPage, call: Caller) -> None:
    """Errors are counted by code, with an example that can be opened, and Retry makes a job of what failed."""
    batch_id = call.create(chat(3, model="broken-batch")).json["id"]
    call.ended(batch_id)
    page = open_page(f"/batches/{batch_id}")
    group = page.locator(".groups li").first
    expect(group.locator(".group-count")).to_have_text("3")
    group.locator("summary").click()
    group.get_by_role("button", name="task-").first.click()
    expect(page.get_by_role("region", name="Answered")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Retry failed").click()
    page.get_by_role("button", name="Create the new job").click()
    expect(page.get_by_text("retry_of")).to_be_visible()
    expect(page).not_to_have_url(re.compile(batch_id))
    assert call("GET", "/batches").json["data"][0]["metadata"] == {"retry_of": batch_id}


def test_a_job_can_be_cancelled(open_page: OpenPage, call: Caller) -> None:
    """Cancel asks first, says what is kept, and shows the job going to its end."""
    batch_id = call.create(chat(3, model="stuck-batch")).json["id"]
    page = open_page(f"/batches/{batch_id}")
    expect(page.locator(".heading .pill")).to_have_text("In progress")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Not now").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".heading .pill")).to_have_text("Cancelled")
    expect(page.get_by_role("button", name="Retry failed")).to_be_visible()


def test_both_files_can_be_downloaded(open_page: OpenPage, call: Caller) -> None:
    """What is downloaded is the file that the API gives, under the name of the job, or else that of its input file."""
    batch_id = call.create(chat(3), metadata={"name": "Prices: week 12/13 "}).json["id"]
    batch = call.ended(batch_id)
    page = open_page(f"/batches/{batch_id}")
    with page.expect_download() as started:
        page.get_by_role("link", name="Answers").click()
    assert started.value.suggested_filename == "Prices- week 12-13-results.jsonl"
    assert started.value.path().read_bytes() == call("GET", f"/files/{batch['output_file_id']}/content").body
    broken = call.create(chat(2, model="broken-batch")).json["id"]
    batch = call.ended(broken)
    page.goto(f"/studio/batches/{broken}")
    with page.expect_download() as started:
        page.get_by_role("link", name="Errors").click()
    assert started.value.suggested_filename == "in-errors.jsonl"
    assert started.value.path().read_bytes() == call("GET", f"/files/{batch['error_file_id']}/content").body


def test_a_refused_file_shows_its_lines(open_page: OpenPage, call: Caller) -> None:
    """A job that failed says why, shows the lines on demand, and leads to a corrected file."""
    batch_id = call.create(faulty()).json["id"]
    call.ended(batch_id)
    page = open_page(f"/batches/{batch_id}")
    expect(page.locator(".faults li")).to_have_count(2)
    page.get_by_role("button", name="Show the lines").click()
    expect(page.locator(".faults mark")).to_have_count(2)
    expect(page.get_by_role("link", name="Create with a corrected file")).to_be_visible()


def test_the_code_of_the_same_job(open_page: OpenPage, call: Caller) -> None:
    """What is copied names this service and this job's endpoint and metadata, in Python and with curl."""
    batch_id = call.create(chat(1), metadata={"team": "it's"}).json["id"]
    batch = call.ended(batch_id)
    page = open_page(f"/batches/{batch_id}")
    page.get_by_role("button", name="Code").click()
    page.get_by_role("button", name="Copy", exact=True).click()
    copied = page.evaluate("navigator.clipboard.readText()")
    compile(copied, "copied.py", "exec")
    assert f'base_url="http://{call.server.address}/openai/v1"' in copied
    assert '"team": "it\'s"' in copied
    page.get_by_role("button", name="curl").click()
    expect(page.get_by_label("The code in curl")).to_contain_text(f"/files/{batch['output_file_id']}/content")


def test_a_job_that_is_not_there(open_page: OpenPage, watch: Watch) -> None:
    """A wrong address says so, and leads to the list."""
    watch.allow("404")
    page = open_page("/batches/batch_nobody")
    expect(page.get_by_role("heading", name="This job is not here")).to_be_visible()
    page.get_by_role("link", name="Show all jobs").click()
    expect(page.get_by_role("heading", name="Batch jobs", exact=True)).to_be_visible()


def test_a_job_is_paused_and_resumed(open_page: OpenPage, call: Caller) -> None:
    """The page says who has paused it and why; it goes on where it was, and can be cancelled meanwhile."""
    batch_id = call.create(chat(3, model="stuck-batch")).json["id"]
    page = open_page(f"/batches/{batch_id}")
    page.get_by_role("button", name="Pause", exact=True).click()
    dialog = page.get_by_role("dialog", name="Pause this job?")
    dialog.get_by_label("Reason").fill("wrong prompt?")
    dialog.get_by_role("button", name="Pause", exact=True).click()
    waiting = page.locator(".waiting-on")
    expect(waiting).to_contain_text("This job is paused since")
    expect(waiting).to_contain_text("wrong prompt?")
    assert call("GET", f"/batches/{batch_id}/progress").json["waiting_on"]["what"] == "batch"
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_enabled()
    page.get_by_role("button", name="Resume").click()
    expect(waiting).to_have_count(0)
    assert call("GET", f"/batches/{batch_id}/progress").json["waiting_on"] is None
    call("POST", f"/batches/{batch_id}/cancel")


def test_how_a_job_went_is_drawn(open_page: OpenPage, call: Caller) -> None:
    """What ended when, and percentiles of latency and output: all of it some seconds after the end, and in words, too."""
    batch_id = call.create(chat(40, model="slow-batch")).json["id"]
    page = open_page(f"/batches/{batch_id}")
    expect(page.locator(".time-left")).to_have_text(re.compile(r"About \d\d:\d\d.*, in .* (s|min)"))
    expect(page.get_by_text(re.compile(r"Answered in \d+ s, [\d.]+ requests/s on average"))).to_be_visible()
    panel = page.get_by_role("region", name="Latency and answers")
    for figure in ("Latency of a request of 40", "Output tokens of an answer of 40"):
        expect(panel.locator("figure", has_text=figure)).to_be_visible()
    expect(
        panel.get_by_role("img", name=re.compile("Latency of a request: half at most [^,]+, nine tenths "))
    ).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Requests that ended, over time: from .* at most"))).to_be_visible()
    assert faults(page) == []
    broken = call.create(chat(3, model="broken-batch")).json["id"]
    call.ended(broken)
    page.goto(f"/studio/batches/{broken}")
    expect(page.get_by_text("Nothing was answered: all that was tried failed in")).to_be_visible()
    expect(page.get_by_text("Answered in")).to_have_count(0)
    expect(panel.get_by_role("img", name="Latency of a request: nothing yet")).to_be_visible()
