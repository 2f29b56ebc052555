"""Several who work with one ledger on PostgreSQL: who is seen to be dead, what that one can still do, and the order of things."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.postgresql.moving import NOBODY, end_at
from slackwater.core.errors import Buried, LedgerBehind, LedgerRefused, LedgerUnavailable
from slackwater.core.members import Duty, Member
from slackwater.pipeline.membership import Membership
from slackwater.ports import AuditEntry
from tests.adapters.asked_postgresql import rows, told
from tests.adapters.cutting_proxy import CuttingProxy
from tests.adapters.ledger_contract import batch, claimed, file, segment, started
from tests.adapters.pooling_proxy import PoolingProxy
from tests.adapters.test_postgresql_connections import through

pytestmark = pytest.mark.postgresql


class One:
    """A member, with what it has been told."""

    def __init__(self, address: str, name: str) -> None:
        self.name = name
        self.ledger = SqlLedger.connect(address, member=Member(id=name, host="here", version="1"))
        self.told_buried, self.told_behind = threading.Event(), threading.Event()
        self.news = 0
        assert self.ledger.presence is not None
        self.membership = Membership(self.ledger, self.ledger.presence, news=self._heard)
        self._watching: asyncio.Task[None] | None = None

    def _heard(self) -> None:
        self.news += 1

    async def begin(self) -> "One":
        """Looks, and buries."""
        await self.membership.start(buried=self.told_buried.set, behind=self.told_behind.set)

        async def watch() -> None:
            while True:
                await self.membership.hint.wait(_Clock(), 0.05)  # type: ignore[arg-type]
                await self.membership.step()

        self._watching = asyncio.create_task(watch())
        return self

    async def end(self) -> None:
        """Leaves, or has been buried."""
        if self._watching is not None:
            self._watching.cancel()
        await self.ledger.close()

    def die(self) -> None:
        """Its lock goes, as with its process."""
        self.ledger.presence.close()  # type: ignore[union-attr]


class _Clock:
    sleep = staticmethod(asyncio.sleep)


async def true(look: Callable[[], bool | Awaitable[bool]]) -> None:
    """Waits for it; the limit only keeps a broken one from hanging the tests."""
    async with asyncio.timeout(30):
        while True:
            found = look()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


def grown_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database of tests may have been started just now; nobody waits for that here."""
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.presence.YOUNG_SECONDS", 0.0)


def test_who_dies_is_buried(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the one that watches, whoever of them that is; its leases are free, and all others hear of it."""
    grown_up(monkeypatch)

    async def story() -> None:
        first = await One(address, "first").begin()
        others = [await One(address, name).begin() for name in ("second", "third")]
        assert first.membership.watching
        await started(first.ledger, shards=(1, 1))
        for name in ("first", "second"):
            await claimed(first.ledger, owner=f"{name}-0")
        first.die()
        await true(lambda: any(each.membership.watching for each in others))
        await true(lambda: all(each.news for each in others))
        assert [each.id for each in await others[0].ledger.members()] == ["second", "third"]
        assert rows(address, "SELECT owner FROM shard WHERE state = 'running'") == [("second-0",)]
        for each in (first, *others):
            await each.end()

    asyncio.run(story())


def test_who_has_lost_its_connection_has_it_back(address: str) -> None:
    """Nobody is buried for it, not even where all have lost theirs at once."""

    async def story() -> None:
        members = [await One(address, name).begin() for name in ("first", "second", "third")]
        for _ in range(3):
            lost = "FROM pg_stat_activity WHERE application_name LIKE 'slackwater member %' AND datname = current_database()"
            before = set(rows(address, f"SELECT pid {lost}"))
            told(address, f"SELECT pg_terminate_backend(pid) {lost}")
            await true(lambda before=before, lost=lost: len(set(rows(address, f"SELECT pid {lost}")) - before) == 3)
            await asyncio.sleep(0.3)
        assert len(await members[0].ledger.members()) == 3
        assert not any(each.told_buried.is_set() for each in members)
        for each in members:
            await each.end()

    asyncio.run(story())


def test_a_dead_one_can_do_nothing(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims, commits, renewals and everything else are refused, and it is told; what it had begun has no effect."""
    grown_up(monkeypatch)

    async def story() -> None:
        zombie, other = await One(address, "zombie").begin(), await One(address, "other").begin()
        await started(zombie.ledger, shards=(1, 1))
        shard = await claimed(zombie.ledger, owner="zombie-0")
        begun, go_on = threading.Event(), threading.Event()

        def long(db: Any) -> None:
            db.execute("UPDATE shard SET state = 'done' WHERE idx = 1")
            begun.set()
            go_on.wait(20)

        writing = asyncio.ensure_future(zombie.ledger.sql.write(long, fenced=True))
        await asyncio.to_thread(begun.wait, 20)
        # It is taken for dead, and has its lock all the same.
        told(address, "UPDATE member SET until = 0 WHERE id = 'zombie'")
        assert await other.ledger.presence.doom("zombie")  # type: ignore[union-attr]
        assert await other.ledger.bury("zombie") == 1
        go_on.set()
        with pytest.raises(Buried):
            await writing
        await asyncio.to_thread(zombie.told_buried.wait, 20)
        assert zombie.told_buried.is_set()
        attempts: list[Awaitable[object]] = [
            zombie.ledger.claim_shards(["batch-0"], owner="zombie-0", now=0.0, lease_seconds=9.0),
            zombie.ledger.commit_segments([segment(shard, 0)], now=0.0, lease_seconds=9.0),
            zombie.ledger.release_shard("batch-0", 0, epoch=shard.epoch),
            zombie.ledger.add_file(file(1)),
            zombie.ledger.publish_files("batch-0", output=None, error=None, now=1),
        ]
        for attempt in attempts:
            with pytest.raises(Buried):
                await attempt
        # A duty that cannot be given back is gone with the burial.
        await zombie.ledger.end_duty(Duty.VALIDATE, "batch-0")
        assert rows(address, "SELECT state, count(*) FROM shard GROUP BY state") == [("queued", 2)]
        assert await other.ledger.file("file-1") is None
        for each in (zombie, other):
            await each.end()

    asyncio.run(story())


@pytest.mark.parametrize("loss", ["UPDATE writer SET number = number - 1", "DELETE FROM writer"], ids=["one", "all"])
def test_what_was_confirmed_and_is_gone(address: str, loss: str) -> None:
    """A member that was told so finds it out when it comes back; one that has lost nothing that was to be kept goes on."""

    async def story() -> None:
        one, two = await One(address, "a").begin(), await One(address, "b").begin()
        await started(two.ledger, shards=(1, 1))
        await one.ledger.add_file(file(1))
        # Nothing waits for the disk here.
        assert await claimed(one.ledger, owner="a-0")
        end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name ~ '^slackwater {}.* a$'"
        told(address, f"{loss} WHERE id ~ '^worker .* a$'")
        rows(address, end.format("worker"))
        assert await claimed(one.ledger, owner="a-0")
        rows(address, end.format("writer"))
        await one.ledger.add_file(file(2))
        told(address, f"{loss} WHERE id ~ '^writer .* a$'")
        rows(address, end.format("writer"))
        for number in (3, 4):
            with pytest.raises(LedgerBehind, match="has lost what it had confirmed"):
                await one.ledger.add_file(file(number))
        assert one.told_behind.is_set()
        assert not one.told_buried.is_set()
        await two.ledger.add_file(file(5))
        assert not two.told_behind.is_set()
        for each in (one, two):
            await each.end()

    asyncio.run(story())


def test_a_claim_beside_a_burial(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends before the burial looks for leases, or it does not count: nothing stays in the hands of the dead."""
    grown_up(monkeypatch)

    async def story() -> None:
        other = await One(address, "other").begin()
        await started(other.ledger, shards=(1,) * 20)
        for number in range(5):
            zombie = await One(address, f"zombie{number}").begin()
            name = zombie.name

            async def claim_all(zombie: One = zombie, name: str = name) -> None:
                with pytest.raises(Buried):
                    while True:
                        await zombie.ledger.claim_shards(["batch-0"], owner=f"{name}-0", now=0.0, lease_seconds=9.0)

            claiming = asyncio.create_task(claim_all())
            await true(lambda: bool(rows(address, "SELECT 1 FROM shard WHERE state = 'running'")))
            told(address, f"UPDATE member SET until = 0 WHERE id = '{name}'")
            assert await other.ledger.presence.doom(name)  # type: ignore[union-attr]
            assert await other.ledger.bury(name)
            await claiming
            assert rows(address, "SELECT count(*) FROM shard WHERE state = 'queued'") == [(20,)]
            await zombie.end()
        await other.end()

    asyncio.run(story())


def test_a_burial_that_died_half_way(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who watches next finds one that is dead and not buried, and sees to it."""
    grown_up(monkeypatch)

    async def story() -> None:
        first = await One(address, "first").begin()
        await started(first.ledger)
        await claimed(first.ledger, owner="gone-0")
        told(
            address,
            "INSERT INTO member (id, host, version, kind, started_at, until, dead_at) VALUES ('gone', '', '', '', 0, 0, 1)",
        )
        await true(lambda: not rows(address, "SELECT 1 FROM member WHERE id = 'gone'"))
        assert rows(address, "SELECT state FROM shard") == [("queued",)]
        await first.end()

    asyncio.run(story())


def test_a_pooler_in_transaction_mode_is_refused(address: str) -> None:
    """At the start and in words; one that gives whole sessions is none."""
    folder = Path(address.partition("host=")[2])
    pooler = PoolingProxy(folder)
    with pytest.raises(LedgerRefused, match="pooler in transaction mode"):
        SqlLedger.connect(through(address, pooler), member=Member(id="a", host="", version=""))  # type: ignore[arg-type]
    assert rows(address, "SELECT * FROM member") == []
    pooler.close()
    proxy = CuttingProxy(folder)
    ledger = SqlLedger.connect(through(address, proxy), member=Member(id="a", host="", version=""))
    assert rows(address, "SELECT id FROM member") == [("a",)]
    asyncio.run(ledger.close())
    proxy.close()


def test_whoever_moves_it_has_it_alone(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a member is there it is refused; and nobody becomes one meanwhile."""
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.standing.TAKE_OVER_SECONDS", 0.0)
    ledger = SqlLedger.connect(address, member=Member(id="a", host="", version=""))
    with pytest.raises(LedgerUnavailable, match="in use by another slackwater"), end_at(address):
        pass
    with pytest.raises(LedgerUnavailable, match="in use by another slackwater"):
        SqlLedger.connect(address, alone=True)
    asyncio.run(ledger.close())
    with (
        end_at(address),
        pytest.raises(LedgerUnavailable, match="being moved"),
    ):
        SqlLedger.connect(address, member=Member(id="b", host="", version=""))
    assert rows(address, "SELECT id FROM member") == [("a",)]


def test_a_moved_ledger_has_no_members(address: str) -> None:
    """Whoever has lost its connections and believes to be there is refused from then on."""

    async def story() -> None:
        ledger = SqlLedger.connect(address, member=Member(id="a", host="", version=""))
        with psycopg.connect(address, autocommit=True) as db:
            db.execute(NOBODY)
        with pytest.raises(Buried):
            await ledger.add_file(file(1))
        await ledger.close()

    asyncio.run(story())


def test_results_of_several_never_wait_in_a_circle(address: str) -> None:
    """Whatever batches they record results of and claim shards of, in whichever order: PostgreSQL has no deadlock to end."""
    batches, shards = 6, 12

    async def story() -> None:
        members = [SqlLedger.connect(address, member=Member(id=name, host="", version="")) for name in ("a", "b", "c")]
        for number in range(batches):
            await started(members[0], number, shards=(1,) * shards)

        async def work(ledger: SqlLedger, turn: int) -> int:
            done = 0
            while True:
                order = [f"batch-{(number * (turn + 1) + turn) % batches}" for number in range(batches)]
                taken = await ledger.claim_shards(order, owner=f"{turn}-0", now=0.0, lease_seconds=9.0)
                if not taken:
                    return done
                results = [segment(shard, 0) for shard in (reversed(taken) if turn % 2 else taken)]
                assert await ledger.commit_segments(results, now=1.0, lease_seconds=9.0) == []
                for shard in taken:
                    assert await ledger.finish_shard(shard.batch_id, shard.index, epoch=shard.epoch)
                done += len(taken)

        assert sum(await asyncio.gather(*map(work, members, range(3)))) == batches * shards
        for ledger in members:
            await ledger.close()

    told(address, "SELECT pg_stat_reset()")
    asyncio.run(story())
    assert rows(address, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]


# The order of what is numbered


def test_news_of_batches_are_seen_in_the_order_of_their_numbers(address: str) -> None:
    """One that has its number later is never seen first: whoever reads on from the last number misses nothing."""

    async def story() -> None:
        ledger = SqlLedger.connect(address)
        for number in range(2):
            await started(ledger, number, shards=(1,))
            await claimed(ledger)
        (last,) = rows(address, "SELECT max(queued_number) FROM batch")[0]
        assert isinstance(last, int)
        free = "UPDATE shard SET state = 'queued' WHERE batch_seq = (SELECT seq FROM batch WHERE id = '{}')"
        with psycopg.connect(address) as first, psycopg.connect(address) as second:
            first.execute(free.format("batch-0").encode())
            later = asyncio.create_task(asyncio.to_thread(lambda: second.execute(free.format("batch-1").encode())))
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            await true(lambda: rows(address, waits) != [(0,)] or later.done())
            assert not later.done()
            assert await ledger.queued_batches("d", after=last) == []
            first.commit()
            await later
            (seen,) = await ledger.queued_batches("d", after=last)
            assert seen.batch_id == "batch-0"
            second.commit()
            assert [each.batch_id for each in await ledger.queued_batches("d", after=seen.number)] == ["batch-1"]
        await ledger.close()

    asyncio.run(story())


def test_entries_of_the_audit_log_are_not_missed(address: str) -> None:
    """One whose number is smaller may be committed later: who reads on waits for it."""
    entry = AuditEntry(at=1, resource="r", who="", action="b", object="", detail={}, request_id="")
    insert = "INSERT INTO audit (at, resource, who, action, object, detail, request_id) VALUES (1, 'r', '', 'a', '', '{}', '')"

    async def story() -> None:
        ledger = SqlLedger.connect(address)
        for resource in ("r", None):
            before = max((each.seq for each in await ledger.audit(resource=None, limit=99)), default=0)
            with psycopg.connect(address) as early:
                early.execute(insert.encode())
                await ledger.add_audit(entry)
                reading = asyncio.create_task(ledger.audit(resource=resource, after=before, limit=9))
                await true(lambda: rows(address, "SELECT count(*) FROM pg_locks WHERE NOT granted") != [(0,)])
                early.commit()
                assert [each.action for each in await reading] == ["a", "b"]
        await ledger.close()

    asyncio.run(story())


def test_quotas_hold_over_several_members(address: str) -> None:
    """Batches that are made over two of them at once, each as large as the room: one is let in."""

    async def story() -> None:
        members = [SqlLedger.connect(address, member=Member(id=name, host="", version="")) for name in ("a", "b")]
        made = await asyncio.gather(
            *(
                members[number % 2].add_batch(batch(number, deployment="d", enqueued_tokens=10), token_limit=30)
                for number in range(12)
            ),
            return_exceptions=True,
        )
        assert sorted(type(each).__name__ for each in made) == ["Batch"] * 3 + ["NoRoom"] * 9
        for ledger in members:
            await ledger.close()

    asyncio.run(story())
