"""Results page by page, errors in groups and single lines: each byte once, in bounded pieces, whatever is under way."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.core.batch import Batch, RequestCounts
from slackwater.core.errors import InvalidRequest
from slackwater.core.sending.lines import LineWriter
from slackwater.core.sending.request import Outcome
from slackwater.pipeline.watching import line_finder, result_reader
from slackwater.pipeline.watching.error_groups import GROUPS_MAX, ErrorGroups
from slackwater.pipeline.watching.line_finder import LineFinder
from slackwater.pipeline.watching.result_reader import ResultReader
from slackwater.ports import BlobRange, Shard
from tests.adapters.ledger_contract import batch, claimed, file, segment, started

WRITER = LineWriter("0" * 24)


def good(number: int, *, size: int = 0) -> bytes:
    """A line of the output file."""
    body = b'{"choices":[{"text":"%s"}]}' % (b"x" * size)
    return WRITER.answered(number, f"task-{number}", status=200, body=body)


def bad(number: int, code: str = "broken") -> bytes:
    """A line of the error file."""
    return WRITER.unanswered(number, f"task-{number}", code=code, message=f"wrong {number}")


class World:
    """One batch with a shard of many lines, and what reads its results."""

    def __init__(self, place: Path) -> None:
        self.ledger = SqlLedger.open(place / "ledger.sqlite")
        self.blobs = DiskBlobs(place / "blobs")
        self.reader = ResultReader(self.ledger, self.blobs)
        self.groups = ErrorGroups(self.reader)
        self.finder = LineFinder(self.blobs, InlineOffload(), self.reader)
        self.logs: dict[str, Any] = {}
        self.shard: Shard

    async def start(self) -> None:
        """The batch runs."""
        await started(self.ledger, shards=(2_000,))
        self.shard = await claimed(self.ledger)

    async def batch(self) -> Batch:
        """As it is now."""
        found = await self.ledger.batch("batch-0")
        assert found is not None
        return found

    async def journal(self, numbers: Sequence[int], lines: bytes, *, log: str = "w-1", outcome: str = "output") -> None:
        """Commits lines as a worker does."""
        key = f"logs/batch-0/{log}.{outcome}"
        if key not in self.logs:
            self.logs[key] = await self.blobs.open_log(key)
        where = await self.logs[key].append([lines])
        ranges: dict[str, BlobRange | None] = {"output": None, "error": None, outcome: where}
        counts = RequestCounts(**{"completed" if outcome == "output" else "failed": len(numbers)})
        made = msgspec.structs.replace(segment(self.shard, *numbers), counts=counts, **ranges)
        assert await self.ledger.commit_segments([made], now=1.0, lease_seconds=99.0) == []

    async def end(self, output: bytes, error: bytes) -> None:
        """The batch ends with these files."""
        for key in self.logs:
            await self.logs[key].close()
        await self.blobs.delete("logs/batch-0/")
        await self.ledger.request_cancel("batch-0", now=5)
        await self.ledger.release_shard("batch-0", 0, epoch=self.shard.epoch)
        await self.ledger.begin_finalizing(now=5)
        files = []
        for number, data in ((8, output), (9, error)):
            writer = await self.blobs.create(f"files/{number}")
            await writer.write(data)
            await writer.publish()
            files.append(file(number, size=len(data)))
        assert await self.ledger.publish_files("batch-0", output=files[0], error=files[1], now=6) is not None


@pytest.fixture
def play(tmp_path: Path) -> Any:
    """Plays a story in a new world."""

    def player(story: Any) -> None:
        async def main() -> None:
            world = World(tmp_path)
            await world.start()
            try:
                await story(world)
            finally:
                await world.ledger.close()

        asyncio.run(main())

    return player


async def ids(
    world: World, seen: dict[str, int], *, limit: int = 1_000, **more: Any
) -> tuple[list[int], dict[str, int]]:
    """The numbers of a page's lines, and the cursor behind it."""
    page = await world.reader.page(await world.batch(), seen=seen, limit=limit, **more)
    return [int(line.custom_id.removeprefix("task-")) for _, line in page.lines], page.seen


def test_each_line_once_in_its_order(play: Any) -> None:
    """Two logs that grow in turns; a row that grows behind a later one; pages that end inside a run."""

    async def story(world: World) -> None:
        await world.journal([0], bad(0), outcome="error")
        await world.journal([1, 2], good(1) + good(2))
        await world.journal([3], good(3), log="w-2")
        await world.journal([4, 5], good(4) + good(5))
        first, seen = await ids(world, {}, limit=2)
        rest: list[int] = []
        while True:
            more, seen = await ids(world, seen, limit=1)
            if not more:
                break
            rest += more
        everything = first + rest
        assert sorted(everything) == [0, 1, 2, 3, 4, 5]
        assert [number for number in everything if number in (1, 2, 4, 5)] == [1, 2, 4, 5]
        await world.journal([6], good(6))
        assert (await ids(world, seen))[0] == [6]
        assert (await ids(world, {}, outcomes={Outcome.FAILED}))[0] == [0]

    play(story)


def test_over_the_end_of_a_batch_nothing_is_missed(play: Any) -> None:
    """A cursor of the running batch begins at the start of the files; from there on, each line once again."""

    async def story(world: World) -> None:
        await world.journal([0, 1], good(0) + good(1))
        _, seen = await ids(world, {})
        ran = await world.batch()
        await world.end(good(0) + good(1) + good(2), bad(3))
        # Whoever has looked at the batch before it ended gets them, too.
        page = await world.reader.page(ran, seen=seen, limit=10)
        assert [line.custom_id for _, line in page.lines] == [f"task-{number}" for number in range(4)]
        again, cursor = await ids(world, seen, limit=3)
        assert again == [0, 1, 2]
        assert set(cursor) == {"8"}
        rest, cursor = await ids(world, cursor)
        assert rest == [3]
        assert (await ids(world, cursor))[0] == []
        await world.ledger.delete_file("file-8")
        assert (await ids(world, {}))[0] == [3]

    play(story)


def test_a_batch_that_ends_while_it_is_looked_at(play: Any) -> None:
    """Between the look at the batch and the look at its logs: what nobody has seen comes out of the files, and no page is empty
    that is not the last one."""

    async def story(world: World) -> None:
        lines = [good(number) for number in range(4)]
        await world.journal(range(2), b"".join(lines[:2]))
        running = await world.batch()
        page = await world.reader.page(running, seen={}, limit=10)
        await world.journal([2], lines[2])
        await world.journal([3], lines[3])
        await world.end(b"".join(lines), b"")
        rest = await world.reader.page(running, seen=page.seen, limit=10)
        assert [line.custom_id for _, line in rest.lines][-2:] == ["task-2", "task-3"]
        last = await world.reader.page(running, seen=rest.seen, limit=10)
        assert (last.lines, last.more) == ([], False)
        # One that is gone altogether has nothing more, either.
        gone = msgspec.structs.replace(running, id="nobody")
        assert (await world.reader.page(gone, seen={}, limit=10)).lines == []

    play(story)


def test_a_log_that_goes_while_it_is_read(play: Any) -> None:
    """The batch has ended between two looks: the page ends, and nothing fails."""

    async def story(world: World) -> None:
        await world.journal([0], good(0))
        await world.blobs.delete("logs/batch-0/")
        assert (await ids(world, {}))[0] == []
        assert (await world.groups.of(await world.batch())) == (0, [])
        assert (await world.finder.find(await world.batch(), "task-0")).result is None

    play(story)


def test_lines_of_any_length(play: Any) -> None:
    """Shorter and longer than a piece, with their ends anywhere; one page looks through a bounded number of bytes."""

    async def story(world: World) -> None:
        chance = random.Random(1)
        lines = [good(number, size=chance.choice((0, 10, result_reader.PIECE - 150, 600_000))) for number in range(60)]
        assert sum(map(len, lines)) < result_reader.LOOK_MAX
        await world.journal(range(60), b"".join(lines))
        assert (await ids(world, {}))[0] == list(range(60))
        huge = [good(number, size=3 << 20) for number in range(60, 70)]
        await world.journal(range(60, 70), b"".join(huge))
        page = await world.reader.page(await world.batch(), seen={}, limit=200, custom_id="nothing")
        assert (page.lines, page.more) == ([], True)
        found: list[int] = []
        seen: dict[str, int] = {}
        calls = 0
        while True:
            calls += 1
            page = await world.reader.page(await world.batch(), seen=seen, limit=200, custom_id="TASK-6")
            found += [int(line.custom_id.removeprefix("task-")) for _, line in page.lines]
            seen = page.seen
            if not page.more:
                break
        assert found == [6, *range(60, 70)]
        assert calls > 1

    play(story)


def test_a_cursor_into_the_middle_of_a_line(play: Any) -> None:
    """Somebody has changed it, and is told."""

    async def story(world: World) -> None:
        await world.journal([0], good(0))
        with pytest.raises(InvalidRequest, match="next"):
            await ids(world, {"w-1.output": 5})

    play(story)


def test_a_damaged_line_hides_no_other(play: Any) -> None:
    """Bytes of a log that have changed: whoever watches the batch sees the other lines, also behind a cursor."""

    async def story(world: World) -> None:
        await world.journal([0, 1, 2], good(0) + b"\xff" * 30 + b"\n" + good(2))
        await world.journal([3, 4], bad(3)[:-9] + b"\n" + bad(4), outcome="error")
        page = await world.reader.page(await world.batch(), seen={}, limit=10)
        assert sorted(line.custom_id for _, line in page.lines) == ["task-0", "task-2", "task-4"]
        assert not page.more
        await world.journal([5], good(5))
        after = await world.reader.page(await world.batch(), seen=page.seen, limit=10)
        assert [line.custom_id for _, line in after.lines] == ["task-5"]
        failed, groups = await world.groups.of(await world.batch())
        assert (failed, [each.count for each in groups]) == (2, [1])
        assert (await world.finder.find(await world.batch(), "task-2")).result == good(2).rstrip()
        assert (await world.finder.find(await world.batch(), "task-3")).result is None

    play(story)


def test_errors_in_groups(play: Any) -> None:
    """Counted once however often somebody asks, the largest first; too many codes are one group."""

    async def story(world: World) -> None:
        await world.journal([0, 1, 2], bad(0) + bad(1, "other") + bad(2), outcome="error")
        failed, groups = await world.groups.of(await world.batch())
        assert (failed, [(each.code, each.count) for each in groups]) == (3, [("broken", 2), ("other", 1)])
        assert groups[0].message == "wrong 0"
        assert [line.custom_id for line in groups[0].examples] == ["task-0", "task-2"]
        numbers = list(range(3, 10))
        await world.journal(numbers, b"".join(bad(number, "other") for number in numbers), outcome="error")
        now = await world.batch()
        asked = await asyncio.gather(*(world.groups.of(now) for _ in range(5)))
        for failed, groups in asked:
            assert (failed, groups[0].code, groups[0].count) == (10, "other", 8)
            assert len(groups[0].examples) == 5
        many = range(10, 10 + 2 * GROUPS_MAX)
        await world.journal(many, b"".join(bad(number, f"code-{number}") for number in many), outcome="error")
        failed, groups = await world.groups.of(await world.batch())
        assert failed == 10 + len(many) == sum(group.count for group in groups)
        assert len(groups) <= GROUPS_MAX + 1

    play(story)


def test_a_line_is_found_wherever_it_lies(play: Any, tmp_path: Path) -> None:
    """Before, on and behind the borders of pieces, last without a line end, among lines that only mention its id."""

    async def story(world: World) -> None:
        lines = []
        for number in range(40):
            text = "y" * (line_finder.PIECE // 3) if number % 3 else '\\"task-7\\" "custom_id": '.replace('"', '\\"')
            lines.append(
                b'{"custom_id": "task-%d", "url": "task-39", "body": {"t": "%s"}}'
                % (number, text.replace("\\\\", "\\").encode())
            )
        writer = await world.blobs.create("files/0")
        await writer.write(b"\r\n".join(lines[:20]) + b"\n\n" + b"\n".join(lines[20:]))
        await writer.publish()
        for number in (0, 7, 19, 20, 39):
            found = await world.finder.find(await world.batch(), f"task-{number}")
            assert found.request == lines[number]
            assert found.line == number + 1 + (number >= 20)
            assert found.result is None
        assert await world.finder.find(batch(5), "task-0") == line_finder.Found()
        await world.journal([39], good(39))
        assert (await world.finder.find(await world.batch(), "task-39")).result == good(39).rstrip()

    play(story)
