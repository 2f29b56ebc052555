"""The results of a job: pages, orders, jumps, filters, a search that goes on, two jobs side by side, and what is exported."""

import csv
import io
import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.api.calls import Caller, chat
from tests.studio.conftest import OpenPage
from tests.studio.looking import faults

pytestmark = pytest.mark.studio

PHONE = (390, 844)


def asked(*texts: str, ids: str = "task") -> bytes:
    """An input file of these prompts."""
    lines = []
    for number, text in enumerate(texts):
        body = {"model": "demo-batch", "messages": [{"role": "user", "content": text}]}
        line = {"custom_id": f"{ids}-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        lines.append(json.dumps(line) + "\n")
    return "".join(lines).encode()


def ended(call: Caller, data: bytes) -> str:
    """The id of a job that has ended."""
    batch_id: str = call.create(data).json["id"]
    call.ended(batch_id)
    return batch_id


def numbers(page: Page) -> list[int]:
    """Those of the lines that are shown."""
    return [int(each) for each in page.locator(".line-table tbody td:first-child").all_inner_texts()]


def test_pages_and_jumps(open_page: OpenPage, call: Caller) -> None:
    """What is shown of how many; on, back, to the end; to a page, and to a line, which is marked. A link carries all of it."""
    batch_id = ended(call, chat(230))
    page = open_page(f"/batches/{batch_id}")
    pager = page.locator(".pager [role=status]")
    expect(pager).to_have_text("1–50 of 230")
    page.get_by_role("button", name="Next", exact=True).click()
    expect(pager).to_have_text("51–100 of 230")
    page.get_by_role("button", name="Last page").click()
    expect(pager).to_have_text("201–230 of 230")
    expect(page.get_by_role("button", name="Next", exact=True)).to_be_disabled()
    page.reload()
    expect(pager).to_have_text("201–230 of 230")
    page.get_by_role("button", name="First page").click()
    expect(pager).to_have_text("1–50 of 230")
    page.get_by_label("Number of the line").fill("137")
    page.keyboard.press("Enter")
    expect(pager).to_have_text("101–150 of 230")
    expect(page.locator("tr.marked")).to_contain_text("task-136")
    expect(page.locator("tr.marked")).to_be_in_viewport()
    assert numbers(page) == list(range(101, 151))
    page.get_by_label("Go to a").select_option("page")
    page.get_by_label("Number of the page").fill("99")
    page.get_by_role("button", name="Go", exact=True).click()
    expect(pager).to_have_text("201–230 of 230")
    page.get_by_label("Order").select_option("line-down")
    expect(pager).to_have_text("1–50 of 230")
    expect(page.locator(".line-table tbody tr").first).to_contain_text("task-229")
    assert faults(page) == []


def test_a_search_goes_on(open_page: OpenPage, call: Caller) -> None:
    """In answers and prompts, with the place; it stops where it has found a page, and goes on by a button; nothing twice."""
    batch_id = ended(call, asked(*("a sea" if number % 2 else "a lake" for number in range(140))))
    page = open_page(f"/batches/{batch_id}")
    expect(page.locator(".line-open").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("SEA")
    status = page.locator(".pager [role=status]")
    expect(status).to_contain_text("50 found in")
    expect(page.locator("mark.found").first).to_have_text("sea")
    page.get_by_role("button", name="Search on").click()
    expect(status).to_have_text("70 found in all 140 results and their prompts.")
    expect(page.locator(".line-open")).to_have_count(70)
    expect(page).to_have_url(re.compile("find=SEA"))
    assert faults(page) == []
    page.get_by_label("Search results").fill(".*[")
    expect(page.get_by_role("heading", name="No result fits")).to_be_visible()
    page.get_by_role("button", name="Show all results").click()
    expect(status).to_have_text("1–50 of 140")
    expect(page.get_by_label("Search results")).to_have_value("")


def test_errors_are_filtered_by_code(open_page: OpenPage, call: Caller) -> None:
    """Those that failed, and those of one code, as the groups have them."""
    batch_id = call.create(chat(5, model="broken-batch")).json["id"]
    call.ended(batch_id)
    page = open_page(f"/batches/{batch_id}")
    expect(page.locator(".line-open")).to_have_count(5)
    code = call("GET", f"/batches/{batch_id}/error_groups").json["data"][0]["code"]
    page.get_by_label("Error", exact=True).select_option(label=re.compile(code).pattern + " (400) · 5")
    expect(page).to_have_url(re.compile("code=400"))
    expect(page.locator(".pager [role=status]")).to_have_text("1–5 of 5")
    page.get_by_role("button", name="Answered", exact=True).click()
    expect(page.get_by_role("heading", name="No result fits")).to_be_visible()


@pytest.mark.parametrize("size", [(1360, 860), PHONE], ids=["desk", "phone"])
def test_two_jobs_side_by_side(open_page: OpenPage, call: Caller, size: tuple[int, int]) -> None:
    """Another job is chosen; those that differ come first, and alone; a line opens with both answers."""
    texts = [f"question {number}" for number in range(60)]
    one = ended(call, asked(*texts))
    two = ended(call, asked(*texts[:30], "another question", *texts[31:]))
    page = open_page(f"/batches/{one}", size=size)
    page.get_by_role("button", name="Compare…").click()
    page.get_by_label("Search jobs").fill(two)
    page.get_by_role("button", name=re.compile(two)).click()
    first = page.locator(".pair-table tbody tr").first
    expect(first).to_contain_text("Different")
    expect(first).to_contain_text("another question")
    expect(page.get_by_role("button", name="Same 59")).to_be_visible()
    page.get_by_role("button", name="Different 1").click()
    expect(page.locator(".line-open")).to_have_count(1)
    assert faults(page) == []
    page.get_by_role("button", name="task-30").click()
    dialog = page.get_by_role("dialog", name="task-30")
    expect(dialog.get_by_role("region", name="The other job answered")).to_contain_text("Echo of: another question")
    expect(dialog).to_contain_text("The two jobs asked differently here.")
    assert faults(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Stop comparing").click()
    expect(page.locator(".pager [role=status]")).to_have_text("1–50 of 60")


def test_what_is_shown_is_exported(open_page: OpenPage, call: Caller) -> None:
    """With its filter, order and search; formulas are texts, unless that is chosen."""
    batch_id = ended(call, asked("sea", "lake", "the sea", ids="=row"))
    page = open_page(f"/batches/{batch_id}?find=sea")
    expect(page.locator(".line-open")).to_have_count(2)
    for formulas in (False, True):
        page.get_by_role("button", name="Export…").click()
        dialog = page.get_by_role("dialog", name="Export results")
        expect(dialog).to_contain_text("every one that has “sea”")
        if formulas:
            dialog.get_by_role("checkbox").check()
        else:
            assert faults(page) == []
        with page.expect_download() as started:
            dialog.get_by_role("link", name="Export").click()
        rows = list(csv.DictReader(io.StringIO(started.value.path().read_text("utf-8"), newline="")))
        assert sorted(row["custom_id"] for row in rows) == (
            ["=row-0", "=row-2"] if formulas else ["'=row-0", "'=row-2"]
        )
    page.goto(f"/studio/batches/{batch_id}?order=line-down")
    expect(page.locator(".line-open")).to_have_count(3)
    page.get_by_role("button", name="Export…").click()
    page.get_by_label("JSON Lines").check()
    with page.expect_download() as started:
        page.get_by_role("link", name="Export").click()
    lines = [json.loads(line) for line in started.value.path().read_bytes().splitlines()]
    assert [line["custom_id"] for line in lines] == ["=row-2", "=row-1", "=row-0"]
