"""The first page of a service that was started with nothing: three ways to somebody who answers, and what a program needs."""

import contextlib
import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from slackwater.wiring.find_engine import WELL_KNOWN
from tests.api.calls import Caller
from tests.odd_engine import OddEngine, answered, odd_engine
from tests.server import Server
from tests.studio.conftest import OpenPage, Watch
from tests.studio.looking import faults

pytestmark = pytest.mark.studio

PHONE = (390, 844)


class Bare(Server):
    """`slackwater serve` without a configuration."""

    def __init__(self, place: Path) -> None:
        self.data = place / "data"
        command = [sys.executable, "-m", "slackwater", "serve", "--data", str(self.data), "--port", "0"]
        with (place / "server.log").open("ab") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=place)
        assert self.process.stdout is not None
        greeting = self.process.stdout.readline()
        self.address = next(word for word in greeting.split() if word.startswith("http://")).rstrip(",").split("/")[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One that anybody on this machine may use."""
    server = Bare(tmp_path)
    yield server
    server.terminate()


@pytest.fixture
def engine() -> Iterator[OddEngine]:
    """One on a port where people usually have one; which of them is free is luck."""
    with contextlib.ExitStack() as stack:
        for port in (1234, 30000, 11434, 8000):
            assert port in WELL_KNOWN
            try:
                engine = stack.enter_context(odd_engine(answered("llama3.2"), port=port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            yield engine
            return
        pytest.skip("every usual port is taken")


def test_from_nothing_to_a_job_on_an_engine_of_this_machine(
    open_page: OpenPage, call: Caller, engine: OddEngine, watch: Watch, tmp_path: Path
) -> None:
    """Look, use, add, deploy, create: no file is written by hand, and the snippet has what this service needs."""
    page = open_page()
    expect(page.get_by_role("heading", name="Who is to answer?")).to_be_visible()
    expect(page.get_by_role("region", name="By program").first).to_contain_text('"model": "demo-batch"')
    page.get_by_role("button", name="Look for one").click()
    page.get_by_role("button", name=f"Use {engine.url}").click()
    dialog = page.get_by_role("dialog", name="Add an engine")
    expect(dialog.get_by_label("URL")).to_have_value(engine.url)
    # Keys cannot be stored without a key to seal them with, and what to set is said.
    expect(dialog).to_contain_text("openssl rand -base64 32")
    dialog.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Create deployment").click()
    expect(page.get_by_text("llama3.2 is ready.")).to_be_visible()
    snippet = page.get_by_role("region", name="Python")
    expect(snippet).to_contain_text('"model": "llama3.2"')
    expect(snippet).to_contain_text(f"http://{server_of(page.url)}/openai/v1")
    assert faults(page) == []
    page.screenshot(path=tmp_path / "first.png", full_page=True)
    page.get_by_role("button", name="Copy: Python").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    answer = subprocess.run([sys.executable, "-c", copied], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    batch = call.ended(answer.stdout.strip())
    assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", 1)
    expect(page.locator("a.job-link").first).to_be_visible()
    expect(page.get_by_role("heading", name="Who is to answer?")).to_have_count(0)


def server_of(url: str) -> str:
    """Host and port of a page."""
    return url.split("/")[2]


def test_nobody_is_found_and_the_echo_is_tried(open_page: OpenPage, tmp_path: Path) -> None:
    """On a phone, too; the words say what to do next."""
    page = open_page(theme="dark", size=PHONE)
    expect(page.get_by_role("heading", name="Who is to answer?")).to_be_visible()
    assert faults(page) == []
    page.screenshot(path=tmp_path / "first-phone.png", full_page=True)
    page.get_by_role("link", name="Try a job with it").click()
    page.get_by_role("button", name="Use an example with five questions").click()
    expect(page.get_by_text("No faults in 5 requests.")).to_be_visible()
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator(".heading .pill")).to_have_text("Completed")
