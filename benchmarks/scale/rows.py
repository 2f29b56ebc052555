"""What a batch, a shard and a line leave in a ledger: `python benchmarks/scale/rows.py`.

    python benchmarks/scale/rows.py [--batches 200] [--shards 10] [--commits 5] [--beside 1] [--ledgers postgresql sqlite]

Batches of full shards (a thousand lines) go through the ledger as the service sends them: added, validated, claimed, answered in
so many commits for each shard, finalized, one webhook told. `--beside` shards of a batch are worked on at once, so that their
results take turns in its log. Bytes are those of tables with their indexes, and what PostgreSQL wrote ahead, for one batch.
"""

import argparse
import asyncio
import random
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import psycopg
from benchmarks.claims.database import database, seconds_of
from benchmarks.claims.filling import batch_of
from benchmarks.harness import table

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.accounts.usage import Usage
from slackwater.core.batch import RequestCounts
from slackwater.core.files.file import File, Purpose
from slackwater.core.telling.webhooks import EventType, Secret, WebhookEndpoint
from slackwater.ports import BlobRange, NewShard, Segment, Shard

LINES, LINE_BYTES = 1_000, 1_000
NOW = 1_760_000_000
CHANCE = random.Random(1)


def file_of(number: int, purpose: Purpose, size: int) -> File:
    """A file as it is in practice."""
    name = f"{'file' if purpose is Purpose.BATCH else 'out'}-{number:032x}"
    return File(
        id=name, filename="questions.jsonl", purpose=purpose, size=size, created_at=NOW, blob=f"files/{name}",
        checksum=number, expires_at=NOW + 30 * 86_400,
    )  # fmt: skip


async def begin(ledger: SqlLedger, number: int, shards: int) -> str:
    """A batch that runs."""
    new = batch_of(number)
    await ledger.add_file(file_of(number, Purpose.BATCH, shards * LINES * LINE_BYTES))
    await ledger.add_batch(new)
    cut = [
        NewShard(
            offset=index * LINES * LINE_BYTES,
            length=LINES * LINE_BYTES,
            lines=LINES,
            tokens=250 * LINES,
            checksums=CHANCE.randbytes(4 * LINES),
        )
        for index in range(shards)
    ]
    await ledger.accept_batch(
        new.id,
        deployment="d",
        endpoint="/chat/completions",
        total=LINES * shards,
        tokens=250 * LINES * shards,
        shards=cut,
    )
    await ledger.enqueue([new.id], now=NOW)
    await ledger.rank_shards(new.id, [float(index) for index in range(shards)])
    return new.id


def part_of(shard: Shard, part: int, parts: int, offset: int) -> Segment:
    """The results of one commit for a shard."""
    first, last = LINES * part // parts, LINES * (part + 1) // parts
    done = ((1 << last) - (1 << first)).to_bytes(LINES // 8, "little")
    return Segment(
        batch_id=shard.batch_id,
        index=shard.index,
        epoch=shard.epoch,
        output=BlobRange(key=f"logs/{shard.batch_id}/w1-output", offset=offset, length=(last - first) * LINE_BYTES),
        error=None,
        done=done,
        counts=RequestCounts(completed=last - first),
        usage=Usage(input_tokens=250 * (last - first), output_tokens=100 * (last - first)),
        model="llama",
        output_checksums=CHANCE.randbytes(4 * (last - first)),
        ends=part == parts - 1,
    )


async def work(ledger: SqlLedger, batch_id: str, commits: int, beside: int) -> None:
    """All of its shards, some at once."""
    offset = 0
    while True:
        shards = []
        for _ in range(beside):
            shards += await ledger.claim_shards([batch_id], owner="w-1", now=NOW, lease_seconds=30)
        if not shards:
            return
        for part in range(commits):
            found = []
            for shard in shards:
                found.append(part_of(shard, part, commits, offset))
                assert found[-1].output is not None
                offset += found[-1].output.length
            assert not await ledger.commit_segments(found, now=NOW, lease_seconds=30)


async def end(ledger: SqlLedger, number: int, size: int) -> None:
    """One batch that has nothing left to run."""
    ending = await ledger.begin_finalizing(now=NOW)
    assert ending is not None
    await ledger.publish_files(ending.id, output=file_of(number, Purpose.BATCH_OUTPUT, size), error=None, now=NOW + 60)


def sizes(address: Any) -> dict[str, tuple[int, int]]:
    """Rows and bytes of each table, with its indexes."""
    if isinstance(address, Path):
        with sqlite3.connect(address) as db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            of = dict(db.execute("SELECT name, tbl_name FROM sqlite_schema"))
            taken: dict[str, int] = {}
            for name, size in db.execute("SELECT name, pgsize FROM dbstat WHERE aggregate = 1"):
                taken[of.get(name, name)] = taken.get(of.get(name, name), 0) + size
            return {
                name: (db.execute(f"SELECT count(*) FROM {name}").fetchone()[0], taken.get(name, 0)) for name in tables
            }
    with psycopg.connect(address, autocommit=True) as pg:
        pg.execute("VACUUM")
        names = [name for (name,) in pg.execute("SELECT relname FROM pg_stat_user_tables")]
        found = {}
        for name in names:
            (rows,) = pg.execute(f"SELECT count(*) FROM {name}".encode()).fetchone() or (0,)
            (size,) = pg.execute("SELECT pg_total_relation_size(%s::regclass)", (name,)).fetchone() or (0,)
            found[name] = (rows, size)
        return found


def written(address: Any) -> int:
    """Bytes of PostgreSQL's write-ahead log until now."""
    if isinstance(address, Path):
        return 0
    with psycopg.connect(address) as pg:
        return int((pg.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone() or (0,))[0])


async def fill(ledger: SqlLedger, address: Any, options: argparse.Namespace, server: Any) -> list[tuple[Any, ...]]:
    """Goes the whole way with all batches, and looks at it twice."""
    await ledger.add_webhook_endpoint(
        WebhookEndpoint(
            id="we",
            resource="default",
            name="n",
            url="https://receiver.example/x",
            event_types=(EventType.BATCH_COMPLETED,),
            secrets=(Secret(text="whsec_x"),),
            created_at=NOW,
            updated_at=NOW,
        ),
        most=100,
    )
    before, marks, spent = sizes(address), [written(address)], [seconds_of(server) if server else 0.0]

    def mark() -> None:
        marks.append(written(address))
        spent.append(seconds_of(server) if server else 0.0)

    names = [await begin(ledger, number * 10, options.shards) for number in range(options.batches)]
    mark()
    for name in names:
        await work(ledger, name, options.commits, options.beside)
    mark()
    open_ = sizes(address)
    mark()
    for number in range(options.batches):
        await end(ledger, number, options.shards * LINES * LINE_BYTES)
    mark()
    ended = sizes(address)
    count = options.batches
    rows: list[tuple[Any, ...]] = []
    for name in sorted(open_):
        was, now, then = before.get(name, (0, 0)), open_[name], ended[name]
        if now[0] - was[0] >= count or then[0] - was[0] >= count:
            row = [f"{(each[0] - was[0]) / count:.1f}" for each in (now, then)]
            bytes_ = [f"{(each[1] - was[1]) / count:,.0f}" for each in (now, then)]
            rows.append((name, row[0], bytes_[0], row[1], bytes_[1]))
    if server:
        shown = [f"{(marks[to] - marks[to - 1]) / count:,.0f}" for to in (1, 2, 4)]
        rows.append(("written ahead: begun, worked, ended", "", " ".join(shown), "", ""))
        cpu = [f"{(spent[to] - spent[to - 1]) / count * 1e6:,.0f}" for to in (1, 2, 4)]
        rows.append(("CPU of PostgreSQL, us: the same", "", " ".join(cpu), "", ""))
    return rows


async def _postgresql(options: argparse.Namespace) -> list[tuple[Any, ...]]:
    with database() as server:
        with psycopg.connect(server.address("postgres"), autocommit=True) as admin:
            admin.execute("CREATE DATABASE rows")
            admin.execute("ALTER DATABASE rows SET synchronous_commit = off")
        ledger = SqlLedger.connect(server.address("rows"))
        try:
            return await fill(ledger, server.address("rows"), options, server)
        finally:
            await ledger.close()


async def _sqlite(options: argparse.Namespace) -> list[tuple[Any, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "ledger.sqlite"
        ledger = SqlLedger.open(place, inline=True)
        try:
            return await fill(ledger, place, options, None)
        finally:
            await ledger.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--commits", type=int, default=5, help="for each shard")
    parser.add_argument("--beside", type=int, default=1, help="shards of a batch that are worked on at once")
    parser.add_argument("--ledgers", nargs="+", default=["postgresql", "sqlite"])
    options = parser.parse_args()
    head = ("a batch's", "rows, open", "bytes", "rows, ended", "bytes")
    for kind in options.ledgers:
        print(kind)
        print(table(head, asyncio.run({"postgresql": _postgresql, "sqlite": _sqlite}[kind](options))))


if __name__ == "__main__":
    main()
