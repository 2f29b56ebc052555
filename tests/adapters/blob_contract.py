"""What every BlobStore promises. A test module of an implementation derives from BlobContract and says how one is made."""

import abc
import asyncio
import itertools
import pickle
from collections.abc import Awaitable, Callable
from pathlib import Path
from zlib import crc32

import pytest

from slackwater.ports import BlobRange, BlobStore

Test = Callable[[BlobStore], Awaitable[None]]
# Longer than any piece that an implementation works in, and not a multiple of one.
LONG = bytes(range(251)) * 12_500


async def put(store: BlobStore, key: str, data: bytes) -> None:
    """Publishes a blob."""
    writer = await store.create(key)
    await writer.write(data)
    await writer.publish()


async def content(store: BlobStore, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
    """What a stream carries."""
    return b"".join([piece async for piece in store.stream(key, offset=offset, length=length)])


class BlobContract(abc.ABC):
    """The tests. `make_store` gives a new, empty store each time it is called with an empty directory."""

    @abc.abstractmethod
    def make_store(self, scratch: Path) -> BlobStore:
        """A store to test."""

    def run(self, scratch: Path, test: Test) -> None:
        """Runs a test with a store of its own."""

        async def main() -> None:
            await asyncio.wait_for(test(self.make_store(scratch)), 30)

        asyncio.run(main())

    def test_published_bytes_are_those_written(self, tmp_path: Path) -> None:
        """A published blob holds what was written, in order, however it was cut."""

        async def test(store: BlobStore) -> None:
            writer = await store.create("files/a")
            cuts = [0, 1, 3, 3, 70_000, 1_500_000, len(LONG)]
            for start, end in itertools.pairwise(cuts):
                await writer.write(LONG[start:end])
            assert writer.size == len(LONG)
            await writer.publish()
            assert await content(store, "files/a") == LONG

        self.run(tmp_path, test)

    def test_checksums(self, tmp_path: Path) -> None:
        """A writer knows that of all it was given, written or copied; the store knows it of a blob, and reads it on demand."""

        async def test(store: BlobStore) -> None:
            await put(store, "files/a", LONG)
            writer = await store.create("files/b")
            await writer.write(b"before")
            assert await writer.copy(BlobRange(key="files/a", offset=7, length=1_000_000)) == crc32(LONG[7:1_000_007])
            await writer.write(b"after")
            await writer.publish()
            whole = b"before" + LONG[7:1_000_007] + b"after"
            assert (writer.size, writer.checksum) == (len(whole), crc32(whole))
            stat = await store.stat("files/b")
            assert (stat.size, stat.checksum in (None, crc32(whole))) == (len(whole), True)
            assert await store.checksum("files/b") == crc32(whole)
            with pytest.raises(FileNotFoundError):
                await store.stat("files/c")
            with pytest.raises(OSError, match="ends"):
                await (await store.create("files/c")).copy(BlobRange(key="files/a", offset=0, length=len(LONG) + 1))

        self.run(tmp_path, test)

    def test_a_stream_that_is_compared(self, tmp_path: Path) -> None:
        """Everything but the last piece comes where it is not what it should be."""

        async def test(store: BlobStore) -> None:
            await put(store, "files/a", LONG)
            data = [each async for each in store.stream_whole("files/a", size=len(LONG), checksum=crc32(LONG))]
            assert b"".join(data) == LONG
            assert [each async for each in store.stream_whole("files/a", size=0, checksum=0)] == []
            half = store.stream_whole("files/a", size=len(LONG), checksum=crc32(LONG))
            assert LONG.startswith(await anext(half))
            await half.aclose()  # type: ignore[attr-defined]
            for length, checksum in ((len(LONG), crc32(LONG) ^ 1), (len(LONG) + 1, crc32(LONG))):
                came = b""
                with pytest.raises(OSError, match="not what was written"):
                    async for piece in store.stream_whole("files/a", size=length, checksum=checksum):
                        came += piece
                assert LONG.startswith(came)
                assert len(came) < length

        self.run(tmp_path, test)

    def test_what_is_set_aside(self, tmp_path: Path) -> None:
        """It is out of the way and still there, under the name that was given; nothing takes the place of an earlier one."""

        async def test(store: BlobStore) -> None:
            for key in ("files/a", "logs/b/1", "logs/b/2"):
                await put(store, key, key.encode())
            await store.set_aside("files/a", under="now")
            await store.set_aside("logs/b/", under="now")
            await store.set_aside("files/gone", under="now")
            assert await store.names("files/") == await store.names("logs/") == []
            assert await content(store, "lost/now/files/a") == b"files/a"
            assert await store.names("lost/now/logs/b/") == ["1", "2"]
            await put(store, "files/a", b"again")
            await store.set_aside("files/a", under="now")
            assert await content(store, "lost/now/files/a") == b"files/a"
            assert len(await store.names("lost/now/files/")) == 2
            await store.delete("lost/now/")
            assert await store.names("lost/") == []

        self.run(tmp_path, test)

    def test_nothing_is_seen_before_publish(self, tmp_path: Path) -> None:
        """A blob that is being written is neither readable nor listed."""

        async def test(store: BlobStore) -> None:
            writer = await store.create("files/a")
            await writer.write(LONG)
            assert await store.names("files/") == []
            with pytest.raises(FileNotFoundError):
                await content(store, "files/a")
            await writer.publish()
            assert await store.names("files/") == ["a"]

        self.run(tmp_path, test)

    def test_discard_leaves_nothing(self, tmp_path: Path) -> None:
        """A discarded blob never appears, and an older one of its key stays; discarding after publish is harmless."""

        async def test(store: BlobStore) -> None:
            await put(store, "files/a", b"old")
            writer = await store.create("files/a")
            await writer.write(LONG)
            await writer.discard()
            await writer.discard()
            assert await content(store, "files/a") == b"old"
            writer = await store.create("files/a")
            await writer.write(b"new")
            await writer.publish()
            await writer.discard()
            assert await content(store, "files/a") == b"new"

        self.run(tmp_path, test)

    def test_two_writers_of_one_key_do_not_mix(self, tmp_path: Path) -> None:
        """Two blobs of one key may be written at once; the one published last is there, whole."""

        async def test(store: BlobStore) -> None:
            first, second = await store.create("files/a"), await store.create("files/a")
            for _ in range(3):
                await first.write(b"1" * 600_000)
                await second.write(b"2" * 600_000)
            await second.publish()
            await first.publish()
            assert await content(store, "files/a") == b"1" * 1_800_000

        self.run(tmp_path, test)

    def test_an_empty_blob(self, tmp_path: Path) -> None:
        """A blob may have no bytes."""

        async def test(store: BlobStore) -> None:
            await (await store.create("files/a")).publish()
            assert await content(store, "files/a") == b""
            assert await store.names("files/") == ["a"]

        self.run(tmp_path, test)

    def test_copy_takes_ranges_between_written_bytes(self, tmp_path: Path) -> None:
        """`copy` adds exactly the range it names, of a blob or of a log that is still open, after what was written before."""

        async def test(store: BlobStore) -> None:
            await put(store, "files/a", LONG)
            log = await store.open_log("logs/b/1")
            await log.append([b"one\n"])
            two = await log.append([b"two\n"])
            writer = await store.create("results/c")
            await writer.write(b"<")
            await writer.copy(two)
            await writer.copy(BlobRange(key="files/a", offset=7, length=len(LONG) - 9))
            await writer.copy(BlobRange(key="files/a", offset=7, length=0))
            await writer.write(b">")
            expected = b"<two\n" + LONG[7:-2] + b">"
            assert writer.size == len(expected)
            await writer.publish()
            assert await content(store, "results/c") == expected
            await log.close()

        self.run(tmp_path, test)

    def test_copy_past_the_end_is_refused(self, tmp_path: Path) -> None:
        """A range that its blob does not have is an error, never a shorter file."""

        async def test(store: BlobStore) -> None:
            await put(store, "files/a", b"short")
            writer = await store.create("results/c")
            with pytest.raises(OSError, match="ends at byte 5"):
                await writer.copy(BlobRange(key="files/a", offset=2, length=4))
            await writer.discard()

        self.run(tmp_path, test)

    def test_ranges(self, tmp_path: Path) -> None:
        """`read` and `stream` give exactly a range, and less only where the blob ends."""

        async def test(store: BlobStore) -> None:
            await put(store, "files/a", LONG)
            end = len(LONG)
            for offset, length in ((0, 1), (5, 0), (1, 2_000_000), (end - 3, 3), (end - 3, 9), (end, 5), (end + 5, 5)):
                expected = LONG[offset : offset + length]
                assert await store.read(BlobRange(key="files/a", offset=offset, length=length)) == expected
                assert await content(store, "files/a", offset=offset, length=length) == expected
            assert await content(store, "files/a", offset=end - 2) == LONG[-2:]

        self.run(tmp_path, test)

    def test_stream_pieces_are_bounded(self, tmp_path: Path) -> None:
        """A stream comes in pieces of at most a mebibyte, none of them empty, whatever the blob's size."""

        async def test(store: BlobStore) -> None:
            await put(store, "files/a", LONG)
            sizes = [len(piece) async for piece in store.stream("files/a")]
            assert sum(sizes) == len(LONG)
            assert 0 < min(sizes) <= max(sizes) <= 1 << 20

        self.run(tmp_path, test)

    def test_a_stream_survives_deletion(self, tmp_path: Path) -> None:
        """A download that has begun ends whole, even if the blob is deleted meanwhile."""

        async def test(store: BlobStore) -> None:
            await put(store, "files/a", LONG)
            stream = store.stream("files/a")
            pieces = [await anext(stream)]
            await store.delete("files/a")
            pieces += [piece async for piece in stream]
            assert b"".join(pieces) == LONG

        self.run(tmp_path, test)

    def test_reader_of_a_pickled_store(self, tmp_path: Path) -> None:
        """A store can go to another process and open a blocking reader there."""

        async def test(store: BlobStore) -> None:
            await put(store, "files/a", b"one\ntwo\n")
            elsewhere: BlobStore = pickle.loads(pickle.dumps(store))
            with elsewhere.reader("files/a") as reader:
                assert list(reader) == [b"one\n", b"two\n"]

        self.run(tmp_path, test)

    def test_a_missing_blob(self, tmp_path: Path) -> None:
        """What is not there is a FileNotFoundError, whichever way it is asked for."""

        async def test(store: BlobStore) -> None:
            missing = BlobRange(key="files/none", offset=0, length=1)
            writer = await store.create("files/b")
            for attempt in (store.read(missing), content(store, "files/none"), writer.copy(missing)):
                with pytest.raises(FileNotFoundError):
                    await attempt
            with pytest.raises(FileNotFoundError):
                store.reader("files/none")
            await writer.discard()

        self.run(tmp_path, test)

    def test_log_ranges_follow_each_other(self, tmp_path: Path) -> None:
        """Each append says where its bytes lie, and they can be read there at once, before the log is closed."""

        async def test(store: BlobStore) -> None:
            log = await store.open_log("logs/b/1")
            parts = [b"%d\n" % number for number in range(3000)]
            expected = [b"".join(parts), b"", b"last"]
            ranges = [await log.append(parts), await log.append([]), await log.append([b"la", b"", b"st"])]
            assert [each.offset for each in ranges] == [0, len(expected[0]), len(expected[0])]
            assert [await store.read(each) for each in ranges] == expected
            await log.close()
            await log.close()
            assert await content(store, "logs/b/1") == b"".join(expected)

        self.run(tmp_path, test)

    def test_appends_at_once_do_not_mix(self, tmp_path: Path) -> None:
        """Appends to one log that are made at the same time each keep their bytes together."""

        async def test(store: BlobStore) -> None:
            log = await store.open_log("logs/b/1")
            texts = [b"%03d" % number * 5000 for number in range(40)]
            ranges = await asyncio.gather(*(log.append([text[:5000], text[5000:]]) for text in texts))
            assert [await store.read(each) for each in ranges] == texts
            await log.close()

        self.run(tmp_path, test)

    def test_a_cancelled_append_does_not_shift_the_next(self, tmp_path: Path) -> None:
        """After an append was cancelled at any moment, the ranges of later ones are still right."""

        async def test(store: BlobStore) -> None:
            log = await store.open_log("logs/b/1")
            for turns in range(12):
                append = asyncio.create_task(log.append([b"lost" * 50_000]))
                for _ in range(turns):
                    await asyncio.sleep(0)
                append.cancel()
                kept = b"kept %d" % turns
                assert await store.read(await log.append([kept])) == kept
                await asyncio.wait((append,))
            await log.close()

        self.run(tmp_path, test)

    def test_names(self, tmp_path: Path) -> None:
        """`names` lists the next part of each key below a prefix, and nothing where there is none."""

        async def test(store: BlobStore) -> None:
            for key in ("logs/b1/1", "logs/b1/2", "logs/b2/1", "files/a"):
                await put(store, key, b"x")
            assert sorted(await store.names("logs/")) == ["b1", "b2"]
            assert sorted(await store.names("logs/b1/")) == ["1", "2"]
            assert await store.names("none/") == []

        self.run(tmp_path, test)

    def test_delete(self, tmp_path: Path) -> None:
        """`delete` removes one blob, or with a slash all below a prefix and no other; missing ones are fine."""

        async def test(store: BlobStore) -> None:
            for key in ("logs/b1/1", "logs/b1/2", "logs/b10/1", "files/a", "files/ab"):
                await put(store, key, b"x")
            for _ in range(2):
                await store.delete("logs/b1/")
                await store.delete("files/a")
            assert await store.names("logs/") == ["b10"]
            assert await store.names("files/") == ["ab"]
            assert await content(store, "logs/b10/1") == b"x"

        self.run(tmp_path, test)

    @pytest.mark.parametrize(
        "key", ["", "/", "/etc/passwd", "../x", "files/../../x", "files//a", "files/./a", "files/a\0b", "files/a//"]
    )
    def test_keys_do_not_escape(self, tmp_path: Path, key: str) -> None:
        """A key that is no plain path below the root is refused by everything that takes a key."""

        async def test(store: BlobStore) -> None:
            for attempt in (
                store.create(key),
                store.open_log(key),
                store.read(BlobRange(key=key, offset=0, length=1)),
                content(store, key),
                store.names(key),
                store.delete(key),
            ):
                with pytest.raises(ValueError, match="not a key"):
                    await attempt
            with pytest.raises(ValueError, match="not a key"):
                store.reader(key)

        self.run(tmp_path, test)
