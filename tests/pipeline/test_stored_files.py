"""What is known of the bytes of a file before somebody gets them, and what is found out on the way."""

import asyncio
import os
from pathlib import Path
from zlib import crc32

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.core.errors import FileUnreadable
from slackwater.core.files.file import File
from slackwater.pipeline import stored_files
from tests.adapters.ledger_contract import file

DATA = bytes(range(256)) * 10_000


async def stored(blobs: DiskBlobs) -> File:
    """A file of a few pieces."""
    writer = await blobs.create("files/1")
    await writer.write(DATA)
    await writer.publish()
    return file(1, size=writer.size, checksum=writer.checksum)


def turn_a_bit(path: Path) -> None:
    """As a disk does: the file is not touched."""
    before = path.stat()
    with path.open("r+b") as target:
        os.pwrite(target.fileno(), b"?", 20)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


async def read(blobs: DiskBlobs, each: File) -> bytes:
    return b"".join([piece async for piece in await stored_files.check(blobs, each)])


def test_bytes_that_nobody_touched(tmp_path: Path) -> None:
    """A disk that turns a bit tells nobody. It is found on the way, before the last piece, and from then on at once."""

    async def story() -> None:
        blobs = DiskBlobs(tmp_path)
        each = await stored(blobs)
        blobs._place.checksums.fresh_seconds = 0.0
        assert await read(blobs, each) == DATA
        turn_a_bit(blobs.path(each.blob))
        came, pieces = b"", await stored_files.check(blobs, each)
        with pytest.raises(FileUnreadable):
            async for piece in pieces:
                came += piece
        assert 0 < len(came) < len(DATA)
        for _ in range(2):
            with pytest.raises(FileUnreadable):
                await stored_files.check(blobs, each)
            with pytest.raises(FileUnreadable):
                await stored_files.find(blobs, each)

    asyncio.run(story())


def test_a_disk_that_was_wrong_once(tmp_path: Path) -> None:
    """What it gives rightly when it is asked again is not lost."""

    class Wrong(DiskBlobs):
        times = 1

        async def stream_whole(self, key, *, size, checksum):  # type: ignore[no-untyped-def,override]  # as the port's
            Wrong.times -= 1
            async for piece in super().stream_whole(key, size=size, checksum=checksum ^ (Wrong.times >= 0)):
                yield piece

    async def story() -> None:
        blobs = Wrong(tmp_path)
        each = await stored(blobs)
        blobs._place.checksums.fresh_seconds = 0.0
        with pytest.raises(FileUnreadable):
            await read(blobs, each)
        assert await read(blobs, each) == DATA

    asyncio.run(story())


def test_after_a_restart(tmp_path: Path) -> None:
    """Nothing is remembered, so a file is read before its first byte goes out; one that is very large is compared on its way."""

    async def story() -> None:
        each = await stored(DiskBlobs(tmp_path))
        turn_a_bit(tmp_path / each.blob)
        with pytest.raises(FileUnreadable):
            await stored_files.check(DiskBlobs(tmp_path), each)
        large, blobs = stored_files.CHECKED_BYTES + 1, DiskBlobs(tmp_path)
        with (tmp_path / each.blob).open("wb") as target:
            target.truncate(large)
        pieces = await stored_files.check(blobs, file(1, size=large, checksum=crc32(DATA)))
        with pytest.raises(FileUnreadable):
            async for _ in pieces:
                pass

    asyncio.run(story())
