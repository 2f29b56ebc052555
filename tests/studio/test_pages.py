"""What holds for every page: it can be read and used by everybody, on a desk and on a phone, in the light and in the dark."""

import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.api.calls import Caller
from tests.studio.conftest import DESK, OpenPage, Watch
from tests.studio.pages import PAGES, fill

pytestmark = pytest.mark.studio

PHONE = (390, 844)
WEIGHT_MAX = 300_000
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_every_page_is_accessible_and_fits(
    open_page: OpenPage, call: Caller, theme: str, size: tuple[int, int]
) -> None:
    """axe finds nothing serious, nothing is wider than the screen, and every page has one heading and a title of its own."""
    names = fill(call)
    page = open_page(theme=theme, size=size)
    for name, (path, shown) in PAGES.items():
        page.goto(f"/studio{path.format(**names)}")
        expect(page.locator(shown).first).to_be_visible()
        _keep_picture(page, f"{name}-{'desk' if size == DESK else 'phone'}-{theme}")
        found = Axe().run(page).response["violations"]
        faults = [
            (each["id"], [node["html"][:160] for node in each["nodes"]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert faults == [], name
        assert page.evaluate(OVERFLOW) <= 0, name
        if not page.locator("dialog[open]").count():
            expect(page.locator("h1, .empty h2")).not_to_have_count(0)
        assert page.title().endswith("Slackwater Studio"), name


def _keep_picture(page: Page, name: str) -> None:
    """For people who want to look: SLACKWATER_PICTURES names a folder."""
    if folder := os.environ.get("SLACKWATER_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_pages_are_light(open_page: OpenPage, call: Caller) -> None:
    """A first visit moves less than 300 kB, compressed, the API's answers included; a second one a small part of that."""
    names = fill(call)
    weight = "performance.getEntries().reduce((sum, entry) => sum + (entry.transferSize ?? 0), 0)"
    page = open_page(f"/batches/{names['completed']}")
    expect(page.locator(".line-open").first).to_be_visible()
    first = page.evaluate(weight)
    assert 10_000 < first < WEIGHT_MAX
    page.reload()
    expect(page.locator(".line-open").first).to_be_visible()
    assert page.evaluate(weight) < first / 4


def test_the_choice_of_colours_stays(open_page: OpenPage) -> None:
    """Who chooses dark gets dark, on the next visit, too, whatever the system has."""
    page = open_page(theme="light")
    page.get_by_label("Colours").select_option("dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.reload()
    expect(page.get_by_label("Colours")).to_have_value("dark")
    assert page.evaluate(background) == dark == "rgb(15, 18, 23)"
    page.get_by_label("Colours").select_option("system")
    assert page.evaluate(background) == "rgb(246, 247, 249)"


def test_a_phone_has_the_navigation_behind_a_button(open_page: OpenPage) -> None:
    """The menu opens, leads on, and closes behind the choice."""
    page = open_page(size=PHONE)
    entry = page.get_by_role("link", name="Files")
    expect(entry).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    entry.click()
    expect(page.get_by_role("heading", name="Files", level=1)).to_be_visible()
    expect(entry).to_be_hidden()


def test_the_way_back_works(open_page: OpenPage, call: Caller) -> None:
    """Links change the address without loading the page again, and the browser's way back undoes it."""
    batch_id = call.create(b"{}\n").json["id"]
    page = open_page()
    page.evaluate("window.stayed = true")
    page.locator(f"a[href$='{batch_id}']").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("in.jsonl")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Batch jobs")
    assert page.evaluate("window.stayed") is True


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/batches", ""),
        ("/batches/?status=failed", "?status=failed"),
        ("/jobs/batch_nobody", "/batches/batch_nobody"),
        ("/files/file-nobody", "/files?file=file-nobody"),
        ("/deployments/demo-batch", "/deployments?search=demo-batch"),
    ],
)
def test_old_addresses_lead_on(open_page: OpenPage, watch: Watch, old: str, new: str) -> None:
    """To the page that is meant, and the way back does not lead into them again."""
    watch.allow("404")
    page = open_page("/usage")
    page.goto(f"/studio{old}")
    expect(page).to_have_url(f"{page.url.split('/studio')[0]}/studio{new}")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Usage")


# How far the end of a heading is from that of the first row's number, in columns of numbers; what stands behind a number has its
# place behind the heading, too.
ENDS = """() => [...document.querySelectorAll("table")].flatMap((table) =>
  [...table.querySelectorAll("th.number")].map((head) => {
  const end = (cell) => {
    const behind = cell.querySelector(".unit, .share");
    const range = document.createRange();
    range.selectNodeContents(cell);
    return behind ? behind.getBoundingClientRect().left : range.getBoundingClientRect().right;
  };
  const cell = table.querySelector("tbody tr")?.children[head.cellIndex];
  if (!cell) return [head.textContent, 0, true];
  return [head.textContent, Math.abs(end(head) - end(cell)), cell.classList.contains("number")];
}))"""


def test_headings_end_where_their_numbers_end(open_page: OpenPage, call: Caller) -> None:
    """In every table; and paths break behind their slashes."""
    names = fill(call)
    page = open_page()
    for name in ("jobs", "job-completed", "files", "deployments", "usage", "servers"):
        path, shown = PAGES[name]
        page.goto(f"/studio{path.format(**names)}")
        expect(page.locator(shown).first).to_be_visible()
        ends = page.evaluate(ENDS)
        assert [each for each in ends if each[1] > 1.5 or not each[2]] == [], name
        if name == "job-completed":
            expect(page.locator("dd code wbr")).to_have_count(2)
