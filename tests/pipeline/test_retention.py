"""What an operator keeps for some time only, over a real ledger and real files, with a clock that is set by hand."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.sqlite import connect
from slackwater.adapters.sql.sqlite_pages import let_shrink
from slackwater.core.files.file import File, Purpose
from slackwater.core.files.retention import DAY, NOTICE_DAYS, Keeping, Kept, Retention
from slackwater.pipeline.ending.janitor import Janitor
from slackwater.pipeline.ending.retention import ROUND, RetentionJanitor
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.wall_clock import BELIEVED, Wall, WallWatch
from slackwater.telemetry import meters
from tests.adapters.ledger_contract import batch, file
from tests.pipeline.engines import inline
from tests.pipeline.upload_world import Watch


class House:
    """A ledger, files, a clock, and who keeps house."""

    def __init__(self, folder: Path, keeping: Keeping, *, ledger: str = ":memory:") -> None:
        self.ledger = SqlLedger.open(ledger, inline=True)
        self.blobs = DiskBlobs(folder / "blobs", run=inline)
        self.watch = Watch()
        self.keeping = keeping
        self.retention = Retention()

    async def begin(self, keeping: Keeping | None = None, *, wall: Wall = BELIEVED) -> RetentionJanitor:
        """A start, with the rules as they are configured then."""
        self.keeping = keeping or self.keeping
        self.retention = Retention()
        janitor = RetentionJanitor(
            self.ledger,
            self.blobs,
            self.watch,
            self.retention,
            {"default": self.keeping, "other": Keeping()},
            wall=wall,
        )
        await janitor.start()
        return janitor

    async def file(self, name: str, purpose: Purpose) -> File:
        """A file with bytes, made now."""
        writer = await self.blobs.create(f"files/{name}")
        await writer.write(b"x")
        await writer.publish()
        made = file(0, id=name, blob=f"files/{name}", purpose=purpose, created_at=int(self.watch.now()))
        await self.ledger.add_file(made)
        return made

    async def ended(self, number: int, *, resource: str = "default") -> str:
        """A batch that ended now."""
        made = batch(number, resource=resource, created_at=int(self.watch.now()))
        await self.ledger.add_batch(made)
        await self.ledger.reject_batch(made.id, errors=(), now=int(self.watch.now()))
        return made.id

    async def days(self, days: float) -> None:
        """So many pass."""
        await self.watch.sleep(days * DAY)


class Doubted:
    """A clock on the wall that is not believed, until it is."""

    believed = False
    skipped = 0.0

    def trusted(self) -> bool:
        return self.believed

    may_expire = trusted


async def settled(janitor: RetentionJanitor) -> int:
    """Steps until there is nothing to do; returns how many did something."""
    rounds = 0
    while await janitor.step() is Pace.BUSY:
        rounds += 1
    return rounds


def told(folder: Path, keeping: Keeping, story: Callable[[House], Awaitable[None]], **more: Any) -> None:
    """Plays a story in a new house."""

    async def play() -> None:
        house = House(folder, keeping, **more)
        await story(house)
        await house.ledger.close()

    asyncio.run(play())


def test_nothing_goes_without_notice(tmp_path: Path) -> None:
    """A rule that is new, on a directory of years, begins with days in which everybody can see what goes and when."""

    async def story(house: House) -> None:
        old = await house.ended(0)
        result = await house.file("out", Purpose.BATCH_OUTPUT)
        await house.days(3 * 365)
        janitor = await house.begin()
        goes_at = int(house.watch.now()) + NOTICE_DAYS * DAY
        ended_at = (await house.ledger.batch(old)).ended_at  # type: ignore[union-attr]
        assert house.retention.batch_goes_at("default", ended_at) == goes_at
        assert house.retention.file_goes_at(result) == goes_at
        await house.days(NOTICE_DAYS - 0.001)
        # A restart does not begin the notice anew.
        janitor = await house.begin()
        assert await settled(janitor) == 0
        assert house.retention.file_goes_at(result) == goes_at
        await house.days(0.002)
        before = dict(meters.retention_removed)
        assert await settled(janitor) == 1
        assert await house.ledger.batch(old) is None
        assert await house.ledger.file("out") is None
        assert await house.blobs.names("files/") == []
        assert {kept: meters.retention_removed[kept] - before[kept] for kept in before} == {
            "batches": 1,
            "results": 1,
            "inputs": 0,
        }

    told(tmp_path, Keeping(batches=30, results=30), story)


def test_a_rule_that_changes_gives_notice_again(tmp_path: Path) -> None:
    """Shorter, it does not remove overnight what was to stay; turned off, nothing goes."""

    async def story(house: House) -> None:
        await house.begin()
        kept = await house.ended(0)
        await house.days(10)
        janitor = await house.begin(Keeping(batches=2))
        assert await settled(janitor) == 0
        janitor = await house.begin(Keeping())
        await house.days(1000)
        assert await settled(janitor) == 0
        janitor = await house.begin(Keeping(batches=2))
        await house.days(NOTICE_DAYS - 1)
        assert await settled(janitor) == 0
        assert await house.ledger.batch(kept) is not None
        await house.days(2)
        assert await settled(janitor) == 1

    told(tmp_path, Keeping(batches=365), story)


def test_each_thing_has_its_own_time(tmp_path: Path) -> None:
    """Batches, results and inputs; what is neither, and what belongs to a resource that keeps everything, stays."""

    async def story(house: House) -> None:
        janitor = await house.begin()
        await house.days(NOTICE_DAYS + 1)
        ids = [await house.ended(0), await house.ended(1, resource="other")]
        for name, purpose in (
            ("in", Purpose.BATCH),
            ("out", Purpose.BATCH_OUTPUT),
            ("other", next(each for each in Purpose if each not in (Purpose.BATCH, Purpose.BATCH_OUTPUT))),
        ):
            await house.file(name, purpose)
        gone = []
        for _ in range(6):
            await house.days(1)
            await settled(janitor)
            gone.append(
                [name for name in ("in", "out", "other") if await house.ledger.file(name) is None]
                + [number for number, each in enumerate(ids) if await house.ledger.batch(each) is None]
            )
        assert gone == [[], [], ["in"], ["in", "out"], ["in", "out", 0], ["in", "out", 0]]

    told(tmp_path, Keeping(batches=4, results=3, inputs=2), story)


def test_what_a_batch_reads_stays(tmp_path: Path) -> None:
    """An input goes once no batch that has not ended needs it."""

    async def story(house: House) -> None:
        janitor = await house.begin()
        await house.file("in", Purpose.BATCH)
        made = batch(0, input_blob="files/in", created_at=int(house.watch.now()))
        await house.ledger.add_batch(made)
        await house.days(100)
        assert await settled(janitor) == 0
        await house.ledger.reject_batch(made.id, errors=(), now=int(house.watch.now()))
        assert await settled(janitor) == 1
        assert await house.blobs.names("files/") == []

    told(tmp_path, Keeping(inputs=1), story)


def test_many_go_in_small_rounds_and_the_ledger_shrinks(tmp_path: Path) -> None:
    """Results that wait for the writer wait for one round. What rows leave behind is given back to the disk."""

    async def story(house: House) -> None:
        janitor = await house.begin()
        for number in range(ROUND * 3):
            await house.ended(number)
        await house.days(NOTICE_DAYS + 1)
        db = house.ledger.sql.database
        # Enough that there is something to give back.
        await db.write(lambda each: each.execute("CREATE TABLE ballast (bytes BLOB)"))
        await db.write(lambda each: each.executemany("INSERT INTO ballast VALUES (zeroblob(4000))", [()] * 4000))
        await db.write(lambda each: each.execute("DELETE FROM ballast"))
        pages = await db.read(lambda each: each.execute("PRAGMA page_count").fetchone()[0])
        assert await settled(janitor) > 3
        left = await db.read(lambda each: each.execute("PRAGMA page_count").fetchone()[0])
        assert left < pages / 2

    told(tmp_path, Keeping(batches=1), story, ledger=str(tmp_path / "ledger.db"))


def test_nothing_goes_by_a_clock_that_has_jumped(tmp_path: Path) -> None:
    """Forty days ahead in a moment: that is the machine's fault, and nobody's data."""

    async def story(house: House) -> None:
        await house.begin()
        batch_id = await house.ended(0)
        await house.days(NOTICE_DAYS + 1)
        doubted = Doubted()
        janitor = RetentionJanitor(
            house.ledger, house.blobs, house.watch, house.retention, {"default": house.keeping}, wall=doubted
        )
        assert await settled(janitor) == 0
        assert await house.ledger.batch(batch_id) is not None
        doubted.believed = True
        assert await settled(janitor) == 1

    told(tmp_path, Keeping(batches=1), story)


def test_notice_is_no_shorter_for_a_clock_that_was_wrong(tmp_path: Path) -> None:
    """A machine without a battery begins in the past, and has the right time a minute later: nobody could look meanwhile."""

    async def story(house: House) -> None:
        batch_id, right = await house.ended(0), house.watch.time + 400 * DAY
        wall = WallWatch(house.ledger, house.watch, confirmed=lambda: True)
        await wall.start()
        janitor = await house.begin(wall=wall)
        # The clock is put right, and somebody says that it is. Its monotonic twin goes on by a minute.
        house.watch.wall_ahead = right - house.watch.time
        await house.days(60 / DAY)
        assert await settled(janitor) == 0
        await wall.step()
        assert await settled(janitor) == 0
        assert house.retention.batch_goes_at("default", 0) > house.watch.now() + (NOTICE_DAYS - 1) * DAY  # type: ignore[operator]
        await house.days(NOTICE_DAYS - 0.1)
        assert await settled(janitor) == 0
        await house.days(0.2)
        assert await settled(janitor) == 1
        assert await house.ledger.batch(batch_id) is None

    told(tmp_path, Keeping(batches=1), story)


def test_notice_waits_while_nobody_serves(tmp_path: Path) -> None:
    """Nobody can look at a server that is off; what was known for long enough before goes as it was said."""

    async def story(house: House) -> None:
        await house.ended(0)
        for _ in range(2):
            wall = WallWatch(house.ledger, house.watch)
            await wall.start()
            janitor = await house.begin(wall=wall)
            # Away for a month, after a day of the notice.
            await house.days(1)
            await wall.step()
            await house.days(30)
        wall = WallWatch(house.ledger, house.watch)
        await wall.start()
        janitor = await house.begin(wall=wall)
        # Two days of it are over.
        await house.days(NOTICE_DAYS - 2.1)
        assert await settled(janitor) == 0
        await house.days(0.2)
        assert await settled(janitor) == 1

    told(tmp_path, Keeping(batches=1), story)


def test_a_death_between_the_row_and_the_bytes(tmp_path: Path) -> None:
    """The next start finds bytes without a row, and puts them aside for some days."""

    async def story(house: House) -> None:
        await house.file("out", Purpose.BATCH_OUTPUT)
        now = int(house.watch.now()) + 1
        assert len(await house.ledger.forget_files("default", Purpose.BATCH_OUTPUT, created_before=now, limit=9)) == 1
        await Janitor(house.ledger, house.blobs, house.watch).start()
        assert await house.blobs.names("files/") == []
        assert len(await house.blobs.names("lost/")) == 1

    told(tmp_path, Keeping(results=1), story)


def test_a_ledger_of_an_older_version_learns_to_shrink(tmp_path: Path) -> None:
    """At a start, where it can be rewritten; where it cannot just then, the start goes on and a later one does it."""
    path = tmp_path / "ledger.db"
    old = sqlite3.connect(path, isolation_level=None)
    old.execute("PRAGMA journal_mode = WAL")
    old.execute("CREATE TABLE something (x)")
    connection = connect(path)
    connection.execute("PRAGMA busy_timeout = 0")
    old.execute("BEGIN IMMEDIATE")
    assert not let_shrink(connection)
    old.execute("COMMIT")
    old.close()
    assert let_shrink(connection)
    connection.close()
    later = sqlite3.connect(path)
    assert later.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    later.close()


@pytest.mark.parametrize("kept", Kept)
def test_rules_belong_to_their_resource(tmp_path: Path, kept: Kept) -> None:
    """Another resource has its own, or none."""

    async def story(house: House) -> None:
        await house.begin()
        assert [(resource, rule.kept) for resource, rule in house.retention.rules()] == [("default", kept)]

    told(tmp_path, Keeping(**{kept.value: 5}), story)
