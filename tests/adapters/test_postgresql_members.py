"""Several who work with one ledger on PostgreSQL: who is seen to be dead, what that one can still do, and the order of things."""

import asyncio
import functools
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.postgresql.doubting import doubt
from slackwater.adapters.sql.postgresql.member_statements import JOIN
from slackwater.adapters.sql.postgresql.moving import NOBODY, end_at
from slackwater.core.errors import Buried, LedgerBehind, LedgerRefused, LedgerUnavailable
from slackwater.core.members import DOUBTED_SECONDS, YOUNG_SECONDS, Duty, Member
from slackwater.pipeline.membership import Membership
from slackwater.ports import AuditEntry
from tests.adapters.asked_postgresql import OURS, rows, told
from tests.adapters.cutting_proxy import Cut, CuttingProxy
from tests.adapters.ledger_contract import batch, claimed, file, segment, started
from tests.adapters.pooling_proxy import PoolingProxy
from tests.adapters.presence_contract import PresenceContract
from tests.adapters.test_postgresql_connections import through

pytestmark = pytest.mark.postgresql


class One:
    """A member, with what it has been told."""

    def __init__(self, address: str, name: str, *, alive: Callable[[str], bool | None] = lambda member: None) -> None:
        self.name = name
        self.ledger = SqlLedger.connect(address, member=Member(id=name, host="here", version="1"))
        self.buried, self.told_behind = threading.Event(), threading.Event()
        self.news = 0
        assert self.ledger.presence is not None
        self.membership = Membership(
            self.ledger,
            self.ledger.presence,
            news=self._heard,
            alive=functools.partial(asyncio.to_thread, alive),
        )
        self._watching: asyncio.Task[None] | None = None

    def _heard(self) -> None:
        self.news += 1

    @property
    def watching(self) -> bool:
        """Whether it is the one that watches."""
        return self.membership.watching

    @property
    def told_buried(self) -> bool:
        """Whether it knows that it was buried itself."""
        return self.buried.is_set()

    async def begin(self) -> "One":
        """Looks, and buries."""
        await self.membership.start(buried=self.buried.set, behind=self.told_behind.set)

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


class MembersStage:
    """Members on a database."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._members: dict[str, One] = {}

    def play(self, story: Callable[[], Awaitable[None]]) -> None:
        async def told() -> None:
            try:
                await story()
            finally:
                for each in self._members.values():
                    await each.end()

        asyncio.run(told())

    async def join(self, name: str) -> "One":
        one = self._members[name] = await One(self._address, name).begin()
        return one

    def dies(self, name: str) -> None:
        self._members[name].die()

    async def lose_connections(self) -> None:
        lost = (
            "FROM pg_stat_activity WHERE application_name LIKE 'slackwater member %' AND datname = current_database()"
        )
        before = set(rows(self._address, f"SELECT pid {lost}"))
        told(self._address, f"SELECT pg_terminate_backend(pid) {lost}")
        await true(lambda: len(set(rows(self._address, f"SELECT pid {lost}")) - before) == len(self._members))

    def execute(self, statement: str) -> list[Any]:
        if statement.startswith("SELECT"):
            return rows(self._address, statement)
        told(self._address, statement)
        return []


class TestPresence(PresenceContract):
    """What being a member is, with locks of PostgreSQL."""

    @pytest.fixture
    def stage(self, address: str, monkeypatch: pytest.MonkeyPatch) -> MembersStage:
        grown_up(monkeypatch)
        return MembersStage(address)


def test_who_has_just_come_waits_for_those_who_come_back(address: str) -> None:
    """It may have been waiting for the same database as all others, and be the first that is let in."""

    async def story() -> None:
        # Of a database that has just been started nobody buries anybody anyhow.
        up = f"SELECT clock_timestamp() - pg_postmaster_start_time() > interval '{YOUNG_SECONDS} s'"
        await true(lambda: rows(address, up) == [(True,)])
        told(
            address,
            "INSERT INTO member (id, host, version, kind, started_at, until) VALUES ('away', '', '', '', 0, 0)",
        )
        new = await One(address, "new").begin()
        assert new.membership.watching
        await asyncio.sleep(1.0)
        assert [each.id for each in await new.ledger.members()] == ["away", "new"]
        await new.end()

    asyncio.run(story())


def test_who_was_buried_before_it_knew_that_it_is_a_member(address: str) -> None:
    """It becomes one all the same, and engines do not take it for a dead one."""

    async def story() -> None:
        other = await One(address, "other").begin()
        await other.ledger.bury_shares("late")
        assert rows(address, "SELECT 1 FROM engine_slots WHERE member = 'late'")
        late = await One(address, "late").begin()
        assert not rows(address, "SELECT 1 FROM engine_slots WHERE member = 'late'")
        for each in (late, other):
            await each.end()

    asyncio.run(story())


def test_young_members_have_their_connections_back(address: str) -> None:
    """The same as of grown-up ones: nobody is buried where all have lost theirs at once."""
    stage = MembersStage(address)

    async def story() -> None:
        members = [await stage.join(name) for name in ("first", "second", "third")]
        for _ in range(3):
            await stage.lose_connections()
            await asyncio.sleep(0.3)
        assert len(await members[0].ledger.members()) == 3
        assert not any(each.told_buried for each in members)

    stage.play(story)


def test_whose_process_has_ended_is_buried_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a connection that cannot come back; for one that can, everybody does."""
    grown_up(monkeypatch)
    monkeypatch.setattr("slackwater.core.members.MISSING_SECONDS", 3600.0)
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.presence.UNTIL_SECONDS", 3600.0)
    asked = []

    def alive(member: str) -> bool:
        asked.append(member)
        return member != "third"

    async def story() -> None:
        first = await One(address, "first", alive=alive).begin()
        others = [await One(address, name, alive=alive).begin() for name in ("second", "third")]
        others[0].die()
        await true(lambda: "second" in asked)
        others[1].die()
        await true(lambda: rows(address, "SELECT id FROM member ORDER BY id") == [("first",), ("second",)])
        assert "first" not in asked
        for each in (first, *others):
            await each.end()

    asyncio.run(story())


def test_who_is_known_to_live_may_lose_its_connection_again_and_again(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody buries it for that while it is to be believed. After that it is buried, whatever is known of its process."""
    grown_up(monkeypatch)
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.presence.UNTIL_SECONDS", 8.0)
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.presence.SAID_SECONDS", 0.5)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'slackwater member % second'"
    asked = []

    def alive(member: str) -> bool:
        asked.append(member)
        return True

    async def story() -> None:
        first, second, third = [await One(address, name, alive=alive).begin() for name in ("first", "second", "third")]
        with psycopg.connect(address, autocommit=True) as db:
            # However often it is back within that time.
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                await asyncio.to_thread(db.execute, cut.encode())
        assert "second" in asked
        await true(lambda: rows(address, "SELECT id FROM member ORDER BY id") == [("first",), ("second",), ("third",)])
        assert not second.told_buried
        second.die()
        await true(lambda: ("second",) not in rows(address, "SELECT id FROM member"))
        for each in (first, second, third):
            await each.end()

    asyncio.run(story())


def test_who_is_said_to_have_ended_says_that_it_lives(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and not when its next word is due: that would be later than it is believed. Whether it watches or not."""
    grown_up(monkeypatch)
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.presence.SAID_SECONDS", 3600.0)
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.presence.UNTIL_SECONDS", 3600.0)
    believed = f"SELECT count(*) FROM member WHERE until > extract(epoch FROM clock_timestamp()) + {DOUBTED_SECONDS}"

    async def story() -> None:
        members = [await One(address, name).begin() for name in ("first", "second", "third")]
        for each in members:
            assert doubt(address, each.name)
            await true(lambda: rows(address, believed) == [(3,)])
        await asyncio.sleep(2 * DOUBTED_SECONDS)
        assert len(await members[0].ledger.members()) == 3
        assert not any(each.told_buried for each in members)
        for each in members:
            await each.end()

    asyncio.run(story())


def test_who_is_said_to_have_ended_and_says_nothing_is_buried(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that is lost: its connection is there, and its lock, and it would be believed for long."""
    grown_up(monkeypatch)
    lost = "INSERT INTO member (id, host, version, kind, started_at, until) VALUES ('lost', '', '', '', 0, 1e12)"

    async def story() -> None:
        one = await One(address, "one").begin()
        with psycopg.connect(address, autocommit=True) as db:
            db.execute("SET application_name = 'slackwater member lost'")
            db.execute(JOIN.replace("?", "%s").encode(), ("lost",))
            db.execute(lost.encode())
            await asyncio.sleep(0.3)
            assert rows(address, "SELECT id FROM member ORDER BY id") == [("lost",), ("one",)]
            assert await asyncio.to_thread(doubt, address, "lost")
            await true(lambda: rows(address, "SELECT id FROM member") == [("one",)])
        assert not await asyncio.to_thread(doubt, address, "lost")
        await one.end()

    asyncio.run(story())


def test_a_file_system_that_does_not_answer_keeps_nobody_from_a_burial(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a process has ended is not known then. It is missing all the same."""
    grown_up(monkeypatch)
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.presence.UNTIL_SECONDS", 3600.0)
    answers = threading.Event()

    async def story() -> None:
        first, second = [await One(address, name, alive=lambda _: answers.wait(60)).begin() for name in ("a", "b")]
        second.die()
        try:
            await true(lambda: rows(address, "SELECT id FROM member") == [("a",)])
        finally:
            answers.set()
        for each in (first, second):
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
        await asyncio.to_thread(zombie.buried.wait, 20)
        assert zombie.buried.is_set()
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
        assert not one.told_buried
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


@pytest.mark.parametrize("cut", Cut)
def test_a_connection_that_is_lost_while_it_becomes_a_member(address: str, cut: Cut) -> None:
    """Whether it is one already it does not know: it becomes one again, at once, and nobody buries it for that."""
    proxy = CuttingProxy(Path(address.partition("host=")[2]))
    proxy.at, proxy.cut = b"INSERT INTO member", cut

    async def story() -> None:
        other = await One(address, "other").begin()
        joining = asyncio.to_thread(One, through(address, proxy), "one")
        one = await (await joining).begin()
        await asyncio.sleep(0.5)
        assert proxy.cuts == 1
        assert [each.id for each in await other.ledger.members()] == ["other", "one"]
        assert not one.told_buried
        for each in (one, other):
            await each.end()

    asyncio.run(story())
    proxy.close()


def test_one_that_watches_and_hangs(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its event loop does nothing any more, and it says that it lives all the same. Others bury whoever dies meanwhile."""
    grown_up(monkeypatch)
    # It is not by its silence that they find it.
    monkeypatch.setattr("slackwater.adapters.sql.postgresql.presence.UNTIL_SECONDS", 3600.0)
    begun, go_on, over = threading.Event(), threading.Event(), threading.Event()

    async def hang() -> None:
        watcher = await One(address, "watcher").begin()
        assert watcher.membership.watching
        begun.set()
        go_on.wait(60)
        await watcher.end()

    async def story() -> None:
        await asyncio.to_thread(begun.wait, 20)
        others = [await One(address, name).begin() for name in ("second", "third", "fourth")]
        await started(others[0].ledger)
        await claimed(others[0].ledger, owner="third-0")
        others[1].die()
        await true(lambda: rows(address, "SELECT state FROM shard") == [("queued",)])
        assert [each.id for each in await others[0].ledger.members()] == ["watcher", "second", "fourth"]
        for each in others:
            await each.end()

    hanging = threading.Thread(target=lambda: (asyncio.run(hang()), over.set()))
    hanging.start()
    try:
        asyncio.run(story())
    finally:
        go_on.set()
        hanging.join(30)
    assert over.is_set()


def test_what_is_left_in_a_transaction_keeps_others_waiting_for_a_moment(address: str) -> None:
    """A thread that stands still in the middle of one, as in a process that is stopped, while its member is believed."""

    async def story() -> None:
        stuck, other = (SqlLedger.connect(address, member=Member(id=name, host="", version="")) for name in ("a", "b"))
        await started(stuck, shards=(1,))
        shard = await claimed(stuck, owner="b-0")
        begun, go_on = threading.Event(), threading.Event()

        def long(db: Any) -> None:
            db.execute("UPDATE shard SET rank = rank")
            begun.set()
            go_on.wait(60)

        standing = asyncio.ensure_future(stuck.sql.write(long, fenced=True))
        await asyncio.to_thread(begun.wait, 20)
        assert await other.commit_segments([segment(shard, 0)], now=1.0, lease_seconds=9.0) == []
        assert not standing.done()
        go_on.set()
        # It is repeated, and counts then.
        await standing
        for ledger in (stuck, other):
            await ledger.close()

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
    with pytest.raises(LedgerUnavailable, match="in use by 1 server or worker"), end_at(address):
        pass
    with pytest.raises(LedgerUnavailable, match="in use by 1 server or worker"):
        SqlLedger.connect(address, alone=True)
    asyncio.run(ledger.close())
    # A server process ends, with its locks, a moment after its client has gone; and nobody waits here.
    limit = time.monotonic() + 60
    while rows(address, f"SELECT count(*) {OURS}") != [(0,)]:
        assert time.monotonic() < limit
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
