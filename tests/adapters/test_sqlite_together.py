"""Writes that wait together share a transaction, and each has the outcome that it would have had alone."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable
from pathlib import Path

import msgspec

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.sqlite import SqliteDatabase
from slackwater.core.batch import Batch, Stage
from slackwater.core.errors import NoRoom
from tests.adapters.ledger_contract import batch


def test_one_that_fails_costs_the_others_nothing(tmp_path: Path) -> None:
    """Three wait for the writer and go together; the second raises, and the others are run again and stay."""

    async def story() -> None:
        database = SqliteDatabase(tmp_path / "ledger.sqlite", inline=False)
        await database.write(lambda db: db.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)"))
        busy, began = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def hold(db: sqlite3.Connection) -> None:
            loop.call_soon_threadsafe(began.set)
            busy.wait(30)

        holding = asyncio.create_task(database.write(hold))
        await began.wait()
        runs: list[int] = []

        def add(number: int) -> object:
            def work(db: sqlite3.Connection) -> int:
                runs.append(number)
                db.execute("INSERT INTO t VALUES (?)", (number % 3,))
                return number

            return work

        asked = [asyncio.create_task(database.write(add(each))) for each in (1, 4, 2)]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        busy.set()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        await holding
        assert [outcomes[0], outcomes[2]] == [1, 2]
        assert isinstance(outcomes[1], sqlite3.IntegrityError)
        assert runs == [1, 4, 1, 4, 2]
        assert not database.refuses_writes
        assert [row[0] for row in database.reader.execute("SELECT x FROM t")] == [1, 2]
        await database.close()

    asyncio.run(story())


def test_what_need_not_be_durable_changes_nothing_for_what_must(tmp_path: Path) -> None:
    """Behind a write that waits for no fsync, and behind one that failed so, commits are synced as ever."""

    async def story() -> None:
        database = SqliteDatabase(tmp_path / "ledger.sqlite", inline=False)
        seen: list[int] = []

        def work(db: sqlite3.Connection) -> None:
            seen.append(db.execute("PRAGMA synchronous").fetchone()[0])
            if len(seen) == 2:
                raise ValueError("on purpose")

        await database.write(work, durable=False)
        assert isinstance(
            (await asyncio.gather(database.write(work, durable=False), return_exceptions=True))[0], ValueError
        )
        await database.write(work)
        assert seen == [1, 1, 2]
        await database.close()

    asyncio.run(story())


def test_creates_that_come_together_do_not_find_the_same_room(tmp_path: Path) -> None:
    """Each is counted before the next one looks, also where they share a transaction; so is each that is accepted."""

    async def story() -> None:
        ledger = SqlLedger.open(tmp_path / "ledger.sqlite")
        made = [msgspec.structs.replace(batch(number), deployment="d", enqueued_tokens=1000) for number in range(8)]
        found = await asyncio.gather(
            *(ledger.add_batch(each, token_limit=3000) for each in made), return_exceptions=True
        )
        assert sum(isinstance(each, NoRoom) for each in found) == 5
        assert await ledger.enqueued_tokens("d") == 3000
        for each in made:
            if await ledger.batch(each.id) is None:
                await ledger.add_batch(each)

        def accept(each: Batch) -> Awaitable[Stage | None]:
            return ledger.accept_batch(
                each.id, deployment="d", endpoint="/x", total=1, tokens=1400, shards=[], token_limit=3000
            )

        accepted = await asyncio.gather(*(accept(each) for each in made), return_exceptions=True)
        assert sum(isinstance(each, NoRoom) for each in accepted) == 6
        assert await ledger.counted_tokens("d") == 2800
        await ledger.close()

    asyncio.run(story())
