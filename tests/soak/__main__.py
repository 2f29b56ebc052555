"""Users that create, cancel, download and delete, on and on, and a server that must not grow: `python -m tests.soak`.

Each user has a deployment (several share one), and one of a few habits: small batches, large ones, wrong files, batches that are
cancelled, results that are read and deleted. Once a minute the server's memory, descriptors, threads, ledger and processor time
are looked at. In the end everybody is gone, all that was made is deleted, and the server idles for a while: how busy is it then?

What must hold: no call fails with a 5xx or a broken connection, every batch that ends has each line once; after the first minutes
memory, descriptors and threads stay where they are, and the ledger grows by the rows that are kept.
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from tests.api.calls import Answer, Caller, chat
from tests.server import Server

DEPLOYMENTS = ("first", "second", "third")
ENDED = ("completed", "failed", "cancelled", "expired")
CONFIG = "".join(
    f"""
[[deployments]]
name = "{name}"
[[deployments.backends]]
echo = {{ latency_seconds = 0.005, refusal_rate = 0.01 }}
concurrency = 64
"""
    for name in DEPLOYMENTS
)
# The share of the time in which a server may still settle: caches fill, threads are started.
SETTLING = 1 / 6
# How much higher the end may be than the time after that. Memory of Python comes and goes a little.
RSS_SPARE, DESCRIPTORS_SPARE, THREADS_SPARE = 8 << 20, 12, 3
IDLE_SECONDS, IDLE_SHARE = 60.0, 0.005


class Look(Struct):
    """The server at a moment. Bytes, and seconds of the processor with every process that it has."""

    at: float
    rss: int
    descriptors: int
    threads: int
    ledger: int
    cpu: float


class Report(Struct):
    """What happened, and what went wrong."""

    batches: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    calls: int = 0
    faults: list[str] = field(default_factory=list)


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def look(server: Server, started: float) -> Look:
    """What `/proc` says of the server now."""
    rss = threads = descriptors = 0
    ticks = 0
    for pid in _family(server.process.pid):
        status = Path(f"/proc/{pid}/status").read_text()
        rss += next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS")), 0)
        threads += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads"))
        descriptors += len(os.listdir(f"/proc/{pid}/fd"))
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    ledger = sum(path.stat().st_size for path in server.data.glob("ledger.sqlite"))
    return Look(time.monotonic() - started, rss, descriptors, threads, ledger, ticks / os.sysconf("SC_CLK_TCK"))


class User:
    """One user with a habit, in a thread of its own."""

    def __init__(self, server: Server, number: int, report: Report, lock: threading.Lock, until: float) -> None:
        self.call = Caller(server, ("azure", "azure-v1", "openai")[number % 3])
        self.deployment = DEPLOYMENTS[number % len(DEPLOYMENTS)]
        self.chance = random.Random(number)
        self.report, self.lock, self.until = report, lock, until
        self.thread = threading.Thread(target=self.work, name=f"user {number}")

    def work(self) -> None:
        """Until the time is over. A fault of one call ends it, and is told."""
        while time.monotonic() < self.until:
            try:
                self.one_batch()
            except Exception as error:
                self.fault(f"{self.thread.name}: {error!r}")
                return

    def fault(self, what: str) -> None:
        with self.lock:
            self.report.faults.append(what)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """A call that must not be answered with a fault of the server's."""
        answer = self.call(method, path, body)
        with self.lock:
            self.report.calls += 1
        if answer.status >= 500:
            self.fault(f"{method} {path}: {answer.status} {answer.body[:200]!r}")
        return answer

    def one_batch(self) -> None:
        """From the upload to the deletion of everything."""
        chance, habit = self.chance, self.chance.random()
        count = chance.choice((1, 3, 30, 300, 3_000)) if habit < 0.9 else 10_000
        data = chat(count, model=self.deployment)
        if habit < 0.05:
            # A file that is refused.
            data += b"{not json}\n"
        file_id = self.call.upload(data).json["id"]
        order = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        made = self.ask("POST", "/batches", order)
        if made.status >= 300:
            self.ask("DELETE", f"/files/{file_id}")
            with self.lock:
                self.report.batches["refused at once"] += 1
            return
        batch_id = made.json["id"]
        if 0.05 <= habit < 0.2:
            time.sleep(chance.uniform(0, 0.5))
            self.ask("POST", f"/batches/{batch_id}/cancel")
        while (batch := self.ask("GET", f"/batches/{batch_id}").json)["status"] not in ENDED:
            time.sleep(chance.uniform(0.02, 0.3))
        self.settle(batch, count)
        self.ask("DELETE", f"/files/{file_id}")

    def settle(self, batch: Any, count: int) -> None:
        """Reads what a batch has brought, checks it, and deletes it."""
        ids: Counter[str] = Counter()
        for name in ("output_file_id", "error_file_id"):
            if batch[name] is not None:
                ids.update(line["custom_id"] for line in self.call.lines(batch[name]))
                self.ask("DELETE", f"/files/{batch[name]}")
        if batch["status"] == "completed" and (len(ids) != count or set(ids.values()) != {1}):
            self.fault(
                f"batch {batch['id']}: {len(ids)} of {count} lines, at most {max(ids.values(), default=0)} times"
            )
        with self.lock:
            self.report.batches[batch["status"]] += 1
            self.report.lines += sum(ids.values())


def soak(root: Path, *, minutes: float, users: int) -> tuple[Report, list[Look], float]:
    """Runs it; returns what happened, the looks, and the share of a core that the server takes when nobody is there."""
    (root / "slackwater.toml").write_text(CONFIG)
    server = Server(root / "slackwater.toml", root / "data", root / "server.log")
    report, lock, started = Report(), threading.Lock(), time.monotonic()
    looks: list[Look] = []
    try:
        until = started + minutes * 60
        everybody = [User(server, number, report, lock, until) for number in range(users)]
        for user in everybody:
            user.thread.start()
        step = min(60.0, minutes * 60 / 20)
        while time.monotonic() < until and any(user.thread.is_alive() for user in everybody):
            time.sleep(min(step, max(0.1, until - time.monotonic())))
            looks.append(now := look(server, started))
            said = f"{sum(report.batches.values()):,} batches, {report.lines:,} lines, {len(report.faults)} faults"
            print(
                f"{now.at / 60:6.1f} min: RSS {now.rss >> 20} MiB, {now.descriptors} descriptors, {now.threads} threads, "
                f"ledger {now.ledger >> 10:,} KiB; {said}",
                flush=True,
            )
        for user in everybody:
            user.thread.join(300)
        time.sleep(5)
        before = look(server, started)
        time.sleep(IDLE_SECONDS)
        after = look(server, started)
        return report, looks, (after.cpu - before.cpu) / (after.at - before.at)
    finally:
        server.terminate()


def grown(report: Report, looks: list[Look]) -> list[str]:
    """What is higher at the end than it was once the server had settled."""
    later = looks[max(1, int(len(looks) * SETTLING)) :]
    half = len(later) // 2
    faults = []
    for name, spare in (("rss", RSS_SPARE), ("descriptors", DESCRIPTORS_SPARE), ("threads", THREADS_SPARE)):
        first, last = (max(getattr(each, name) for each in part) for part in (later[:half], later[half:]))
        if last > first + spare:
            faults.append(f"{name} grew from at most {first:,} to {last:,}")
    kept = sum(report.batches.values())
    a_batch = looks[-1].ledger / max(1, kept)
    print(f"ledger: {a_batch:,.0f} bytes a kept batch")
    return faults


def main() -> None:
    """One run; fails where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--users", type=int, default=6)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slackwater-soak-") as root:
        report, looks, idle = soak(Path(root), minutes=asked.minutes, users=asked.users)
    faults = report.faults + grown(report, looks)
    if idle > IDLE_SHARE:
        faults.append(f"idle, it takes {idle:.2%} of a core")
    print(f"{dict(report.batches)}, {report.lines:,} lines, {report.calls:,} calls; idle {idle:.2%} of a core")
    for fault in faults[:20]:
        print(f"fault: {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
