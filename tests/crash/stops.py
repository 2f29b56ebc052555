"""Stops a loaded server gently, again and again, and checks what that costs: `python -m tests.crash.stops`.

Every round starts the server on the same data directory, brings it to a moment of its work (directly after its start, validating,
sending, with the last results of a batch or with its files in hand) and sends SIGTERM, or SIGINT, or a second signal into the
stop. Calls of the engine are shorter than the grace time, or longer, or both. An answer that came a second before the grace
ended must have become durable: its request is never seen again. When all has ended, every line is there once.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import COMMIT_SECONDS, COMMIT_SLACK, check_account, check_files
from tests.crash.rounds import Report as Lines
from tests.server import SERVE, Server

GRACE_SECONDS = 2.0
# After the grace time: the last commit, leases given back, connections closed. Where nothing else runs on the machine.
MARGIN_SECONDS = 3.0
# What does not end by then will not.
STUCK_SECONDS = 30.0
# What came a second before the grace ended is durable.
SETTLED_SECONDS = 1.0
LONG_SECONDS = 2 * GRACE_SECONDS
WAIT_SECONDS = 60.0
BATCH_LINES = 1_500
# The input of a batch that is to be seen while it is validated has so much of ballast in each line.
BALLAST = 6_000
# How long calls take, by the name of the mood that the engine is in.
MOODS: dict[str, Callable[[random.Random], float]] = {
    "short": lambda chance: chance.uniform(0.02, 0.1),
    "long": lambda chance: LONG_SECONDS,
    "mixed": lambda chance: chance.choice((0.03,) * 16 + (0.5, 1.0, 1.8, LONG_SECONDS)),
}
KINDS = ("sending", "sending", "start", "unborn", "validating", "last", "files", "interrupt", "second")


class Report(Struct):
    """What the stops showed. Times in seconds."""

    stops: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    lines: Lines = field(default_factory=Lines)
    settled: int = 0
    """Requests whose answers had come in time before a stop."""
    sent_again: int = 0
    """Those of them that were seen again."""
    cut_off: int = 0
    """Calls that were out when the grace time was over."""
    worst_seconds: float = 0.0
    """From the signal to the end of the process."""
    faults: list[str] = field(default_factory=list)

    def sound(self) -> bool:
        """Whether nothing was lost, doubled or sent again, and every stop was one."""
        return self.lines.sound() and not self.sent_again and not self.faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stops", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slackwater-stops-") as scratch:
        report = Stops(Path(scratch), seed=arguments.seed).play(arguments.stops, tell=True)
    shown = {name: getattr(report, name) for name in report.__struct_fields__ if name != "lines"}
    shown |= {
        name: getattr(report.lines, name) for name in ("batches", "lines", "lost", "doubled", "torn", "miscounted")
    }
    print(json.dumps(shown, indent=2))
    sys.exit(0 if report.sound() and report.worst_seconds < GRACE_SECONDS + MARGIN_SECONDS else 1)


class Stops:
    """Rounds over one data directory."""

    def __init__(self, scratch: Path, *, seed: int) -> None:
        self.scratch = scratch
        self.chance = random.Random(seed)
        self.report = Report()
        # The engine draws from another one: its calls come in no certain order.
        self._latencies = random.Random(seed)
        self._mood = MOODS["short"]
        self._open: dict[str, str] = {}
        # Requests that must not come again: how often each had come, and at which stop.
        self._settled: dict[str, tuple[int, str]] = {}

    def play(self, stops: int, *, kinds: tuple[str, ...] = KINDS, tell: bool = False) -> Report:
        """So many stops, then a server that ends everything, then the checks."""
        with CountingBackend(latency=lambda: self._mood(self._latencies)) as backend:
            self.backend = backend
            (self.scratch / "slackwater.toml").write_text(
                f"[worker]\ncommit_seconds = {COMMIT_SECONDS}\ngrace_seconds = {GRACE_SECONDS}\n"
                f'[[deployments]]\nname = "crash"\n[[deployments.backends]]\nurl = "{backend.url}"\nconcurrency = 32\n'
            )
            for number in range(stops):
                kind = kinds[number % len(kinds)]
                self._stop(kind)
                if tell and (number + 1) % 10 == 0:
                    shown = self.report.faults[:3]
                    print(f"stop {number + 1}: {self.report.sent_again} sent again {shown or ''}", file=sys.stderr)
            self._mood = MOODS["short"]
            server = self._server()
            try:
                for batch_id, prefix in self._open.items():
                    batch = self._until(server, batch_id, lambda each: each["status"] == "completed", 10 * WAIT_SECONDS)
                    check_files(self.report.lines, server, batch, prefix, BATCH_LINES)
                check_account(self.report.lines, server)
            finally:
                server.kill()
            self._see_who_came_again()
        return self.report

    def _server(self) -> Server:
        return Server(self.scratch / "slackwater.toml", self.scratch / "data", self.scratch / "server.log")

    def _stop(self, kind: str) -> None:
        """One life of a server, and its end."""
        report, chance = self.report, self.chance
        report.stops += 1
        report.by_kind[kind] = report.by_kind.get(kind, 0) + 1
        if kind == "unborn":
            self._stop_unborn()
            return
        self._mood = MOODS[chance.choice(list(MOODS))]
        server = self._server()
        try:
            self._bring_to(kind, server)
            signalled = time.monotonic()
            server.process.send_signal(signal.SIGINT if kind == "interrupt" else signal.SIGTERM)
            settled_at, expected = signalled + GRACE_SECONDS - SETTLED_SECONDS, 0
            if kind == "second":
                time.sleep(chance.uniform(0.0, 1.0))
                if server.process.poll() is None:
                    # It leaves at once, and the journal has what counts.
                    settled_at, expected = time.monotonic() - COMMIT_SECONDS - COMMIT_SLACK, 130
                    server.process.send_signal(signal.SIGTERM)
            try:
                code = server.process.wait(GRACE_SECONDS + STUCK_SECONDS)
            except subprocess.TimeoutExpired:
                code = None
            took = time.monotonic() - signalled
        finally:
            server.kill()
        # It may have come to its end before the second signal did.
        if code != expected and not (kind == "second" and code == 0):
            report.faults.append(f"{kind}: exit code {code} after {took:.1f} s")
        report.worst_seconds = max(report.worst_seconds, round(took, 2))
        report.cut_off += self.backend.in_flight
        self._see_who_came_again()
        for text, moments in self.backend.answered.copy().items():
            # An answer to a call of an earlier life was heard by nobody.
            if server.started <= self.backend.received[text][-1] <= moments[-1] <= settled_at:
                early = settled_at - moments[-1]
                said = f"stop {report.stops} ({kind}, {took:.2f} s), {early:.2f} s before the limit"
                self._settled.setdefault(text, (len(self.backend.received[text]), said))
        report.settled = len(self._settled)
        # The engine goes on with calls that nobody waits for; the next life must not meet them.
        while self.backend.in_flight:
            time.sleep(0.02)

    def _stop_unborn(self) -> None:
        """A signal before the server says where it listens: it may not have been heard, and nothing is broken by it."""
        command = [sys.executable, "-m", *SERVE, "--config", str(self.scratch / "slackwater.toml")]
        command += ["--data", str(self.scratch / "data"), "--port", "0"]
        with (self.scratch / "server.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        time.sleep(self.chance.uniform(0.0, 1.5))
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(GRACE_SECONDS + STUCK_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
            process.kill()
            process.wait()
        if code not in (0, -signal.SIGTERM):
            self.report.faults.append(f"unborn: exit code {code}")

    def _see_who_came_again(self) -> None:
        for text, (times, said) in list(self._settled.items()):
            if len(self.backend.received[text]) > times:
                self.report.sent_again += 1
                self.report.faults.append(f"{text} was sent again, answered at {said}")
                del self._settled[text]

    # Moments

    def _bring_to(self, kind: str, server: Server) -> None:
        chance = self.chance
        if kind == "start":
            if not self._open:
                self._create(server)
            time.sleep(chance.uniform(0.0, 0.3))
        elif kind == "validating":
            self._create(server, ballast=BALLAST)
            time.sleep(chance.uniform(0.0, 0.3))
        elif kind in ("last", "files"):
            # The newest one has all the slots once the others are through.
            self._mood = MOODS["short"]
            for batch_id in [*self._open][:-1]:
                self._until(server, batch_id, lambda each: each["status"] == "completed")
            batch_id = self._create(server)
            left = 0 if kind == "files" else chance.randint(1, 60)
            self._until(server, batch_id, lambda each: each["request_counts"]["completed"] >= BATCH_LINES - left)
            time.sleep(chance.uniform(0.0, 0.05))
        else:
            batch_id = self._create(server)
            self._until(server, batch_id, lambda each: each["status"] != "validating")
            time.sleep(chance.uniform(0.0, 1.5))

    def _create(self, server: Server, *, ballast: int = 0) -> str:
        self.report.lines.batches += 1
        prefix = f"batch{self.report.lines.batches}"
        rows = []
        for number in range(BATCH_LINES):
            body = {"model": "crash", "messages": [{"role": "user", "content": f"{prefix} {number}"}]}
            if ballast:
                body["user"] = "x" * ballast
            row = {"custom_id": f"{prefix}-{number}", "method": "POST", "url": "/chat/completions", "body": body}
            rows.append(json.dumps(row))
        batch_id = server.create_batch(server.upload("stops.jsonl", "\n".join(rows).encode()))
        self._open[batch_id] = prefix
        return batch_id

    def _until(self, server: Server, batch_id: str, true_of: Any, seconds_max: float = WAIT_SECONDS) -> dict[str, Any]:
        deadline = time.monotonic() + seconds_max
        while not true_of(batch := server.batch(batch_id)):
            assert batch["status"] != "failed", batch
            if time.monotonic() > deadline:
                # Calls are long in this mood: a stop comes at whatever moment it is then.
                if seconds_max > WAIT_SECONDS:
                    raise AssertionError(f"not at its end: {batch}")
                break
            time.sleep(0.005)
        found: dict[str, Any] = batch
        return found


if __name__ == "__main__":
    main()
