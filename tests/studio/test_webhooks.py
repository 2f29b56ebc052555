"""Webhooks: added with a secret that is seen once, tried, watched, changed, turned off and deleted."""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from slackwater.core.telling.webhooks import Secret, headers_of
from tests.api.calls import Caller, chat
from tests.api.receiver import Receiver
from tests.server import Server
from tests.studio.conftest import OpenPage, Watch, serve
from tests.studio.looking import faults

pytestmark = pytest.mark.studio

EVERYTHING = ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"]
PHONE = (390, 844)
SHIFTS = """window.shifted = 0; new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifted += entry.value;
}).observe({ type: "layout-shift" })"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that may send to this machine."""
    server = serve(tmp_path, more="[webhooks]\nallow_http = true\nallow_private_addresses = true\n")
    yield server
    server.terminate()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One receiver per test."""
    with Receiver() as receiver:
        yield receiver


def listening(call: Caller, url: str, **changes: Any) -> Any:
    """An endpoint that was added by a program."""
    return call("POST", "/webhook_endpoints", {"name": "ours", "url": url, "event_types": EVERYTHING} | changes).json


def state(page: Page) -> Any:
    """The state of the endpoint whose page it is."""
    return expect(page.locator(".heading .pill"))


def test_from_nothing_to_a_verified_call(open_page: OpenPage, call: Caller, receiver: Receiver) -> None:
    """Add, copy the secret, send a test: the receiver verifies it with what was copied."""
    page = open_page("/webhooks")
    page.locator(".empty").get_by_role("button", name="Add webhook").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Add webhook").click()
    expect(dialog.get_by_role("alert")).to_have_text(["Give it a name.", "Write the URL that is to be called."])
    expect(dialog.get_by_label("Name")).to_be_focused()
    dialog.get_by_label("Name").fill("Nightly")
    dialog.get_by_label("URL").fill(receiver.url())
    for name in ("Completed", "Failed", "Expired", "Cancelled"):
        dialog.get_by_role("checkbox", name=name).uncheck()
    dialog.get_by_role("button", name="Add webhook").click()
    expect(dialog.get_by_role("alert")).to_have_text(["Choose at least one."])
    dialog.get_by_role("checkbox", name="Failed").check()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("heading", name="The secret of Nightly")).to_be_visible()
    assert faults(page) == []
    page.keyboard.press("Escape")
    expect(dialog.get_by_text("You have not copied anything yet.")).to_be_visible()
    dialog.get_by_role("button", name="Copy: Signing secret").click()
    expect(dialog.get_by_text("You have not copied anything yet.")).to_have_count(0)
    secret = page.evaluate("navigator.clipboard.readText()")
    dialog.get_by_role("button", name="Done").click()
    expect(page.get_by_role("heading", name="Nightly", level=1)).to_be_visible()
    (made,) = call("GET", "/webhook_endpoints").json["data"]
    assert (made["url"], made["event_types"]) == (receiver.url(), ["batch.failed"])
    assert secret.endswith(made["signing_secret_hint"][-4:])
    page.get_by_role("button", name="Send a test").click()
    dialog.get_by_role("button", name="Send", exact=True).click()
    expect(dialog.get_by_text("It answered 200.")).to_be_visible()
    assert receiver.next().event(secret).type == "batch.failed"
    dialog.get_by_label("Event").select_option("batch.expired")
    dialog.get_by_role("button", name="Send again").click()
    assert receiver.next().event(secret).type == "batch.expired"


def test_a_url_that_is_refused_says_what_the_operator_can_change(open_page: OpenPage, watch: Watch) -> None:
    """What the service's rules refuse is said at the field, in the words of the rule; what was typed stays."""
    watch.allow("400")
    page = open_page("/webhooks?add=yes")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Nightly")
    dialog.get_by_label("URL").fill("https://169.254.169.254/batches")
    dialog.get_by_role("button", name="Add webhook").click()
    expect(dialog.get_by_role("alert")).to_contain_text("webhooks are not sent there")
    expect(dialog.get_by_label("URL")).to_be_focused()
    expect(dialog.get_by_label("URL")).to_have_value("https://169.254.169.254/batches")


def test_failing_and_well_again(open_page: OpenPage, call: Caller, receiver: Receiver, watch: Watch) -> None:
    """The page says that calls fail, why, and when the next try is; when the receiver works again, one click sends them."""
    receiver.statuses["/hook"] = 503
    endpoint = listening(call, receiver.url())
    batch_id = call.create(chat(1)).json["id"]
    page = open_page("/webhooks")
    row = page.get_by_role("row", name="ours")
    expect(row).to_contain_text("Failing")
    expect(row).to_contain_text("It answered 503.")
    row.get_by_role("link", name="ours").click()
    expect(page.get_by_role("region", name="State")).to_contain_text("answered with status 503")
    delivery = page.get_by_role("row", name=batch_id)
    expect(delivery).to_contain_text("Will be tried again")
    expect(delivery).to_contain_text("503")
    expect(delivery.get_by_role("cell").nth(4)).to_contain_text(re.compile("soon|in "))
    assert faults(page) == []
    receiver.statuses.clear()
    page.evaluate(SHIFTS)
    page.get_by_role("button", name="Try now").click()
    expect(delivery).to_contain_text("Delivered")
    expect(page.get_by_role("region", name="State")).to_contain_text("The last call was taken.")
    assert page.evaluate("window.shifted") < 0.01
    state(page).to_have_text("Active")
    delivery.get_by_role("link", name="job").click()
    expect(page).to_have_url(re.compile(f"/studio/batches/{batch_id}$"))
    assert call("GET", f"/webhook_endpoints/{endpoint['id']}").json["status"] == "active"


def test_a_test_that_goes_wrong_says_what_that_means(
    open_page: OpenPage, call: Caller, receiver: Receiver, watch: Watch
) -> None:
    """An answer that is no yes, and no answer at all, each with what to look at."""
    watch.allow("400")
    receiver.statuses["/hook"] = 404
    page = open_page(f"/webhooks/{listening(call, receiver.url())['id']}")
    page.get_by_role("button", name="Send a test").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Send", exact=True).click()
    expect(dialog.get_by_text("It answered 404.")).to_be_visible()
    expect(dialog.get_by_text("There is nothing at this path.")).to_be_visible()
    page = open_page(f"/webhooks/{listening(call, 'http://127.0.0.1:9/')['id']}")
    page.get_by_role("button", name="Send a test").click()
    page.get_by_role("dialog").get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("There was no answer.")
    expect(page.get_by_role("alert")).to_contain_text("Is the receiver running")


def test_off_changed_while_off_and_on(open_page: OpenPage, call: Caller, receiver: Receiver) -> None:
    """What is turned off stays off while it is changed, and is on again with one click."""
    endpoint = listening(call, receiver.url())
    page = open_page(f"/webhooks/{endpoint['id']}")
    page.get_by_role("button", name="Turn off").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("are not announced to it")
    dialog.get_by_role("button", name="Turn off").click()
    state(page).to_have_text("Turned off")
    page.get_by_role("button", name="Change").click()
    dialog.get_by_label("Name").fill("theirs")
    dialog.get_by_label("URL").fill(receiver.url("/other"))
    expect(dialog.get_by_text("The secret stays as it is")).to_be_visible()
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="theirs", level=1)).to_be_visible()
    state(page).to_have_text("Turned off")
    page.get_by_role("button", name="Turn on").click()
    state(page).to_have_text("Active")
    shown = call("GET", f"/webhook_endpoints/{endpoint['id']}").json
    assert (shown["name"], shown["url"], shown["status"]) == ("theirs", receiver.url("/other"), "active")


def test_a_receiver_that_wants_nothing_more(open_page: OpenPage, call: Caller, receiver: Receiver) -> None:
    """410 turns an endpoint off; the page says that it was the receiver, and how to undo it."""
    receiver.statuses["/hook"] = 410
    endpoint = listening(call, receiver.url())
    call.ended(call.create(b"{}\n").json["id"])
    receiver.next()
    page = open_page(f"/webhooks/{endpoint['id']}")
    state(page).to_have_text("Off: it said 410")
    expect(page.get_by_role("row").filter(has_text="410")).to_contain_text("Given up")
    expect(page.get_by_text("turn the webhook on again")).to_be_visible()


@pytest.mark.parametrize("keep", [True, False])
def test_a_new_secret(open_page: OpenPage, call: Caller, receiver: Receiver, keep: bool) -> None:
    """Calls are signed with the new one; with the old one as well only where that was chosen."""
    endpoint = listening(call, receiver.url())
    page = open_page(f"/webhooks/{endpoint['id']}", size=PHONE)
    page.get_by_role("button", name="Rotate secret").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name="Keep it" if keep else "End it at once").check()
    dialog.get_by_role("button", name="Make a new secret").click()
    secret = dialog.get_by_label("Signing secret", exact=True).input_value()
    dialog.get_by_role("button", name="Done").click()
    dialog.get_by_role("button", name="Close without a copy").click()
    expect(page.get_by_text(f"whsec_...{secret[-4:]}")).to_be_visible()
    call("POST", f"/webhook_endpoints/{endpoint['id']}/test", {"event_type": "batch.failed"})
    sent = receiver.next()
    assert sent.event(secret).type == "batch.failed"
    assert len(sent.headers["webhook-signature"].split()) == (2 if keep else 1)


def test_deleting(open_page: OpenPage, call: Caller, receiver: Receiver) -> None:
    """Nothing goes without a question; afterwards its address says that it is gone, and leads on."""
    endpoint = listening(call, receiver.url())
    page = open_page(f"/webhooks/{endpoint['id']}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Not now").click()
    assert call("GET", f"/webhook_endpoints/{endpoint['id']}").status == 200
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Nobody is told yet")).to_be_visible()
    assert call("GET", "/webhook_endpoints").json["data"] == []


def test_a_link_to_what_is_gone(open_page: OpenPage, watch: Watch) -> None:
    """It is said, with the way on."""
    watch.allow("404")
    page = open_page("/webhooks/whe_gone")
    expect(page.get_by_text("This webhook is not here")).to_be_visible()
    page.get_by_role("link", name="Show all webhooks").click()
    expect(page.get_by_text("Nobody is told yet")).to_be_visible()


def test_many_deliveries(open_page: OpenPage, call: Caller, receiver: Receiver) -> None:
    """A page of them is shown, newest first, and the rest on demand."""
    endpoint = listening(call, receiver.url())
    ids = [call.create(b"{}\n").json["id"] for _ in range(23)]
    for _ in ids:
        receiver.next()
    page = open_page(f"/webhooks/{endpoint['id']}")
    rows = page.locator(".deliveries tbody tr")
    expect(rows).to_have_count(20)
    page.get_by_role("button", name="Load more").click()
    expect(rows).to_have_count(23)
    assert call("GET", f"/webhook_endpoints/{endpoint['id']}/deliveries", query="limit=1").json["has_more"]


def test_the_receiver_that_is_shown_runs(open_page: OpenPage, call: Caller, receiver: Receiver, tmp_path: Path) -> None:
    """The code takes what was signed with the secret, says what it is, and refuses what was not."""
    endpoint = listening(call, receiver.url())
    page = open_page(f"/webhooks/{endpoint['id']}")
    page.get_by_role("button", name="How to verify calls").click()
    code = page.get_by_role("region", name="A receiver in Python").inner_text()
    # One call on any free port, and said which.
    code = code.replace("HTTPServer((", "server = HTTPServer((").replace(".serve_forever()", "")
    code += "\nprint(server.server_port, flush=True)\nserver.handle_request()\nserver.server_close()\n"
    (tmp_path / "receiver.py").write_text(code)
    environment = os.environ | {"WEBHOOK_SECRET": endpoint["signing_secret"], "PORT": "0"}
    for secret, wanted in ((endpoint["signing_secret"], 204), ("whsec_AAAA", 400)):
        command = [sys.executable, str(tmp_path / "receiver.py")]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            call("POST", f"/webhook_endpoints/{endpoint['id']}/test", {"event_type": "batch.failed"})
            sent = receiver.next()
            moment = int(sent.headers["webhook-timestamp"])
            headers = headers_of(sent.id, sent.body, [Secret(text=secret)], now=moment)
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", sent.body, headers, method="POST")
            try:
                status = urllib.request.urlopen(request, timeout=30).status
            except urllib.error.HTTPError as error:
                status = error.code
            assert status == wanted
            assert process.stdout.read() == ("batch.failed batch_test\n" if wanted == 204 else "")


class TestTurnedOff:
    """The operator wants no webhooks any more; one was there before."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Server]:
        """A server that was started again with webhooks turned off."""
        before = serve(tmp_path)
        listening(Caller(before, "azure-v1"), "https://receiver.invalid/hook")
        before.terminate()
        server = serve(tmp_path, more="[webhooks]\nenabled = false\n")
        yield server
        server.terminate()

    def test_it_is_said_with_the_setting_that_turns_them_on(self, open_page: OpenPage) -> None:
        """The page stays where it was, shows what there is, and adds nothing; what is there can still be deleted."""
        page = open_page("/")
        page.get_by_role("navigation").get_by_role("link", name="Webhooks").click()
        expect(page.get_by_text("Webhooks are turned off on this service.")).to_be_visible()
        expect(page.get_by_role("region", name="The setting")).to_have_text("[webhooks]\nenabled = true")
        expect(page.get_by_role("button", name="Add webhook")).to_be_disabled()
        assert faults(page) == []
        page.get_by_role("link", name="ours").click()
        expect(page.get_by_role("region", name="State")).to_contain_text("Nothing is sent.")
        for name in ("Send a test", "Change", "Rotate secret", "Turn off"):
            expect(page.get_by_role("button", name=name)).to_be_disabled()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("heading", name="Webhooks", level=1)).to_be_visible()
        expect(page.locator(".webhooks")).to_have_count(0)
