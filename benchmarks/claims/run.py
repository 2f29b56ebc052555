"""What claims cost PostgreSQL with 10,000 open batches of 10 shards: `python benchmarks/claims/run.py`.

    python benchmarks/claims/run.py [--batches 10000] [--workers 50] [--rate 100] [--seconds 30] [--processes 5]

A PostgreSQL of its own, as it is installed, on this machine's disk. Fifty members claim, a hundred shards a second together, by
the statements and the order of batches that the service has; each shard is worked on for a second. Before that, they do nothing.
Shares of a core are those of all processes of PostgreSQL.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from benchmarks.claims.database import database, seconds_of
from benchmarks.claims.filling import fill
from benchmarks.harness import table
from tests.postgresql import Postgresql

ROOT = Path(__file__).parent.parent.parent
CLAIM_P99_MS, CORE = 25.0, 0.10
# Of fifty members each connection has to know each statement before anything is measured.
SETTLED_SECONDS = 20.0


def share(server: Postgresql, seconds: float) -> float:
    """Of a core, while so many seconds pass."""
    begun, before = time.monotonic(), seconds_of(server)
    time.sleep(seconds)
    return (seconds_of(server) - before) / (time.monotonic() - begun)


def of(values: Sequence[float], part: float) -> float:
    """A quantile."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def load(
    server: Postgresql, address: str, options: argparse.Namespace
) -> tuple[dict[str, list[float]], int, float, float]:
    """Milliseconds of each call, claims that found nothing, and shares of a core: under the load, and with members alone."""
    count = options.workers // options.processes
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.claims.claiming", address]
            + [str(each) for each in (count, options.rate / options.processes, options.settled, options.seconds)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(options.processes)
    ]
    try:
        for each in processes:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        time.sleep(2)
        alone = share(server, 5)
        for each in processes:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        time.sleep(options.settled)
        # Without its last moments.
        busy = share(server, options.seconds - 2)
        times: dict[str, list[float]] = {}
        empty = 0
        for each in processes:
            assert each.stdout is not None
            found = json.loads(each.stdout.readline())
            empty += found["empty"]
            for kind, values in found["of"].items():
                times.setdefault(kind, []).extend(values)
        for each in processes:
            each.communicate("end\n", timeout=60)
        return times, empty, busy, alone
    finally:
        for each in processes:
            if each.poll() is None:
                each.kill()
                each.wait()


def report(times: dict[str, list[float]], empty: int, busy: float, alone: float, options: argparse.Namespace) -> str:
    """What was found."""
    rows = [
        (kind, f"{len(each) / options.seconds:.0f}", *(f"{of(each, part):.1f}" for part in (0.5, 0.95, 0.99, 1.0)))
        for kind, each in times.items()
        if each
    ]
    p99, work = of(times["claim"], 0.99), busy - alone
    told = [
        ("claim p99, ms", f"{p99:.1f}", f"{CLAIM_P99_MS:.0f}", "met" if p99 < CLAIM_P99_MS else "SHORT"),
        ("PostgreSQL for it, of a core", f"{work:.1%}", f"{CORE:.0%}", "met" if work < CORE else "SHORT"),
        ("claims that found nothing, of all", f"{empty / len(times['claim']):.2f}", "", ""),
        ("members that do nothing, of a core", f"{alone:.1%}", "", ""),
    ]
    shown = table(("call", "a second", "p50 ms", "p95", "p99", "most"), rows)
    return shown + "\n\n" + table(("figure", "found", "under", ""), told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--settled", type=float, default=SETTLED_SECONDS, help="seconds before anything is measured")
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with database() as server:
        fill(server.address("postgres"), "deep", options.batches)
        print(report(*load(server, server.address("deep"), options), options))


if __name__ == "__main__":
    main()
