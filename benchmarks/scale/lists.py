"""Lists and retention beside many ended batches on PostgreSQL: `python benchmarks/scale/lists.py [--batches 200000]`.

One real ended batch, copied inside the database; then each call as API, Studio and the janitor make it, some times in turn.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import psycopg
from benchmarks.claims.database import database, seconds_of
from benchmarks.harness import median, table
from benchmarks.scale.rows import NOW, begin, end, sizes, work
from tests.postgresql import Postgresql

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import Status
from slackwater.core.watching.listing import BatchQuery, Condition, Field, Operator

ROUNDS = 15
COPIES = 20_000


def copy(address: str, count: int) -> float:
    """Makes so many more like the first one, a second apart; returns how long that took for each, in microseconds."""
    begun = time.monotonic()
    with psycopg.connect(address, autocommit=True) as db:
        names = [
            name
            for (name,) in db.execute("SELECT column_name FROM information_schema.columns WHERE table_name = 'batch'")
            if name not in ("seq", "id", "created_at", "completed_at", "exhausted")
        ]
        kept = ", ".join(f'"{name}"' for name in names)
        for first in range(0, count, COPIES):
            db.execute(
                f"""INSERT INTO batch (id, created_at, completed_at, {kept})
                SELECT 'batch_' || lpad(to_hex(n + 1000000), 32, '0'), created_at + n, completed_at + n, {kept}
                FROM batch, generate_series({first + 1}, {min(count, first + COPIES)}) AS n WHERE seq = 1""".encode()
            )
        db.execute("VACUUM ANALYZE")
    return (time.monotonic() - begun) / count * 1e6


async def measure(server: Postgresql, address: str, count: int) -> list[tuple[Any, ...]]:
    """Milliseconds of each call, and what PostgreSQL spends on it."""
    ledger = SqlLedger.connect(address)
    try:
        await work(ledger, await begin(ledger, 0, 1), 1, 1)
        await end(ledger, 0, 1)
        each = copy(address, count)
        failed = BatchQuery(conditions=(Condition(Field.STATUS, Operator.EQ, Status.FAILED),))
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "a page of the list": lambda: ledger.batches(resource="default", after=None, limit=100),
            "those that failed: none": lambda: ledger.batches(resource="default", after=None, limit=100, query=failed),
            "Studio's first page": lambda: ledger.batch_overview(resource="default", limit=50),
            "200 batches go by age": lambda: ledger.forget_batches("default", ended_before=NOW + 10 * count, limit=200),
        }
        taken = sizes(address)
        rows = [
            ("a batch is copied, us", f"{each:.0f}", ""),
            ("bytes of a batch", f"{taken['batch'][1] / count:.0f}", ""),
        ]
        for name, call in calls.items():
            await call()
            took, before = [], seconds_of(server)
            for _ in range(ROUNDS):
                begun = time.monotonic()
                await call()
                took.append(time.monotonic() - begun)
            rows.append((name, f"{median(took) * 1e3:.1f}", f"{(seconds_of(server) - before) / ROUNDS * 1e3:.1f}"))
        return rows
    finally:
        await ledger.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=200_000)
    options = parser.parse_args()
    with database() as server:
        with psycopg.connect(server.address("postgres"), autocommit=True) as admin:
            admin.execute("CREATE DATABASE lists")
            admin.execute("ALTER DATABASE lists SET synchronous_commit = off")
        rows = asyncio.run(measure(server, server.address("lists"), options.batches))
        print(table(("call", "ms, median", "CPU of PostgreSQL, ms"), rows))


if __name__ == "__main__":
    main()
