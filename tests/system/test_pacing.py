"""`slackwater run` beside online users of a modelled engine: what they feel of it at each pace, and what it gets without them."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.system.test_sim_engine import SimEngine, sim_engine

# So many answers of online users are looked at.
ANSWERS = 150
SCALE = 10
# More than is done while anybody looks.
LINES = 60_000


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Requests with prompts that have nothing in common, and answers of some hundred tokens."""
    path = tmp_path_factory.mktemp("pacing") / "questions.jsonl"
    with path.open("w") as file:
        for number in range(LINES):
            messages = [{"role": "user", "content": f"word {number} " * 80}]
            body = {"model": "a100-8b", "max_tokens": 128, "messages": messages}
            line = {"custom_id": f"{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")
    return path


@contextmanager
def running(engine: SimEngine, questions: Path, output: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """A run against the engine, ended gently."""
    command = [sys.executable, "-m", "slackwater", "run", str(questions), "-o", str(output), *options]
    process = subprocess.Popen(
        [*command, "--backend", f"{engine.url}/v1"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
        assert process.poll() is None, process.communicate()[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def felt(questions: Path, scratch: Path, pace: str | None) -> tuple[float, float]:
    """The median time per token of online users beside a run at a pace, or alone; and the tokens that the engine has made."""
    with sim_engine("--online", "azure-conv:3.0", scale=SCALE) as engine:

        def report() -> dict[str, Any]:
            report: dict[str, Any] = json.loads(engine.get(f"/sim/online?after={ANSWERS}"))
            assert report["lost"] == 0
            return report

        if pace is None:
            found = report()
        else:
            with running(engine, questions, scratch / f"{pace}.jsonl", "--pace", pace):
                found = report()
        return found["tpot_seconds"]["p50"], engine.metrics()["vllm:generation_tokens_total"]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_what_online_users_feel(questions: Path, tmp_path: Path) -> None:
    """At `gentle` their tokens come nearly as fast as without the batch, and at `fixed` they do not; both get work done."""
    alone, _ = felt(questions, tmp_path, None)
    gentle, done = felt(questions, tmp_path, "gentle")
    fixed, done_fixed = felt(questions, tmp_path, "fixed")
    assert fixed > 1.3 * alone
    assert gentle - alone < 0.6 * (fixed - alone)
    assert done_fixed > done
    # Online users have had some 211 tokens each.
    assert done > ANSWERS * 211 * 1.2


@pytest.mark.timeout(120)
def test_what_it_gets_without_others(questions: Path, tmp_path: Path) -> None:
    """Nobody else is there: it takes more than any fixed number that it would begin with, and the metrics page is why."""
    # Slower, because how long a prompt is read is guessed in seconds of this world before it is known.
    with sim_engine(scale=4) as engine, running(engine, questions, tmp_path / "alone.jsonl"):
        while engine.metrics()["vllm:num_requests_running"] <= 64:
            pass


def test_a_pace_that_there_is_not(questions: Path, tmp_path: Path) -> None:
    """It is said before anything is sent."""
    command = [sys.executable, "-m", "slackwater", "run", str(questions), "-o", str(tmp_path / "out.jsonl")]
    options = ["--backend", "http://127.0.0.1:9/v1", "--pace", "fast"]
    said = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
    assert said.returncode == 2
    assert re.search(r"gentle,\s+strict,\s+full,\s+fixed", said.stderr)


@pytest.fixture(scope="module")
def long_questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Requests with prompts of some 2,500 tokens that have nothing in common."""
    path = tmp_path_factory.mktemp("pacing") / "long.jsonl"
    with path.open("w") as file:
        for number in range(400):
            messages = [{"role": "user", "content": f"word {number:04} " * 1000}]
            body = {"model": "a100-8b", "max_tokens": 16, "messages": messages}
            line = {"custom_id": f"{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")
    return path


@pytest.mark.timeout(300)
def test_long_prompts_go_in_slices(long_questions: Path, tmp_path: Path) -> None:
    """The engine finds in its cache what the slices have left there: most of what it looks up for them."""
    output = tmp_path / "long-out.jsonl"
    with sim_engine("--online", "azure-conv:3.0", scale=SCALE) as engine:
        engine.get("/sim/online?after=20")
        before = engine.metrics()
        with running(engine, long_questions, output):
            # Each of them is looked up once for each slice, and is found but for what is new.
            while engine.metrics()["vllm:prefix_cache_hits_total"] - before["vllm:prefix_cache_hits_total"] < 100_000:
                pass
