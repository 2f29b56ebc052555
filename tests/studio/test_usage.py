"""Usage: what was completed and what it cost, as a chart and as figures, and how full the quotas are."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.api.calls import Caller, chat
from tests.server import Server
from tests.studio.conftest import CONFIG, OpenPage, Watch

pytestmark = pytest.mark.studio

DRAWN = "Chart.getChart(document.querySelector('canvas'))"
WEIGHT = "performance.getEntries().reduce((sum, entry) => sum + (entry.transferSize ?? 0), 0)"
WEIGHT_MAX = 300_000


def _work(call: Caller) -> None:
    """Completed work of two deployments."""
    first = call.create(chat(4)).json["id"]
    second = call.create(chat(1, model="slow-batch")).json["id"]
    for batch_id in (first, second):
        call.ended(batch_id)


def _drawn(page: Page) -> None:
    expect(page.locator("canvas[data-drawn]")).to_be_visible()


def test_nothing_yet(open_page: OpenPage) -> None:
    """Where nothing was completed, the page says what is counted, and how to begin; the quotas are there anyway."""
    page = open_page("/usage")
    expect(page.get_by_role("heading", name="Nothing was completed in these days")).to_be_visible()
    expect(page.get_by_role("meter", name="Enqueued tokens - demo-batch")).to_be_attached()
    page.locator(".empty").get_by_role("link", name="Create batch job").click()
    expect(page.get_by_role("heading", name="Create batch job")).to_be_visible()


def test_chart_legend_and_table_say_the_same(open_page: OpenPage, call: Caller) -> None:
    """The chart has a part for each deployment, the account's figures, and a name that says what is seen in it."""
    _work(call)
    page = open_page("/usage")
    _drawn(page)
    rows = {row["deployment"]: row for row in call("GET", "/usage").json["data"]}
    series = page.evaluate(f"{DRAWN}.data.datasets.map(each => [each.label, each.data.at(-1)])")
    tokens = {name: row["input_tokens"] + row["output_tokens"] for name, row in rows.items()}
    assert dict(series) == tokens
    expect(page.locator(".legend li")).to_have_count(2)
    label = page.get_by_role("img").get_attribute("aria-label") or ""
    assert all(name in label for name in rows)
    for name, row in rows.items():
        cells = page.locator("tbody").get_by_role("row", name=name)
        expect(cells.locator("td[data-label=Requests]")).to_have_text(f"{row['requests']:,}")
        expect(cells.locator("td[data-label=Cost]")).to_contain_text("USD")
    expect(page.locator("tfoot")).to_contain_text("Total")


def test_measure_and_grouping_are_part_of_the_address(open_page: OpenPage, call: Caller) -> None:
    """Cost, requests and models are a click away, and a link leads to them."""
    _work(call)
    page = open_page("/usage")
    page.get_by_role("group", name="Measure").get_by_role("button", name="Cost").click()
    expect(page.get_by_role("heading", name="Cost by day")).to_be_visible()
    expect(page.locator(".legend li").first).to_contain_text("USD")
    page.get_by_role("button", name="By model").click()
    expect(page.get_by_role("columnheader", name="Model")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Cost by day")).to_be_visible()
    expect(page.get_by_role("button", name="By model")).to_have_attribute("aria-pressed", "true")


def test_rows_can_be_sorted(open_page: OpenPage, call: Caller) -> None:
    """A column's head sorts by it, and once more the other way; readers of the screen hear which."""
    _work(call)
    page = open_page("/usage")
    first = page.locator("tbody tr").first
    page.get_by_role("button", name="Requests").last.click()
    expect(page.get_by_role("columnheader", name="Requests")).to_have_attribute("aria-sort", "descending")
    expect(first).to_contain_text("demo-batch")
    page.get_by_role("button", name="Requests").last.click()
    expect(page.get_by_role("columnheader", name="Requests")).to_have_attribute("aria-sort", "ascending")
    expect(first).to_contain_text("slow-batch")


def test_periods(open_page: OpenPage, call: Caller) -> None:
    """Periods are days in UTC; a period of one's own is part of the address, and one that makes no sense is said to be so."""
    _work(call)
    page = open_page("/usage?period=7")
    _drawn(page)
    assert page.evaluate(f"{DRAWN}.data.labels.length") == 7
    page.get_by_role("button", name="Custom").click()
    page.get_by_label("From", exact=True).fill("2020-02-01")
    page.get_by_label("to", exact=True).fill("2020-02-29")
    expect(page.get_by_text("From 2020-02-01 to 2020-02-29 no request was answered.")).to_be_visible()
    expect(page).to_have_url(re.compile("start=2020-02-01"))
    page.get_by_label("From", exact=True).fill("2020-03-01")
    expect(page.get_by_role("alert")).to_contain_text("The first day is behind the last one.")
    page.get_by_label("From", exact=True).fill("2018-03-01")
    expect(page.get_by_role("alert")).to_contain_text("At most 400 days")
    page.get_by_role("button", name="This month").click()
    _drawn(page)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_table_can_be_taken_along(open_page: OpenPage, call: Caller) -> None:
    """CSV is the service's own, for the days and the groups that are shown."""
    _work(call)
    page = open_page("/usage?period=30&by=model")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "usage.csv"
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("day,model,requests,input_tokens")
    assert len(lines) == 2


def test_colours_follow_the_theme(open_page: OpenPage, call: Caller) -> None:
    """The chart is drawn with the colours of the theme that is chosen, and again when another one is."""
    _work(call)
    page = open_page("/usage")
    _drawn(page)
    expect(page.locator("canvas")).to_have_attribute("data-drawn", "#0b5fc0")
    page.get_by_label("Colours").select_option("dark")
    expect(page.locator("canvas")).to_have_attribute("data-drawn", "#5aa2f7")
    assert page.evaluate(f"{DRAWN}.data.datasets[0].backgroundColor") == "#5aa2f7"


def test_the_chart_is_fetched_by_this_page_alone(open_page: OpenPage, call: Caller) -> None:
    """Other pages do not pay for the chart; with it, a first visit still moves less than 300 kB."""
    _work(call)
    page = open_page("")
    expect(page.locator("a.job-link").first).to_be_visible()
    fetched = "performance.getEntriesByType('resource').some(entry => entry.name.endsWith('/vendor/chart.js'))"
    assert page.evaluate(fetched) is False
    page = open_page("/usage")
    _drawn(page)
    assert page.evaluate(fetched) is True
    assert page.evaluate(WEIGHT) < WEIGHT_MAX


def test_without_the_chart_the_figures_are_there(open_page: OpenPage, call: Caller, watch: Watch) -> None:
    """Where the chart cannot be loaded, the page says so, and the table has everything."""
    watch.allow("chart.js", "ERR_FAILED")

    def refuse(route: Route) -> None:
        route.abort()

    _work(call)
    page = open_page("")
    page.route("**/vendor/chart.js", refuse)
    page.get_by_role("link", name="Usage").click()
    expect(page.get_by_text("The chart could not be loaded.")).to_be_visible()
    expect(page.locator("tbody").get_by_role("row", name="demo-batch")).to_be_visible()


class TestWithoutPrices:
    """A service whose configuration has no prices."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Server]:
        """The same deployments, and no prices."""
        config = tmp_path / "slackwater.toml"
        config.write_text(CONFIG[CONFIG.index("[[deployments]]") :])
        server = Server(config, tmp_path / "data", tmp_path / "server.log")
        yield server
        server.terminate()

    def test_prices_are_explained(self, open_page: OpenPage, call: Caller) -> None:
        """Tokens are counted all the same, and the page says how to set prices."""
        _work(call)
        page = open_page("/usage")
        expect(page.get_by_text("No prices are set, so no cost is known.")).to_be_visible()
        expect(page.get_by_text("[[prices]]")).to_be_visible()
        expect(page.locator("tbody").get_by_role("row", name="demo-batch")).to_contain_text("no price")
        expect(page.get_by_role("button", name="Cost").first).to_be_disabled()
