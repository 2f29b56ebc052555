"""What Studio says when the service does not answer."""

import pytest
from playwright.sync_api import expect

from tests.api.calls import Caller, chat
from tests.studio.conftest import OpenPage, Watch

pytestmark = pytest.mark.studio


def test_a_lost_connection_is_said_and_found_again(open_page: OpenPage, call: Caller, watch: Watch) -> None:
    """A banner says that nothing new arrives and what happens next; what was there stays; it goes when the service answers."""
    watch.allow("ERR_INTERNET_DISCONNECTED")
    batch_id = call.create(chat(2)).json["id"]
    page = open_page()
    row = page.get_by_role("row", name=batch_id)
    expect(row.get_by_text("Completed")).to_be_visible()
    page.context.set_offline(True)
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text("Connection lost, trying again")
    expect(row).to_be_visible()
    page.context.set_offline(False)
    page.get_by_role("button", name="Try now").click()
    expect(banner).to_have_count(0)


def test_a_hidden_tab_asks_for_nothing(open_page: OpenPage, call: Caller) -> None:
    """While the tab is not seen there are no calls; when it is seen again, the page is brought up to date."""
    page = open_page()
    page.clock.install()
    page.reload()
    expect(page.get_by_text("No batch jobs yet")).to_be_visible()
    turn = """state => {
      Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }"""
    page.evaluate(turn, "hidden")
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.url))
    page.clock.run_for(60_000)
    assert calls == []
    batch_id = call.create(chat(1)).json["id"]
    page.evaluate(turn, "visible")
    expect(page.get_by_role("row", name=batch_id)).to_be_visible()
