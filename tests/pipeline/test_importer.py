"""Files from a URL: what is durable before what, who waits for whom, and that dying or deleting leaves nothing wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.errors import FetchFailed, Forbidden, ImportRefused, InvalidRequest, QuotaExceeded, StorageFull
from slackwater.core.files.file import File, FileLimits, FileStatus, Purpose
from slackwater.pipeline.files.importer import FAULT, NOT_JSONL, Importer
from slackwater.pipeline.loops import Pace

Write = Callable[[bytes], Awaitable[None]]
LINE = b'{"custom_id": "a"}\n'


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1_000_000.5

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Hosts:
    """The world outside: each host does what its script says, and every visit is remembered."""

    def __init__(self) -> None:
        self.scripts: dict[str, Callable[[Write], Awaitable[None]]] = {}
        self.visits: list[str] = []

    def check(self, url: str) -> str:
        if url == "https://forbidden":
            raise ImportRefused("Files are not imported from 'forbidden'.")
        return url.removeprefix("https://")

    async def fetch(self, url: str, write: Write) -> None:
        host = self.check(url)
        self.visits.append(host)
        await self.scripts[host](write)

    def brings(self, host: str, *pieces: bytes) -> None:
        """This host sends a file."""

        async def script(write: Write) -> None:
            for piece in pieces:
                await write(piece)

        self.scripts[host] = script

    def fails(self, host: str, *errors: Exception | None) -> None:
        """This host sends half a file and breaks off, a different way each time; None is a whole file."""
        left = list(errors)

        async def script(write: Write) -> None:
            await write(LINE)
            error = left.pop(0)
            if error is not None:
                raise error

        self.scripts[host] = script

    def hangs(self, host: str) -> asyncio.Event:
        """This host sends half a file and then nothing until the event is set."""
        goes_on = asyncio.Event()

        async def script(write: Write) -> None:
            await write(LINE)
            await goes_on.wait()
            await write(LINE)

        self.scripts[host] = script
        return goes_on


class Died(BaseException):
    """The process ended here."""


class MortalLedger(SqlLedger):
    """Looks at the disk when a file is about to be processed, and dies before or after that where it is told to."""

    blobs: DiskBlobs
    dies = ""

    async def finish_import(self, file_id: str, *, status: FileStatus, size: int = 0, **named: Any) -> bool:
        if status is FileStatus.PROCESSED and await self.file(file_id) is not None:
            assert self.blobs.path(named["blob"]).stat().st_size == size, "bytes before the row"
        self._die("before")
        done = await super().finish_import(file_id, status=status, size=size, **named)
        self._die("after")
        return done

    def _die(self, where: str) -> None:
        if self.dies == where:
            self.dies = ""
            raise Died


class World:
    """A ledger, blobs, a clock and hosts; and importers over them, one per life."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ledger = MortalLedger.open(":memory:")
        self.blobs = DiskBlobs(root)
        self.ledger.blobs = self.blobs
        self.clock, self.hosts = Watch(), Hosts()
        self.woken = 0
        self._number = 0

    def _new_id(self) -> str:
        self._number += 1
        return f"file-{self._number}"

    def _wake(self) -> None:
        self.woken += 1

    def importer(self, *, off: bool = False, **changes: Any) -> Importer:
        """A new life."""
        fetcher = None if off else self.hosts
        return Importer(
            self.ledger,
            self.blobs,
            self.clock,
            fetcher=fetcher,
            new_id=self._new_id,
            wake=self._wake,
            chance=lambda: 0.0,
            **changes,
        )

    async def file(self, file_id: str) -> File:
        """The file as everybody sees it."""
        found = await self.ledger.file(file_id)
        assert found is not None
        return found

    def on_disk(self) -> list[str]:
        """Names of all files below the store."""
        return sorted(path.name for path in self.root.rglob("*") if path.is_file())


async def order(importer: Importer, host: str, **changes: Any) -> str:
    """Orders a file; every argument may be changed."""
    wanted: dict[str, Any] = {"purpose": Purpose.BATCH, "filename": "in.jsonl", "expires_seconds": None}
    return (await importer.begin(url=f"https://{host}", **(wanted | {"check_first_line": False} | changes))).id


def told(tmp_path: Path, story: Callable[[World], Awaitable[None]]) -> None:
    """Runs a story in a new world."""

    async def main() -> None:
        world = World(tmp_path)
        await story(world)
        await world.ledger.close()

    asyncio.run(main())


def test_from_order_to_processed(tmp_path: Path) -> None:
    """An order is a pending file and a hint; a step brings the bytes, and then the row says so."""

    async def story(world: World) -> None:
        importer = world.importer()
        world.hosts.brings("a", LINE, LINE)
        assert await importer.step() is Pace.IDLE
        file_id = await order(importer, "a", expires_seconds=7_200)
        pending = await world.file(file_id)
        assert (pending.status, pending.size, pending.expires_at) == (FileStatus.PENDING, 0, 1_007_200)
        assert (world.woken, world.hosts.visits) == (1, [])
        assert await importer.step() is Pace.BUSY
        done = await world.file(file_id)
        assert (done.status, done.size, done.status_details) == (FileStatus.PROCESSED, 2 * len(LINE), None)
        assert world.on_disk() == [done.blob.removeprefix("files/")]
        assert await importer.step() is Pace.IDLE

    told(tmp_path, story)


def test_wrong_orders_leave_nothing(tmp_path: Path) -> None:
    """A host that is not allowed, a name that is too long, one file too many."""

    async def story(world: World) -> None:
        importer = world.importer(limits=FileLimits(lasting=1))
        with pytest.raises(ImportRefused):
            await order(importer, "forbidden")
        with pytest.raises(InvalidRequest, match="512 characters"):
            await order(importer, "a", filename="x" * 513)
        await order(importer, "a")
        with pytest.raises(QuotaExceeded):
            await order(importer, "a")
        assert len(await world.ledger.files(purpose=None, after=None, limit=9, descending=True, now=0)) == 1

    told(tmp_path, story)


@pytest.mark.parametrize(
    "error",
    [FetchFailed("Status 404.", again=False), ImportRefused("Leads to a private address."), InvalidRequest("No URL.")],
)
def test_what_is_final_fails_at_once(tmp_path: Path, error: Any) -> None:
    """The file says why, and nothing of its bytes stays."""

    async def story(world: World) -> None:
        importer = world.importer()
        world.hosts.fails("a", error)
        file_id = await order(importer, "a")
        await importer.step()
        failed = await world.file(file_id)
        assert (failed.status, failed.status_details) == (FileStatus.ERROR, error.message)
        assert world.on_disk() == []
        world.clock.time += 1_000
        assert await importer.step() is Pace.IDLE

    told(tmp_path, story)


def test_what_may_pass_is_tried_three_times(tmp_path: Path) -> None:
    """Later each time, and not before; a restart in between does not begin to count again."""

    async def story(world: World) -> None:
        world.hosts.fails("a", *[FetchFailed(f"Status 50{number}.", again=True) for number in range(3)])
        importer = world.importer()
        file_id = await order(importer, "a")
        await importer.step()
        for seconds in (1.0, 2.0):
            importer = world.importer()
            world.clock.time += seconds - 0.1
            assert await importer.step() is Pace.IDLE
            assert (await world.file(file_id)).status is FileStatus.PENDING
            world.clock.time += 0.2
            assert await importer.step() is Pace.BUSY
        failed = await world.file(file_id)
        assert (failed.status, failed.status_details) == (FileStatus.ERROR, "Status 502.")
        assert world.hosts.visits == ["a"] * 3
        assert world.on_disk() == []

    told(tmp_path, story)


def test_a_later_try_brings_the_file(tmp_path: Path) -> None:
    """It begins with an empty blob: nothing of the earlier try is in it."""

    async def story(world: World) -> None:
        importer = world.importer()
        world.hosts.fails("a", FetchFailed("Status 503.", again=True), None)
        file_id = await order(importer, "a")
        await importer.step()
        world.clock.time += 60
        await importer.step()
        done = await world.file(file_id)
        assert (done.status, done.size) == (FileStatus.PROCESSED, len(LINE))

    told(tmp_path, story)


def test_a_fault_of_ours_ends_too(tmp_path: Path) -> None:
    """An error that nobody foresaw is tried again, and then the file says whose fault it was, and not more."""

    async def story(world: World) -> None:
        importer = world.importer()
        world.hosts.fails("a", *[RuntimeError("inner matters")] * 3)
        file_id = await order(importer, "a")
        for _ in range(3):
            await importer.step()
            world.clock.time += 60
        assert (await world.file(file_id)).status_details == FAULT

    told(tmp_path, story)


def test_a_full_disk_costs_no_try(tmp_path: Path) -> None:
    """The stage pauses, as for every other stage; the file stays pending however long that takes."""

    async def story(world: World) -> None:
        importer = world.importer()
        world.hosts.fails("a", *[StorageFull("no room")] * 5, None)
        file_id = await order(importer, "a")
        for _ in range(5):
            with pytest.raises(StorageFull):
                await importer.step()
            assert (await world.file(file_id)).status is FileStatus.PENDING
            assert world.on_disk() == []
        await importer.step()
        assert (await world.file(file_id)).status is FileStatus.PROCESSED

    told(tmp_path, story)


def test_a_slow_host_holds_up_nobody_else(tmp_path: Path) -> None:
    """Steps that run at once take a file each."""

    async def story(world: World) -> None:
        importer = world.importer()
        goes_on = world.hosts.hangs("slow")
        world.hosts.brings("a", LINE)
        slow, fast = await order(importer, "slow"), await order(importer, "a")
        step = asyncio.ensure_future(importer.step())
        while not world.hosts.visits:
            await asyncio.sleep(0)
        assert await importer.step() is Pace.BUSY
        assert await importer.step() is Pace.IDLE
        assert (await world.file(fast)).status is FileStatus.PROCESSED
        assert (await world.file(slow)).status is FileStatus.PENDING
        goes_on.set()
        await step
        assert (await world.file(slow)).size == 2 * len(LINE)
        assert world.hosts.visits == ["slow", "a"]

    told(tmp_path, story)


def test_a_stop_leaves_the_file_pending(tmp_path: Path) -> None:
    """A cancelled step leaves no bytes, and the next life begins again."""

    async def story(world: World) -> None:
        importer = world.importer()
        world.hosts.hangs("a")
        file_id = await order(importer, "a")
        step = asyncio.ensure_future(importer.step())
        while not world.hosts.visits:
            await asyncio.sleep(0)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        assert world.on_disk() == []
        assert (await world.file(file_id)).status is FileStatus.PENDING
        world.hosts.brings("a", LINE)
        await world.importer().step()
        assert (await world.file(file_id)).status is FileStatus.PROCESSED

    told(tmp_path, story)


def test_one_that_was_taken_for_dead_brings_it_too(tmp_path: Path) -> None:
    """The file has the bytes of who was first to say so. What comes late overwrites nothing, and goes."""

    async def story(world: World) -> None:
        zombie = world.importer()
        goes_on = world.hosts.hangs("a")
        file_id = await order(zombie, "a")
        late = asyncio.ensure_future(zombie.step())
        while not world.hosts.visits:
            await asyncio.sleep(0)
        world.hosts.brings("a", LINE)
        await world.importer().step()
        done = await world.file(file_id)
        goes_on.set()
        assert await late is Pace.BUSY
        assert await world.file(file_id) == done
        assert (done.status, done.size) == (FileStatus.PROCESSED, len(LINE))
        assert world.blobs.path(done.blob).read_bytes() == LINE
        assert world.on_disk() == [done.blob.removeprefix("files/")]

    told(tmp_path, story)


@pytest.mark.parametrize("dies", ["before", "after"])
def test_a_death_around_the_end(tmp_path: Path, dies: str) -> None:
    """Before the row, the next life fetches again, and the newer bytes count; after it, there is nothing to do."""

    async def story(world: World) -> None:
        importer = world.importer()
        world.hosts.brings("a", LINE)
        file_id = await order(importer, "a")
        world.ledger.dies = dies
        with pytest.raises(Died):
            await importer.step()
        world.hosts.brings("a", LINE, LINE)
        paces = [await world.importer().step() for _ in range(2)]
        done = await world.file(file_id)
        times = 2 if dies == "before" else 1
        assert (done.status, done.size) == (FileStatus.PROCESSED, times * len(LINE))
        assert paces == ([Pace.BUSY, Pace.IDLE] if dies == "before" else [Pace.IDLE, Pace.IDLE])
        assert world.blobs.path(done.blob).stat().st_size == done.size

    told(tmp_path, story)


def test_a_file_that_is_deleted_while_it_comes(tmp_path: Path) -> None:
    """The fetch ends with the next piece, and no bytes stay."""

    async def story(world: World) -> None:
        importer = world.importer()
        goes_on = world.hosts.hangs("a")
        file_id = await order(importer, "a")
        step = asyncio.ensure_future(importer.step())
        while not world.hosts.visits:
            await asyncio.sleep(0)
        await world.ledger.delete_file(file_id)
        goes_on.set()
        assert await step is Pace.BUSY
        assert world.on_disk() == []
        assert await importer.step() is Pace.IDLE

    told(tmp_path, story)


def test_a_file_that_is_deleted_behind_its_last_piece(tmp_path: Path) -> None:
    """The bytes are there when its row has gone: they go as well."""

    async def story(world: World) -> None:
        importer = world.importer()

        async def script(write: Write) -> None:
            await write(LINE)
            await world.ledger.delete_file("file-1")

        world.hosts.scripts["a"] = script
        await order(importer, "a")
        await importer.step()
        assert await world.ledger.file("file-1") is None
        assert world.on_disk() == []

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("content", "sound"), [(LINE, True), (b"\n" + LINE, True), (b"id,text\n", False), (b"", False)]
)
def test_the_first_line(tmp_path: Path, content: bytes, sound: bool) -> None:
    """Where the caller's family looks at the first line of an upload, an import is looked at as well."""

    async def story(world: World) -> None:
        importer = world.importer()
        world.hosts.brings("a", content)
        looked = await order(importer, "a", check_first_line=True)
        taken = await order(importer, "a")
        await importer.step()
        await importer.step()
        assert (await world.file(looked)).status_details == (None if sound else NOT_JSONL)
        assert (await world.file(taken)).status is FileStatus.PROCESSED
        blobs = [(await world.file(each)).blob.removeprefix("files/") for each in (looked, taken)]
        assert world.on_disk() == (blobs if sound else blobs[1:])

    told(tmp_path, story)


def test_turned_off(tmp_path: Path) -> None:
    """Orders are refused with the setting that would help, and what waits from before ends with the same sentence."""

    async def story(world: World) -> None:
        file_id = await order(world.importer(), "a")
        importer = world.importer(off=True)
        with pytest.raises(Forbidden, match="enabled = true under \\[imports\\]"):
            await order(importer, "a")
        with pytest.raises(Forbidden):
            importer.check()
        await importer.step()
        failed = await world.file(file_id)
        assert failed.status is FileStatus.ERROR
        assert "turned off" in (failed.status_details or "")
        assert world.hosts.visits == []

    told(tmp_path, story)
