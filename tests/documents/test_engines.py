"""docs/engines: each page's configuration loads, its runs run, and it says what was tried."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from slackwater.cli import main
from tests.cli.scripted import Call, Reply, scripted
from tests.documents.reading import ROOT, commands, unknown_options

PAGES = sorted((ROOT / "docs" / "engines").glob("*.md"))
TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADINGS = ["A table, or a file of requests", "A server for a team", "How many at once, and who goes first",
            "Structured output", "Embeddings", "Good to know"]  # fmt: skip
KEYS = {"OPENAI_API_KEY": "a-key", "AZURE_OPENAI_API_KEY": "a-key"}


def engine(call: Call) -> Reply:
    """What an engine answers to chats and embeddings; it has no metrics page."""
    if call.method == "GET":
        return Reply.of({"error": {"message": "no such page"}}, 404)
    assert json.loads(call.body)["model"]
    if call.path.endswith("/embeddings"):
        return Reply.of({"data": [{"index": 0, "embedding": [0.5, 0.25]}], "usage": {"prompt_tokens": 2}})
    message = {"role": "assistant", "content": "yes"}
    return Reply.of({"choices": [{"index": 0, "message": message}], "usage": {"prompt_tokens": 2}})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From top to bottom, at an engine that answers as they all do."""
    monkeypatch.chdir(tmp_path)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    text = page.read_text("utf-8")
    assert re.search(r"^\*\*(Tried|Not tried here)\*\*", text, re.MULTILINE), "it says at its top what was tried"
    assert [each for each in re.findall(r"^## (.+)$", text, re.MULTILINE) if each != "Start it"] == HEADINGS
    configs = TOML.findall(text)
    assert configs
    for config in configs:
        Path("slackwater.toml").write_text(config)
        checked = CliRunner().invoke(main, ["check-config", "slackwater.toml"])
        assert checked.exit_code == 0, checked.output
    Path("reviews.csv").write_text("id,text\n1,It was late.\n2,It was good.\n")
    Path("texts.csv").write_text("title,body\nTides,They turn.\n")
    runs = [each.text for each in commands(page) if each.text.startswith("slackwater run ")]
    assert len(runs) >= 2
    with scripted(engine) as server:
        for told in runs:
            assert not unknown_options(told), told
            words = shlex.split(told)
            if words[2] == "questions.jsonl":
                # README's is run, in test_command_lines.py.
                continue
            words[words.index("--backend") + 1] = f"{server.url}/v1"
            ran = CliRunner().invoke(main, [*words[1:], "--quiet"])
            assert ran.exit_code == 0, told + ran.output
    assert Path("answered.csv").read_text().splitlines()[1].startswith("1,It was late.,yes")
    embeds = any("--endpoint embeddings" in told for told in runs)
    assert embeds == ("It has none: chats" not in text)
    assert not embeds or "[0.5,0.25]" in Path("vectors.jsonl").read_text()
