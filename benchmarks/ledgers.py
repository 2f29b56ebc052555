"""What a server costs on its embedded ledger, and on PostgreSQL: `python benchmarks/ledgers.py`.

    python benchmarks/ledgers.py [--requests 20000] [--rounds 3] [--latency 0] [--only embedded postgresql] [--other CHECKOUT]

The same file goes through `slackwater serve` at 256 in flight, from the call that creates the batch to its files, in turn. CPU
is user and system time of the server and its helpers; that of PostgreSQL stands beside it. `--other` is an embedded server of
another checkout, in the same rounds. The mock backend and PostgreSQL have core 0, the server core 1.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent.parent))

import psycopg
from benchmarks.claims.database import database, processor_seconds, seconds_of
from benchmarks.harness import chat_input, median, mock_backend, table
from benchmarks.service import Service
from tests.postgresql import Postgresql

CONCURRENCY, WARM_LINES, BAR, NO_HEAVIER = 256, 5_000, 1.25, 1.05
HERE = Path(__file__).parent.parent


class Found(NamedTuple):
    """Of one round. Seconds, and bytes."""

    start: float
    memory: int
    cpu: float
    database_cpu: float
    wall: float


@contextlib.contextmanager
def served(folder: Path, backend: str, checkout: Path, address: str) -> Iterator[tuple[Service, float]]:
    """A server of that checkout, and how long it took to start."""
    config = folder / "slackwater.toml"
    config.write_text(
        (f'[server]\ndatabase = "{address}"\n' if address else "")
        + '[[deployments]]\nname = "bench"\n[[deployments.backends]]\n'
        + f'url = "{backend}"\nconcurrency = {CONCURRENCY}\n'
    )
    begun = time.monotonic()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "slackwater", "serve", "--config", str(config), "--data", str(folder / "data")),
            *("--port", "0", "--log-level", "warning"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(checkout / "src")},
        preexec_fn=lambda: os.sched_setaffinity(0, {1}),
    )
    try:
        assert process.stdout is not None
        url = next(word.rstrip(",") for word in process.stdout.readline().split() if word.startswith("http://"))
        yield Service(process, urlsplit(url).netloc), time.monotonic() - begun
    finally:
        process.terminate()
        process.wait(30)


def memory_of(process: int) -> int:
    """Bytes that are in memory of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measured(
    folder: Path, checkout: Path, server: Postgresql | None, address: str, options: argparse.Namespace
) -> Found:
    """One round of one of them."""
    folder.mkdir()
    with (
        mock_backend(latency_ms=options.latency) as backend,
        served(folder, backend, checkout, address) as (
            service,
            start,
        ),
    ):
        time.sleep(2)
        memory = memory_of(service.process.pid)
        service.wait(service.create(service.upload(chat_input(folder / "warm.jsonl", WARM_LINES, model="bench"))))
        file = service.upload(chat_input(folder / "input.jsonl", options.requests, model="bench"))
        # What the start and the upload have left to do is over.
        time.sleep(1)
        before = processor_seconds(service.process.pid), 0.0 if server is None else seconds_of(server)
        begun = time.monotonic()
        batch = service.wait(service.create(file))
        wall = time.monotonic() - begun
        assert batch["request_counts"]["completed"] == options.requests, batch
        cpu = processor_seconds(service.process.pid) - before[0]
        of_database = 0.0 if server is None else seconds_of(server) - before[1]
    return Found(start, memory, cpu, of_database, wall)


def rounds(options: argparse.Namespace) -> dict[str, list[Found]]:
    """All of them in turn."""
    names = [*options.only, *(["other"] if options.other else [])]
    found: dict[str, list[Found]] = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(database()) if "postgresql" in names else None
        if server is not None and server.process is not None:
            os.sched_setaffinity(server.process.pid, {0})
        for number in range(options.rounds):
            for name in names if number % 2 else reversed(names):
                address = ""
                if name == "postgresql" and server is not None:
                    with psycopg.connect(server.address("postgres"), autocommit=True) as admin:
                        admin.execute(f"CREATE DATABASE round{number}".encode())
                    address = server.address(f"round{number}")
                with tempfile.TemporaryDirectory() as scratch:
                    checkout = options.other if name == "other" else HERE
                    of = server if address else None
                    found[name].append(measured(Path(scratch) / "run", checkout, of, address, options))
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=int, default=0, help="of the engine, in milliseconds")
    parser.add_argument("--only", nargs="+", default=["embedded", "postgresql"], choices=["embedded", "postgresql"])
    parser.add_argument("--other", type=Path)
    options = parser.parse_args()
    found = rounds(options)
    rows, medians = [], {}
    for name, each in found.items():
        middle = Found(*(median([one[field] for one in each]) for field in range(len(Found._fields))))
        medians[name] = middle
        rows.append(
            (
                name,
                f"{middle.start:.2f}",
                f"{middle.memory / 2**20:.1f}",
                f"{middle.cpu / options.requests * 1e6:.1f}",
                f"{middle.database_cpu / options.requests * 1e6:.1f}",
                f"{options.requests / middle.wall:,.0f}",
            )
        )
    print(table(("server", "start s", "idle MiB", "us CPU/request", "PostgreSQL's", "requests/s"), rows))
    told = []
    if "embedded" in medians and "postgresql" in medians:
        ratio = medians["postgresql"].cpu / medians["embedded"].cpu
        told.append(("CPU on PostgreSQL / embedded", f"{ratio:.3f}", f"{BAR}", "met" if ratio <= BAR else "SHORT"))
    if "embedded" in medians and "other" in medians:
        for what, field in (("start", "start"), ("idle memory", "memory"), ("CPU", "cpu")):
            ratio = getattr(medians["embedded"], field) / getattr(medians["other"], field)
            told.append(
                (
                    f"{what}, embedded / other",
                    f"{ratio:.3f}",
                    f"{NO_HEAVIER}",
                    "met" if ratio <= NO_HEAVIER else "SHORT",
                )
            )
    print()
    print(table(("bar", "figure", "at most", ""), told))


if __name__ == "__main__":
    main()
