"""Deployments: how each is now, and making, changing and deleting them without overwriting each other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.api.calls import Caller, chat
from tests.server import Server
from tests.studio.conftest import OpenPage, Watch, serve
from tests.studio.looking import faults
from tests.studio.test_job import SHIFTS

pytestmark = pytest.mark.studio

MORE = """
[server]
region = "Sweden Central"
[[deployments]]
name = "narrow-batch"
model = "gpt-4o"
enqueued_token_limit = 100
when_full = "queue"
[[deployments.backends]]
echo = { hang_rate = 1.0 }
concurrency = 2
region = "swedencentral"
data_zone = "eu"
[[deployments]]
name = "lost-batch"
[[deployments.backends]]
url = "http://127.0.0.1:9/v1"
attempts = 1
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with a deployment that is soon full, and one whose backend is not there."""
    server = serve(tmp_path, more=MORE)
    yield server
    # A gentle stop would wait for calls that are never answered.
    server.kill()


def test_everything_about_a_deployment_is_live(open_page: OpenPage, call: Caller) -> None:
    """Held and waiting tokens, requests in flight and open jobs arrive by themselves, and nothing moves while they do."""
    page = open_page("/deployments")
    card = page.get_by_role("region", name="narrow-batch", exact=True)
    expect(card).to_contain_text("Nothing waits for room")
    expect(card).to_contain_text("gpt-4o · GlobalBatch")
    page.evaluate(SHIFTS)
    for _ in range(2):
        call.create(chat(4, model="narrow-batch", text="Why is the sea salty, and why are the rivers not?"))
    expect(card.get_by_text("tokens of 1 job wait for room")).to_be_visible()
    expect(card.get_by_role("row").last).to_contain_text("2 / 2")
    meter = card.get_by_role("meter", name="Quota of narrow-batch")
    expect(meter).to_have_attribute("aria-valuemax", "100")
    assert "waiting, of a limit of 100" in (meter.get_attribute("aria-valuetext") or "")
    assert page.evaluate("window.shifts.reduce((sum, each) => sum + each, 0)") < 0.02
    card.get_by_role("link", name="2").click()
    expect(page.get_by_role("heading", name="Batch jobs")).to_be_visible()
    expect(page.get_by_label("Deployment", exact=True)).to_have_value("narrow-batch")
    expect(page.locator("tbody tr")).to_have_count(2)


def test_a_backend_that_is_not_there_is_down_in_words(open_page: OpenPage, call: Caller) -> None:
    """Health has a word and an icon, and the last error stands beside the backend."""
    call.create(chat(2, model="lost-batch"))
    page = open_page("/deployments")
    row = page.get_by_role("region", name="lost-batch", exact=True).get_by_role("row").last
    expect(row).to_contain_text("http://127.0.0.1:9/v1")
    expect(row.locator(".pill")).to_have_text("Down")
    expect(row.get_by_text("Last error:")).to_be_visible()


def test_those_of_the_configuration_say_why_they_stay(open_page: OpenPage) -> None:
    """What the configuration file has is marked, cannot be changed here, and says where it can."""
    page = open_page("/deployments")
    card = page.get_by_role("region", name="narrow-batch", exact=True)
    assert "configuration file" in (card.get_by_text("Configuration file").get_attribute("title") or "")
    expect(card.get_by_role("button", name="Edit")).to_have_count(0)


def test_regions_and_search(open_page: OpenPage) -> None:
    """The table says which model answers where; the search is part of the address, and nothing found has a way back."""
    page = open_page("/deployments")
    regions = page.get_by_role("region", name="Regions and models").first
    expect(regions).to_contain_text("Sweden Central")
    expect(regions.get_by_role("row", name="swedencentral")).to_contain_text("narrow-batch")
    everything = page.locator(".deployment").count()
    page.keyboard.press("/")
    page.keyboard.type("GPT-4o")
    expect(page.locator(".deployment")).to_have_count(1)
    expect(page).to_have_url(re.compile("search=GPT-4o"))
    page.keyboard.type("nothing")
    expect(page.get_by_role("heading", name="No deployment fits")).to_be_visible()
    page.get_by_role("link", name="Show all deployments").click()
    expect(page.locator(".deployment")).to_have_count(everything)


def test_making_changing_and_deleting(open_page: OpenPage, call: Caller) -> None:
    """A deployment is made of those of the configuration, changed in one field only, and gone at once where no job is open."""
    page = open_page("/deployments")
    page.get_by_role("button", name="Create deployment").click()
    dialog = page.get_by_role("dialog", name="Create a deployment")
    dialog.get_by_label("Name").fill("research")
    dialog.get_by_label("Model").fill("gpt-4o")
    dialog.get_by_label("Capacity", exact=True).fill("12")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    card = page.get_by_role("region", name="research", exact=True)
    expect(card).to_contain_text("of 12K enqueued tokens held")
    card.get_by_role("button", name="Edit research").click()
    dialog = page.get_by_role("dialog", name="Edit research")
    dialog.get_by_label("Capacity", exact=True).fill("250")
    dialog.get_by_label("A job without room").select_option("fail")
    dialog.get_by_role("button", name="Save").click()
    expect(card).to_contain_text("of 250K enqueued tokens held")
    expect(card).to_contain_text("a job without room is refused")
    made = _get(call, "research")
    assert (made["sku"]["capacity"], made["properties"]["model"]["name"]) == (250, "gpt-4o")
    card.get_by_role("button", name="Delete research").click()
    dialog = page.get_by_role("dialog", name="Delete research?")
    expect(dialog).to_contain_text("No job is open, so it goes at once.")
    dialog.get_by_role("button", name="Delete the deployment").click()
    expect(card).to_have_count(0)
    assert call("GET", "/deployments/research").status == 404


def test_two_administrators_do_not_overwrite_each_other(open_page: OpenPage, call: Caller, watch: Watch) -> None:
    """Whoever saves second is told, sees what is there now, and can then change it; the first one's change is kept."""
    watch.allow("412")
    _put(call, "research", capacity=10)
    page = open_page("/deployments")
    page.get_by_role("button", name="Edit research").click()
    dialog = page.get_by_role("dialog", name="Edit research")
    dialog.get_by_label("Capacity", exact=True).fill("20")
    call("PATCH", "/deployments/research", {"sku": {"capacity": 15}})
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Changed by somebody else.")
    assert _get(call, "research")["sku"]["capacity"] == 15
    dialog.get_by_role("button", name="Reload").click()
    expect(dialog.get_by_label("Capacity", exact=True)).to_have_value("15")
    dialog.get_by_label("Capacity", exact=True).fill("20")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    assert _get(call, "research")["sku"]["capacity"] == 20


def test_deleting_what_somebody_else_has_changed(open_page: OpenPage, call: Caller, watch: Watch) -> None:
    """A deployment that is not as it was seen stays, and the dialog says so."""
    watch.allow("412")
    _put(call, "research", capacity=10)
    page = open_page("/deployments")
    page.get_by_role("button", name="Delete research").click()
    dialog = page.get_by_role("dialog", name="Delete research?")
    call("PATCH", "/deployments/research", {"sku": {"capacity": 15}})
    dialog.get_by_role("button", name="Delete the deployment").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Changed by somebody else")
    assert call("GET", "/deployments/research").status == 200


def test_a_name_that_is_taken_replaces_nothing(open_page: OpenPage, call: Caller, watch: Watch) -> None:
    """Creating never overwrites a deployment that somebody has made in the meantime."""
    watch.allow("412")
    page = open_page("/deployments")
    page.get_by_role("button", name="Create deployment").click()
    dialog = page.get_by_role("dialog", name="Create a deployment")
    dialog.get_by_label("Name").fill("research")
    dialog.get_by_label("Model").fill("gpt-4o")
    _put(call, "research", capacity=10)
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_contain_text("There is a deployment named research already.")
    assert _get(call, "research")["sku"]["capacity"] == 10


def test_wrong_fields_are_said_beside_them(open_page: OpenPage, watch: Watch) -> None:
    """Faults of the form stand at their fields and the first is focused; what only the service knows, it says itself."""
    watch.allow("400")
    page = open_page("/deployments")
    page.get_by_role("button", name="Create deployment").click()
    dialog = page.get_by_role("dialog", name="Create a deployment")
    dialog.get_by_label("Capacity", exact=True).fill("many")
    dialog.get_by_label("SKU").select_option("DataZoneBatch")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_label("Name")).to_be_focused()
    expect(dialog.get_by_role("alert")).to_have_count(3)
    assert faults(page) == []
    dialog.get_by_label("Name").fill("research")
    dialog.get_by_label("Model").fill("nobody-has-this")
    dialog.get_by_label("Capacity", exact=True).fill("1")
    dialog.get_by_label("SKU").select_option("GlobalBatch")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_contain_text("nobody-has-this")
    expect(dialog.get_by_label("Name")).to_have_value("research")


def test_a_deployment_in_use_drains(open_page: OpenPage, call: Caller) -> None:
    """It is shown as draining while its job is open, and goes by itself afterwards."""
    _put(call, "research", capacity=10)
    batch = call.create(chat(2, model="research")).json["id"]
    page = open_page("/deployments")
    card = page.get_by_role("region", name="research", exact=True)
    expect(card.get_by_role("row").last).to_contain_text("2 / 2")
    card.get_by_role("button", name="Delete research").click()
    dialog = page.get_by_role("dialog", name="Delete research?")
    expect(dialog).to_contain_text("One job is open.")
    dialog.get_by_role("button", name="Delete the deployment").click()
    expect(card.get_by_text("Draining")).to_be_visible()
    expect(card.get_by_role("button", name="Edit")).to_have_count(0)
    assert faults(page) == []
    call("POST", f"/batches/{batch}/cancel")
    expect(card).to_have_count(0)


def _put(call: Caller, name: str, *, capacity: int) -> None:
    body = {"sku": {"capacity": capacity}, "properties": {"model": {"format": "OpenAI", "name": "gpt-4o"}}}
    assert call("PUT", f"/deployments/{name}", body).status == 201


def _get(call: Caller, name: str) -> Any:
    return call("GET", f"/deployments/{name}").json


def test_a_deployment_is_paused_tried_and_resumed(open_page: OpenPage, call: Caller) -> None:
    """With a reason that is shown; one that waits for its backend can be tried; what is said is done."""
    call.create(chat(1, model="lost-batch"))
    page = open_page("/deployments")
    card = page.get_by_role("region", name="lost-batch", exact=True)
    expect(card.locator("header .pill.health")).to_have_text("Down")
    card.get_by_role("button", name="Look at once").click()
    expect(page.get_by_text("lost-batch is looked at.")).to_be_visible()
    card.get_by_role("button", name="Pause lost-batch").click()
    dialog = page.get_by_role("dialog", name="Pause lost-batch?")
    dialog.get_by_label("Reason").fill("new weights")
    assert faults(page) == []
    dialog.get_by_role("button", name="Pause", exact=True).click()
    expect(card.locator("header .pill.health")).to_have_text("Paused")
    expect(card).to_contain_text("lost-batch is paused since")
    expect(card).to_contain_text("new weights")
    [status] = [each for each in call("GET", "/deployment_status").json["data"] if each["name"] == "lost-batch"]
    assert status["pause"]["reason"] == "new weights"
    card.get_by_role("button", name="Resume").click()
    expect(card).not_to_contain_text("is paused since")
