"""Batch jobs: the list, live, searched, filtered, and with the keys."""

import re

import pytest
from playwright.sync_api import expect

from tests.api.calls import Caller, chat
from tests.studio.conftest import OpenPage
from tests.studio.files import faulty
from tests.studio.looking import OVERFLOW, faults

pytestmark = pytest.mark.studio


def test_an_empty_list_teaches_the_next_step(open_page: OpenPage) -> None:
    """Where there are no jobs, the page says what a job is and leads to Create."""
    page = open_page()
    expect(page.get_by_role("heading", name="No batch jobs yet")).to_be_visible()
    page.locator(".empty").get_by_role("link", name="Create batch job").click()
    expect(page.get_by_role("heading", name="Create batch job")).to_be_visible()


def test_rows_are_live(open_page: OpenPage, call: Caller) -> None:
    """A job that is made elsewhere appears by itself, and its row goes on to its end."""
    page = open_page()
    expect(page.get_by_text("No batch jobs yet")).to_be_visible()
    batch = call.create(chat(4, model="slow-batch")).json
    row = page.get_by_role("row", name=batch["id"])
    expect(row).to_be_visible()
    expect(row.get_by_text("Completed")).to_be_visible()
    expect(row.get_by_text("4 / 4")).to_be_visible()
    expect(row.get_by_text("slow-batch")).to_be_visible()


def test_a_row_says_what_its_job_waits_for(open_page: OpenPage, call: Caller) -> None:
    """A job of which nothing is sent is "Waiting", with what it waits for and why; it goes on by itself."""
    call("POST", "/deployments/slow-batch/pause", {"reason": "new weights"})
    batch_id = call.create(chat(8, model="slow-batch")).json["id"]
    page = open_page("/")
    row = page.locator("tr", has_text=batch_id)
    expect(row.locator(".pill")).to_have_text("Waiting")
    link = row.get_by_role("link", name="Deployment is paused")
    expect(link).to_have_attribute("title", "Deployment is paused: new weights")
    expect(link).to_have_attribute("href", "/studio/deployments?search=slow-batch")
    call("POST", "/deployments/slow-batch/resume")
    expect(row.locator(".pill")).to_have_text("Completed")
    expect(link).to_have_count(0)


def test_cost_and_tokens_are_shown(open_page: OpenPage, call: Caller) -> None:
    """A job's tokens and its cost stand in its row."""
    call.ended(call.create(chat(4)).json["id"])
    page = open_page()
    expect(page.locator("td[data-label=Cost]")).to_contain_text("USD")
    expect(page.locator("td[data-label=Tokens]")).not_to_contain_text("0 in")


def test_search_and_filters_are_part_of_the_address(open_page: OpenPage, call: Caller) -> None:
    """Search finds metadata, filters take status and deployment; the address carries them, and nothing found has a way back."""
    found = call.create(chat(1), metadata={"team": "lighthouse"}).json["id"]
    failed = call.create(faulty()).json["id"]
    other = call.create(chat(1, model="slow-batch")).json["id"]
    for batch_id in (found, failed, other):
        call.ended(batch_id)
    page = open_page()
    expect(page.get_by_role("row", name=other)).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("LIGHTHOUSE")
    expect(page.get_by_role("row", name=other)).to_have_count(0)
    expect(page.get_by_role("row", name=found)).to_be_visible()
    expect(page).to_have_url(re.compile("search=LIGHTHOUSE"))
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Failed").click()
    expect(page.get_by_role("row", name=found)).to_have_count(0)
    expect(page.get_by_role("row", name=failed)).to_contain_text("JSON")
    page.reload()
    expect(page.get_by_role("row", name=failed)).to_be_visible()
    expect(page.get_by_role("row", name=found)).to_have_count(0)
    page.get_by_label("Deployment").select_option("slow-batch")
    expect(page.get_by_role("heading", name="No job fits")).to_be_visible()
    page.get_by_role("link", name="Show all jobs").click()
    expect(page.get_by_role("row", name=found)).to_be_visible()


def test_the_keyboard_is_enough(open_page: OpenPage, call: Caller) -> None:
    """Arrows walk the rows, Enter opens one, `n` creates, `?` lists the keys and Escape closes that list."""
    older = call.create(chat(1)).json["id"]
    call.ended(older)
    newer = call.create(chat(1)).json["id"]
    page = open_page()
    expect(page.get_by_role("row", name=older)).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator(f"a[href$='{newer}']")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator(f"a[href$='{older}']")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{page.url.split('/studio')[0]}/studio/batches/{older}")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="Create batch job")).to_be_visible()


def test_a_long_list_comes_in_pages(open_page: OpenPage, call: Caller) -> None:
    """Fifty jobs are shown, the next fifty on demand, each once and newest first."""
    file_id = call.upload(chat(1)).json["id"]
    order = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = [call("POST", "/batches", order).json["id"] for _ in range(60)]
    for batch_id in made:
        call.ended(batch_id)
    page = open_page()
    links = page.locator("a.job-link")
    expect(links).to_have_count(50)
    page.get_by_role("button", name="Load more").click()
    expect(links).to_have_count(60)
    shown = links.evaluate_all("links => links.map(link => link.href.split('/').pop())")
    assert sorted(shown) == sorted(made)
    expect(page.get_by_role("button", name="Load more")).to_have_count(0)


def test_jobs_are_told_apart(open_page: OpenPage, call: Caller) -> None:
    """A name is the title, or else the file's; a label of the rest lists the jobs that have it, on whichever page they are."""
    tides = {"team": "tides", 'odd "key"]': "a&b=c"}
    named = call.create(chat(1), metadata={"name": "Prices, week 12"} | tides).json["id"]
    for _ in range(50):
        call.create(chat(1), metadata={"team": "lighthouse"})
    unnamed = call.create(chat(1), metadata={"name": " "}).json
    page = open_page("/")
    first = page.locator("tbody tr").first
    expect(first.get_by_role("link", name="in.jsonl", exact=True)).to_have_attribute(
        "href", f"/studio/batches/{unnamed['id']}"
    )
    expect(first.get_by_role("link", name="demo-batch")).to_have_attribute(
        "href", "/studio/deployments?search=demo-batch"
    )
    expect(first.get_by_role("link", name="file")).to_have_attribute(
        "href", f"/studio/files?file={unnamed['input_file_id']}"
    )
    # It is on the second page of the list.
    expect(page.get_by_role("link", name="Prices, week 12")).to_have_count(0)
    page.goto("/studio?metadata%5Bteam%5D=tides")
    row = page.locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text(named)
    row.get_by_role("link", name='odd "key"] a&b=c').click()
    expect(page.get_by_role("list", name="Filters").get_by_role("listitem")).to_have_count(2)
    expect(row).to_have_count(1)
    page.reload()
    page.get_by_role("link", name="Do not filter by team: tides").click()
    expect(page.get_by_role("list", name="Filters").get_by_role("listitem")).to_have_count(1)
    expect(row).to_have_count(1)
    row.get_by_role("link", name="Prices, week 12").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Prices, week 12")
    page.get_by_role("link", name="team tides").click()
    expect(page).to_have_url(re.compile(r"/studio\?metadata%5Bteam%5D=tides$"))
    expect(row).to_have_count(1)
    assert faults(page) == []


def test_rows_of_one_line(open_page: OpenPage, call: Caller) -> None:
    """By choice, which stays; a phone shows six jobs at once as it is."""
    for number in range(8):
        call.create(
            chat(1), metadata={"name": f"Job {number}, which has a name that is much too long", "team": "tides"}
        )
    broken = call.create(chat(2, model="broken-batch"), metadata={"name": "Broken"}).json["id"]
    call.ended(broken)
    page = open_page("/")
    rows = page.locator("tbody tr")
    heights = "rows => rows.map((row) => Math.round(row.getBoundingClientRect().height))"
    expect(rows).to_have_count(9)
    assert min(rows.evaluate_all(heights)) > 50
    page.get_by_role("button", name="Compact").click()
    page.reload()
    expect(page.get_by_role("button", name="Compact")).to_have_attribute("aria-pressed", "true")
    expect(rows).to_have_count(9)
    assert set(rows.evaluate_all(heights)) <= {36, 37}
    assert page.evaluate(OVERFLOW) <= 0
    assert faults(page) == []
    page.get_by_role("button", name="Compact").click()
    assert min(rows.evaluate_all(heights)) > 50
    phone = open_page("/", size=(390, 844))
    expect(phone.locator("tbody tr")).to_have_count(9)
    bottoms = "rows => rows.filter((row) => row.getBoundingClientRect().bottom <= 844).length"
    assert phone.locator("tbody tr").evaluate_all(bottoms) >= 6
    phone.get_by_role("button", name="Compact").click()
    assert phone.locator("tbody tr").evaluate_all(bottoms) >= 8
    assert faults(phone) == []
