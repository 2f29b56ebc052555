"""The blob store in an object store: the contract, on what needs no server."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from zlib import crc32

import pytest
from obstore.exceptions import GenericError
from obstore.store import LocalStore, MemoryStore

from slackwater.adapters.object_store.blobs import ObjectBlobs
from slackwater.adapters.object_store.chains import object_of
from slackwater.adapters.object_store.errors import translated
from slackwater.core.errors import FilesUnavailable, StorageFull
from slackwater.ports import BlobRange, BlobStat, BlobStore
from tests.adapters.blob_contract import LONG, BlobContract, content, put

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# A store in memory is gone with its object; one that is pickled is found again here.
IN_MEMORY: dict[str, MemoryStore] = {}


class MemoryPlace:
    """A store in the memory of this process."""

    retried_seconds = 0.2

    def __init__(self, name: str) -> None:
        self.shown = name

    def open(self) -> "ObjectStore":
        return IN_MEMORY.setdefault(self.shown, MemoryStore())


class LocalPlace:
    """A folder that looks like an object store."""

    retried_seconds = 0.2

    def __init__(self, path: Path) -> None:
        self._path = path
        self.shown = str(path)

    def open(self) -> "ObjectStore":
        return LocalStore(self._path, mkdir=True, automatic_cleanup=True)


class TestInMemory(BlobContract):
    """The contract."""

    def make_store(self, scratch: Path) -> BlobStore:
        return ObjectBlobs(MemoryPlace(str(scratch)))


class TestInAFolder(BlobContract):
    """The contract."""

    def make_store(self, scratch: Path) -> BlobStore:
        return ObjectBlobs(LocalPlace(scratch / "store"))


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Runs a test."""

    async def main() -> None:
        await asyncio.wait_for(test(), 30)

    asyncio.run(main())


@pytest.fixture
def place(tmp_path: Path) -> MemoryPlace:
    """A store that no other test has."""
    return MemoryPlace(str(tmp_path))


def test_a_log_that_somebody_else_reads(place: MemoryPlace) -> None:
    """Another process finds its ranges while it grows: whole appends, parts of them, and what goes over several."""
    writing, reading = ObjectBlobs(place), ObjectBlobs(place)

    async def test() -> None:
        log = await writing.open_log("logs/b/1")
        text, ranges = b"", []
        for number in range(40):
            line = b"%d" % number * (number + 1) + b"\n"
            ranges.append(await log.append([line]))
            text += line
            assert await reading.read(ranges[-1]) == line
        rng = Random(7)
        for _ in range(200):
            start, length = rng.randrange(len(text)), rng.randrange(1, 400)
            for each in (reading, ObjectBlobs(place)):
                assert (
                    await each.read(BlobRange(key="logs/b/1", offset=start, length=length))
                    == text[start : start + length]
                )
            assert await content(reading, "logs/b/1", offset=start, length=length) == text[start : start + length]
        assert await reading.read(BlobRange(key="logs/b/1", offset=len(text), length=9)) == b""

    run(test)


def test_a_log_with_large_appends(place: MemoryPlace) -> None:
    """An object that is too large to be kept is read in ranges, and pieces of it are bounded."""
    blobs = ObjectBlobs(place)

    async def test() -> None:
        log = await blobs.open_log("logs/b/1")
        ranges = [await log.append([LONG]), await log.append([b"short"]), await log.append([LONG])]
        assert [await blobs.read(each) for each in ranges] == [LONG, b"short", LONG]
        sizes = [len(each) async for each in blobs.stream("logs/b/1")]
        assert (sum(sizes), max(sizes) <= 1 << 20) == (2 * len(LONG) + 5, True)

    run(test)


def test_a_log_with_a_gap(place: MemoryPlace) -> None:
    """Bytes that are not there are never replaced by those behind them; those behind them are still read."""
    blobs = ObjectBlobs(place)

    async def test() -> None:
        log = await blobs.open_log("logs/b/1")
        one, two, three = [await log.append([each * 10]) for each in (b"1", b"2", b"3")]
        await ObjectBlobs(place)._calls.delete([object_of("logs/b/1", two.offset)])
        for each in (blobs, ObjectBlobs(place)):
            assert await each.read(one) == b"1" * 10
            assert await each.read(three) == b"3" * 10
        fresh = ObjectBlobs(place)
        assert await fresh.read(BlobRange(key="logs/b/1", offset=5, length=20)) == b"1" * 5
        with pytest.raises(OSError, match="ends at byte 10"):
            await (await fresh.create("outputs/a")).copy(BlobRange(key="logs/b/1", offset=0, length=30))
        # The ledger has them, and writes them again.
        assert await fresh.restore(two, b"2" * 10)
        assert not await fresh.restore(two, b"2" * 10)
        assert await content(fresh, "logs/b/1") == b"1" * 10 + b"2" * 10 + b"3" * 10

    run(test)


def test_restoring_a_log_that_is_gone(place: MemoryPlace) -> None:
    """Every range comes back where it was."""
    blobs = ObjectBlobs(place)

    async def test() -> None:
        ranges = [BlobRange(key="logs/b/1", offset=offset, length=4) for offset in (0, 4, 8)]
        assert [await blobs.restore(each, b"%04d" % each.offset) for each in ranges] == [True] * 3
        assert await content(blobs, "logs/b/1") == b"000000040008"

    run(test)


def test_an_append_that_came_too_late(place: MemoryPlace) -> None:
    """What is at the end of a log already stays, and nobody's bytes are taken for those of another append."""

    async def test() -> None:
        late, log = [await ObjectBlobs(place).open_log("logs/b/1") for _ in range(2)]
        await late.append([b"from before"])
        assert await log.append([b"mine"]) == BlobRange(key="logs/b/1", offset=11, length=4)
        assert await log.append([b"too"]) == BlobRange(key="logs/b/1", offset=15, length=3)
        assert await content(ObjectBlobs(place), "logs/b/1") == b"from beforeminetoo"

    run(test)


def test_names_of_those_that_are_old(place: MemoryPlace) -> None:
    """By the clock of the store, a folder is as old as the youngest in it; and nothing is left of the question."""
    blobs = ObjectBlobs(place)

    async def test() -> None:
        await put(blobs, "logs/b1/1", b"x")
        await put(blobs, "logs/2", b"x")
        assert await blobs.names("logs/", untouched_seconds=3600.0) == []
        assert await blobs.names("logs/", untouched_seconds=-60.0) == ["2", "b1"]
        assert [each["path"] for each in await blobs._calls.below("")] == ["logs/2", "logs/b1/1"]

    run(test)


def test_what_a_question_for_the_time_left_is_swept(place: MemoryPlace) -> None:
    """A process that ended in it has left it; a young one may be somebody's."""
    blobs = ObjectBlobs(place)

    async def test() -> None:
        await blobs._calls.put("now.0badcafe.part", b"now")
        assert await blobs.sweep_parts(untouched_seconds=86_400.0) == 0
        assert await blobs.sweep_parts(untouched_seconds=-60.0) == 1
        assert await blobs._calls.below("") == []

    run(test)


def test_checksums_are_of_these_bytes(place: MemoryPlace) -> None:
    """One that is remembered does not count for other bytes under the same key."""
    blobs = ObjectBlobs(place)

    async def test() -> None:
        await put(blobs, "files/a", b"one")
        assert await blobs.stat("files/a") == BlobStat(3, crc32(b"one"), fresh=True)
        await put(ObjectBlobs(place), "files/a", b"two")
        assert await blobs.stat("files/a") == BlobStat(3, None)
        await blobs.checksum("files/a")
        assert await blobs.stat("files/a") == BlobStat(3, crc32(b"two"), fresh=True)

    run(test)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("status code: 403 <Code>SignatureDoesNotMatch</Code>", "does not take the key"),
        ("status code: 403 <Code>RequestTimeTooSkewed</Code>", "the clock of this machine is wrong"),
        (
            "status code: 400 <Code>AuthorizationHeaderMalformed</Code> expecting 'eu-west-1'",
            'files_region = "eu-west-1"',
        ),
        ("status code: 301 <Code>PermanentRedirect</Code>", "another region: set"),
        ("status code: 400 <Code>ExpiredToken</Code>", "expired"),
        ("Error performing PUT http://169.254.169.254/latest/api/token", "who we are"),
        ("status code: 503 <Code>SlowDown</Code>", "too busy"),
        ("status code: 404 <Code>NoSuchBucket</Code>", "no such bucket"),
        ("HTTP error: error sending request", "does not answer"),
        ("status code: 418", "refuses the request (status 418)"),
    ],
)
def test_words_for_what_a_store_says(text: str, words: str) -> None:
    """One line with what to do, and nothing of what it said."""
    said = translated(GenericError(f"GET http://store/?sig=secret {text}\nmore"), "s3://box/a", "files/a")
    assert isinstance(said, FilesUnavailable)
    assert words in str(said)
    assert "secret" not in str(said)
    assert "\n" not in str(said)
    assert said.passes is ("busy" in words or "answer" in words)


def test_a_store_without_room() -> None:
    """The work pauses as on a full disk."""
    said = translated(GenericError("status code: 507 <Code>XMinioStorageFull</Code>"), "s3://box", "files/a")
    assert isinstance(said, StorageFull)
