"""Pages that are drawn from the code are what the code would draw today, and the rooms import as they may."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from slackwater.cli.demo import questions

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "script",
    ["draw_states.py", "draw_configuration.py", "draw_compatibility.py", "draw_metrics.py", "draw_dashboard.py"],
)
def test_drawn_pages_have_not_drifted(script: str) -> None:
    """Run the script without --check to draw the page again."""
    assert subprocess.run([sys.executable, ROOT / "scripts" / script, "--check"]).returncode == 0


def test_import_contracts() -> None:
    """The arrows of docs/architecture.md hold."""
    lint = Path(sys.executable).parent / "lint-imports"
    checked = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_the_example_is_what_the_demo_asks() -> None:
    """examples/questions.jsonl and the demo's own questions are the same."""
    assert (ROOT / "examples" / "questions.jsonl").read_text("utf-8") == questions()


def test_the_notice_names_what_is_shipped() -> None:
    """Every rank file, with the hash of the original that the script checks; and every trace."""
    notice = (ROOT / "NOTICE").read_text("utf-8")
    script = (ROOT / "scripts" / "make_tokenizer_data.py").read_text("utf-8")
    shipped = sorted((ROOT / "src/slackwater/adapters/work/tokenizers").glob("*.z"))
    assert shipped
    assert all(f"{path.name} " in notice for path in shipped)
    traces = sorted((ROOT / "src/slackwater/adapters/modelled_engine/traces").glob("*.gz"))
    assert traces
    assert all(f"{path.name} " in notice for path in traces)
    hashes = re.findall(r"\b[0-9a-f]{64}\b", notice)
    assert len(hashes) == len(shipped)
    assert all(each in script for each in hashes)
