"""Claims beside those who end, pause or record results of the same batch: nobody waits for them, and no shard is forgotten."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.postgresql.connection import PgConnection
from slackwater.adapters.sql.postgresql.text import text_of
from slackwater.core.batch import Status
from slackwater.core.errors import Buried
from slackwater.core.members import Member
from slackwater.core.sending.pause import Pause, Target
from slackwater.pipeline.sending.claims import Claims
from slackwater.ports import Shard
from tests.adapters.asked_postgresql import rows, told
from tests.adapters.ledger_contract import claimed, segment, started
from tests.postgresql import running

pytestmark = pytest.mark.postgresql

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
STATES = "SELECT state, count(*) FROM shard GROUP BY state ORDER BY state"
# What ends a batch, and what pauses it, as the ledger does it.
CANCELS = (
    "UPDATE batch SET stage = 'ending', status = 'cancelling'",
    "UPDATE shard SET state = 'stopped' WHERE state IN ('queued', 'paused')",
)
PAUSES = ("UPDATE batch SET paused = 1", "UPDATE shard SET state = 'paused' WHERE state = 'queued'")


def member(address: str, name: str) -> SqlLedger:
    """A ledger of one of several."""
    return SqlLedger.connect(address, member=Member(id=name, host="", version=""))


async def claims(ledger: SqlLedger) -> list[Shard]:
    """Whatever is there now."""
    async with asyncio.timeout(20):
        return await ledger.claim_shards(["batch-0"], owner="a-0", now=0.0, lease_seconds=9.0)


async def until_somebody_waits(address: str, task: "asyncio.Task[Any]") -> None:
    """For a lock."""
    async with asyncio.timeout(20):
        while rows(address, WAITING) == [(0,)]:
            assert not task.done(), "nobody waited"
            await asyncio.sleep(0.01)


@contextmanager
def claiming(address: str) -> Iterator[PgConnection]:
    """Somebody in the middle of a claim of the first batch."""
    db = PgConnection(address, name="claiming")
    try:
        db.execute("INSERT INTO writer (id, number, at) VALUES ('claiming', 0, 0)")
        db.script(b"BEGIN")
        values = {
            "ids": '["batch-0"]',
            "most": 1,
            "owner": "b-0",
            "lease_until": 9.0,
            "writer": "claiming",
            "number": 1,
        }
        (row,) = db.execute(text_of("claim_shards"), values).fetchall()
        assert row["epoch"]
        yield db
    finally:
        db.close()


@pytest.mark.parametrize("statements", [CANCELS, PAUSES], ids=["cancel", "pause"])
@pytest.mark.parametrize("ends", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("so_far", [1, 2])
def test_a_claim_while_a_batch_is_stopped(address: str, statements: tuple[str, ...], ends: str, so_far: int) -> None:
    """In the middle of it, a claim waits for nobody: it takes what has not been stopped yet, and whoever stops it sees that."""

    async def story() -> None:
        ledger = member(address, "a")
        await started(ledger, shards=(1, 1))
        with psycopg.connect(address, autocommit=True) as stopping:
            stopping.execute(b"BEGIN ISOLATION LEVEL SERIALIZABLE")
            for each in statements[:so_far]:
                stopping.execute(each.encode())
            taken = await claims(ledger)
            assert len(taken) == (1 if so_far == 1 else 0)
            if taken:
                with pytest.raises(psycopg.errors.SerializationFailure):
                    stopping.execute(statements[1].encode())
                stopping.execute(b"ROLLBACK")
                # As the ledger does.
                stopping.execute(b"BEGIN ISOLATION LEVEL SERIALIZABLE")
                for each in statements:
                    stopping.execute(each.encode())
            stopping.execute(ends.encode())
        stopped = ends == "COMMIT"
        assert len(await claims(ledger)) == (0 if stopped else 1)
        if stopped and taken:
            place = [(taken[0].batch_id, taken[0].index, taken[0].epoch)]
            (state,) = await ledger.renew_leases(place, now=1.0, lease_seconds=9.0)
            assert (state.stop, state.paused) == ((True, False) if statements is CANCELS else (False, True))
        await ledger.bury("a")
        await ledger.close()

    asyncio.run(story())


async def _cancel(ledger: SqlLedger) -> None:
    found = await ledger.request_cancel("batch-0", now=5)
    assert found is not None
    assert found.status is Status.CANCELLING


async def _pause(ledger: SqlLedger) -> None:
    await ledger.pause(Pause(what=Target.BATCH, target="batch-0", resource="default", who="us", reason="", since=5))


@pytest.mark.parametrize("stop", [_cancel, _pause])
@pytest.mark.parametrize("ends", [b"COMMIT", b"ROLLBACK"])
def test_a_batch_that_is_stopped_in_the_middle_of_a_claim(
    address: str, stop: Callable[[SqlLedger], Awaitable[None]], ends: bytes
) -> None:
    """Whoever stops it waits for the claim, and knows of it then: the shard is in hand until it is given back, and no longer."""

    async def story() -> None:
        ledger = member(address, "a")
        await started(ledger, shards=(1, 1))
        with claiming(address) as db:
            stopping = asyncio.ensure_future(stop(ledger))
            await until_somebody_waits(address, stopping)
            db.script(ends)
            await stopping
        left = "stopped" if stop is _cancel else "paused"
        if ends == b"ROLLBACK":
            assert rows(address, STATES) == [(left, 2)]
        else:
            assert sorted(rows(address, STATES)) == sorted([("running", 1), (left, 1)])
            ((index, epoch),) = rows(address, "SELECT idx, epoch FROM shard WHERE state = 'running'")
            assert await ledger.begin_finalizing(now=6) is None
            assert await ledger.release_shard("batch-0", int(str(index)), epoch=int(str(epoch)))
            assert rows(address, STATES) == [(left, 2)]
        assert (await ledger.begin_finalizing(now=7) is not None) == (stop is _cancel)
        await ledger.bury("a")
        await ledger.close()

    asyncio.run(story())


class _Hungry:
    """A feed that has nothing open, and wants one line."""

    shards = bytes = 0
    low, wanted = True, 1

    @property
    def fresh(self) -> "_Hungry":
        return self


@pytest.mark.parametrize("ends", ["COMMIT", "ROLLBACK"])
def test_what_is_passed_over_is_looked_at(address: str, ends: str) -> None:
    """A batch whose last shard another claim has in hand is not forgotten before that has come to something."""

    async def story() -> None:
        ledger = member(address, "a")
        feed: Any = _Hungry()
        known = Claims("d", ledger, feed)
        await started(ledger, shards=(1,))
        await known.learn(0.0)

        async def claim(now: float) -> list[Shard] | None:
            await known.learn(now)
            if not (picked := known.pick(())).batch_ids:
                return None
            shards = await ledger.claim_shards(
                picked.batch_ids, owner="a-0", now=0.0, lease_seconds=9.0, most=picked.most
            )
            known.claimed(picked, shards, now)
            return shards

        with claiming(address) as db:
            assert await claim(0.0) == []
            # Not again and again while it lasts.
            assert await claim(0.5) is None
            assert await claim(1.0) == []
            db.script(ends.encode())
        assert await claim(1.5) is None
        found = await claim(2.0)
        if ends == "COMMIT":
            assert found is None
            assert await claim(9.0) is None
        else:
            assert found
            assert found[0].batch_id == "batch-0"
        await ledger.bury("a")
        await ledger.close()

    asyncio.run(story())


def test_what_is_in_hand_when_a_batch_ends_is_counted(address: str) -> None:
    """However it leaves the hand then: with its last results, given back, or with its member."""

    async def story() -> None:
        ledger, other = member(address, "a"), member(address, "b")
        await started(ledger, shards=(1, 1, 1, 1))
        ends, back = [(await claims(ledger))[0] for _ in range(2)]
        (lost,) = await other.claim_shards(["batch-0"], owner="b-0", now=0.0, lease_seconds=9.0)
        await _cancel(ledger)
        count = "SELECT shards_in_hand, shards_done FROM batch"
        assert rows(address, count) == [(3, 0)]
        assert await ledger.commit_segments([segment(ends, 0, ends=True)], now=6.0, lease_seconds=9.0) == []
        assert rows(address, count) == [(2, 1)]
        assert await ledger.release_shard("batch-0", back.index, epoch=back.epoch)
        assert rows(address, count) == [(1, 1)]
        assert await ledger.begin_finalizing(now=7) is None
        assert lost.index == 2
        await ledger.bury("b")
        assert rows(address, count) == [(0, 1)]
        assert await ledger.begin_finalizing(now=8) is not None
        await other.close()
        await ledger.bury("a")
        await ledger.close()

    asyncio.run(story())


def test_a_claim_waits_for_no_results(address: str) -> None:
    """Whoever has recorded results of a batch has its row until a disk has them."""

    async def story() -> None:
        ledger = member(address, "a")
        await started(ledger, shards=(1, 1))
        with psycopg.connect(address) as recording:
            recording.execute(b"UPDATE batch SET completed = completed + 1")
            assert len(await claims(ledger)) == 1
        await ledger.bury("a")
        await ledger.close()

    asyncio.run(story())


def test_who_has_been_buried_claims_nothing(address: str) -> None:
    """Its connections have no number to raise, and get none."""

    async def story() -> None:
        ledger = member(address, "a")
        await started(ledger, shards=(1, 1))
        await claimed(ledger, owner="a-0")
        told(address, "UPDATE member SET dead_at = 1", "DELETE FROM writer")
        with pytest.raises(Buried):
            await claims(ledger)
        assert rows(address, STATES) == [("queued", 1), ("running", 1)]
        await ledger.close()

    asyncio.run(story())


def test_a_claim_waits_for_no_disk() -> None:
    """A crash forgets it: then it was never written. What is to be kept is there."""

    async def story() -> None:
        # What waits for no disk comes there much later.
        with running(careless=False, settings={"wal_writer_delay": "10s"}) as server:
            address = server.address("postgres")
            ledger = member(address, "a")
            await started(ledger, shards=(1, 1))
            assert len(await claims(ledger)) == 1
            assert rows(address, STATES) == [("queued", 1), ("running", 1)]
            server.kill()
            server.start()
            assert rows(address, STATES) == [("queued", 2)]
            await ledger.close()

    asyncio.run(story())


def test_claims_of_several_while_batches_end(address: str) -> None:
    """Three claim and record as fast as they can while every batch is cancelled: all end, and there is no circle to break."""
    batches, shards = 6, 20

    async def story() -> None:
        members = [member(address, name) for name in ("a", "b", "c")]
        names = [f"batch-{number}" for number in range(batches)]
        for number in range(batches):
            await started(members[0], number, shards=(1,) * shards)

        async def work(ledger: SqlLedger, owner: str) -> None:
            while taken := await ledger.claim_shards(names, owner=f"{owner}-0", now=0.0, lease_seconds=9.0, most=3):
                ends = [segment(shard, 0, ends=True) for shard in taken[:2]]
                assert await ledger.commit_segments(ends, now=1.0, lease_seconds=9.0) == []
                for shard in taken[2:]:
                    assert await ledger.release_shard(shard.batch_id, shard.index, epoch=shard.epoch)

        async def cancel() -> None:
            for name in reversed(names):
                await members[0].request_cancel(name, now=5)

        await asyncio.gather(cancel(), *map(work, members, "abc"))
        wrong = (
            "SELECT id FROM batch JOIN shard ON batch_seq = batch.seq GROUP BY batch.seq HAVING shards_in_hand != 0 "
            "OR count(*) FILTER (WHERE state IN ('running', 'queued')) != 0 "
            "OR shards_done != count(*) FILTER (WHERE state = 'done') OR completed != shards_done"
        )
        assert rows(address, wrong) == []
        for ledger in members:
            await ledger.close()

    told(address, "SELECT pg_stat_reset()")
    asyncio.run(story())
    assert rows(address, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]
