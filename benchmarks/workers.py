"""How throughput grows with servers on one ledger: `python benchmarks/workers.py`.

    python benchmarks/workers.py [--servers 1 2 4 8] [--slots 16] [--seconds 15] [--rounds 2]

An engine of 50 ms, PostgreSQL and one data directory, and so many servers that send, each of which can have so many requests out
as its part of the engine's slots. The rate is that of what is durable, in the middle of batches that are long enough. CPU a
request is that of all servers, and beside it PostgreSQL's. Rounds are in turn.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import psycopg
from benchmarks.claims.database import database, processor_seconds, seconds_of
from benchmarks.harness import chat_input, median, mock_backend, table
from benchmarks.service import Service
from tests.postgresql import Postgresql
from tests.server import Server

LATENCY_MS, LINEAR = 50, 0.95
# Before the rate is measured, everybody has got a part.
SETTLED_SECONDS = 8.0
BATCHES = 4


@contextlib.contextmanager
def serving(folder: Path, backend: str, address: str, count: int, slots: int) -> Iterator[list[Server]]:
    """So many servers."""
    config = folder / "slackwater.toml"
    config.write_text(
        f'[server]\ndatabase = "{address}"\n[[deployments]]\nname = "bench"\n[[deployments.backends]]\n'
        f'url = "{backend}"\nconcurrency = {slots * count}\n'
    )
    started: list[Server] = []
    try:
        for number in range(count):
            started.append(Server(config, folder / "data", folder / f"{number}.log"))
        yield started
    finally:
        for each in started:
            each.kill()


def measured(server: Postgresql, name: str, count: int, options: argparse.Namespace) -> tuple[float, float, float]:
    """Requests a second, and microseconds of CPU for each: of the servers, and of PostgreSQL."""
    with psycopg.connect(server.address("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    address = server.address(name)
    lines = int((options.seconds + SETTLED_SECONDS + 8) * options.slots * count * 1_000 / LATENCY_MS)
    with (
        tempfile.TemporaryDirectory() as scratch,
        mock_backend(latency_ms=LATENCY_MS, core=None) as backend,
        serving(Path(scratch), backend, address, count, options.slots) as servers,
        psycopg.connect(address, autocommit=True) as ledger,
    ):
        service = Service(servers[0].process, servers[0].address)
        source = chat_input(Path(scratch) / "input.jsonl", lines // BATCHES, model="bench")
        for file in [service.upload(source) for _ in range(BATCHES)]:
            service.create(file)

        def done() -> int:
            row = ledger.execute("SELECT sum(completed) FROM batch").fetchone()
            return 0 if row is None or row[0] is None else int(row[0])

        while not done():
            time.sleep(0.05)
        time.sleep(SETTLED_SECONDS)
        before, cpu, of_database = done(), _cpu(servers), seconds_of(server)
        begun = time.monotonic()
        time.sleep(options.seconds)
        rate = (done() - before) / (time.monotonic() - begun)
        requests = rate * options.seconds
        return rate, (_cpu(servers) - cpu) / requests * 1e6, (seconds_of(server) - of_database) / requests * 1e6


def _cpu(servers: list[Server]) -> float:
    return sum(processor_seconds(each.process.pid) for each in servers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--slots", type=int, default=16, help="of each server")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    found: dict[int, list[tuple[float, float, float]]] = {count: [] for count in options.servers}
    with database() as server:
        for number in range(options.rounds):
            for count in options.servers:
                found[count].append(measured(server, f"round{number}_{count}", count, options))
                print(f"round {number + 1} of {options.rounds}: {count} servers", file=sys.stderr)
    one = min(options.servers)
    alone = median([rate for rate, _, _ in found[one]]) / one
    rows = []
    for count, each in found.items():
        rate, cpu, of_database = (median([one[field] for one in each]) for field in range(3))
        linear = rate / count / alone
        verdict = "met" if linear >= LINEAR else "SHORT"
        rows.append((count, f"{rate:,.0f}", f"{linear:.3f}", verdict, f"{cpu:.0f}", f"{of_database:.0f}"))
    print(table(("servers", "requests/s", f"of linear ({LINEAR})", "", "us CPU/request", "PostgreSQL's"), rows))


if __name__ == "__main__":
    main()
