"""What servers that do nothing cost PostgreSQL beside 10,000 open batches: `python benchmarks/claims/idle.py`.

    python benchmarks/claims/idle.py [--batches 10000] [--servers 50] [--seconds 20] [--statements]

Real servers, all of which serve the ten deployments of the batches, which an operator has paused: nobody claims, and every loop
looks as often as it does anywhere. `--statements` says which statements PostgreSQL was asked, how often, and how long they took.
"""

import argparse
import contextlib
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import psycopg
from benchmarks.claims.database import database, processor_seconds
from benchmarks.claims.filling import DEPLOYMENTS, TENANTS, deployment_of, fill, fill_files
from benchmarks.claims.run import CORE, share
from benchmarks.harness import table
from tests.postgresql import Postgresql
from tests.server import Server

# Of a statement in the log: how long it took, and its text.
LOGGED = re.compile(r"duration: ([\d.]+) ms +(?:parse|bind|execute|statement)[^:]*: (.*)")


def pause_all(address: str) -> None:
    """Of every deployment."""
    with psycopg.connect(address, autocommit=True) as db:
        for number in range(DEPLOYMENTS):
            name = deployment_of(number)
            resource = name.partition("/")[0] if "/" in name else "default"
            db.execute(
                "INSERT INTO pause (what, target, resource, who, reason, since) VALUES ('deployment', %s, %s, 'us', '', 0)",
                (name, resource),
            )


def configuration(address: str) -> str:
    """That of all servers."""
    text = f'[server]\ndatabase = "{address}"\n[metrics]\nenabled = true\n'
    text += "".join(f'[[resources]]\nname = "t{number}"\n' for number in range(1, TENANTS))
    for number in range(DEPLOYMENTS):
        tenant, _, name = deployment_of(number).rpartition("/")
        of = f'resource = "{tenant}"\n' if tenant else ""
        text += f'[[deployments]]\nname = "{name}"\n{of}[[deployments.backends]]\nurl = "http://127.0.0.1:9/v1"\n'
    return text


@contextlib.contextmanager
def servers(folder: Path, address: str, count: int) -> Iterator[list[Server]]:
    """So many, started one after the other."""
    config = folder / "slackwater.toml"
    config.write_text(configuration(address))
    started: list[Server] = []
    try:
        for number in range(count):
            started.append(Server(config, folder / "data", folder / f"{number}.log"))
        yield started
    finally:
        for each in started:
            each.kill()


def statements(log: Path, seconds: float, server: Postgresql, address: str) -> str:
    """Those that take the most time, as the database sees it."""
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET log_min_duration_statement = 0")
        admin.execute("SELECT pg_reload_conf()")
        time.sleep(1)
        start = log.stat().st_size
        time.sleep(seconds)
        text = log.read_text(errors="replace")[start:]
        admin.execute("ALTER SYSTEM RESET log_min_duration_statement")
        admin.execute("SELECT pg_reload_conf()")
    times: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for entry in re.split(r"\n(?=\d{4}-)", text):
        if found := LOGGED.search(entry.replace("\n", " ").replace("\t", " ")):
            name = re.sub(r"\d+", "N", re.sub(r"'[^']*'", "'x'", found[2]))[:110]
            times[name] += float(found[1])  # type: ignore[assignment]
            counts[name] += 1
    rows = [(f"{took / seconds:.1f}", f"{counts[name] / seconds:.0f}", name) for name, took in times.most_common(25)]
    return table(("ms a second", "a second", "statement"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--servers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--statements", action="store_true")
    options = parser.parse_args()
    with database() as server, tempfile.TemporaryDirectory() as scratch:
        fill(server.address("postgres"), "deep", options.batches)
        print(measured(server, server.address("deep"), Path(scratch), options))


def measured(server: Postgresql, address: str, scratch: Path, options: argparse.Namespace) -> str:
    """What was found."""
    pause_all(address)
    fill_files(scratch / "data", options.batches)
    with servers(scratch, address, options.servers) as started:
        time.sleep(10)
        before = [processor_seconds(each.process.pid) for each in started]
        cost = share(server, options.seconds)
        theirs = [processor_seconds(each.process.pid) - was for each, was in zip(started, before, strict=True)]
        mean = sum(theirs) / len(theirs) / options.seconds
        rows = [
            ("PostgreSQL, of a core", f"{cost:.1%}", f"{CORE:.0%}", "met" if cost < CORE else "SHORT"),
            ("each server itself, of a core", f"{mean:.1%}", "", ""),
        ]
        shown = table(("figure", "found", "under", ""), rows)
        if options.statements:
            shown += "\n\n" + statements(server.place / "log", 5, server, server.address("postgres"))
    return shown


if __name__ == "__main__":
    main()
