"""What being a member is, wherever the lock is kept: who is seen to be dead, and what that one can still do. To be inherited."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest

from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.errors import Buried
from slackwater.core.members import Duty
from tests.adapters.ledger_contract import claimed, file, segment, started


class Joined(Protocol):
    """A member that looks, and buries."""

    ledger: SqlLedger

    @property
    def watching(self) -> bool:
        """Whether it is the one that watches."""
        ...

    @property
    def told_buried(self) -> bool:
        """Whether it knows that it was buried itself."""
        ...

    @property
    def news(self) -> int:
        """How often it has heard of a burial."""
        ...


class Stage(Protocol):
    """Members on one database."""

    def play(self, story: Callable[[], Awaitable[None]]) -> None:
        """Runs a story to its end."""
        ...

    async def join(self, name: str) -> Joined:
        """One more."""
        ...

    def dies(self, name: str) -> None:
        """Its lock goes, as with its process."""
        ...

    async def lose_connections(self) -> None:
        """Every member loses the connection that says that it lives."""
        ...

    def execute(self, statement: str) -> list[Any]:
        """What somebody else asks of the database."""
        ...


async def true(look: Callable[[], bool]) -> None:
    """Waits for it; the limit only keeps a broken one from hanging the tests."""
    async with asyncio.timeout(30):
        while not look():
            await asyncio.sleep(0.01)


class PresenceContract:
    """Inherit, and define the fixture `stage`: one on which nobody is young any more."""

    @pytest.fixture
    def stage(self) -> Any:
        """An empty ledger, and nobody on it."""
        raise NotImplementedError

    def test_who_dies_is_buried(self, stage: Stage) -> None:
        """By the one that watches, whoever of them that is; its leases are free, and all others hear of it."""

        async def story() -> None:
            first = await stage.join("first")
            others = [await stage.join(name) for name in ("second", "third")]
            await true(lambda: first.watching)
            assert not any(each.watching for each in others)
            await started(first.ledger, shards=(1, 1))
            for name, each in (("first", first), ("second", others[0])):
                await claimed(each.ledger, owner=f"{name}-0")
            stage.dies("first")
            await true(lambda: any(each.watching for each in others))
            await true(lambda: all(each.news for each in others))
            assert [each.id for each in await others[0].ledger.members()] == ["second", "third"]
            assert stage.execute("SELECT owner FROM shard WHERE state = 'running'") == [("second-0",)]

        stage.play(story)

    def test_who_has_lost_its_connection_has_it_back(self, stage: Stage) -> None:
        """Nobody is buried for it, not even where all have lost theirs at once."""

        async def story() -> None:
            members = [await stage.join(name) for name in ("first", "second", "third")]
            for _ in range(3):
                await stage.lose_connections()
                await asyncio.sleep(0.3)
            assert len(await members[0].ledger.members()) == 3
            assert not any(each.told_buried for each in members)

        stage.play(story)

    def test_whose_moment_is_over_is_dead(self, stage: Stage) -> None:
        """Its process may stand still, and hold its lock for ever; when it goes on it is told, and can do nothing any more."""

        async def story() -> None:
            zombie, other = await stage.join("zombie"), await stage.join("other")
            await started(zombie.ledger, shards=(1, 1))
            shard = await claimed(zombie.ledger, owner="zombie-0")
            stage.execute("UPDATE member SET until = 0 WHERE id = 'zombie'")
            assert await other.ledger.presence.doom("zombie")  # type: ignore[union-attr]
            await other.ledger.bury("zombie")
            await true(lambda: zombie.told_buried)
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
            assert stage.execute("SELECT state, count(*) FROM shard GROUP BY state") == [("queued", 2)]
            assert await other.ledger.file("file-1") is None

        stage.play(story)

    def test_who_lives_after_all(self, stage: Stage) -> None:
        """Is not buried: it has its lock, and its moment is to come."""

        async def story() -> None:
            one, other = await stage.join("one"), await stage.join("other")
            assert not await other.ledger.presence.doom("one")  # type: ignore[union-attr]
            assert not await other.ledger.presence.doom("nobody")  # type: ignore[union-attr]
            await one.ledger.add_file(file(1))
            assert not one.told_buried

        stage.play(story)

    def test_a_burial_that_died_half_way(self, stage: Stage) -> None:
        """Who watches finds one that is dead and not buried, and sees to it."""

        async def story() -> None:
            first = await stage.join("first")
            await started(first.ledger)
            await claimed(first.ledger, owner="gone-0")
            stage.execute(
                "INSERT INTO member (id, host, version, kind, started_at, until, dead_at) VALUES ('gone', '', '', '', 0, 0, 1)"
            )
            await true(lambda: not stage.execute("SELECT 1 FROM member WHERE id = 'gone'"))
            assert stage.execute("SELECT state FROM shard") == [("queued",)]

        stage.play(story)
