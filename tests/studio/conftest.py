"""A server of the real thing, and pages of it in Chromium that fail a test whenever the browser complains."""

import os
import shutil
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.api.calls import Caller
from tests.server import Server

CONFIG = """
[[prices]]
model = "*"
currency = "USD"
input = "2.50"
output = "10.00"
[[deployments]]
name = "demo-batch"
enqueued_token_limit = 50000
[[deployments.backends]]
echo = {}
concurrency = 8
[[deployments]]
name = "slow-batch"
[[deployments.backends]]
echo = { latency_seconds = 0.4 }
concurrency = 2
[[deployments]]
name = "stuck-batch"
[[deployments.backends]]
echo = { hang_rate = 1.0 }
concurrency = 2
[[deployments]]
name = "broken-batch"
[[deployments.backends]]
echo = { refusal_rate = 1.0 }
concurrency = 2
attempts = 1
[[deployments]]
name = "shaky-batch"
[[deployments.backends]]
echo = { error_rate = 0.5, latency_seconds = 0.3 }
concurrency = 2
attempts = 1
"""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESK = (1360, 860)
# Long enough for a machine that is busy with other tests.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, once for all tests of a process."""
    path = os.environ.get("SLACKWATER_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert path is not None, "Chromium is needed: install it, or name it with SLACKWATER_CHROMIUM=/path/to/chromium"
    # Chromium's sandbox does not work for root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()


def serve(directory: Path, *, more: str = "", environment: dict[str, str] | None = None) -> Server:
    """A server in a directory."""
    config = directory / "slackwater.toml"
    config.write_text(more + CONFIG)
    return Server(config, directory / "data", directory / "server.log", environment)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One that anybody may use."""
    server = serve(tmp_path)
    yield server
    server.terminate()


@pytest.fixture
def call(server: Server) -> Caller:
    """The API of the server, as a program uses it."""
    return Caller(server, "azure-v1")


class Watch:
    """What the browser complains of. `allow` is for what a test provokes."""

    def __init__(self, address: str) -> None:
        self.complaints: list[str] = []
        self._address = address
        self._allowed: list[str] = []

    def allow(self, *texts: str) -> None:
        """Complaints that contain one of these are no fault of the page."""
        self._allowed += texts

    def watch(self, page: Page) -> None:
        """Listens to a page: errors on its console (violations of its policy are among them), and calls of other hosts."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"{error.name}: {error.message}"))
        page.on("request", self._request)

    def unexpected(self) -> list[str]:
        """What is left of them."""
        return [each for each in self.complaints if not any(text in each for text in self._allowed)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        parts = urllib.parse.urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self._address:
            self.complaints.append(f"a call of another host: {request.url[:200]}")


@pytest.fixture
def watch(server: Server) -> Iterator[Watch]:
    """Fails the test where the browser complained."""
    watch = Watch(server.address)
    yield watch
    assert watch.unexpected() == []


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, server: Server, watch: Watch) -> Iterator[OpenPage]:
    """Opens a path of Studio in a browser profile of its own."""
    contexts = []

    def opened(path: str = "", *, theme: str = "light", size: tuple[int, int] = DESK) -> Page:
        context = browser.new_context(
            base_url=f"http://{server.address}",
            color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": size[0], "height": size[1]},
            accept_downloads=True,
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        watch.watch(page)
        page.goto(f"/studio{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
