"""A service whose clock on the wall jumps: nothing expires, elapses or is deleted until it is back, or said to be right."""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import Policies, Status, WindowElapsed
from slackwater.core.files.upload import UploadStatus
from slackwater.pipeline.ending.janitor import AuditJanitor, EngineJanitor, Janitor, UploadJanitor
from slackwater.pipeline.wall_clock import WallWatch
from slackwater.pipeline.watching.readiness import Readiness
from slackwater.ports import AuditEntry
from slackwater.telemetry import meters
from tests.adapters.ledger_contract import batch, file
from tests.adapters.upload_contract import upload
from tests.core.test_engine_minutes import minute
from tests.pipeline.engines import inline, played
from tests.simulation.virtual import VirtualClock, VirtualLoop

HOUR, DAY = 3600.0, 86_400.0
JUMPS = [26 * HOUR, -26 * HOUR, 40 * DAY]


class World:
    """A data directory with something of everything that ends by the time of day, and the services on it."""

    def __init__(self, loop: VirtualLoop, folder: Path) -> None:
        self.clock = VirtualClock(loop)
        self.ledger = SqlLedger.open(":memory:", inline=True)
        self.blobs = DiskBlobs(folder / "blobs", run=inline)
        self.confirmed = False
        self.wall: WallWatch
        self.readiness: Readiness

    async def fill(self) -> None:
        """Each of it would end in an hour; what is kept for days was put there now."""
        now = int(self.clock.now())
        for key in ("files/1", "lost/" + "20270115T080000Z/files/9"):
            writer = await self.blobs.create(key)
            await writer.write(b"{}")
            await writer.publish()
        ends = now + int(HOUR)
        await self.ledger.add_file(file(1, size=2, created_at=now, expires_at=ends))
        await self.ledger.add_upload(upload(created_at=now, expires_at=ends))
        policies = Policies(window_elapsed=WindowElapsed.EXPIRE)
        await self.ledger.add_batch(batch(5, created_at=now, expires_at=ends, policies=policies))
        entry = AuditEntry(at=now, resource="default", who="w", action="a", object="o", detail={}, request_id="")
        await self.ledger.add_audit(entry)
        await self.ledger.add_engine_minutes([minute(at=now)])

    async def start(self) -> None:
        """Another life: everything of it that asks for the time of day."""

        def confirmed() -> bool:
            said, self.confirmed = self.confirmed, False
            return said

        ledger, blobs, clock = self.ledger, self.blobs, self.clock
        self.wall = wall = WallWatch(ledger, clock, confirmed=confirmed)
        self.readiness = Readiness(stores={}, room=blobs, free_bytes_min=0)
        self.readiness.started(lambda: (), clock=wall)
        # Last who watches: nobody may be faster than the look.
        self._stages = [
            Janitor(ledger, blobs, clock, wall=wall),
            UploadJanitor(ledger, blobs, clock, wall=wall),
            AuditJanitor(ledger, clock, keep_days=20, wall=wall),
            EngineJanitor(ledger, clock, wall=wall),
            wall,
        ]
        await wall.start()

    async def passes(self, seconds: float) -> None:
        """Time goes by, and each stage makes a round now and then."""
        for _ in range(20):
            await self.clock.sleep(seconds / 20)
            for stage in self._stages:
                await stage.step()

    async def left(self) -> dict[str, bool]:
        """What is still there."""
        found, sent, uploaded = (
            await self.ledger.file("file-1"),
            await self.ledger.batch("batch-5"),
            await self.ledger.upload(upload().id),
        )
        assert sent is not None
        return {
            "file": found is not None and await self.blobs.names("files/") == ["1"],
            "upload": uploaded is not None and uploaded.status is UploadStatus.PENDING,
            "window": sent.status is Status.VALIDATING,
            "lost": await self.blobs.names("lost/") != [],
            "audit": self.ledger.sql.database.reader.execute("SELECT COUNT(*) FROM audit").fetchone()[0] > 0,
            "minutes": self.ledger.sql.database.reader.execute("SELECT COUNT(*) FROM engine_minute").fetchone()[0] > 0,
        }

    def codes(self) -> list[str]:
        return [each.code for each in self.readiness.reasons()]


def play(folder: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def whole(loop: VirtualLoop) -> None:
        world = World(loop, folder)
        await world.fill()
        await world.start()
        try:
            await story(world)
        finally:
            await world.ledger.close()

    played(whole)


@pytest.mark.parametrize("jump", JUMPS, ids=lambda jump: f"{jump / 3600:+.0f}h")
def test_a_jump_while_it_runs(tmp_path: Path, jump: float, caplog: pytest.LogCaptureFixture) -> None:
    """Everything stays, by the first look too; it is told once in the log, by /readyz and as a metric; back, all goes on."""
    caplog.set_level(logging.INFO)

    async def story(world: World) -> None:
        await world.passes(30.0)
        before = await world.left()
        assert all(before.values())
        assert (world.codes(), meters.clock_jump_seconds) == ([], 0.0)
        world.clock.jump(jump)
        await world.passes(2 * HOUR - 60)
        assert await world.left() == before
        assert world.codes() == ["clock_jumped"]
        assert meters.clock_jump_seconds == pytest.approx(jump)
        assert world.wall.expiry_now() == 0.0, "users still see what has not gone"
        world.clock.jump(-jump)
        await world.passes(30.0)
        assert (world.codes(), meters.clock_jump_seconds) == ([], 0.0)
        left = await world.left()
        assert left == dict.fromkeys(before, True) | dict.fromkeys(("file", "upload", "window"), False)

    play(tmp_path, story)
    assert [caplog.text.count(name) for name in ("clock_jumped", "clock_back")] == [1, 1]


@pytest.mark.parametrize("jump", [26 * HOUR, 40 * DAY], ids=lambda jump: f"{jump / 3600:+.0f}h")
def test_a_jump_that_is_confirmed(tmp_path: Path, jump: float) -> None:
    """An operator knows that the clock is right now. What is over by it goes; word that was left before counts for nothing."""

    async def story(world: World) -> None:
        world.confirmed = True
        await world.passes(30.0)
        world.clock.jump(jump)
        await world.passes(60.0)
        assert world.codes() == ["clock_jumped"]
        world.confirmed = True
        await world.passes(60.0)
        assert world.codes() == []
        left = await world.left()
        assert not any(left[name] for name in ("file", "upload", "window"))
        await world.passes(2 * HOUR)
        left = await world.left()
        assert [left[name] for name in ("lost", "audit", "minutes")] == [jump < 20 * DAY] * 3

    play(tmp_path, story)


@pytest.mark.parametrize("away", [60 * HOUR, 40 * DAY], ids=lambda away: f"{away / 3600:.0f}h")
def test_a_server_that_was_off(tmp_path: Path, away: float) -> None:
    """That is no jump. Windows go on; what users gave an end, and what is kept for days, waits a day more, over restarts too."""

    async def story(world: World) -> None:
        before = await world.left()
        await world.passes(120.0)
        world.clock.jump(away)
        await world.start()
        await world.passes(60.0)
        assert world.codes() == []
        assert await world.left() == before | {"window": False}
        await world.passes(20 * HOUR)
        await world.start()
        await world.passes(3 * HOUR)
        assert await world.left() == before | {"window": False}
        await world.passes(2 * HOUR)
        left = await world.left()
        assert (left["file"], left["upload"], left["lost"]) == (False, False, away < 7 * DAY)

    play(tmp_path, story)


def test_a_short_restart(tmp_path: Path) -> None:
    """Nothing waits."""

    async def story(world: World) -> None:
        await world.passes(0.9 * HOUR)
        await world.start()
        await world.passes(0.2 * HOUR)
        left = await world.left()
        assert (left["file"], left["upload"], left["window"]) == (False, False, False)

    play(tmp_path, story)
