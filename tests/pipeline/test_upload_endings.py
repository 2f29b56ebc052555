"""How uploads end: in order, twice at once, too late, or with the process. Nothing wrong is left behind."""

import asyncio
import threading
from pathlib import Path

import pytest

from slackwater.adapters.disk.blobs import Disk
from slackwater.core.errors import InvalidRequest, NotFound
from slackwater.core.files.file import File
from slackwater.core.files.upload import UploadStatus
from slackwater.pipeline.ending.janitor import UPLOAD_KEPT_SECONDS
from slackwater.pipeline.loops import Pace
from tests.pipeline.upload_world import HOUR, Died, World, play


def test_a_lost_answer_is_given_again(tmp_path: Path) -> None:
    """The same part ids bring the same file, also when the parts are gone; other part ids are refused."""

    async def story(world: World) -> None:
        upload_id, parts = await world.prepared(b"abc", b"def")
        file = await world.complete(upload_id, parts)
        assert await world.complete(upload_id, parts) == file
        await world.janitor.step()
        assert await world.complete(upload_id, parts) == file
        with pytest.raises(InvalidRequest, match="is completed; it cannot be completed"):
            await world.complete(upload_id, parts[::-1])
        assert await world.files() == [file.id]
        assert len(world.bytes_of("files")) == 1
        await world.ledger.delete_file(file.id)
        upload, gone = await world.uploads.complete(upload_id, part_ids=parts)
        assert (upload.status, gone) == (UploadStatus.COMPLETED, None)

    play(tmp_path, story)


def test_two_who_complete_at_once_make_one_file(tmp_path: Path) -> None:
    """With the same part ids both hear of the same file; the loser's bytes go."""

    async def story(world: World) -> None:
        upload_id, parts = await world.prepared(b"abc", b"def")
        one, other = await asyncio.gather(world.complete(upload_id, parts), world.complete(upload_id, parts))
        assert one == other
        assert await world.files() == world.bytes_of("files") == [one.id]

    play(tmp_path, story)


def test_two_who_complete_differently_at_once(tmp_path: Path) -> None:
    """One wins, the other is told, and nothing of it stays."""

    async def story(world: World) -> None:
        upload_id, parts = await world.prepared(b"abc", b"def")
        tries = (world.complete(upload_id, parts), world.complete(upload_id, parts[::-1]))
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        (file,) = [each for each in outcomes if isinstance(each, File)]
        (refusal,) = [each for each in outcomes if isinstance(each, InvalidRequest)]
        assert "is completed" in refusal.message
        assert await world.files() == world.bytes_of("files") == [file.id]

    play(tmp_path, story)


def test_death_between_a_part_and_its_row(tmp_path: Path) -> None:
    """The bytes that nobody was told of go at the next start; the upload goes on."""

    async def story(world: World) -> None:
        upload_id = await world.create(6)
        await world.part(upload_id, b"abc", part_id="part_0")
        world.ledger.dies = "before part"
        with pytest.raises(Died):
            await world.part(upload_id, b"def", part_id="part_1")
        assert world.bytes_of("uploads") == ["part_0", "part_1"]
        await world.janitor.start()
        assert world.bytes_of("uploads") == ["part_0"]
        await world.part(upload_id, b"def", part_id="part_2")
        assert await world.content(await world.complete(upload_id, ["part_0", "part_2"])) == b"abcdef"

    play(tmp_path, story)


def test_death_between_the_file_and_its_row(tmp_path: Path) -> None:
    """The upload is still pending, and completing it again makes the file."""

    async def story(world: World) -> None:
        upload_id, parts = await world.prepared(b"abc", b"def")
        world.ledger.dies = "before completed"
        with pytest.raises(Died):
            await world.complete(upload_id, parts)
        await world.janitor.start()
        await world.janitor.step()
        assert await world.files() == []
        file = await world.complete(upload_id, parts)
        assert await world.content(file) == b"abcdef"
        assert await world.files() == [file.id]

    play(tmp_path, story)


def test_death_after_the_row(tmp_path: Path) -> None:
    """The upload is completed: its answer can be asked for again, and the parts go with the next round."""

    async def story(world: World) -> None:
        upload_id, parts = await world.prepared(b"abc", b"def")
        world.ledger.dies = "after completed"
        with pytest.raises(Died):
            await world.complete(upload_id, parts)
        await world.janitor.start()
        assert world.bytes_of("uploads") == parts
        await world.janitor.step()
        assert world.bytes_of("uploads") == []
        file = await world.complete(upload_id, parts)
        assert await world.content(file) == b"abcdef"
        assert await world.files() == world.bytes_of("files") == [file.id]

    play(tmp_path, story)


@pytest.mark.parametrize("end", ["completed", "cancelled", "expired"])
def test_a_part_after_the_end_is_refused(tmp_path: Path, end: str) -> None:
    """Whether it begins after the end or was on its way when it came: no bytes stay, and the message names the status."""

    async def story(world: World) -> None:
        upload_id, parts = await world.prepared(b"abc")
        on_its_way = await world.uploads.begin_part(upload_id, part_id="part_late")
        await on_its_way.write(b"x")
        if end == "completed":
            await world.complete(upload_id, parts)
        elif end == "cancelled":
            assert (await world.uploads.cancel(upload_id)).status is UploadStatus.CANCELLED
        else:
            world.watch.time += HOUR
        await world.janitor.step()
        with pytest.raises(InvalidRequest, match=f"is {end}; no part can be added"):
            await on_its_way.finish()
        await on_its_way.discard()
        with pytest.raises(InvalidRequest, match=f"is {end}; no part can be added"):
            await world.part(upload_id, b"y", part_id="part_later")
        assert world.bytes_of("uploads") == []
        await world.janitor.step()
        assert (await world.ledger.upload_parts(upload_id)) == []

    play(tmp_path, story)


def test_cancel(tmp_path: Path) -> None:
    """Ends the upload and frees its bytes; once more is fine; completing is refused; a completed one stays what it is."""

    async def story(world: World) -> None:
        upload_id, parts = await world.prepared(b"abc")
        assert (await world.uploads.cancel(upload_id)).status is UploadStatus.CANCELLED
        assert world.woken == 1
        await world.janitor.step()
        assert world.bytes_of("uploads") == []
        assert (await world.uploads.cancel(upload_id)).status is UploadStatus.CANCELLED
        with pytest.raises(InvalidRequest, match="is cancelled; it cannot be completed"):
            await world.complete(upload_id, parts)
        other, parts = await world.prepared(b"abc", name="other")
        await world.complete(other, parts)
        with pytest.raises(InvalidRequest, match="is completed; it cannot be cancelled"):
            await world.uploads.cancel(other)

    play(tmp_path, story)


def test_expiry(tmp_path: Path) -> None:
    """An hour after its creation an upload is expired, noticed or not; then its parts go, and a day later itself."""

    async def story(world: World) -> None:
        upload_id, parts = await world.prepared(b"abc")
        world.watch.time += HOUR - 1
        assert await world.janitor.step() is Pace.IDLE
        world.watch.time += 1
        with pytest.raises(InvalidRequest, match="is expired; it cannot be completed"):
            await world.complete(upload_id, parts)
        with pytest.raises(InvalidRequest, match="is expired; it cannot be cancelled"):
            await world.uploads.cancel(upload_id)
        assert await world.janitor.step() is Pace.BUSY
        assert world.bytes_of("uploads") == []
        with pytest.raises(InvalidRequest, match="is expired; it cannot be completed"):
            await world.complete(upload_id, parts)
        world.watch.time += UPLOAD_KEPT_SECONDS - 1
        assert await world.janitor.step() is Pace.IDLE
        world.watch.time += 1
        assert await world.janitor.step() is Pace.BUSY
        with pytest.raises(NotFound):
            await world.uploads.cancel(upload_id)

    play(tmp_path, story)


class GatedDisk(Disk):
    """Copies only once it is let."""

    def __init__(self) -> None:
        self.copying = threading.Event()
        self.may_copy = threading.Event()

    def copy(self, source: int, offset: int, target: int, length: int) -> int:
        self.copying.set()
        assert self.may_copy.wait(20)
        return super().copy(source, offset, target, length)


def test_a_cancel_while_the_file_is_being_made(tmp_path: Path) -> None:
    """Whoever completes is told how the upload ended, and nothing of the file stays."""
    disk = GatedDisk()

    async def story(world: World) -> None:
        upload_id, parts = await world.prepared(b"abc", b"def")
        completing = asyncio.create_task(world.complete(upload_id, parts))
        assert await asyncio.to_thread(disk.copying.wait, 20)
        await world.uploads.cancel(upload_id)
        await world.janitor.step()
        disk.may_copy.set()
        with pytest.raises(InvalidRequest, match="is cancelled; it cannot be completed"):
            await completing
        assert world.bytes_of("files") == world.bytes_of("uploads") == []
        assert await world.files() == []

    play(tmp_path, story, disk=disk)
