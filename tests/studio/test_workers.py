"""A server that leaves the sending to workers: what its pages say while there are none, and when there are some."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.api.calls import Caller, chat
from tests.postgresql import Databases
from tests.server import Server
from tests.studio.conftest import CONFIG, OpenPage
from tests.studio.looking import faults

pytestmark = [pytest.mark.studio, pytest.mark.postgresql]


@pytest.fixture
def server(tmp_path: Path, postgresql: Databases) -> Iterator[Server]:
    """One that sends nothing."""
    config = tmp_path / "slackwater.toml"
    config.write_text(f'[server]\ndatabase = "{postgresql.new(template="template1")}"\n{CONFIG}')
    options = ("--port", "0", "--no-sending")
    server = Server(config, tmp_path / "data", tmp_path / "server.log", options=options)
    yield server
    server.terminate()


def test_nobody_sends(open_page: OpenPage, call: Caller, server: Server, tmp_path: Path) -> None:
    """The deployment and its job say so, and what to do; both go on when a worker comes, and the figures are the worker's."""
    job = call.create(chat(200, model="slow-batch")).json["id"]
    page = open_page("/deployments")
    card = page.get_by_role("region", name="slow-batch", exact=True)
    expect(card).to_contain_text("slow-batch has nobody who sends for it since")
    expect(card).to_contain_text("start 'slackwater worker' for it")
    expect(card.locator("header")).to_contain_text("Down")
    assert faults(page) == []
    of_job = open_page(f"/batches/{job}")
    expect(of_job.get_by_role("status").first).to_contain_text("has nobody who sends for it")
    words = ("slackwater", "worker")
    worker = Server(
        tmp_path / "slackwater.toml",
        server.data,
        tmp_path / "worker.log",
        module=words,
        options=("--listen", "127.0.0.1:0"),
    )
    try:
        expect(card).not_to_contain_text("nobody who sends")
        expect(card.locator("tbody")).to_contain_text("2 / 2")
        expect(of_job.get_by_text("has nobody who sends for it")).to_have_count(0)
    finally:
        worker.kill()
