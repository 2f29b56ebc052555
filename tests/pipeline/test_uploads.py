"""Files in parts: what makes a file, what is refused, and that nothing stays of what was refused."""

import asyncio
import base64
import hashlib
from pathlib import Path

import pytest

from slackwater.core.errors import FileTooLarge, InvalidRequest, NotFound, QuotaExceeded
from slackwater.core.files.file import FileLimits, Purpose
from slackwater.core.files.upload import Upload, UploadStatus
from slackwater.pipeline.files.uploads import PART_BYTES_MAX
from slackwater.pipeline.loops import Pace
from tests.pipeline.upload_world import World, play


def test_parts_make_a_file_in_the_order_that_is_said_at_the_end(tmp_path: Path) -> None:
    """Whatever order they came in; the file has the announced name, purpose and lifetime, and the parts go."""

    async def story(world: World) -> None:
        upload_id = await world.create(9, file_lifetime_seconds=7_200, filename="a.jsonl")
        datas = {"c": b"ghi", "a": b"abc", "b": b"def"}
        await asyncio.gather(*(world.part(upload_id, data, part_id=f"part_{name}") for name, data in datas.items()))
        world.watch.time += 60
        upload, file = await world.uploads.complete(upload_id, part_ids=["part_a", "part_b", "part_c"])
        assert file is not None
        assert (upload.status, upload.file_id) == (UploadStatus.COMPLETED, file.id)
        assert await world.content(file) == b"abcdefghi"
        assert (file.filename, file.purpose, file.size) == ("a.jsonl", Purpose.BATCH, 9)
        assert (file.created_at, file.expires_at) == (1_000_060, 1_007_260)
        assert await world.ledger.file(file.id) == file
        assert world.woken == 1
        assert await world.janitor.step() is Pace.BUSY
        assert world.bytes_of("uploads") == []
        assert await world.content(file) == b"abcdefghi"
        assert await world.janitor.step() is Pace.IDLE

    play(tmp_path, story)


def test_parts_that_are_not_named_are_left_out(tmp_path: Path) -> None:
    """A part that was sent twice because its answer was lost does no harm; block ids name parts as well as ids do."""

    async def story(world: World) -> None:
        upload_id = await world.create(6)
        first = await world.part(upload_id, b"abc", part_id="part_0")
        await world.part(upload_id, b"def", part_id="part_1")
        again = await world.part(upload_id, b"def", part_id="part_2")
        assert len(base64.b64decode(again.block_id)) == 16
        file = await world.complete(upload_id, [first.id, again.block_id])
        assert await world.content(file) == b"abcdef"
        await world.janitor.step()
        assert world.bytes_of("uploads") == []

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("part_ids", "words"),
    [
        ([], "is empty"),
        (["part_0", "part_9"], "no part 'part_9'"),
        (["part_0", "part_1", "part_0"], "'part_0' is named twice"),
        (["part_0"], "add up to 3 bytes, but the upload was created with 7"),
    ],
)
def test_wrong_part_ids_change_nothing(tmp_path: Path, part_ids: list[str], words: str) -> None:
    """The message says what is wrong; the upload stays pending and can be completed after all."""

    async def story(world: World) -> None:
        upload_id, known = await world.prepared(b"abc", b"defg")
        with pytest.raises(InvalidRequest, match=words) as caught:
            await world.complete(upload_id, part_ids)
        assert caught.value.param == "part_ids"
        assert world.bytes_of("files") == []
        assert await world.content(await world.complete(upload_id, known)) == b"abcdefg"

    play(tmp_path, story)


def test_a_part_named_by_both_its_ids_is_named_twice(tmp_path: Path) -> None:
    """The id and the block id are two names of one part."""

    async def story(world: World) -> None:
        upload_id = await world.create(6)
        part = await world.part(upload_id, b"abc", part_id="part_0")
        with pytest.raises(InvalidRequest, match="named twice"):
            await world.complete(upload_id, [part.id, part.block_id])

    play(tmp_path, story)


def test_parts_of_another_upload_are_unknown(tmp_path: Path) -> None:
    """A part belongs to one upload."""

    async def story(world: World) -> None:
        one, other = await world.create(3), await world.create(3)
        await world.part(one, b"abc", part_id="part_0")
        with pytest.raises(InvalidRequest, match="no part 'part_0'"):
            await world.complete(other, ["part_0"])

    play(tmp_path, story)


def test_the_checksum_is_that_of_the_whole(tmp_path: Path) -> None:
    """Hexadecimal digits of either case and base64 are read; a wrong sum, or none, is refused and leaves no file."""

    async def story(world: World) -> None:
        upload_id, parts = await world.prepared(b"abc", b"", b"def" * 100)
        right = hashlib.md5(b"abc" + b"def" * 100)
        with pytest.raises(InvalidRequest, match=rf"{right.hexdigest()}, but {'0' * 32} was given"):
            await world.complete(upload_id, parts, md5="0" * 32)
        with pytest.raises(InvalidRequest, match=f"but {right.hexdigest()} was given"):
            await world.complete(upload_id, parts[::-1], md5=right.hexdigest())
        for nonsense in ("", "abc", "g" * 32, "0" * 31 + " ", "ä" * 32, base64.b64encode(b"x" * 15).decode()):
            with pytest.raises(InvalidRequest, match="32 hexadecimal digits"):
                await world.complete(upload_id, parts, md5=nonsense)
        assert world.bytes_of("files") == []
        file = await world.complete(upload_id, parts, md5=right.hexdigest().upper())
        assert file.size == 303
        other, parts = await world.prepared(b"abc", name="other")
        await world.complete(other, parts, md5=base64.b64encode(hashlib.md5(b"abc").digest()).decode())

    play(tmp_path, story)


def test_the_first_bytes_are_looked_at(tmp_path: Path) -> None:
    """A family that refuses files by their first line does so here too: over the edges of parts, and nothing is made."""

    async def story(world: World) -> None:
        upload_id, parts = await world.prepared(b"{not ", b"", b"json\n")
        seen: list[bytes] = []

        def look(upload: Upload, head: bytes) -> None:
            seen.append(head)
            raise InvalidRequest("not JSON")

        with pytest.raises(InvalidRequest, match="not JSON"):
            await world.complete(upload_id, parts, look=look)
        assert seen == [b"{not json\n"]
        assert world.bytes_of("files") == []
        await world.complete(upload_id, parts)

    play(tmp_path, story)


def test_a_full_quota_of_files(tmp_path: Path) -> None:
    """The file counts like any other; where there is no room for it no bytes stay, and it can be completed later."""

    async def story(world: World) -> None:
        one, parts = await world.prepared(b"abc")
        first = await world.complete(one, parts)
        other, parts = await world.prepared(b"abc", name="other")
        with pytest.raises(QuotaExceeded):
            await world.complete(other, parts)
        assert world.bytes_of("files") == [first.id]
        await world.ledger.delete_file(first.id)
        await world.complete(other, parts)

    play(tmp_path, story, limits=FileLimits(lasting=1))


def test_what_is_too_large_is_refused_at_once(tmp_path: Path) -> None:
    """A batch's file by its announced size, a part by its own; other purposes have a limit of their own."""

    async def story(world: World) -> None:
        await world.create(1_000)
        with pytest.raises(FileTooLarge, match=r"up to 1,000 bytes.* 1,001 were announced"):
            await world.create(1_001)
        upload_id = await world.create(1 << 40, purpose=Purpose.EVALS)
        incoming = await world.uploads.begin_part(upload_id, part_id="part_0")
        with pytest.raises(FileTooLarge, match="up to 64 MiB"):
            await incoming.write(bytes(PART_BYTES_MAX + 1))
        await incoming.discard()
        assert world.bytes_of("uploads") == []
        for name in ("filename", "mime_type"):
            with pytest.raises(InvalidRequest, match=name):
                await world.create(1, **{name: "x" * 513})

    play(tmp_path, story)


def test_unknown_uploads(tmp_path: Path) -> None:
    """Every call says the same of an id that is not there."""

    async def story(world: World) -> None:
        for call in (
            world.part("upload_x", b"", part_id="part_0"),
            world.complete("upload_x", ["a"]),
            world.uploads.cancel("upload_x"),
        ):
            with pytest.raises(NotFound, match="No such Upload object: upload_x"):
                await call
        assert world.bytes_of("uploads") == []

    play(tmp_path, story)
