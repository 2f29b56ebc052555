"""Input from a storage of its user's: what is durable before what, what a batch fails with, and who waits for whom."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.core.batch import Batch, Policies, Status
from slackwater.core.errors import FilesUnavailable, UserBlobModified, UserStorageAway, UserStorageRefused
from slackwater.core.sending.deployment import Deployment
from slackwater.pipeline.admission import Admission, Order
from slackwater.pipeline.ending.finalizer import Finalizer
from slackwater.pipeline.ending.handing_over import HandingOver
from slackwater.pipeline.files.bringing import Bringing
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.watching.line_finder import Found, LineFinder
from slackwater.pipeline.watching.result_reader import ResultReader
from slackwater.ports import BlobVersion
from tests.api.calls import chat
from tests.pipeline.test_importer import Died, Watch

INPUT = chat(2)
Put = Callable[[], AsyncIterator[bytes]]


class Storages:
    """Storages of users: each blob is what its script says."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.looks: list[BaseException | None] = []
        self.reads: list[BaseException | None] = []
        self.asked: list[str] = []
        self.goes_on: asyncio.Event | None = None

    def check(self, resource: str, url: str, *, param: str, folder: bool = False) -> None:
        """Everything is allowed."""

    async def look(self, resource: str, url: str) -> BlobVersion:
        if self.looks and (error := self.looks.pop(0)) is not None:
            raise error
        return BlobVersion(str(hash(self.blobs[url])), len(self.blobs[url]))

    async def read(self, resource: str, url: str, *, version: str) -> AsyncIterator[bytes]:
        self.asked.append(url)
        half = len(self.blobs[url]) // 2
        yield self.blobs[url][:half]
        if self.goes_on is not None and url == "hangs":
            await self.goes_on.wait()
        if self.reads and (error := self.reads.pop(0)) is not None:
            raise error
        yield self.blobs[url][half:]
        if version not in ("", str(hash(self.blobs[url]))):
            raise UserBlobModified("changed")

    async def put(self, resource: str, url: str, content: Put, *, size: int, checksum: int) -> None:
        raise AssertionError(url)


class MortalLedger(SqlLedger):
    """Dies before or after the row that names the bytes, where it is told to."""

    dies = ""

    async def finish_bringing(self, batch_id: str, **named: Any) -> bool:
        self._die("before")
        done = await super().finish_bringing(batch_id, **named)
        self._die("after")
        return done

    def _die(self, where: str) -> None:
        if self.dies == where:
            self.dies = ""
            raise Died


class World:
    """A ledger, files, storages and the stage."""

    def __init__(self, place: Path, *, storages: bool = True, bytes_max: int = 0) -> None:
        self.ledger = MortalLedger.open(":memory:")
        self.blobs, self.watch, self.storages = DiskBlobs(place), Watch(), Storages()
        self.place = place
        self.numbers = iter(range(1_000))
        self.bytes_max = bytes_max
        self.woken: list[str] = []
        self.bringing = self.incarnation(storages=storages)

    def incarnation(self, *, storages: bool = True) -> Bringing:
        """The stage, as a new process has it."""
        return Bringing(
            self.ledger,
            self.blobs,
            self.watch,
            storages=self.storages if storages else None,
            new_id=lambda: f"file-{next(self.numbers)}",
            deployments=lambda: [Deployment(name="demo-batch", model="m", backends=())],
            bytes_max=self.bytes_max,
            brought=lambda: self.woken.append("brought"),
            ended=lambda: self.woken.append("ended"),
        )

    async def create(self, url: str = "in", data: bytes = INPUT) -> Batch:
        """A batch of a blob."""
        self.storages.blobs[url] = data
        admission = Admission(
            self.ledger,
            self.blobs,
            self.watch,
            wake=lambda: None,
            deployments=lambda: [],
            storages=self.storages,
        )
        order = Order(
            input_file_id="",
            endpoint="/chat/completions",
            completion_window="24h",
            input_blob=url,
            output_folder="out/",
        )
        made = await admission.create(
            order, batch_id=f"batch-{next(self.numbers)}", endpoint=order.endpoint, policies=Policies()
        )
        return made.batch

    async def now(self, batch: Batch) -> Batch:
        """The batch as it is."""
        found = await self.ledger.batch(batch.id)
        assert found is not None
        return found

    async def failed_with(self, batch: Batch) -> str:
        """Why it has failed."""
        found = await self.now(batch)
        assert found.status is Status.FAILED
        assert found.errors is not None
        assert "in" not in {path.name for path in self.place.rglob("*") if path.is_file()}
        return found.errors[0].code

    def files(self) -> list[str]:
        """Every blob that there is here."""
        return sorted(path.name for path in self.place.rglob("*") if path.is_file())


def play(place: Path, story: Callable[[World], Awaitable[None]], **options: Any) -> None:
    """Tells a story in a new world."""

    async def main() -> None:
        world = World(place, **options)
        try:
            await story(world)
        finally:
            await world.ledger.close()

    asyncio.run(main())


def test_it_is_copied_and_then_validated(tmp_path: Path) -> None:
    """The copy has a checksum, its deployment is known, and what becomes of the blob later does not matter."""

    async def story(world: World) -> None:
        batch = await world.create()
        assert await world.bringing.step() is Pace.BUSY
        world.storages.blobs["in"] = b"something else"
        assert await world.bringing.step() is Pace.IDLE
        found = await world.ledger.next_to_validate()
        assert found is not None
        assert found.id == batch.id
        assert world.blobs.path(found.input_blob).read_bytes() == INPUT
        assert (found.input_bytes, found.deployment) == (len(INPUT), "demo-batch")
        assert found.enqueued_tokens > 0
        assert found.storage is not None
        assert found.storage.checksum is not None
        assert found.storage.folder_url == "out"
        assert world.woken == ["brought"]

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserStorageRefused("no"), "input_no_permissions"),
        (UserBlobModified("changed"), "input_modified"),
        (FileNotFoundError("gone"), "input_modified"),
    ],
)
def test_what_it_fails_with(tmp_path: Path, error: Exception, code: str) -> None:
    """In the middle of it, too; nothing of what had come stays."""

    async def story(world: World) -> None:
        batch = await world.create()
        world.storages.reads = [error]
        await world.bringing.step()
        assert await world.failed_with(batch) == code
        assert world.files() == []
        assert world.woken == ["ended"]

    play(tmp_path, story)


def test_changed_since_its_create(tmp_path: Path) -> None:
    """Its version was noted then."""

    async def story(world: World) -> None:
        batch = await world.create()
        world.storages.blobs["in"] = chat(3)
        await world.bringing.step()
        assert await world.failed_with(batch) == "input_modified"

    play(tmp_path, story)


def test_without_rights_at_its_create(tmp_path: Path) -> None:
    """The batch says so, as the vendor's does; rights that come before it is read are in time."""

    async def story(world: World) -> None:
        world.storages.looks = [UserStorageRefused("no"), UserStorageRefused("no")]
        batch, other = await world.create(), await world.create()
        world.storages.reads = [UserStorageRefused("no"), None]
        await world.bringing.step()
        await world.bringing.step()
        assert await world.failed_with(batch) == "input_no_permissions"
        assert (await world.now(other)).input_bytes == len(INPUT)

    play(tmp_path, story)


def test_a_storage_that_does_not_answer_at_a_create(tmp_path: Path) -> None:
    """Nobody would know what the blob was: the caller tries again, and there is no batch."""

    async def story(world: World) -> None:
        world.storages.looks = [UserStorageAway("away")]
        with pytest.raises(FilesUnavailable, match="Try again"):
            await world.create()
        assert await world.bringing.step() is Pace.IDLE

    play(tmp_path, story)


def test_a_storage_that_is_away_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and tried again after a second, two, four; others do not wait, and no try is the last one."""

    async def story(world: World) -> None:
        batch, other = await world.create(), await world.create("other")
        world.storages.reads = [UserStorageAway("no answer"), None, *[UserStorageAway("no answer") for _ in range(19)]]
        await world.bringing.step()
        await world.bringing.step()
        assert (await world.now(other)).input_bytes
        waited = world.watch.time
        for _ in range(19):
            assert await world.bringing.step() is Pace.IDLE
            while await world.bringing.step() is Pace.IDLE:
                await world.watch.sleep(1.0)
        assert world.watch.time - waited > 600
        assert (await world.now(batch)).status is Status.VALIDATING
        await world.watch.sleep(60.0)
        await world.bringing.step()
        assert (await world.now(batch)).input_bytes == len(INPUT)
        assert len(world.files()) == 2
        assert sum("input_waits_for_storage" in record.getMessage() for record in caplog.records) == 20

    play(tmp_path, story)


def test_one_that_hangs_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Each step has a batch of its own; and one that is cancelled meanwhile leaves nothing."""

    async def story(world: World) -> None:
        world.storages.goes_on = asyncio.Event()
        slow, quick = await world.create("hangs"), await world.create("quick")
        hangs = asyncio.create_task(world.bringing.step())
        while not world.storages.asked:
            await asyncio.sleep(0)
        await world.bringing.step()
        assert (await world.now(quick)).input_bytes
        assert await world.bringing.step() is Pace.IDLE
        await world.ledger.request_cancel(slow.id, now=1)
        world.storages.goes_on.set()
        await hangs
        assert (await world.now(slow)).status is Status.CANCELLING
        assert len(world.files()) == 1

    play(tmp_path, story)


def test_one_that_is_cancelled_before_its_input_has_come(tmp_path: Path) -> None:
    """It ends without results, and nobody asks for the blob that it never had here to be removed."""

    async def story(world: World) -> None:
        batch = await world.create()
        await world.ledger.request_cancel(batch.id, now=1)
        handing_over = HandingOver(world.blobs, world.watch, world.storages)
        finalizer = Finalizer(
            world.ledger, world.blobs, world.watch, new_file_id=lambda: "file-x", handing_over=handing_over
        )
        assert await finalizer.step() is Pace.BUSY
        found = await world.now(batch)
        assert found.status is Status.CANCELLED
        assert found.storage is not None
        assert (found.storage.output_url, found.output_file_id) == ("", None)
        finder = LineFinder(world.blobs, InlineOffload(), ResultReader(world.ledger, world.blobs))
        assert await finder.find(found, "task-0") == Found()

    play(tmp_path, story)


def test_one_that_is_too_large(tmp_path: Path) -> None:
    """Also where nobody could see that at its create."""

    async def story(world: World) -> None:
        world.storages.looks = [UserStorageRefused("no")]
        batch = await world.create()
        await world.bringing.step()
        assert await world.failed_with(batch) == "invalid_request"
        assert world.files() == []

    play(tmp_path, story, bytes_max=len(INPUT) - 1)


def test_a_configuration_that_has_lost_them(tmp_path: Path) -> None:
    """What was made before cannot be read, and says so."""

    async def story(world: World) -> None:
        batch = await world.create()
        await world.bringing.step()
        assert await world.failed_with(batch) == "input_no_permissions"

    play(tmp_path, story, storages=False)


def test_a_fault_of_ours(tmp_path: Path) -> None:
    """Is tried again for some minutes, and then it is the batch that fails and not the stage."""

    async def story(world: World) -> None:
        batch = await world.create()
        world.storages.reads = [RuntimeError("what") for _ in range(12)]
        for _ in range(12):
            await world.watch.sleep(61.0)
            assert await world.bringing.step() is Pace.BUSY
        assert await world.failed_with(batch) == "invalid_request"

    play(tmp_path, story)


@pytest.mark.parametrize("where", ["before", "after"])
def test_dying_around_the_row(tmp_path: Path, where: str) -> None:
    """The next incarnation brings it again, or has it; the batch reads whole bytes either way."""

    async def story(world: World) -> None:
        batch = await world.create()
        world.ledger.dies = where
        with pytest.raises(Died):
            await world.bringing.step()
        await world.incarnation().step()
        found = await world.now(batch)
        assert world.blobs.path(found.input_blob).read_bytes() == INPUT
        assert len(world.files()) == (2 if where == "before" else 1), "what nobody names is swept at a start"

    play(tmp_path, story)
