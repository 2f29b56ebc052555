"""What a small batch costs beside the same calls made directly: `python benchmarks/small_batches.py`.

First its time: 1, 10 and 100 lines on an engine of 100 ms, from the answer to the create to `completed`, polled every 5 ms,
and in turn the same requests straight to the engine, all at once. Then its CPU: 100 batches of 3 lines, created at once, over
the server and every process below it; without uploads, and less what as many polls cost an idle server. Then the fsyncs of
one batch of 3 lines, counted by strace, from before its create until it has ended.
"""

import argparse
import http.client
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from harness import chat_input, chat_line, mock_backend, table
from service import Service, service

SIZES = (1, 10, 100)
LATENCY_MS = 100
TICK = 1 / os.sysconf("SC_CLK_TCK")
AT_ONCE = 100


def direct(backend: str, lines: int, threads: ThreadPoolExecutor) -> float:
    """Milliseconds until that many calls of the engine, made at once, are all answered. Connections are new, as in a script."""
    address = urlsplit(backend)
    body = chat_line(0, "tide " * 40).encode()

    def call(_: int) -> None:
        connection = http.client.HTTPConnection(address.netloc)
        connection.request("POST", f"{address.path}/chat/completions", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
        connection.close()

    started = time.perf_counter()
    list(threads.map(call, range(lines)))
    return (time.perf_counter() - started) * 1e3


def batch(server: Service, polling: http.client.HTTPConnection, file_id: str) -> float:
    """Milliseconds from the answer to the create until a poll says `completed`."""
    batch_id = server.create(file_id)
    started = time.perf_counter()
    while (status := status_of(server, polling, batch_id)) != "completed":
        assert status in ("validating", "in_progress", "finalizing"), status
        time.sleep(0.005)
    return (time.perf_counter() - started) * 1e3


def status_of(server: Service, polling: http.client.HTTPConnection, batch_id: str) -> str:
    """What one poll says."""
    polling.request("GET", server._url(f"/batches/{batch_id}"), headers={"api-key": "benchmark"})
    found = re.search(rb'"status": ?"(\w+)"', polling.getresponse().read())
    assert found is not None
    return found[1].decode()


def latency(scratch: Path, rounds: int) -> list[tuple[str, ...]]:
    """One row for each number of lines."""
    rows = []
    with (
        mock_backend(latency_ms=LATENCY_MS, core=None) as backend,
        service(scratch, backend) as server,
        ThreadPoolExecutor(max(SIZES)) as threads,
    ):
        polling = http.client.HTTPConnection(server.address)
        for lines in SIZES:
            file_id = server.upload(chat_input(scratch / "input.jsonl", lines, model="bench"))
            batch(server, polling, file_id), direct(backend, lines, threads)
            ours, floor = [], []
            for _ in range(rounds):
                floor.append(direct(backend, lines, threads))
                ours.append(batch(server, polling, file_id))
            over = [mine - theirs for mine, theirs in zip(ours, floor, strict=True)]
            rows.append(
                (
                    f"{lines:,}",
                    f"{statistics.median(floor):.0f}",
                    f"{statistics.median(ours):.0f}",
                    f"{statistics.median(over):+.0f}",
                    f"{sorted(over)[int(len(over) * 0.99)]:+.0f}",
                )
            )
    return rows


def tree(pid: int) -> list[int]:
    """A process and every one below it."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, of those below it, and of those that it has waited for."""
    seconds = 0.0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        seconds += sum(map(int, fields[11:15] if each == pid else fields[11:13])) * TICK
    return seconds


def cpu(scratch: Path, rounds: int) -> tuple[list[float], float]:
    """CPU milliseconds a batch in each round, and what one poll costs."""
    found = []
    with (
        mock_backend(core=None) as backend,
        service(scratch, backend) as server,
        ThreadPoolExecutor(8) as threads,
    ):
        files = [server.upload(chat_input(scratch / "input.jsonl", 3, model="bench")) for _ in range(AT_ONCE)]
        polling = http.client.HTTPConnection(server.address)
        first = server.create(files[0])
        server.wait(first)
        before = cpu_of(server.process.pid)
        for _ in range(2000):
            status_of(server, polling, first)
        poll = (cpu_of(server.process.pid) - before) / 2000
        for _ in range(rounds):
            before, polls = cpu_of(server.process.pid), 0
            batches = list(threads.map(server.create, files))
            for each in batches:
                while status_of(server, polling, each) != "completed":
                    polls += 1
                    time.sleep(0.05)
            polls += len(batches)
            # Whoever was started for them has gone again, or never does.
            time.sleep(1.5)
            found.append((cpu_of(server.process.pid) - before - polls * poll) / AT_ONCE * 1e3)
    return found, poll * 1e3


def syncs(scratch: Path, rounds: int) -> float:
    """fsyncs and the like that one batch of 3 lines costs, one after the other."""
    with mock_backend(core=None) as backend, service(scratch, backend) as server:
        file_id = server.upload(chat_input(scratch / "input.jsonl", 3, model="bench"))
        server.wait(server.create(file_id))
        log = scratch / "strace"
        calls = "fsync,fdatasync,sync,syncfs,msync"
        tracing = subprocess.Popen(
            ["strace", "-f", "-e", f"trace={calls}", "-p", str(server.process.pid), "-o", str(log)],
            stderr=subprocess.PIPE,
        )
        assert tracing.stderr is not None
        tracing.stderr.readline()
        threading.Thread(target=tracing.stderr.read, daemon=True).start()
        for _ in range(rounds):
            server.wait(server.create(file_id))
        time.sleep(0.5)
        tracing.terminate()
        tracing.wait()
        return sum(1 for line in log.read_text().splitlines() if re.search(r"sync\w*\(", line)) / rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--only", choices=("latency", "cpu", "syncs"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        where = [Path(scratch) / name for name in ("latency", "cpu", "syncs")]
        for each in where:
            each.mkdir()
        if args.only in (None, "latency"):
            rows = latency(where[0], args.rounds)
            print(table(("lines", "direct ms", "batch ms", "over, median (100)", "over, p99 (200)"), rows))
        if args.only in (None, "cpu"):
            found, poll = cpu(where[1], max(3, args.rounds // 8))
            each = " ".join(f"{one:.1f}" for one in found)
            middle = statistics.median(found)
            print(f"CPU ms of a batch of 3 lines, {AT_ONCE} at once (8): {middle:.1f}  [{each}]; a poll: {poll:.2f}")
        if args.only in (None, "syncs"):
            print(f"fsyncs of a batch of 3 lines (6): {syncs(where[2], 10):.1f}")


if __name__ == "__main__":
    main()
