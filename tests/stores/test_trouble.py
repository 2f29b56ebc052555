"""What a network and a store can do to a blob: lose an answer, break off, take long, be gone, refuse."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from zlib import crc32

import pytest

from slackwater.adapters.object_store import calls
from slackwater.adapters.object_store.blobs import ObjectBlobs
from slackwater.adapters.object_store.place import CloudPlace
from slackwater.core.errors import FilesUnavailable
from slackwater.core.files.object_address import ObjectAddress
from slackwater.ports import BlobRange
from tests.adapters.blob_contract import LONG, content, put
from tests.stores.bad_line import BadLine
from tests.stores.servers import ACCOUNT_KEY, Moto, Server, free_port

pytestmark = pytest.mark.stores
# More than two parts of an upload.
LARGE = LONG * 7


@pytest.fixture
def line(store: Server) -> Iterator[BadLine]:
    """The line to a store."""
    line = BadLine(store.port)
    yield line
    line.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Runs a test."""

    async def main() -> None:
        await asyncio.wait_for(test(), 60)

    asyncio.run(main())


def test_an_append_whose_answer_was_lost(store: Server, line: BadLine) -> None:
    """The request is made again and refused, because it had been done: the append is where it says, once."""
    blobs = ObjectBlobs(store.place("box", port=line.port))

    async def test() -> None:
        log = await blobs.open_log("logs/b/1")
        await log.append([b"one\n"])
        line.lose = b"PUT", 1
        two = await log.append([b"two\n"])
        three = await log.append([b"three\n"])
        assert line.lost == 1
        assert [await blobs.read(each) for each in (two, three)] == [b"two\n", b"three\n"]
        assert await content(blobs, "logs/b/1") == b"one\ntwo\nthree\n"

    run(test)


def test_an_append_that_was_taken_for_failed(store: Server, line: BadLine) -> None:
    """It may be there. The next one is put behind it, and what it returns is its own."""
    blobs = ObjectBlobs(store.place("box", port=line.port, retried_seconds=0.5))

    async def test() -> None:
        log = await blobs.open_log("logs/b/1")
        await log.append([b"one\n"])
        line.lose = b"PUT", 1000
        with pytest.raises(FilesUnavailable):
            await log.append([b"nobody's\n"])
        line.lose = b"", 0
        two = await log.append([b"two\n"])
        assert await blobs.read(two) == b"two\n"
        elsewhere = ObjectBlobs(blobs._place)
        assert await elsewhere.read(two) == b"two\n"
        assert await content(elsewhere, "logs/b/1") == b"one\nnobody's\ntwo\n"

    run(test)


@pytest.mark.parametrize("data", [b"small", LARGE])
def test_a_publish_whose_answer_was_lost(store: Server, line: BadLine, data: bytes) -> None:
    """The blob is there, whole, and whoever published it hears so."""
    blobs = ObjectBlobs(store.place("box", port=line.port))

    async def test() -> None:
        writer = await blobs.create("files/a")
        await writer.write(data)
        # The last request is what it becomes one blob with: a POST to S3 where there are parts.
        line.lose = b"POST" if len(data) > 100 and store.kind == "s3" else b"PUT", 1
        await writer.publish()
        assert line.lost == 1
        assert (writer.size, writer.checksum) == (len(data), crc32(data))
        assert await blobs.checksum("files/a") == crc32(data)

    run(test)


def test_an_upload_in_parts_that_is_given_up(store: Server, line: BadLine) -> None:
    """A store that goes in the middle is FilesUnavailable. Nothing is seen of the parts, then or later."""
    blobs = ObjectBlobs(store.place("box", port=line.port, retried_seconds=0.3))

    async def test() -> None:
        writer = await blobs.create("files/a")
        await writer.write(LARGE)
        line.die()
        with pytest.raises(FilesUnavailable, match="does not answer"):
            for _ in range(20):
                await writer.write(LARGE)
        await writer.discard()
        line.dead = False
        assert await blobs.names("files/") == []
        await put(blobs, "files/a", b"again")
        assert await content(blobs, "files/a") == b"again"

    run(test)


def test_a_store_that_is_gone_for_a_while(store: Server, line: BadLine) -> None:
    """Nobody hears of it who can wait so long."""
    blobs = ObjectBlobs(store.place("box", port=line.port))

    async def test() -> None:
        log = await blobs.open_log("logs/b/1")
        await log.append([b"one\n"])
        line.die()
        threading.Timer(2.0, lambda: setattr(line, "dead", False)).start()
        begun = time.monotonic()
        two = await log.append([b"two\n"])
        assert time.monotonic() - begun > 1.5
        assert await blobs.read(two) == b"two\n"

    run(test)


def test_a_store_that_stays_away(
    store: Server, line: BadLine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once while it lasts, first that it takes long; and told when it is over."""
    monkeypatch.setattr(calls, "SLOW_SECONDS", 0.3)
    blobs = ObjectBlobs(store.place("box", port=line.port, retried_seconds=1.0))
    caplog.set_level(logging.INFO, "slackwater")

    async def test() -> None:
        await put(blobs, "files/a", b"1")
        line.die()
        writing = asyncio.create_task(put(blobs, "files/b", b"2"))
        await asyncio.wait((writing,), timeout=0.7)
        assert (writing.done(), blobs.refuses_writes) == (False, True)
        with pytest.raises(FilesUnavailable, match="does not answer"):
            await writing
        for attempt in (blobs.try_write(), content(blobs, "files/a"), blobs.names("files/"), blobs.stat("files/a")):
            with pytest.raises(FilesUnavailable, match="does not answer"):
                await attempt
        assert blobs.refuses_writes
        line.dead = False
        await blobs.try_write()
        assert not blobs.refuses_writes
        assert await content(blobs, "files/a") == b"1"
        told = [record.message.split()[0] for record in caplog.records if record.name == "slackwater"]
        assert told == ["files_unavailable", "files_answer_again"]
        assert ACCOUNT_KEY not in caplog.text

    run(test)


def test_a_slow_store(store: Server, line: BadLine) -> None:
    """Two seconds a request are two seconds a request, and no reason to give up."""
    blobs = ObjectBlobs(store.place("box", port=line.port))

    async def test() -> None:
        line.delay = 2.0
        log = await blobs.open_log("logs/b/1")
        written = await log.append([b"one\n"])
        assert await blobs.read(written) == b"one\n"
        await put(blobs, "files/a", b"1")
        assert not blobs.refuses_writes

    run(test)


def test_a_body_that_breaks_off(store: Server, line: BadLine) -> None:
    """It is asked for again from there, for a stream, a whole one, a range and a blocking reader."""
    blobs = ObjectBlobs(store.place("box", port=line.port))

    async def test() -> None:
        await put(blobs, "files/a", LONG)
        breaks = [700_000, 1_300_000]
        line.break_at = list(breaks)
        assert await content(blobs, "files/a") == LONG
        assert line.break_at == []
        line.break_at = list(breaks)
        whole = blobs.stream_whole("files/a", size=len(LONG), checksum=crc32(LONG))
        assert b"".join([each async for each in whole]) == LONG
        line.break_at = list(breaks)
        assert await blobs.read(BlobRange(key="files/a", offset=5, length=2_000_000)) == LONG[5:2_000_005]
        line.break_at = list(breaks)
        assert await asyncio.to_thread(lambda: blobs.reader("files/a").read()) == LONG
        assert line.break_at == []

    run(test)


def test_a_blob_that_is_replaced_while_it_is_read(store: Server, line: BadLine) -> None:
    """A body that broke off is never continued with the bytes of another one."""
    blobs = ObjectBlobs(store.place("box", port=line.port))

    async def test() -> None:
        await put(blobs, "files/a", LONG)
        line.break_at = [700_000]
        stream = blobs.stream("files/a")
        came = await anext(stream)
        await put(ObjectBlobs(blobs._place), "files/a", bytes(len(LONG)))
        with pytest.raises((FilesUnavailable, OSError)):
            async for piece in stream:
                came += piece
        assert LONG.startswith(came)

    run(test)


def test_what_the_store_refuses(store: Server) -> None:
    """Each has a line of its own with what to do, and no secret in it."""

    async def test() -> None:
        for place, words in (
            (store.place("no-such-box", retried_seconds=0.5), "no such bucket"),
            (store.place("box", port=free_port(), retried_seconds=0.5), "does not answer"),
        ):
            blobs = ObjectBlobs(place)
            missing = BlobRange(key="files/a", offset=0, length=1)
            for attempt in (blobs.try_write(), blobs.read(missing), blobs.stat("files/a"), blobs.names("files/")):
                with pytest.raises(FilesUnavailable, match=words) as said:
                    await attempt
                assert "\n" not in str(said.value)
            with pytest.raises(FilesUnavailable, match=words):
                blobs.reader("files/a")

    run(test)


def test_a_wrong_key(azurite: Server) -> None:
    """Azurite compares signatures; moto lets everybody in."""
    wrong = ACCOUNT_KEY.replace("E", "F", 1)

    async def test() -> None:
        blobs = ObjectBlobs(azurite.place("box", secret=wrong))
        with pytest.raises(FilesUnavailable, match="does not take the key") as said:
            await blobs.try_write()
        assert wrong not in str(said.value)
        assert wrong not in repr(blobs._place)

    run(test)


def test_two_remove_the_same(store: Server) -> None:
    """Whoever comes second finds nothing, and that is fine."""
    place = store.place("box")

    async def test() -> None:
        one, other = ObjectBlobs(place), ObjectBlobs(place)
        await asyncio.gather(*(put(one, f"logs/b/{number}", b"x") for number in range(300)))
        await asyncio.gather(one.delete("logs/b/"), other.delete("logs/b/"))
        assert await one.names("logs/") == []

    run(test)


def test_an_address_without_a_key(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not configured is taken from the environment, as the cloud's own programs do."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-environment")

    async def test() -> None:
        blobs = ObjectBlobs(CloudPlace(ObjectAddress("s3", "", "box", "ambient"), endpoint=moto.endpoint))
        await put(blobs, "files/a", b"1")
        assert await content(blobs, "files/a") == b"1"

    run(test)
