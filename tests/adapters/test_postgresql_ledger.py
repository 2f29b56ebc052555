"""What the ledger on PostgreSQL promises beyond the contract: many at once, searches that take long, an audit log."""

import asyncio
import threading

import psycopg
import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.postgresql.database import PostgresqlDatabase
from slackwater.core.batch import Status
from slackwater.core.errors import InvalidRequest, LedgerSlow, LedgerUnavailable, QuotaExceeded
from slackwater.core.files.file import FileLimits
from slackwater.core.sending.request import Outcome
from slackwater.core.sending.shared_slots import Ask
from slackwater.core.watching.listing import BatchQuery, Condition, Field, Operator
from tests.adapters.asked_postgresql import told
from tests.adapters.ledger_contract import batch, claimed, file, segment, started

pytestmark = pytest.mark.postgresql
NARROWED = BatchQuery(conditions=(Condition(Field.ENDPOINT, Operator.EQ, "/embeddings"),))


# Many at once


def test_quotas_hold_among_several(address: str) -> None:
    """Of 40 files that come at once over four connections, as many are let in as there may be."""
    limits = FileLimits(lasting=10)

    async def story() -> None:
        ledgers = [SqlLedger.connect(address) for _ in range(4)]
        adding = (ledgers[number % 4].add_file(file(number), limits=limits) for number in range(40))
        outcomes = await asyncio.gather(*adding, return_exceptions=True)
        assert [type(each) for each in outcomes if each is not None] == [QuotaExceeded] * 30
        assert len(await ledgers[0].files(purpose=None, after=None, limit=50, descending=True, now=0)) == 10
        await asyncio.gather(*(ledger.close() for ledger in ledgers))

    asyncio.run(story())


def test_a_shard_is_claimed_once(address: str) -> None:
    """Four claim from the same batch at the same time, until nothing is left: each shard goes to one of them."""

    async def story() -> None:
        ledgers = [SqlLedger.connect(address) for _ in range(4)]
        await started(ledgers[0], shards=(1,) * 40)

        async def claim_all(ledger: SqlLedger, owner: str) -> list[int]:
            mine = []
            while shards := await ledger.claim_shards(["batch-0"], owner=owner, now=0.0, lease_seconds=10.0):
                mine += [shard.index for shard in shards]
            return mine

        claims = await asyncio.gather(*(claim_all(each, f"owner-{number}") for number, each in enumerate(ledgers)))
        assert sorted(index for mine in claims for index in mine) == list(range(40))
        await asyncio.gather(*(ledger.close() for ledger in ledgers))

    asyncio.run(story())


def test_a_claim_that_was_forgotten(address: str) -> None:
    """Claims wait for no disk. Where the database has lost one while its worker lives, the next one is told from it."""

    async def story() -> None:
        ledgers = [SqlLedger.connect(address) for _ in range(2)]
        await started(ledgers[0], shards=(2,))
        first = await claimed(ledgers[0], owner="a-0")
        told(address, "UPDATE shard SET state = 'queued', owner = NULL, lease_until = NULL, epoch = 0")
        second = await claimed(ledgers[1], owner="b-0")
        assert second.index == first.index
        late = [(first.batch_id, first.index, first.epoch)]
        assert await ledgers[0].commit_segments([segment(first, 0)], now=1.0, lease_seconds=10.0) == late
        assert await ledgers[0].renew_leases(late, now=1.0, lease_seconds=10.0) == []
        assert not await ledgers[0].release_shard("batch-0", 0, epoch=first.epoch)
        assert await ledgers[1].commit_segments([segment(second, 0, 1)], now=1.0, lease_seconds=10.0) == []
        assert await ledgers[1].finish_shard("batch-0", 0, epoch=second.epoch)
        await asyncio.gather(*(ledger.close() for ledger in ledgers))

    asyncio.run(story())


def test_results_of_several_are_all_counted(address: str) -> None:
    """Two commit for the same batch and the same day beside each other: every result counts, once."""

    async def story() -> None:
        ledgers = [SqlLedger.connect(address) for _ in range(2)]
        await started(ledgers[0], shards=(1,) * 30)
        shards = [
            (await ledgers[0].claim_shards(["batch-0"], owner="o", now=0.0, lease_seconds=10.0))[0] for _ in range(30)
        ]

        async def commit(ledger: SqlLedger, part: int) -> None:
            for shard in shards[part::2]:
                assert await ledger.commit_segments([segment(shard, 0)], now=1.0, lease_seconds=10.0) == []
                assert await ledger.finish_shard("batch-0", shard.index, epoch=shard.epoch)

        await asyncio.gather(*(commit(ledger, part) for part, ledger in enumerate(ledgers)))
        done = await ledgers[1].batch("batch-0")
        assert done is not None
        assert done.counts.completed == 30
        ending = await ledgers[1].begin_finalizing(now=2)
        assert ending is not None
        await asyncio.gather(*(ledger.close() for ledger in ledgers))

    asyncio.run(story())


def test_one_has_a_ledger_alone(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is the connection's: it goes with it."""
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.standing.TAKE_OVER_SECONDS", 0.0)

    async def story() -> None:
        first = SqlLedger.connect(address, alone=True)
        with pytest.raises(LedgerUnavailable, match="in use by another slackwater"):
            SqlLedger.connect(address, alone=True)
        await first.close()
        await SqlLedger.connect(address, alone=True).close()

    asyncio.run(story())


# Searches


def test_a_search_has_a_bound(address: str) -> None:
    """One that takes too long is refused, says what to do, and leaves no trace."""

    async def story() -> None:
        ledger = SqlLedger(PostgresqlDatabase(address, search_seconds=0.05))
        # As if there were very many.
        told(
            address,
            "ALTER TABLE batch RENAME TO few",
            "CREATE VIEW batch AS SELECT few.* FROM few WHERE (SELECT pg_sleep(60) IS NOT NULL)",
            "ALTER TABLE batch_text RENAME TO texts",
            "CREATE VIEW batch_text AS SELECT texts.* FROM texts WHERE (SELECT pg_sleep(60) IS NOT NULL)",
        )
        try:
            async with asyncio.timeout(20):
                with pytest.raises(InvalidRequest, match=r"Narrow '\$filter' down"):
                    await ledger.batches(NARROWED, limit=10)
                with pytest.raises(InvalidRequest, match="Search for something newer"):
                    await ledger.batch_overview(resource="default", search="nowhere", limit=10)
                # There is nothing that the caller could narrow down.
                for page in (
                    lambda: ledger.batches(limit=10),
                    lambda: ledger.batch_overview(resource="default", limit=10),
                    lambda: ledger.batch_overview(resource="default", statuses=[Status.COMPLETED], limit=10),
                    lambda: ledger.batch_overview(resource="default", with_failures=True, limit=10),
                    lambda: ledger.batches_at_work(limit=10),
                    lambda: ledger.results_behind("batch-1", seen={}, outcomes=[Outcome.COMPLETED], limit=10),
                ):
                    with pytest.raises(LedgerSlow):
                        await page()
        finally:
            told(address, "DROP VIEW batch", "ALTER TABLE few RENAME TO batch")
            told(address, "DROP VIEW batch_text", "ALTER TABLE texts RENAME TO batch_text")
        await ledger.add_batch(batch(7))
        assert [each.id for each in await ledger.batches(limit=1)] == ["batch-7"]
        await ledger.close()

    asyncio.run(story())


def test_a_search_that_waits_for_a_lock_is_not_too_long(address: str) -> None:
    """Somebody keeps the table for himself for a while: that is no fault of who searches."""

    async def story() -> None:
        ledger = SqlLedger(PostgresqlDatabase(address, search_seconds=0.2))
        async with asyncio.timeout(20):
            with psycopg.connect(address) as other:
                other.execute("LOCK TABLE batch IN ACCESS EXCLUSIVE MODE")
                for search in (
                    lambda: ledger.batches(NARROWED, limit=10),
                    lambda: ledger.batches(limit=10),
                    lambda: ledger.batch_overview(resource="default", limit=10),
                ):
                    with pytest.raises(LedgerUnavailable, match="waiting for a lock"):
                        await search()
            assert await ledger.batches(limit=1) == []
        await ledger.close()

    asyncio.run(story())


def test_a_long_search_keeps_nobody_waiting(address: str) -> None:
    """While one runs, others read and write."""

    async def story() -> None:
        ledger = SqlLedger.connect(address)
        begun, go_on = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def long(_: object) -> None:
            loop.call_soon_threadsafe(begun.set)
            go_on.wait(20)

        search = asyncio.ensure_future(ledger.sql.database.search(long))
        await begun.wait()
        await ledger.add_batch(batch())
        assert await ledger.batch("batch-0") == batch()
        assert not search.done()
        go_on.set()
        await search
        await ledger.close()

    asyncio.run(story())


def test_a_text_with_a_zero_character(address: str) -> None:
    """PostgreSQL has none: it is kept as what stands for a character that cannot be shown, and never found by another's name."""

    async def story() -> None:
        ledger = SqlLedger.connect(address)
        await ledger.add_file(file(1, filename="a\0b"))
        kept = await ledger.file("file-1")
        assert kept is not None
        assert kept.filename == "a\N{REPLACEMENT CHARACTER}b"
        assert await ledger.file("file-1\0") is None
        await ledger.close()

    asyncio.run(story())


def test_the_audit_log_is_only_added_to(address: str) -> None:
    """Whatever asks for it, the database refuses."""
    told(
        address,
        "INSERT INTO audit (at, resource, who, action, object, detail, request_id) VALUES (9, '', '', '', '', '', '')",
    )
    for statement in ("UPDATE audit SET who = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(psycopg.errors.RaiseException, match="only ever added to"):
            told(address, statement)
    with psycopg.connect(address, autocommit=True) as db:
        db.execute("UPDATE audit_horizon SET kept_from = 10")
        assert db.execute("DELETE FROM audit").rowcount == 1


def test_a_member_that_is_stopped_while_it_divides_keeps_nobody_waiting(address: str) -> None:
    """Its transaction is ended by the database, and is done again when it goes on."""

    async def story() -> None:
        one, two = SqlLedger.connect(address), SqlLedger.connect(address)
        stopped, go_on = threading.Event(), threading.Event()
        text = one.sql.text

        def stops(name: str) -> str:
            if name == "put_engine_slots" and not stopped.is_set():
                # Between two statements, with the lock.
                stopped.set()
                go_on.wait(20)
            return text(name)

        one.sql.text = stops  # type: ignore[method-assign]
        ask = Ask(engine="e", wanted=5, held=0, limit=10, serial=1, longest=1.0, known=True)
        late = asyncio.create_task(one.share_engines("one", [ask], seconds=12.0, now=0.0))
        await asyncio.to_thread(stopped.wait, 20)
        [grant] = await asyncio.wait_for(two.share_engines("two", [ask], seconds=12.0, now=0.0), 15)
        assert grant.slots == 5
        go_on.set()
        [grant] = await asyncio.wait_for(late, 15)
        assert grant.slots == 5
        await one.close()
        await two.close()

    asyncio.run(story())
