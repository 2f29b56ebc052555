"""Kills a running server at random moments, again and again, and checks what is left: `python -m tests.crash.rounds`.

Every round starts the server on the same data directory, waits for a new result, lets it run for a random moment and ends
it with kill -9. When a batch has ended, its files must have every line exactly once. What the backend was asked twice is
compared with what a crash may cost: calls in flight, and answers younger than one group-commit interval.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.crash.counting_backend import INPUT_TOKENS, CountingBackend
from tests.server import Server

COMMIT_SECONDS = 0.2
# A commit takes a moment itself (two fsyncs), and answers travel for a moment before they are counted as come.
COMMIT_SLACK = 0.15


class Report(Struct):
    """What the rounds showed. Times in seconds."""

    rounds: int = 0
    batches: int = 0
    lines: int = 0
    lost: int = 0
    doubled: int = 0
    torn: int = 0
    completed: int = 0
    miscounted: int = 0
    resent: int = 0
    resent_allowed: int = 0
    worst_excess: int = 0
    recovery_median: float = 0.0
    recovery_max: float = 0.0

    def sound(self) -> bool:
        """Whether nothing was lost, doubled, torn or charged wrongly, and no crash cost more than it may."""
        return not (self.lost or self.doubled or self.torn or self.miscounted) and self.worst_excess <= 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lines", type=int, default=20_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slackwater-crash-") as scratch:
        report = kill_rounds(
            Path(scratch), rounds=arguments.rounds, seed=arguments.seed, lines=arguments.lines, tell=True
        )
    print(json.dumps({name: getattr(report, name) for name in report.__struct_fields__}, indent=2))
    sys.exit(0 if report.sound() and report.recovery_max < 2.0 else 1)


def input_lines(prefix: str, count: int) -> bytes:
    """A chat request per line, told apart by its text."""
    lines = []
    for number in range(count):
        body = {"model": "crash", "messages": [{"role": "user", "content": f"{prefix} {number}"}]}
        line = {"custom_id": f"{prefix}-{number}", "method": "POST", "url": "/chat/completions", "body": body}
        lines.append(json.dumps(line))
    return "\n".join(lines).encode()


def kill_rounds(scratch: Path, *, rounds: int, seed: int, lines: int, tell: bool = False) -> Report:
    """Runs the rounds and returns what they showed."""
    chance = random.Random(seed)
    report = Report()
    recoveries: list[float] = []
    with CountingBackend(latency=0.05) as backend:
        config = scratch / "slackwater.toml"
        config.write_text(
            f'[worker]\ncommit_seconds = {COMMIT_SECONDS}\n[[deployments]]\nname = "crash"\n'
            f'[[deployments.backends]]\nurl = "{backend.url}"\nconcurrency = 64\n'
        )
        server = Server(config, scratch / "data", scratch / "server.log")
        batch_id, prefix = "", ""
        try:
            while report.rounds < rounds or batch_id:
                if not batch_id:
                    report.batches += 1
                    prefix = f"batch{report.batches}"
                    batch_id = server.create_batch(server.upload("crash.jsonl", input_lines(prefix, lines)))
                if report.rounds < rounds:
                    wait_for_progress(server, batch_id, 0.0)
                    time.sleep(chance.uniform(0.0, 1.0))
                    before = server.batch(batch_id)["request_counts"]
                    allowed = kill_and_count(server, backend, prefix)
                    report.rounds += 1
                    asked = {
                        text: len(times)
                        for text, times in backend.received.copy().items()
                        if text.startswith(prefix + " ")
                    }
                    server = Server(config, scratch / "data", scratch / "server.log")
                    took = wait_for_progress(server, batch_id, server.started, before["completed"])
                    if took is not None:
                        recoveries.append(took)
                    note_resent(report, backend, asked, allowed)
                    if tell and report.rounds % 10 == 0:
                        print(
                            f"round {report.rounds}: worst recovery {max(recoveries, default=0):.2f} s", file=sys.stderr
                        )
                batch = server.batch(batch_id)
                if report.rounds >= rounds:
                    while batch["status"] != "completed":
                        time.sleep(0.2)
                        batch = server.batch(batch_id)
                if batch["status"] == "completed":
                    check_files(report, server, batch, prefix, lines)
                    check_account(report, server)
                    batch_id = ""
        finally:
            server.kill()
    recoveries.sort()
    report.recovery_median = round(recoveries[len(recoveries) // 2], 3) if recoveries else 0.0
    report.recovery_max = round(max(recoveries, default=0.0), 3)
    return report


def wait_for_progress(server: Server, batch_id: str, since: float, beyond: int | None = None) -> float | None:
    """Waits until the batch has a new result; returns the seconds since `since`, or None if it had already ended."""
    deadline = time.monotonic() + 30
    first = True
    while time.monotonic() < deadline:
        batch = server.batch(batch_id)
        if batch["status"] in ("completed", "failed"):
            return None if first else time.monotonic() - since
        completed = batch["request_counts"]["completed"]
        if beyond is None:
            beyond = completed
        if completed > beyond:
            return time.monotonic() - since
        first = False
        time.sleep(0.005)
    raise AssertionError(f"no new result within 30 s: {server.batch(batch_id)}")


def kill_and_count(server: Server, backend: CountingBackend, prefix: str) -> int:
    """Kills the server; returns how many requests may be sent again for that."""
    young = time.monotonic() - COMMIT_SECONDS - COMMIT_SLACK
    server.kill()
    in_flight = backend.in_flight
    answered = sum(
        1
        for text, times in backend.answered.copy().items()
        if text.startswith(prefix + " ") and times and times[-1] >= young
    )
    return in_flight + answered


def note_resent(report: Report, backend: CountingBackend, asked: dict[str, int], allowed: int) -> None:
    """Counts the requests that came again after the restart; late repeats are counted at the next restart."""
    resent = sum(1 for text, times in backend.received.copy().items() if text in asked and len(times) > asked[text])
    report.resent += resent
    report.resent_allowed += allowed
    report.worst_excess = max(report.worst_excess, resent - allowed)


def check_files(report: Report, server: Server, batch: dict[str, Any], prefix: str, lines: int) -> None:
    """Counts lost, doubled and torn lines over both files of a batch that has ended, and tokens that are not accounted for."""
    seen: dict[str, int] = {}
    for file_id in (batch["output_file_id"], batch["error_file_id"]):
        if not file_id:
            continue
        data = server.raw("GET", f"/files/{file_id}/content")
        if data and not data.endswith(b"\n"):
            report.torn += 1
        if file_id == batch["output_file_id"]:
            completed = len(data.splitlines())
            report.completed += completed
            report.miscounted += abs(batch["usage"]["input_tokens"] - INPUT_TOKENS * completed)
        for text in data.splitlines():
            try:
                custom_id = json.loads(text)["custom_id"]
            except (ValueError, KeyError):
                report.torn += 1
                continue
            seen[custom_id] = seen.get(custom_id, 0) + 1
    report.lines += len(seen)
    report.lost += sum(1 for number in range(lines) if f"{prefix}-{number}" not in seen)
    report.doubled += sum(count - 1 for count in seen.values())


def check_account(report: Report, server: Server) -> None:
    """Nothing else runs now, so the account of all days is that of the batches so far."""
    begin = datetime.now(UTC).date() - timedelta(days=300)
    (account,) = server.call("GET", f"/usage?start={begin}&group_by=")["data"]
    report.miscounted += abs(account["input_tokens"] - INPUT_TOKENS * report.completed)
    report.miscounted += abs(account["requests"] - report.completed)


if __name__ == "__main__":
    main()
