"""What moves from one store of blobs to another: a folder and obstore's local store, both ways; and what goes wrong then."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from zlib import crc32

import pytest
from obstore.store import LocalStore

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.object_store.blobs import ObjectBlobs
from slackwater.core.errors import FilesUnavailable, MoveError
from slackwater.pipeline.files import moving
from slackwater.pipeline.files.moving import Arrived, Movable, Wanted, move_blobs
from slackwater.ports import BlobRange
from tests.adapters.blob_contract import LONG, content, put
from tests.adapters.test_object_blobs import LocalPlace

LOG = "logs/batch_1/me-1.output"
SMALL = {f"files/file-{number}": f"{number}\n".encode() * number for number in range(1, 90)}
# Two parts of an upload and more.
LARGE = LONG * 7


def store_at(folder: Path, kind: str) -> DiskBlobs | ObjectBlobs:
    """A place of either kind."""
    return DiskBlobs(folder) if kind == "folder" else ObjectBlobs(LocalPlace(folder))


async def filled(folder: Path, kind: str) -> tuple[DiskBlobs | ObjectBlobs, list[Wanted], dict[str, bytes]]:
    """A place with blobs and a log, what a ledger names of it, and the bytes of that."""
    store = store_at(folder, kind)
    blobs = SMALL | {
        "files/large": LARGE,
        "files/empty": b"",
        "uploads/part-1": b"part",
        "outputs/file-o": b"results\n",
    }
    for key, data in blobs.items():
        await put(store, key, data)
    log = await store.open_log(LOG)
    for number in range(40):
        await log.append([b"%d " % number * 20_000])
    await log.append([b"nobody has named that"])
    await log.close()
    named = sum(len(b"%d " % number) * 20_000 for number in range(40))
    wanted = [Wanted(key, len(data), crc32(data) if len(data) % 2 else None, False) for key, data in blobs.items()]
    wanted += [Wanted(LOG, named, None, True), Wanted("files/deleted", None, None, False)]
    blobs[LOG] = (await content(store, LOG))[:named]
    return store, wanted, blobs


def nothing_kept(key: str) -> Sequence[tuple[int, bytes]]:
    """The ledger has nothing of a log."""
    return ()


def shown(done: int, total: int) -> None:
    """Nobody looks."""
    assert 0 <= done <= total


async def moved(source: DiskBlobs | ObjectBlobs, target: Movable, wanted: list[Wanted]) -> Arrived:
    """The move."""
    return await move_blobs(source, target, wanted, kept=nothing_kept, show=shown)


@pytest.mark.parametrize(("one", "other"), [("folder", "store"), ("store", "folder"), ("store", "store")])
def test_everything_lies_there_as_it_was(tmp_path: Path, one: str, other: str) -> None:
    """Each blob byte for byte, each log at the same ranges; what the ledger does not name stays behind. Twice is once."""

    async def test() -> None:
        source, wanted, blobs = await filled(tmp_path / "one", one)
        target = store_at(tmp_path / "other", other)
        await put(target, "files/left-by-an-earlier-try", b"x")
        done = await moved(source, target, wanted)
        assert done == Arrived(len(blobs), sum(map(len, blobs.values())), sum(map(len, blobs.values())))
        for key, data in blobs.items():
            assert await content(target, key, length=len(data)) == data, key
        start = 0
        for number in range(40):
            piece = b"%d " % number * 20_000
            assert await target.read(BlobRange(key=LOG, offset=start, length=len(piece))) == piece
            assert await source.read(BlobRange(key=LOG, offset=start, length=len(piece))) == piece
            start += len(piece)
        assert await target.contents() == {key: len(data) for key, data in blobs.items()}
        again = await moved(source, target, wanted)
        # A log is small and of many objects: it is sent again.
        assert (again.blobs, again.size, again.copied) == (done.blobs, done.size, len(blobs[LOG]))
        assert await target.contents() == {key: len(data) for key, data in blobs.items()}

    asyncio.run(test())


def test_a_longer_log_the_second_time(tmp_path: Path) -> None:
    """The old side went on between two tries: its log is longer, and another one is gone."""

    async def test() -> None:
        source, target = store_at(tmp_path / "one", "folder"), store_at(tmp_path / "other", "store")
        gone, log = await source.open_log("logs/batch_0/me-1.output"), await source.open_log(LOG)
        await gone.append([b"gone"])
        await log.append([LONG[:1_500_000]])
        await moved(
            source, target, [Wanted(LOG, 1_500_000, None, True), Wanted("logs/batch_0/me-1.output", 4, None, True)]
        )
        await log.append([LONG[1_500_000:]])
        await moved(source, target, [Wanted(LOG, len(LONG), None, True)])
        assert await content(ObjectBlobs(LocalPlace(tmp_path / "other")), LOG) == LONG
        assert await target.contents() == {LOG: len(LONG)}

    asyncio.run(test())


@pytest.mark.parametrize("left", [0, 3_000, None])
def test_what_a_power_cut_has_taken_of_a_log(tmp_path: Path, left: int | None) -> None:
    """The ledger has it, and it goes where it was; the old side is not written to."""
    data = LONG[:10_000]

    async def test() -> None:
        source, target = store_at(tmp_path / "one", "folder"), store_at(tmp_path / "other", "store")
        log = await source.open_log(LOG)
        await log.append([data])
        await log.close()
        path = tmp_path / "one" / LOG
        if left is None:
            path.unlink()
        else:
            path.write_bytes(data[:left] + bytes(10))
        texts = [(0, data[:4_000]), (4_000, data[4_000:])]
        wanted = [Wanted(LOG, len(data), None, True)]
        await move_blobs(source, target, wanted, kept=lambda key: texts, show=shown)
        assert await content(target, LOG) == data
        assert path.exists() == (left is not None)
        with pytest.raises(MoveError, match=r"me-1.output ends at byte .* instead of 10,000"):
            await move_blobs(source, target, wanted, kept=lambda key: texts[1:], show=shown)

    asyncio.run(test())


def test_what_is_not_what_the_ledger_says(tmp_path: Path) -> None:
    """Missing, cut off, too long, damaged: all are named in one line, with what to do."""

    async def test() -> None:
        source, wanted, _ = await filled(tmp_path / "one", "folder")
        for number, data in ((3, None), (5, b"5\n"), (7, b"7\n" * 8), (9, b"8\n" * 9)):
            path = tmp_path / "one" / f"files/file-{number}"
            path.unlink() if data is None else path.write_bytes(data)
        odd = [Wanted(each.key, each.size, crc32(SMALL[each.key]), False) for each in wanted if each.key in SMALL]
        with pytest.raises(MoveError) as refused:
            await moved(source, store_at(tmp_path / "other", "store"), odd)
        for words in (
            "files/file-3 is missing",
            "files/file-5 has 2 bytes instead of 10",
            "files/file-7 has 16 bytes instead of 14",
            "files/file-9 is not what was written",
            "delete such files (DELETE /files/ID)",
        ):
            assert words in str(refused.value)

    asyncio.run(test())


class Forgetful(ObjectBlobs):
    """A store that gives back other bytes than it was given, so many times."""

    lies = 1_000

    async def stream(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """One byte is another one."""
        async for piece in super().stream(key, offset=offset, length=length):
            if key == "files/large" and self.lies:
                self.lies -= 1
                piece = bytes([piece[0] ^ 1]) + piece[1:]
            yield piece


def test_a_store_that_gives_back_other_bytes(tmp_path: Path) -> None:
    """It is noticed before anything counts. Once in a while it is only sent again."""

    async def test() -> None:
        source, wanted, blobs = await filled(tmp_path / "one", "folder")
        target = Forgetful(LocalPlace(tmp_path / "other"))
        with pytest.raises(MoveError, match="files/large is not in the new place what was sent there, 4 times"):
            await moved(source, target, wanted)
        target.lies = 1
        await moved(source, target, wanted)
        assert await content(target, "files/large") == blobs["files/large"]

    asyncio.run(test())


class Away(DiskBlobs):
    """A store that does not answer for a while."""

    times = 0

    async def contents(self) -> dict[str, int]:
        """What is there."""
        return await super().contents()

    async def stream(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """It may not answer."""
        if self.times:
            self.times -= 1
            raise FilesUnavailable("the store: it is too busy", passes=True)
        async for piece in super().stream(key, offset=offset, length=length):
            yield piece


def test_a_store_that_is_away(tmp_path: Path) -> None:
    """Each file is begun anew some times; then the move ends with its words, and has counted for nothing."""

    async def test() -> None:
        _, wanted, blobs = await filled(tmp_path / "one", "folder")
        source, target = Away(tmp_path / "one"), store_at(tmp_path / "other", "store")
        source.times = moving.TRIES - 1
        await moved(source, target, wanted)
        assert await target.contents() == {key: len(data) for key, data in blobs.items()}
        source.times = 10_000
        with pytest.raises(FilesUnavailable, match="too busy"):
            await moved(source, store_at(tmp_path / "third", "store"), wanted)

    asyncio.run(test())


def test_many_are_on_their_way_at_once_and_little_memory_is(tmp_path: Path) -> None:
    """Small files do not wait for each other, and large ones do where they would take too much together."""
    at_once: list[int] = []
    large: list[int] = []

    class Counting(DiskBlobs):
        async def stream(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
            at_once.append(1)
            large.append(key.startswith("files/large"))
            async for piece in super().stream(key, offset=offset, length=length):
                counted.append((len(at_once), sum(large)))
                await asyncio.sleep(0)
                yield piece
            at_once.pop()
            large.remove(key.startswith("files/large"))

    counted: list[tuple[int, int]] = []

    async def test() -> None:
        _, wanted, _ = await filled(tmp_path / "one", "folder")
        source, target = Counting(tmp_path / "one"), store_at(tmp_path / "other", "store")
        for number in range(8):
            await put(source, f"files/large-{number}", LARGE * 2)
            wanted.append(Wanted(f"files/large-{number}", len(LARGE) * 2, crc32(LARGE * 2), False))
        await moved(source, target, wanted)
        assert max(each for each, _ in counted) > 8
        assert max(each for _, each in counted) * min(2 * len(LARGE), moving.COST_MAX) <= moving.MEMORY_BYTES

    asyncio.run(test())


def test_the_local_store_refuses_what_is_there(tmp_path: Path) -> None:
    """What stands for a cloud here keeps its promise: an object is new, or refused."""
    store = LocalStore(tmp_path)
    store.put("a", b"1", mode="create")
    with pytest.raises(Exception, match="already exists"):
        store.put("a", b"2", mode="create")


@pytest.mark.parametrize(("one", "other"), [("folder", "store"), ("store", "folder"), ("folder", "folder")])
@pytest.mark.parametrize("cut_off", [False, True])
def test_what_was_given_up(tmp_path: Path, one: str, other: str, cut_off: bool) -> None:
    """It keeps nobody: what is left of it goes, and it is named. What has nothing wrong with it goes as ever."""
    key, kept, gone = "files/gone", "files/kept", "logs/batch_2/me-1.output"

    async def test() -> None:
        source, target = store_at(tmp_path / "one", one), store_at(tmp_path / "other", other)
        await put(source, kept, b"kept")
        log = await source.open_log(LOG)
        await log.append([b"log"])
        await log.close()
        if cut_off:
            await put(source, key, b"half")
            log = await source.open_log(gone)
            await log.append([LONG[:1_500_000]])
            await log.close()
        sizes = {key: (8, False), kept: (4, False), gone: (len(LONG), True), LOG: (3, True)}
        refused = [Wanted(name, size, None, grows) for name, (size, grows) in sizes.items()]
        with pytest.raises(
            MoveError, match=r"because files/gone (is missing|has 4 bytes instead of 8), logs.* ends at"
        ):
            await moved(source, target, refused)
        wanted = [Wanted(name, size, None, grows, given_up=True) for name, (size, grows) in sizes.items()]
        left = {key: b"half", gone: LONG[:1_500_000]} if cut_off else {}
        whole = {kept: b"kept", LOG: b"log"} | left
        for _ in range(2):
            done = await moved(source, target, wanted)
            assert (done.blobs, done.given_up) == (len(whole), (key, gone))
            assert await target.contents() == {name: len(data) for name, data in whole.items()}
            for name, data in whole.items():
                assert await content(target, name) == data

    asyncio.run(test())
