"""The pages for operators: every command of ours that they show is one that the command line takes."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from slackwater.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = ("docs/operating.md", "docs/upgrading.md")


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page(page: str) -> None:
    """Each command exists, and has the options that are given to it."""
    text = (ROOT / page).read_text("utf-8").replace("\\\n", " ")
    shown = re.findall(r"(?:^    |`|-- |/bin/)slackwater ([a-z][^`\n|]*)", text, re.MULTILINE)
    assert shown
    known: dict[str, str] = {}
    for line in shown:
        name, *words = shlex.split(line.split(" 2>&1")[0])
        assert name in COMMANDS, line
        if name not in known:
            command = [sys.executable, "-m", "slackwater", name, "--help"]
            known[name] = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
        options = [word for word in words if word.startswith("--")]
        # Commands of groups have options of their own.
        if "Commands:" not in known[name]:
            assert [option for option in options if option not in known[name]] == [], line


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page(page: str) -> None:
    """What it points to is there."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text("utf-8"))
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert missing == []
