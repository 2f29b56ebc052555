"""What strangers can do to everybody else: `python benchmarks/front_door.py`.

A real `slackwater serve` with a key, on a core of its own, works on a batch. Hostile connections come, kind by kind and then
all kinds together (benchmarks/hostile.py), from another core. Meanwhile, 20 times a second, somebody opens a new connection
and asks for /healthz. Measured are the server's memory above what it had before, how long /healthz took, and how
fast the batch went on beside half a minute without strangers.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from harness import HERE, chat_input, mock_backend, table
from hostile import KINDS
from service import Service
from transfer import cpu, memory

KEY = "benchmark-key"
PROBES_PER_SECOND = 20
ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Found(NamedTuple):
    """What a storm did."""

    growth: int
    after: int
    answered: int
    asked: int
    p99: float
    worst: float
    rate: float
    load: float


@contextmanager
def served(scratch: Path, backend: str) -> Iterator[Service]:
    """A server with a key, on core 1."""
    config = scratch / "slackwater.toml"
    config.write_text(
        '[server]\napi_key_envs = ["BENCHMARK_KEY"]\n[[deployments]]\nname = "mock"\n[[deployments.backends]]\n'
        f'url = "{backend}"\nconcurrency = 48\n'
    )
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "slackwater",
            "serve",
            "--config",
            str(config),
            "--data",
            str(scratch / "data"),
            "--port",
            "0",
        ],
        stdout=subprocess.PIPE,
        stderr=(scratch / "log").open("wb"),
        text=True,
        env=os.environ | {"BENCHMARK_KEY": KEY},
    )
    os.sched_setaffinity(process.pid, {1})
    try:
        assert process.stdout is not None
        url = next(word.rstrip(",") for word in process.stdout.readline().split() if word.startswith("http://"))
        yield Service(process, urlsplit(url).netloc, key=KEY)
    finally:
        process.terminate()
        process.wait(60)


class Prober(threading.Thread):
    """Asks for /healthz on new connections, whatever the others are doing, until it is told to stop."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(daemon=True)
        self._address = address
        self.seconds: list[float] = []
        self.asked = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        begun = time.monotonic()
        while not self.stopped.is_set():
            self.asked += 1
            started = time.perf_counter()
            try:
                with socket.create_connection(self._address, timeout=10) as connection:
                    connection.sendall(ASK)
                    if connection.recv(1 << 16).startswith(b"HTTP/1.1 200"):
                        self.seconds.append(time.perf_counter() - started)
            except OSError:
                pass
            time.sleep(max(0.0, begun + self.asked / PROBES_PER_SECOND - time.monotonic()))


def done(server: Service, batch: str) -> int:
    """How many requests of a batch have been answered."""
    count: int = server.call("GET", f"/batches/{batch}")["request_counts"]["completed"]
    return count


def spell(server: Service, batch: str, kind: str | None, *, connections: int, seconds: float) -> Found:
    """Some time with a storm, or without."""
    host, _, port = server.address.rpartition(":")
    pid = server.process.pid
    before = memory(pid, "VmRSS")
    storm = None
    if kind is not None:
        command = [sys.executable, str(HERE / "hostile.py"), server.address, kind, str(connections), str(seconds + 30)]
        storm = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(storm.pid, {0})
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    prober = Prober((host, int(port)))
    prober.start()
    first, used, begun = done(server, batch), cpu(pid), time.monotonic()
    time.sleep(seconds)
    last, spent, ended = done(server, batch), cpu(pid), time.monotonic()
    prober.stopped.set()
    prober.join()
    growth = memory(pid, "VmHWM") - before
    if storm is not None:
        storm.send_signal(signal.SIGTERM)
        storm.wait()
    took = sorted(prober.seconds) or [float("inf")]
    return Found(
        growth,
        memory(pid, "VmRSS") - before,
        len(prober.seconds),
        prober.asked,
        took[int(len(took) * 0.99)],
        took[-1],
        (last - first) / (ended - begun),
        (spent - used) / (ended - begun),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000, help="of each kind")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--quick", action="store_true", help="100 connections, for 5 s")
    parser.add_argument("--only", nargs="+", default=[*KINDS, "all"], choices=[*KINDS, "all"])
    args = parser.parse_args()
    if args.quick:
        args.connections, args.seconds = 100, 5.0
    rows, short = [], []
    os.sched_setaffinity(0, {0})
    with tempfile.TemporaryDirectory() as folder, mock_backend(latency_ms=50) as backend:
        scratch = Path(folder)
        source = chat_input(scratch / "in.jsonl", 100_000, size=300)
        with served(scratch, backend) as server:
            uploaded = server.upload(source)
            for kind in args.only:
                # A batch for each, so that none ends meanwhile.
                batch = server.create(uploaded)
                while server.call("GET", f"/batches/{batch}")["status"] != "in_progress":
                    time.sleep(0.2)
                time.sleep(2)
                calm = spell(server, batch, None, connections=0, seconds=args.seconds / 2)
                found = spell(server, batch, kind, connections=args.connections, seconds=args.seconds)
                server.call("POST", f"/batches/{batch}/cancel")
                time.sleep(3)
                ratio = found.rate / calm.rate
                fits = (
                    found.growth <= (200 if kind == "all" else 60) << 20
                    and found.answered == found.asked
                    and found.p99 <= 0.1
                    and found.worst <= 0.25
                    and ratio >= 0.8
                )
                if not fits:
                    short.append(kind)
                rows.append(
                    (
                        kind,
                        f"{found.growth / 2**20:.0f}",
                        f"{found.after / 2**20:.0f}",
                        f"{found.answered}/{found.asked}",
                        f"{1e3 * calm.p99:.0f}",
                        f"{1e3 * found.p99:.0f}",
                        f"{1e3 * found.worst:.0f}",
                        f"{found.rate:,.0f}",
                        f"{ratio:.2f}",
                        f"{calm.load:.2f} {found.load:.2f}",
                        "met" if fits else "SHORT",
                    )
                )
                print(table(("kind",), [rows[-1][:1]]), *rows[-1][1:], file=sys.stderr, flush=True)
    header = (
        "kind",
        "peak MiB",
        "left MiB",
        "answered",
        "calm p99 ms",
        "p99 ms",
        "max ms",
        "requests/s",
        "ratio",
        "cores",
        "bars",
    )
    print(f"{args.connections:,} connections of each kind, {args.seconds:.0f} s")
    print(table(header, rows))
    sys.exit(bool(short))


if __name__ == "__main__":
    main()
