"""`slackwater run` on rows: one line from a table to a table, also after a kill, and for those that failed."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.adapters.scripted_server import Peer
from tests.crash.counting_backend import CountingBackend
from tests.system.test_run import ANSWER, MODELS, served


def command(url: str, *options: str, input: str = "in.csv") -> list[str]:
    run = [sys.executable, "-m", "slackwater", "run", input, "-o", "out.csv", "--backend", url, "-m", "m"]
    return [*run, "-t", "Say {text}", *options]


def run_rows(cwd: Path, url: str, *options: str, input: str = "in.csv") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(url, *options, input=input), cwd=cwd, capture_output=True, text=True, timeout=90)


def rows_in(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def written(cwd: Path, count: int) -> None:
    (cwd / "in.csv").write_text("id,text\n" + "".join(f"{number},word {number}\n" for number in range(1, count + 1)))


def test_from_a_table_to_a_table(tmp_path: Path) -> None:
    """Every row is asked once, and has its answer; the raw answers lie beside it, and nothing else."""
    written(tmp_path, 30)
    with CountingBackend(latency=0.0) as backend:
        done = run_rows(tmp_path, backend.url)
        assert len(backend.received) == 30
        again = run_rows(tmp_path, backend.url)
        assert len(backend.received) == 30
    assert done.returncode == 0, done.stderr
    assert "30 rows, 30 answered: out.csv (with answer, error)" in done.stderr
    back = rows_in(tmp_path / "out.csv")
    assert [row["id"] for row in back] == [str(number) for number in range(1, 31)]
    assert all(row["answer"] and not row["error"] for row in back)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv", "out.results.jsonl"]
    assert (again.returncode, "out.csv exists" in again.stderr) == (2, True)


def test_killed_and_continued(tmp_path: Path) -> None:
    """kill -9 in the middle: the same line goes on, and asks nobody twice but those who were out."""
    written(tmp_path, 60)
    with CountingBackend(latency=0.05) as backend:
        process = subprocess.Popen(
            command(backend.url, "--concurrency", "4", "--follow"), cwd=tmp_path, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(20):
            assert process.stdout.readline(), "it prints an answer when it is durable"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        done = run_rows(tmp_path, backend.url, "--concurrency", "4")
        assert len(backend.received) <= 60 + 4 + 20, "what was out, and what came since the last commit"
    assert done.returncode == 0, done.stderr
    assert "continuing an interrupted run" in done.stderr
    assert len(rows_in(tmp_path / "out.csv")) == 60
    assert all(row["answer"] for row in rows_in(tmp_path / "out.csv"))


def test_rows_that_failed_are_asked_again(tmp_path: Path) -> None:
    """--retry-failed asks only those, and the table has all."""
    written(tmp_path, 4)
    healed = False
    asked: list[str] = []

    async def script(peer: Peer) -> None:
        while True:
            head, body = await peer.request()
            if head.startswith(b"GET"):
                await peer.answer(MODELS)
                continue
            text = json.loads(body)["messages"][0]["content"]
            asked.append(text)
            if text == "Say word 3" and not healed:
                await peer.answer(b'{"error": {"message": "not that", "code": "refused"}}', status="400 Bad Request")
            else:
                await peer.answer(ANSWER)

    with served(script) as url:
        first = run_rows(tmp_path, url)
        assert (first.returncode, rows_in(tmp_path / "out.csv")[2]["error"]) == (1, "400 refused: not that"), (
            first.stderr
        )
        healed = True
        asked.clear()
        second = run_rows(tmp_path, url, "--retry-failed")
    assert (second.returncode, asked) == (0, ["Say word 3"]), second.stderr
    assert [row["answer"] for row in rows_in(tmp_path / "out.csv")] == ["fine"] * 4


def test_rows_that_were_moved_are_not_asked_again(tmp_path: Path) -> None:
    """Answers belong to rows by their numbers: a table that was sorted since is refused, and nothing is sent or changed."""
    written(tmp_path, 3)
    asked: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            head, body = await peer.request()
            if head.startswith(b"GET"):
                await peer.answer(MODELS)
                continue
            asked.append(body)
            if b"word 2" in body:
                await peer.answer(b'{"error": {"message": "not that"}}', status="400 Bad Request")
            else:
                await peer.answer(ANSWER)

    with served(script) as url:
        assert run_rows(tmp_path, url).returncode == 1
        before, sent = (tmp_path / "out.csv").read_bytes(), len(asked)
        heading, *rows = (tmp_path / "in.csv").read_text().splitlines(keepends=True)
        for changed in (rows[::-1], [rows[2], *rows], rows[:2]):
            (tmp_path / "in.csv").write_text(heading + "".join(changed))
            refused = run_rows(tmp_path, url, "--retry-failed")
            assert (refused.returncode, "has other rows than out.csv" in refused.stderr) == (2, True), refused.stderr
        assert (len(asked), (tmp_path / "out.csv").read_bytes()) == (sent, before)


def test_what_is_wrong_before_anything_is_sent(tmp_path: Path) -> None:
    """A column that is not there, no model, an output that no table can be: one line, and nothing is sent."""
    written(tmp_path, 2)
    with CountingBackend(latency=0.0) as backend:
        wrong = run_rows(tmp_path, backend.url, "-t", "{txt}")
        assert (wrong.returncode, "there is no column 'txt'; there are id, text" in wrong.stderr) == (2, True)
        base = [sys.executable, "-m", "slackwater", "run", "in.csv", "--backend", backend.url]
        for options, said in (
            (["-o", "out.csv"], "-m NAME"),
            (["-o", "-", "-m", "m"], "go to a file"),
            (["-o", "out.xlsx", "-m", "m"], ".parquet"),
            (["-o", "in.csv", "-m", "m", "--overwrite"], "two files"),
        ):
            done = subprocess.run([*base, *options], cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert (done.returncode, said in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr
        assert not backend.received
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_lines_without_requests_are_rows(tmp_path: Path) -> None:
    """JSON Lines of prompts are a table; requests stay requests, also where one is wrong."""
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    with CountingBackend(latency=0.0) as backend:
        done = run_rows(tmp_path, backend.url, input="in.jsonl")
        assert done.returncode == 0, done.stderr
        (tmp_path / "wrong.jsonl").write_text('{"custom_id": "x", "body": {"model": "m"}}\n')
        base = [sys.executable, "-m", "slackwater", "run", "wrong.jsonl", "-o", "w.jsonl", "--backend", backend.url]
        done = subprocess.run(base, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
