"""A batch at `gentle` beside users of a real vLLM: every line is answered, and the engine is paced by what its page says."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.vllm.arms import write_batch
from benchmarks.vllm.engine import MODEL, Engine
from benchmarks.vllm.online import asks, open_session, play

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]
LINES = 150


def test_a_batch_beside_users(engine: Engine, model: Path, tmp_path: Path) -> None:
    """`slackwater run` ends with 0 and an answer to each line, of the length that was asked for; no user is refused."""
    words = json.loads((model / "words.json").read_text())
    batch = write_batch(tmp_path / "in.jsonl", words, seed=1, lines=LINES, model=MODEL)
    command = [sys.executable, "-m", "slackwater", "run", "in.jsonl", "-o", "out.jsonl", "--backend", engine.base_url]

    async def story() -> tuple[int, list[str]]:
        async with open_session() as session:
            coming = asks(words, rate=2.0, seconds=10.0, seed=5)
            process = await asyncio.create_subprocess_exec(*command, "--pace", "gentle", "-q", cwd=tmp_path)
            users = await play(session, engine.base_url, coming, salt="users", felt_from=0.0)
            return await process.wait(), users.failed

    assert asyncio.run(story()) == (0, [])
    asked = {line["custom_id"]: line["body"] for line in map(json.loads, batch.read_text().splitlines())}
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(answer["custom_id"] for answer in answers) == sorted(asked)
    for answer in answers:
        assert answer["response"]["status_code"] == 200
        usage = answer["response"]["body"]["usage"]
        assert usage["completion_tokens"] == asked[answer["custom_id"]]["max_tokens"]


def test_what_is_left_when_it_is_interrupted(engine: Engine, model: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle of it, and the same command again: each line is answered once."""
    words = json.loads((model / "words.json").read_text())
    write_batch(tmp_path / "in.jsonl", words, seed=2, lines=LINES, model=MODEL)
    command = [sys.executable, "-m", "slackwater", "run", "in.jsonl", "-o", "out.jsonl", "--backend", engine.base_url]
    first = subprocess.Popen([*command, "--follow"], cwd=tmp_path, stdout=subprocess.PIPE)
    assert first.stdout is not None
    first.stdout.readline()
    first.send_signal(2)
    first.stdout.read()
    assert first.wait(60) == 130
    again = subprocess.run([*command, "-q"], cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(answer["custom_id"] for answer in answers) == sorted(f"r-{number}" for number in range(LINES))
