"""Results that go to a storage of their user's: whole, once, and under one name, whoever dies in between."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("obstore")

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.object_store.place import FolderPlace
from slackwater.adapters.object_store.user_storages import Listed, ListedStorages
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import Batch, EmptyFiles, Policies, Status, UserStorage
from slackwater.core.files.blob_url import read_root
from slackwater.pipeline.ending.finalizer import Finalizer
from slackwater.pipeline.ending.handing_over import HANDED_SECONDS, HandingOver
from slackwater.pipeline.loops import Pace
from tests.adapters.ledger_contract import started
from tests.pipeline.test_importer import Died, Watch

LINE = json.dumps({"custom_id": "task-0", "method": "POST", "url": "/v1/chat/completions"}).encode().ljust(99) + b"\n"


class MortalLedger(SqlLedger):
    """Dies before or after the end of a batch, where it is told to."""

    dies = ""

    async def publish_files(self, batch_id: str, **named: Any) -> Batch | None:
        self._die("before")
        done = await super().publish_files(batch_id, **named)
        self._die("after")
        return done

    def _die(self, where: str) -> None:
        if self.dies == where:
            self.dies = ""
            raise Died


class World:
    """A ledger, files, and a user's folder; and one batch whose only line is never to run."""

    def __init__(self, place: Path) -> None:
        self.ledger = MortalLedger.open(":memory:")
        self.blobs, self.watch = DiskBlobs(place / "blobs"), Watch()
        self.folder = place / "user"
        self.folder.mkdir()
        self.numbers = iter(range(1_000))
        self.finalizer = self.incarnation()

    def incarnation(self) -> Finalizer:
        """The stage, as a new process has it."""
        root = read_root(f"file://{self.folder}")
        storages = ListedStorages([Listed("default", root, FolderPlace(root.folder))])
        return Finalizer(
            self.ledger,
            self.blobs,
            self.watch,
            new_file_id=lambda: f"file-{next(self.numbers)}",
            handing_over=HandingOver(self.blobs, self.watch, storages),
        )

    async def batch(self, number: int = 0, **changes: Any) -> None:
        """A batch that is to end as cancelled."""
        writer = await self.blobs.create(f"files/{number}")
        await writer.write(LINE)
        await writer.publish()
        url = f"file://{self.folder}"
        storage = UserStorage(input_url=f"{url}/in.jsonl", folder_url=f"{url}/out")
        await started(self.ledger, number, shards=(1,), input_file_id="", storage=storage, **changes)
        await self.ledger.request_cancel(f"batch-{number}", now=int(self.watch.now()))

    async def ended(self, number: int = 0) -> Batch:
        """The batch, which has ended."""
        found = await self.ledger.batch(f"batch-{number}")
        assert found is not None
        assert found.status is Status.CANCELLED
        return found

    def there(self) -> list[Path]:
        """What the user has."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def here(self) -> list[str]:
        """What there is of ours."""
        return sorted(path.name for path in (self.blobs.path("files/x").parent.parent).rglob("*") if path.is_file())


def play(place: Path, story: Callable[[World], Awaitable[None]]) -> None:
    """Tells a story in a new world."""

    async def main() -> None:
        world = World(place)
        try:
            await story(world)
        finally:
            await world.ledger.close()

    asyncio.run(main())


@pytest.mark.parametrize("empty", EmptyFiles)
def test_both_paths_are_said(tmp_path: Path, empty: EmptyFiles) -> None:
    """In every family the results are a blob, also without lines; copies of ours go."""

    async def story(world: World) -> None:
        await world.batch(policies=Policies(empty_files=empty))
        assert await world.finalizer.step() is Pace.BUSY
        batch = await world.ended()
        assert batch.storage is not None
        assert [f"file://{path}" for path in world.there()] == [batch.storage.error_url, batch.storage.output_url]
        errors, results = world.there()
        assert json.loads(errors.read_bytes())["error"]["code"] == "batch_cancelled"
        assert results.read_bytes() == b""
        assert world.here() == []

    play(tmp_path, story)


@pytest.mark.parametrize("where", ["before", "after"])
def test_dying_around_the_end(tmp_path: Path, where: str) -> None:
    """The blobs are there; the next incarnation finds them, and writes no other ones."""

    async def story(world: World) -> None:
        await world.batch()
        world.ledger.dies = where
        with pytest.raises(Died):
            await world.finalizer.step()
        before = [(path, path.stat().st_ino, path.read_bytes()) for path in world.there()]
        assert len(before) == 2
        await world.incarnation().step()
        await world.ended()
        assert [(path, path.stat().st_ino, path.read_bytes()) for path in world.there()] == before

    play(tmp_path, story)


def test_one_of_two_was_there(tmp_path: Path) -> None:
    """Whoever died between the two puts the other one beside it."""

    async def story(world: World) -> None:
        await world.batch()
        world.ledger.dies = "before"
        with pytest.raises(Died):
            await world.finalizer.step()
        errors, results = world.there()
        errors.unlink()
        await world.incarnation().step()
        assert world.there() == [errors, results]

    play(tmp_path, story)


def test_a_name_that_has_other_bytes(tmp_path: Path) -> None:
    """They stay, and the results get another folder."""

    async def story(world: World) -> None:
        await world.batch()
        world.ledger.dies = "before"
        with pytest.raises(Died):
            await world.finalizer.step()
        errors, results = world.there()
        errors.write_bytes(b"mine\n")
        await world.incarnation().step()
        batch = await world.ended()
        assert errors.read_bytes() == b"mine\n"
        assert batch.storage is not None
        other = Path(batch.storage.error_url.removeprefix("file://"))
        assert other.parent != errors.parent
        assert {other, errors, results} < set(world.there())

    play(tmp_path, story)


def test_a_storage_that_takes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is waited for with growing gaps and said each time; what was made is kept, and made again where it is lost."""

    async def story(world: World) -> None:
        await world.batch()
        (world.folder / "out").write_text("in the way")
        begun = world.watch.time
        for _ in range(10):
            while await world.finalizer.step() is Pace.IDLE:
                await world.watch.sleep(1.0)
        assert world.watch.time - begun > 120
        assert sum("results_wait_for_storage" in record.getMessage() for record in caplog.records) == 10
        assert len(world.here()) == 3, "the input and two files"
        for path in (world.blobs.path("files/x").parent.parent / "outputs").iterdir():
            path.unlink()
        (world.folder / "out").unlink()
        await world.watch.sleep(60.0)
        with pytest.raises(FileNotFoundError):
            await world.finalizer.step()
        await world.finalizer.step()
        await world.finalizer.step()
        await world.ended()
        assert len(world.there()) == 2
        assert world.here() == []

    play(tmp_path, story)


async def waited(world: World, seconds: float) -> None:
    """The stage has gone on for so long."""
    until = world.watch.time + seconds
    while world.watch.time < until:
        if await world.finalizer.step() is Pace.IDLE:
            await world.watch.sleep(30.0)


def test_a_storage_that_takes_nothing_for_good(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After three days the batch ends as it would have; its results are files here, and it says so. Nobody waits for ever."""

    async def story(world: World) -> None:
        await world.batch()
        (world.folder / "out").write_text("in the way")
        await waited(world, HANDED_SECONDS - 120)
        found = await world.ledger.batch("batch-0")
        assert found is not None
        assert found.status is Status.CANCELLING
        await waited(world, 240)
        batch = await world.ended()
        assert batch.storage is not None
        assert (batch.storage.output_url, batch.storage.error_url) == ("", "")
        assert [each.code for each in batch.errors or ()] == ["output_no_permissions"]
        assert batch.output_file_id
        assert batch.error_file_id
        file = await world.ledger.file(batch.error_file_id)
        assert file is not None
        lines = b"".join([piece async for piece in world.blobs.stream(file.blob)])
        assert json.loads(lines)["error"]["code"] == "batch_cancelled"
        assert world.here() == sorted([batch.output_file_id, batch.error_file_id])
        assert [path.name for path in world.there()] == ["out"]
        assert sum("results_not_taken" in record.getMessage() for record in caplog.records) == 1
        assert await world.finalizer.step() is Pace.IDLE

    play(tmp_path, story)


def test_who_comes_late_asks_more_than_once(tmp_path: Path) -> None:
    """A server that was off for days does not give up for what it meets in its first moment; nor by a clock that has jumped."""

    class Jumped:
        skipped = 0.0
        believed = False

        def trusted(self) -> bool:
            return self.believed

        may_expire = trusted

    async def story(world: World) -> None:
        await world.batch()
        (world.folder / "out").write_text("in the way")
        world.watch.time += 2 * HANDED_SECONDS
        await waited(world, 60)
        found = await world.ledger.batch("batch-0")
        assert found is not None
        assert found.status is Status.CANCELLING
        wall = Jumped()
        world.finalizer._handing_over._wall = wall  # type: ignore[union-attr]
        await waited(world, 600)
        found = await world.ledger.batch("batch-0")
        assert found is not None
        assert found.status is Status.CANCELLING
        wall.believed = True
        await waited(world, 120)
        await world.ended()

    play(tmp_path, story)


def test_others_end_meanwhile(tmp_path: Path) -> None:
    """Whose folder can be written to does not wait for whose cannot."""

    async def story(world: World) -> None:
        await world.batch(0)
        (world.folder / "out").write_text("in the way")
        await world.finalizer.step()
        (world.folder / "out").unlink()
        await world.batch(1)
        await world.finalizer.step()
        await world.ended(1)
        assert await world.finalizer.step() is Pace.IDLE

    play(tmp_path, story)


def test_a_configuration_that_has_lost_the_place(tmp_path: Path) -> None:
    """The results wait until somebody gives it back."""

    async def story(world: World) -> None:
        await world.batch()
        lost = Finalizer(
            world.ledger,
            world.blobs,
            world.watch,
            new_file_id=lambda: f"file-{next(world.numbers)}",
            handing_over=HandingOver(world.blobs, world.watch, None),
        )
        await lost.step()
        found = await world.ledger.batch("batch-0")
        assert found is not None
        assert found.status is Status.CANCELLING
        await world.incarnation().step()
        await world.ended()

    play(tmp_path, story)


def test_a_fault_with_one_storage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Is told, and the batch waits; the stage goes on, or others would pay for it."""

    class Odd(ListedStorages):
        async def put(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("nobody has thought of this")

    async def story(world: World) -> None:
        await world.batch()
        odd = Finalizer(
            world.ledger,
            world.blobs,
            world.watch,
            new_file_id=lambda: f"file-{next(world.numbers)}",
            handing_over=HandingOver(world.blobs, world.watch, Odd([])),
        )
        assert await odd.step() is Pace.BUSY
        assert await odd.step() is Pace.IDLE
        assert "not_handed_over" in caplog.text
        await world.incarnation().step()
        await world.ended()

    play(tmp_path, story)
