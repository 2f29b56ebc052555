"""Ten thousand open batches of ten shards, of several tenants and deployments, some long and some short, with deadlines.

Everything goes through the ledger as the service does it; only disks are not waited for meanwhile.
"""

import asyncio
from pathlib import Path

import psycopg

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import Batch, Policies, Status, WindowElapsed
from slackwater.ports import NewShard

TENANTS, DEPLOYMENTS, SHARDS, LINES = 5, 10, 10, 10
SHARD_BYTES = 5_000
NOW = 1_760_000_000
# At once: they share transactions.
TOGETHER = 64


def deployment_of(number: int) -> str:
    """A deployment belongs to a tenant."""
    number %= DEPLOYMENTS
    tenant = number % TENANTS
    return f"d{number}" if not tenant else f"t{tenant}/d{number}"


def batch_of(number: int) -> Batch:
    """A batch as large as they are in practice."""
    tenant = number % DEPLOYMENTS % TENANTS
    return Batch(
        id=f"batch_{number:032x}",
        resource=f"t{tenant}" if tenant else "default",
        input_file_id=f"file-{number:032x}",
        input_blob=f"files/{number}",
        endpoint="/chat/completions",
        completion_window="24h",
        status=Status.VALIDATING,
        created_at=NOW + number,
        # Some hours apart.
        expires_at=1 << 40 | number * 7_919 % 86_400,
        policies=Policies(window_elapsed=WindowElapsed.EXPIRE if number % 2 else WindowElapsed.CONTINUE),
        metadata={"team": "tides", "run": f"nightly-{number}", "note": "n" * 100},
    )


async def _begin(ledger: SqlLedger, number: int) -> None:
    new = batch_of(number)
    await ledger.add_batch(new)
    # No two batches of a deployment are of the same size, so that there is an order.
    tokens = 10 + number * 7_919 % 997
    shards = [
        NewShard(offset=index * SHARD_BYTES, length=SHARD_BYTES, lines=LINES, tokens=tokens) for index in range(SHARDS)
    ]
    await ledger.accept_batch(
        new.id,
        deployment=deployment_of(number),
        endpoint="/chat/completions",
        total=SHARDS * LINES,
        tokens=tokens * SHARDS,
        shards=shards,
    )
    await ledger.enqueue([new.id], now=NOW)
    await ledger.rank_shards(new.id, [float(index) for index in range(SHARDS)])


async def _fill(address: str, batches: int) -> None:
    ledger = SqlLedger.connect(address)
    try:
        for first in range(0, batches, TOGETHER):
            await asyncio.gather(*(_begin(ledger, number) for number in range(first, min(batches, first + TOGETHER))))
    finally:
        await ledger.close()


def fill_files(data: Path, batches: int) -> None:
    """The input files of those batches, in a data directory: a server refuses one that lacks what its ledger needs."""
    (data / "blobs" / "files").mkdir(parents=True)
    for number in range(batches):
        with (data / "blobs" / batch_of(number).input_blob).open("wb") as file:
            # Of holes: nobody reads them.
            file.truncate(SHARDS * SHARD_BYTES)


def fill(address: str, name: str, batches: int) -> None:
    """Makes the database `name` anew, with so many batches in it; `address` is that of another one of its server."""
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        admin.execute(f"CREATE DATABASE {name}".encode())
        admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    asyncio.run(_fill(address.replace("/postgres?", f"/{name}?"), batches))
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} RESET synchronous_commit".encode())
