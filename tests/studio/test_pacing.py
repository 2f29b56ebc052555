"""How engines are paced, on the page of deployments: now in numbers and words, and what became of it as a picture and a table."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.api.calls import Caller, chat
from tests.server import Server
from tests.studio.conftest import OpenPage, serve
from tests.studio.looking import faults
from tests.system.test_sim_engine import sim_engine

pytestmark = pytest.mark.studio

LOOKS_SECONDS = 3.0
MORE = """
[[deployments]]
name = "paced-batch"
[[deployments.backends]]
url = "{url}/v1"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One in a later life, with an engine that has online users; a gentle stop has written down what those before saw."""
    with sim_engine("--online", "poisson:4.0", scale=10) as engine:
        server = serve(tmp_path, more=MORE.format(url=engine.url))
        call = Caller(server, "azure-v1")
        call.create(chat(60_000, model="paced-batch"))
        deadline = time.monotonic() + 90
        while not _written(call):
            # It is looked at once a second, and a life of less leaves nothing.
            since = None
            while since is None or time.monotonic() - since < LOOKS_SECONDS:
                assert time.monotonic() < deadline
                since = since or (time.monotonic() if _felt(call) else None)
            assert server.terminate() == 0
            server = serve(tmp_path, more=MORE.format(url=engine.url))
            call = Caller(server, "azure-v1")
        yield server
        server.kill()


def _felt(call: Caller) -> bool:
    """Whether others have been there, and what they felt is known."""
    [found] = [each for each in call("GET", "/deployment_status").json["data"] if each["name"] == "paced-batch"]
    pacing = found["backends"][0]["pacing"]
    return pacing["slower"] is not None and bool(pacing["others"])


def _written(call: Caller) -> bool:
    """Whether the history has what others felt."""
    [engine] = call("GET", "/deployment_status/paced-batch/history").json["engines"]
    return any(each["pacing"]["shared_seconds"] for each in engine["data"])


def test_now_and_the_last_day(open_page: OpenPage) -> None:
    """Beside online users there is what the pace goes by; the picture has a name that says it, and a table; all fits a phone."""
    page = open_page("/deployments?search=paced-batch")
    card = page.get_by_role("region", name="paced-batch", exact=True)
    row = card.get_by_role("region", name="Pacing of paced-batch").get_by_role("row").last
    expect(row).to_contain_text("gentle")
    expect(row.get_by_text(re.compile(r"^\d+\.\d ms$"))).to_have_count(3)
    expect(row.locator(".pacing-now")).to_have_text(
        re.compile("more is sent|less is sent|Nothing new is sent|takes all")
    )
    picture = card.get_by_role(
        "img", name=re.compile(r"a step took [\d.]+ ms on average, and would have taken [\d.]+ ms")
    )
    expect(picture).to_be_visible()
    expect(picture.locator("rect.batch")).not_to_have_count(0)
    card.get_by_text("As a table").click()
    table = card.get_by_role("region", name=re.compile("by the hour"))
    expect(table).to_contain_text(re.compile(r"[\d.]+ ms"))
    # The choice stays while figures arrive.
    card.get_by_label("What is shown of paced-batch").select_option("Last hour")
    expect(picture.locator("path.now")).to_have_count(1)
    assert faults(page) == []
    page.set_viewport_size({"width": 390, "height": 860})
    expect(picture).to_be_visible()
    assert faults(page) == []


def test_who_is_not_paced(open_page: OpenPage) -> None:
    """It is said in a line, and what became of the engine is drawn where it is alone, or for whoever opens it."""
    page = open_page("/deployments?search=slow-batch")
    card = page.get_by_role("region", name="slow-batch", exact=True)
    expect(card).to_contain_text("Not paced: the engine has no metrics page")
    expect(card.get_by_role("img", name=re.compile("no online users were seen beside batches"))).to_be_visible()
    # Nobody sees a step of it, so there is no room for one.
    expect(card.get_by_text("Step, ms")).to_have_count(0)
    expect(card.locator(".picture-legend")).not_to_contain_text("Step")
    assert faults(page) == []
    card.get_by_text("Throughput, requests out and states").click()
    expect(card.locator(".engine-picture")).to_have_count(0)
    page.get_by_label("Search deployments").fill("batch")
    other = page.get_by_role("region", name="demo-batch", exact=True)
    expect(other.get_by_text("Throughput, requests out and states")).to_be_visible()
    expect(other.locator(".engine-picture")).to_have_count(0)
