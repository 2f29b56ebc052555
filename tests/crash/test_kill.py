"""kill -9 of a real server over a running batch. `make test-crash` runs 200 rounds; these few run with the tests."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines, kill_rounds


@pytest.mark.crash
def test_nothing_is_lost_doubled_or_torn(tmp_path: Path) -> None:
    """Killed at random moments, a batch ends with every line exactly once, and a crash costs only what was under way."""
    report = kill_rounds(tmp_path, rounds=8, seed=7, lines=8_000)
    assert report.sound(), report
    assert report.batches >= 1
    assert report.lines == report.batches * 8_000


@pytest.mark.crash
def test_an_interrupted_run_continues(tmp_path: Path) -> None:
    """`slackwater run`, killed in the middle: the same command says that it continues, and answers every line once."""
    (tmp_path / "in.jsonl").write_bytes(input_lines("run", 6_000))
    with CountingBackend(latency=0.05) as backend:
        command = [sys.executable, "-m", "slackwater", "run", "in.jsonl", "-o", "out.jsonl", "--backend", backend.url]
        first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
        while len(backend.answered) < 2_000:
            assert first.poll() is None, "the run goes on until it is killed"
            signal.sigtimedwait([], 0.01)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        second = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=90)
    assert second.returncode == 0, second.stderr
    assert "continuing an interrupted run" in second.stderr
    ids = [json.loads(line)["custom_id"] for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert sorted(ids) == sorted(f"run-{number}" for number in range(6_000))
    assert not (tmp_path / "out.jsonl.slackwater").exists()
    # In flight (64) and one commit interval (0.2 s at 64 per 0.05 s), with room for a slow machine.
    assert sum(len(times) - 1 for times in backend.received.values()) < 1_500
