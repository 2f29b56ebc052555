"""What an open page costs the server, and how soon it can be used: `python benchmarks/studio_page.py` (needs Chromium).

A job of 100,000 lines runs at about 100 requests a second. In turns, nobody looks, and Studio's page of the job is open in
Chromium. The difference of the server's CPU is the page's. Then the list of jobs is opened in fresh browser profiles.
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

from harness import chat_input, median, mock_backend
from playwright.sync_api import sync_playwright
from service import Service, service

LINES = 100_000
LATENCY_MS, CONCURRENCY = 800, 80
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def cpu_seconds(process: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share(server: Service, seconds: float) -> float:
    """Per cent of a core that the server uses for so long."""
    begun, before = time.monotonic(), cpu_seconds(server.process.pid)
    time.sleep(seconds)
    return 100 * (cpu_seconds(server.process.pid) - before) / (time.monotonic() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    path = os.environ.get("SLACKWATER_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert path is not None, "Chromium is needed: install it, or name it with SLACKWATER_CHROMIUM=/path/to/chromium"
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with (
        tempfile.TemporaryDirectory() as folder,
        mock_backend(latency_ms=LATENCY_MS, core=None) as url,
        service(Path(folder), url, concurrency=CONCURRENCY) as server,
        sync_playwright() as playwright,
    ):
        batch = server.create(server.upload(chat_input(Path(folder) / "in.jsonl", LINES, model="bench")))
        while server.call("GET", f"/batches/{batch}")["status"] != "in_progress":
            time.sleep(0.2)
        browser = playwright.chromium.launch(executable_path=path, args=sandbox)
        alone: list[float] = []
        watched: list[float] = []
        for _ in range(args.rounds):
            alone.append(share(server, args.seconds))
            page = browser.new_page()
            page.goto(f"http://{server.address}/studio/batches/{batch}")
            page.get_by_text("requests done").first.wait_for()
            watched.append(share(server, args.seconds))
            page.close()
        views: list[float] = []
        for _ in range(2 * args.rounds):
            context = browser.new_context()
            page, begun = context.new_page(), time.monotonic()
            page.goto(f"http://{server.address}/studio")
            page.get_by_text("in.jsonl").first.wait_for()
            views.append(time.monotonic() - begun)
            context.close()
        browser.close()
    cost = median(watched) - median(alone)
    print(f"server, nobody looking: {median(alone):.2f} % of a core")
    print(f"server, page open:      {median(watched):.2f} % of a core")
    print(f"the page:               {cost:.2f} % of a core (wanted: under 1)")
    print(f"first view, median:     {median(views):.2f} s (wanted: under 1)")


if __name__ == "__main__":
    main()
