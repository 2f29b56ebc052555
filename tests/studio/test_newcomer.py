"""The first five minutes: from the demo to a job of one's own, by what the pages say and nothing else."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

pytestmark = pytest.mark.studio

# A file as somebody has it who wrote it for another service.
LINES = [
    {
        "custom_id": name,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]},
    }
    for name, text in (("mine-1", "What is a tide?"), ("mine-2", "What is slack water?"))
]
CLICKS_MOST = 5
# What `make demo` runs.
QUESTIONS = Path(__file__).parent.parent.parent / "examples" / "questions.jsonl"


def test_from_the_demo_to_a_job_of_ones_own(browser: Browser, tmp_path: Path) -> None:
    """The demo prints an address. Behind it, five clicks make a finished job of a file that names a model of elsewhere."""
    own = tmp_path / "own.jsonl"
    own.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    demo = subprocess.Popen(
        [sys.executable, "-m", "slackwater", "demo", str(QUESTIONS), "--studio"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    try:
        address = next(found for line in demo.stdout if (found := re.search(r"http://\S+/studio/\S*", line))).group()
        page = browser.new_context().new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        clicks = 0

        def click(target: Locator) -> None:
            nonlocal clicks
            clicks += 1
            target.click()

        page.goto(address)
        expect(page.get_by_text("Completed").first).to_be_visible()
        click(page.get_by_role("link", name="Batch jobs").first)
        click(page.get_by_role("link", name="Create batch job").first)
        with page.expect_file_chooser() as chooser:
            click(page.locator("label").filter(has_text=re.compile("[Cc]hoose")).first)
        chooser.value.set_files(own)
        expect(page.get_by_text("model_not_found")).to_be_visible()
        click(page.get_by_role("button", name="Change and check"))
        expect(page.get_by_text("No faults in 2 requests.")).to_be_visible()
        click(page.get_by_role("button", name="Create", exact=True))
        expect(page.get_by_text("2 of 2 requests done")).to_be_visible()
        expect(page.get_by_text("mine-2")).to_be_visible()
        assert clicks <= CLICKS_MOST
        assert complaints == []
    finally:
        demo.terminate()
        demo.wait(30)
