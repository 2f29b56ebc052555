"""The blob store of one machine: the contract, and what only a disk can do to it: be full, tear a write, lose power."""

import asyncio
import errno
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from slackwater.adapters.disk.blobs import STREAM_PIECE, Disk, DiskBlobs
from slackwater.adapters.work.allocator import OWN_PAGES_BYTES
from slackwater.core.errors import StorageFull
from slackwater.ports import BlobRange, BlobStore
from tests.adapters.blob_contract import LONG, BlobContract, content, put


class TestDiskBlobs(BlobContract):
    """The contract, with threads."""

    def make_store(self, scratch: Path) -> BlobStore:
        return DiskBlobs(scratch / "blobs")


class TestTearingDisk(BlobContract):
    """The contract, on a disk that takes a little at each call and cannot copy by itself."""

    def make_store(self, scratch: Path) -> BlobStore:
        return DiskBlobs(scratch / "blobs", disk=TearingDisk())


class TearingDisk(Disk):
    """Takes at most 100,000 bytes of the first buffers of each write."""

    def write(self, fd: int, buffers: Sequence[bytes]) -> int:
        few = list(buffers[:7])
        return super().write(fd, few) if sum(map(len, few)) < 100_000 else os.write(fd, few[0][:100_000])

    def copy(self, source: int, offset: int, target: int, length: int) -> int:
        return os.write(target, os.pread(source, min(length, 77_777), offset))


class FaultyDisk(Disk):
    """Fails at the steps that are named in `faults`, with their error; remembers the order of the steps."""

    def __init__(self) -> None:
        self.faults: dict[str, int] = {}
        self.steps: list[str] = []

    def _step(self, name: str, what: str = "") -> None:
        self.steps.append(f"{name} {what}".strip())
        if name in self.faults:
            raise OSError(self.faults[name], os.strerror(self.faults[name]))

    def open(self, path: Path, flags: int) -> int:
        self._step("open")
        return super().open(path, flags)

    def write(self, fd: int, buffers: Sequence[bytes]) -> int:
        if "write" in self.faults:
            # Some of it still fits.
            os.write(fd, buffers[0][:3])
        self._step("write")
        return super().write(fd, buffers)

    def begin_sync(self, fd: int, offset: int, length: int) -> None:
        assert os.fstat(fd).st_size >= offset + length
        self._step("begin_sync", f"{offset}+{length}")
        super().begin_sync(fd, offset, length)

    def sync(self, fd: int) -> None:
        self._step("sync")
        super().sync(fd)

    def truncate(self, fd: int, length: int) -> None:
        self._step("truncate", str(length))
        super().truncate(fd, length)

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename")
        super().rename(source, target)

    def sync_directory(self, path: Path) -> None:
        self._step("sync_directory", path.name)
        super().sync_directory(path)


def run(root: Path, disk: Disk, test: Callable[[DiskBlobs], Awaitable[None]]) -> None:
    """Runs a test with a store on `disk`."""

    async def main() -> None:
        await asyncio.wait_for(test(DiskBlobs(root / "blobs", disk=disk)), 30)

    asyncio.run(main())


def files_below(root: Path) -> list[str]:
    """The names of all files below a directory."""
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def test_publish_syncs_data_before_the_name_and_every_directory_after_it(tmp_path: Path) -> None:
    """A power cut at any moment leaves either no blob or the whole blob; after `publish`, the whole one."""
    disk = FaultyDisk()

    async def test(store: DiskBlobs) -> None:
        disk.steps.clear()
        await put(store, "files/deep/a", b"x")

    run(tmp_path, disk, test)
    names = ["sync_directory deep", "sync_directory files", "sync_directory blobs"]
    assert disk.steps == ["open", "write", "sync", "rename", *names]


def test_the_disk_works_while_a_blob_is_written(tmp_path: Path) -> None:
    """Written or copied, all but the last few mebibytes are on their way to the disk before `publish` waits for it."""
    disk = FaultyDisk()
    piece = LONG[: 1 << 20]

    async def test(store: DiskBlobs) -> None:
        writer = await store.create("files/a")
        for _ in range(20):
            await writer.write(piece)
        begun = [step for step in disk.steps if step.startswith("begin")]
        assert begun == [f"begin_sync {start << 20}+{8 << 20}" for start in (0, 8)]
        assert disk.steps.index(begun[1]) == disk.steps.index(begun[0]) + 9
        await writer.publish()
        disk.steps.clear()
        writer = await store.create("files/b")
        await writer.write(b"<")
        await writer.copy(BlobRange(key="files/a", offset=0, length=20 << 20))
        begun = [step for step in disk.steps if step.startswith("begin")]
        assert begun[0].startswith("begin_sync 0+")
        assert sum(int(step.partition("+")[2]) for step in begun) > 12 << 20
        await writer.publish()
        assert await content(store, "files/b") == b"<" + piece * 20

    run(tmp_path, disk, test)


def test_crumbs_do_not_pile_up(tmp_path: Path) -> None:
    """However small the pieces are that somebody sends, only a bounded number of them waits in memory."""
    disk = FaultyDisk()

    async def test(store: DiskBlobs) -> None:
        writer = await store.create("files/a")
        for _ in range(5000):
            await writer.write(b"xy")
        assert disk.steps.count("write") == 4
        await writer.publish()
        assert await content(store, "files/a") == b"xy" * 5000

    run(tmp_path, disk, test)


def test_append_is_one_write_and_one_sync(tmp_path: Path) -> None:
    """An append of many parts costs one write and one sync; only the first also makes the name durable."""
    disk = FaultyDisk()

    async def test(store: DiskBlobs) -> None:
        log = await store.open_log("logs/b/1")
        disk.steps.clear()
        await log.append([b"x"] * 1000)
        names = ["sync_directory b", "sync_directory logs", "sync_directory blobs"]
        assert disk.steps == ["write", "sync", *names]
        disk.steps.clear()
        await log.append([b"x"] * 1000)
        assert disk.steps == ["write", "sync"]
        await log.close()

    run(tmp_path, disk, test)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("step", ["write", "sync", "sync_directory"])
def test_a_log_goes_on_after_a_full_disk(tmp_path: Path, step: str, number: int) -> None:
    """An append that finds no room raises StorageFull and gives its bytes back at once; the next lies where it should."""
    disk = FaultyDisk()

    async def test(store: DiskBlobs) -> None:
        log = await store.open_log("logs/b/1")
        kept = b""
        if step != "sync_directory":
            await log.append([b"first"])
            kept = b"first"
        disk.faults = {step: number}
        for _ in range(2):
            with pytest.raises(StorageFull, match=str(tmp_path)):
                await log.append([b"abcdef"])
            assert await content(store, "logs/b/1") == kept
        disk.faults = {}
        again = await log.append([b"abcdef"])
        assert again == BlobRange(key="logs/b/1", offset=len(kept), length=6)
        assert await content(store, "logs/b/1") == kept + b"abcdef"
        await log.close()

    run(tmp_path, disk, test)


def test_a_log_that_somebody_removes_goes_on(tmp_path: Path) -> None:
    """What is added afterwards is there, where it should be; what was before is gone. A log whose batch has ended stays away."""

    async def test(store: DiskBlobs) -> None:
        log = await store.open_log("logs/b/1")
        await log.append([b"before"])
        path = tmp_path / "blobs" / "logs" / "b" / "1"
        path.unlink()
        for text in (b"after", b"wards"):
            where = await log.append([text])
            assert await store.read(where) == text
        assert (where.offset, path.read_bytes()) == (11, bytes(6) + b"afterwards")
        await store.delete("logs/b/")
        await log.append([b"late"])
        assert not path.parent.exists()
        await log.close()

    run(tmp_path, FaultyDisk(), test)


def test_a_log_that_cannot_be_cut_is_cut_before_the_next_append(tmp_path: Path) -> None:
    """Even where cutting off the torn bytes fails, no later range is ever wrong."""
    disk = FaultyDisk()

    async def test(store: DiskBlobs) -> None:
        log = await store.open_log("logs/b/1")
        await log.append([b"first"])
        disk.faults = {"write": errno.ENOSPC, "truncate": errno.EIO}
        with pytest.raises(StorageFull):
            await log.append([b"abcdef"])
        disk.faults = {"truncate": errno.EIO}
        with pytest.raises(OSError, match="Input/output"):
            await log.append([b"abcdef"])
        disk.faults = {}
        assert await store.read(await log.append([b"abcdef"])) == b"abcdef"
        assert await content(store, "logs/b/1") == b"firstabcdef"
        await log.close()

    run(tmp_path, disk, test)


@pytest.mark.parametrize("step", ["open", "write", "sync", "rename"])
def test_a_blob_that_found_no_room_leaves_nothing(tmp_path: Path, step: str) -> None:
    """StorageFull at any step before the name: after `discard` neither the blob nor a part of it is there."""
    disk = FaultyDisk()

    async def test(store: DiskBlobs) -> None:
        async def upload() -> None:
            writer = await store.create("files/a")
            try:
                await writer.write(LONG)
                await writer.publish()
            finally:
                await writer.discard()

        disk.faults = {step: errno.ENOSPC}
        with pytest.raises(StorageFull, match="free some space"):
            await upload()
        assert files_below(tmp_path) == []

    run(tmp_path, disk, test)


def test_a_failed_blob_is_never_published(tmp_path: Path) -> None:
    """A write that failed has left a hole: even if the room comes back, that blob cannot be published."""
    disk = FaultyDisk()

    async def test(store: DiskBlobs) -> None:
        writer = await store.create("files/a")
        disk.faults = {"write": errno.ENOSPC}
        with pytest.raises(StorageFull):
            await writer.write(LONG)
        disk.faults = {}
        with pytest.raises(AssertionError, match="discarded"):
            await writer.publish()
        await writer.discard()
        assert files_below(tmp_path) == []

    run(tmp_path, disk, test)


def test_a_real_limit_of_the_kernel(tmp_path: Path) -> None:
    """With a real limit on file size, torn writes by the kernel itself end in StorageFull, and the log recovers."""
    script = """
        import asyncio, resource, sys
        from pathlib import Path
        from slackwater.adapters.disk.blobs import DiskBlobs
        from slackwater.core.errors import StorageFull

        def limit(size):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        async def main():
            store = DiskBlobs(Path(sys.argv[1]))
            log = await store.open_log("logs/b/1")
            await log.append([b"a" * 3000])
            limit(5000)
            try:
                await log.append([b"b" * 1500, b"c" * 1500])
            except StorageFull as error:
                print(error)
            print((await store.stat("logs/b/1")).size)
            limit(resource.RLIM_INFINITY)
            again = await log.append([b"d" * 3000])
            print(again.offset, (await store.read(again)) == b"d" * 3000)
            writer = await store.create("files/a")
            limit(1_000_000)
            try:
                await writer.write(b"e" * 3_000_000)
            except StorageFull:
                await writer.discard()
                print(await store.names("files/"))

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "blobs")],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr == ""
    message, size, again, names = done.stdout.splitlines()
    assert message.startswith(f"no room in {tmp_path / 'blobs'}: ")
    assert "limit on the size of a file" in message
    assert (size, again, names) == ("3000", "3000 True", "[]")


def test_cancelling_waits_for_the_thread(tmp_path: Path) -> None:
    """A cancelled upload closes its file only when no thread writes to it any more: the number may be another file's next."""
    entered, leave = threading.Event(), threading.Event()

    class SlowDisk(Disk):
        def write(self, fd: int, buffers: Sequence[bytes]) -> int:
            entered.set()
            assert leave.wait(20)
            os.fstat(fd)
            return super().write(fd, buffers)

    async def test(store: DiskBlobs) -> None:
        writer = await store.create("files/a")

        async def upload() -> None:
            try:
                await writer.write(LONG)
            finally:
                await writer.discard()

        task = asyncio.create_task(upload())
        await asyncio.to_thread(entered.wait, 20)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
        leave.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert files_below(tmp_path) == []

    run(tmp_path, SlowDisk(), test)


def test_cancelling_create_leaves_no_part(tmp_path: Path) -> None:
    """A `create` that is cancelled at any moment leaves no temporary file and no open descriptor."""

    async def test(store: DiskBlobs) -> None:
        await put(store, "files/a", b"x")
        descriptors = len(os.listdir("/dev/fd"))
        for turns in range(12):
            create = asyncio.create_task(store.create("files/b"))
            for _ in range(turns):
                await asyncio.sleep(0)
            create.cancel()
            await asyncio.wait((create,))
            if not create.cancelled():
                await create.result().discard()
        assert files_below(tmp_path) == ["a"]
        assert len(os.listdir("/dev/fd")) == descriptors

    run(tmp_path, Disk(), test)


def test_a_key_is_a_log_once(tmp_path: Path) -> None:
    """A log never continues or replaces another: its key must be new."""

    async def test(store: DiskBlobs) -> None:
        log = await store.open_log("logs/b/1")
        with pytest.raises(FileExistsError):
            await store.open_log("logs/b/1")
        await log.close()

    run(tmp_path, Disk(), test)


def test_no_key_looks_like_a_half_written_blob(tmp_path: Path) -> None:
    """A key with the temporary ending would be swept away at the next start, so there is none."""

    async def test(store: DiskBlobs) -> None:
        with pytest.raises(ValueError, match="not a key"):
            await store.create("files/a.part")

    run(tmp_path, Disk(), test)


def test_what_was_written_to_lately(tmp_path: Path) -> None:
    """Blobs and halves of blobs that are old are told from those that may be on their way, by the clock of the disk."""

    async def test(store: DiskBlobs) -> None:
        for key in ("files/old", "files/new"):
            await put(store, key, b"x")
        halves = [await store.create(f"files/{name}") for name in ("older", "newer")]
        for half in halves:
            await half.write(b"half")
            await half.sync()
        parts = sorted(await store.parts())
        assert len(parts) == 2
        for path in (store.path("files/old"), *(each for each in parts if each.name.startswith("older"))):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3601))
        assert await store.names("files/", untouched_seconds=3600) == ["old"]
        assert await store.names("nothing/", untouched_seconds=3600) == []
        assert await store.sweep_parts(found=parts, untouched_seconds=3600) == 1
        assert [part.exists() for part in parts] == [True, False]
        # What came after the list is not in it.
        assert await store.sweep_parts(found=[]) == 0
        assert await store.sweep_parts() == 1
        assert files_below(tmp_path) == ["new", "old"]

    run(tmp_path, Disk(), test)


def test_sweep_removes_what_a_crash_left(tmp_path: Path) -> None:
    """Half-written blobs of an earlier life go at the start; published blobs and logs stay. Later lives can go on."""

    async def test(store: DiskBlobs) -> None:
        await put(store, "files/a", b"whole")
        log = await store.open_log("logs/b/1")
        await log.append([b"line"])
        for _ in range(2):
            writer = await store.create("files/a")
            await writer.write(b"half")
            await writer.sync()
        again = DiskBlobs(store.root)
        assert await again.sweep_parts() == 2
        assert await again.sweep_parts() == 0
        assert files_below(tmp_path) == ["1", "a"]
        assert (await again.stat("files/a")).size == 5
        await log.close()

    run(tmp_path, Disk(), test)


def test_a_piece_of_a_stream_is_not_given_pages_of_its_own() -> None:
    """Where large pieces have them, fetching and giving them back would be most of what a download costs."""
    assert sys.getsizeof(bytes(STREAM_PIECE)) < OWN_PAGES_BYTES
