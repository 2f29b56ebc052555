"""What it costs PostgreSQL that members share engines: `python benchmarks/scale/shares.py`.

    python benchmarks/scale/shares.py [--engines 250] [--members 4] [--rounds 8]

Each member asks for its part of all engines, in one transaction, as it does every three seconds while it sends to them; and says
a word about each to the others and hears theirs, as it does every second while it looks at their metrics pages.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import psycopg
from benchmarks.claims.database import database, seconds_of
from benchmarks.harness import table
from benchmarks.scale.rows import written
from tests.postgresql import Postgresql

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.sending.shared_slots import GRANT_SECONDS, RENEW_SECONDS, Ask
from slackwater.pipeline.sending.member_words import TALK_SECONDS
from slackwater.ports import Said

SLOTS = 64
# About as long as what is said of a paced engine.
WORD = "x" * 200 + '":0}}'


async def ask_all(ledger: SqlLedger, members: int, engines: int, serial: int) -> None:
    """One renewal of each member for each engine."""
    for member in range(members):
        asks = [
            Ask(engine=f"https://engine-{number:04}:443", wanted=SLOTS, held=0, limit=SLOTS, serial=serial, known=True)
            for number in range(engines)
        ]
        await ledger.share_engines(f"m{member}", asks, seconds=GRANT_SECONDS, now=0.0)


async def talk(ledger: SqlLedger, members: int, engines: int, turn: int) -> None:
    """One round of words of each member about each engine."""
    for member in range(members):
        said = {
            f"peers https://engine-{number:04}:443": Said(f'{{"turn":{turn},"{WORD}', 4.0) for number in range(engines)
        }
        await ledger.exchange_words(f"m{member}", said, list(said), now=0.0)


async def timed(
    server: Postgresql, address: str, work: Callable[[int], Awaitable[None]], rounds: int, rows: int
) -> tuple[float, ...]:
    """Of a row, in microseconds: CPU of PostgreSQL, CPU of the member, time; and bytes that were written ahead."""
    for turn in range(2):
        await work(turn)
    begun, ours, theirs, wal = time.monotonic(), time.process_time(), seconds_of(server), written(address)
    for turn in range(rounds):
        await work(turn + 2)
    found = seconds_of(server) - theirs, time.process_time() - ours, time.monotonic() - begun
    return *(each / rounds / rows * 1e6 for each in found), (written(address) - wal) / rounds / rows


async def measure(server: Postgresql, address: str, options: argparse.Namespace) -> list[tuple[str, ...]]:
    """The figures."""
    ledger = SqlLedger.connect(address)
    members, engines, rows = options.members, options.engines, options.engines * options.members
    try:
        shares = await timed(
            server, address, lambda turn: ask_all(ledger, members, engines, turn + 1), options.rounds, rows
        )
        words = await timed(server, address, lambda turn: talk(ledger, members, engines, turn), options.rounds, rows)
    finally:
        await ledger.close()
    found = [("CPU of PostgreSQL, us", "CPU of the member, us", "time, us", "written ahead, bytes")]
    told: list[tuple[str, ...]] = [
        (name, *(f"{each:.0f}" for each in pair))
        for name, pair in zip(found[0], zip(shares, words, strict=True), strict=True)
    ]
    seconds = (1_000 * members / RENEW_SECONDS, 1_000 * members / TALK_SECONDS)
    told.append((f"1,000 engines, {members} members at each: a second", *(f"{each:,.0f}" for each in seconds)))
    cores = [each[0] * rate / 1e6 for each, rate in zip((shares, words), seconds, strict=True)]
    told.append(("the same, cores of PostgreSQL", *(f"{each:.2f}" for each in cores)))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", type=int, default=250)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    with database() as server:
        with psycopg.connect(server.address("postgres"), autocommit=True) as admin:
            admin.execute("CREATE DATABASE shares")
        print(
            table(
                ("of a member at an engine", "grant", "word"),
                asyncio.run(measure(server, server.address("shares"), options)),
            )
        )


if __name__ == "__main__":
    main()
