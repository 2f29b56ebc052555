"""What a restart does with results that no file names, over a real ledger and a real disk."""

import asyncio
import errno
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from slackwater.adapters.disk.blobs import Disk, DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.core.batch import Status
from slackwater.core.files.file import Purpose
from slackwater.pipeline.ending.finalizer import Finalizer
from slackwater.pipeline.ending.janitor import RESULTS_ROUND, SWEPT_AFTER_SECONDS, Janitor, UploadJanitor
from slackwater.pipeline.ending.restoring import Restoring
from slackwater.pipeline.loops import Pace
from slackwater.ports import BlobRange
from tests.adapters.ledger_contract import batch, claimed, file, segment, started
from tests.adapters.member_contract import joined, member
from tests.pipeline.upload_world import Watch


async def _write(blobs: DiskBlobs, key: str) -> None:
    writer = await blobs.create(key)
    await writer.write(b"{}\n")
    await writer.publish()


def test_results_that_nothing_names_go(tmp_path: Path) -> None:
    """What a file names stays, and so does all of a batch that has not ended: its files may just be on their way in."""

    async def story() -> None:
        ledger, blobs, watch = SqlLedger.open(":memory:"), DiskBlobs(tmp_path / "blobs"), Watch()
        for number in (1, 2):
            await ledger.add_batch(batch(number))
        ended, running = batch(1).id, batch(2).id
        await ledger.request_cancel(ended, now=1)
        kept = f"results/{ended}/kept"
        output = file(3, blob=kept, purpose=Purpose.BATCH_OUTPUT)
        await ledger.publish_files(ended, output=output, error=None, now=2)
        for key in (kept, f"results/{ended}/late", f"results/{running}/new", "results/gone/deleted"):
            await _write(blobs, key)
        janitor = Janitor(ledger, blobs, watch)
        await janitor.start()
        await janitor.step()
        left = {name: await blobs.names(f"results/{name}/") for name in (ended, running, "gone")}
        assert left == {ended: ["kept"], running: ["new"], "gone": []}
        await ledger.close()

    asyncio.run(story())


def test_many_results_are_swept_in_rounds(tmp_path: Path) -> None:
    """A start does not wait for them."""

    async def story() -> None:
        ledger, blobs = SqlLedger.open(":memory:"), DiskBlobs(tmp_path / "blobs")
        for number in range(RESULTS_ROUND + 1):
            await _write(blobs, f"results/batch{number:04}/left")
        janitor = Janitor(ledger, blobs, Watch())
        await janitor.start()
        left = []
        for _ in range(2):
            await janitor.step()
            left.append(sum([len(await blobs.names(f"results/{name}/")) for name in await blobs.names("results/")]))
        assert left == [1, 0]
        await ledger.close()

    asyncio.run(story())


def test_results_that_a_power_cut_took_are_written_again(tmp_path: Path) -> None:
    """Those of which the ledger keeps the text: a start finds them missing, short or changed, and what lies around them stays."""

    async def story() -> None:
        ledger, blobs = SqlLedger.open(":memory:"), DiskBlobs(tmp_path / "blobs")
        await started(ledger, 0, shards=(4,))
        shard = await claimed(ledger)
        texts = {line: f"result {line}\n".encode() for line in range(4)}
        log = await blobs.open_log("logs/batch-0/w.output")
        for line, text in texts.items():
            where = await log.append([text], durable=line == 3)
            kept = {} if line == 3 else {"output_text": text}
            named = msgspec.structs.replace(segment(shard, line, key="logs/batch-0/w.output"), output=where, **kept)
            assert await ledger.commit_segments([named], now=0.0, lease_seconds=10.0) == []
        await log.close()
        path = tmp_path / "blobs" / "logs" / "batch-0" / "w.output"
        whole = path.read_bytes()
        for damaged in (whole[:4] + b"?" + whole[5:], whole):
            path.write_bytes(damaged)
            await Restoring(ledger, blobs).step()
            assert path.read_bytes() == whole
        path.unlink()
        await Restoring(ledger, blobs).step()
        assert path.read_bytes() == b"".join(texts[line] for line in range(3))
        await ledger.request_cancel("batch-0", now=1)
        await ledger.release_leases(now=1e9)
        assert await ledger.publish_files("batch-0", output=None, error=None, now=2) is not None
        assert await ledger.kept_texts() == []
        await ledger.close()

    asyncio.run(story())


class SmallDisk(Disk):
    """Has room or has none."""

    full = False

    def write(self, fd: int, data: Sequence[bytes]) -> int:
        """Writes, or fails."""
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(fd, data)


def test_nothing_ends_while_there_is_no_room_to_restore(tmp_path: Path) -> None:
    """A start on a full disk comes up; what the ledger keeps is written once there is room, and only then the batch ends."""

    async def story() -> None:
        disk = SmallDisk()
        ledger, blobs = SqlLedger.open(":memory:"), DiskBlobs(tmp_path / "blobs", disk=disk)
        await started(ledger, 0, shards=(1,))
        shard = await claimed(ledger)
        where = await (await blobs.open_log("logs/batch-0/w.output")).append([b"result\n"], durable=False)
        named = segment(shard, 0, key="logs/batch-0/w.output")
        named = msgspec.structs.replace(named, output=where, output_text=b"result\n")
        assert await ledger.commit_segments([named], now=0.0, lease_seconds=10.0) == []
        await ledger.finish_shard("batch-0", 0, epoch=1)
        (tmp_path / "blobs" / "logs" / "batch-0" / "w.output").unlink()
        restoring = Restoring(ledger, blobs)
        finalizer = Finalizer(
            ledger, blobs, Watch(), new_file_id=iter(("a", "b")).__next__, logs_whole=lambda: restoring.done
        )
        disk.full = True
        for _ in range(2):
            assert await restoring.step() is Pace.IDLE
            assert await finalizer.step() is Pace.IDLE
        disk.full = False
        assert await restoring.step() is Pace.BUSY
        assert await finalizer.step() is Pace.BUSY
        ended = await ledger.batch("batch-0")
        assert ended is not None
        assert ended.status is Status.COMPLETED
        assert await blobs.read(BlobRange(key="outputs/a", offset=0, length=100)) == b"result\n"
        await ledger.close()

    asyncio.run(story())


def test_outputs_that_nothing_names_go(tmp_path: Path) -> None:
    """Files of an end that did not come about are put aside by the next start; those of batches stay."""

    async def story() -> None:
        ledger, blobs = SqlLedger.open(":memory:"), DiskBlobs(tmp_path / "blobs")
        await ledger.add_file(file(1, blob="outputs/kept", purpose=Purpose.BATCH_OUTPUT))
        for name in ("kept", "left"):
            await _write(blobs, f"outputs/{name}")
        janitor = Janitor(ledger, blobs, Watch())
        await janitor.start()
        await janitor.step()
        assert await blobs.names("outputs/") == ["kept"]
        await ledger.close()

    asyncio.run(story())


def test_what_others_may_be_writing_stays(tmp_path: Path) -> None:
    """Bytes of a member that lives get their row in a moment. Only what is old is nobody's, where there are others."""

    async def story() -> None:
        ledger, blobs, watch = SqlLedger.open(":memory:"), DiskBlobs(tmp_path / "blobs"), Watch()
        await joined(ledger, "me", "other")
        keys = [f"{kind}/{age}" for kind in ("files", "uploads", "outputs") for age in ("old", "new")]
        for key in (*keys, "results/gone/old", "logs/gone/old"):
            await _write(blobs, key)
            if key.endswith("old"):
                path = blobs.path(key)
                for each in (path, path.parent) if "gone" in key else (path,):
                    os.utime(each, (each.stat().st_atime, each.stat().st_mtime - SWEPT_AFTER_SECONDS - 1))
        await _write(blobs, "logs/newer/x")
        janitor = Janitor(ledger, blobs, watch)
        await janitor.start()
        await UploadJanitor(ledger, blobs, watch).start()
        await janitor.step()
        left = {kind: await blobs.names(f"{kind}/") for kind in ("files", "uploads", "outputs", "logs")}
        assert left == {"files": ["new"], "uploads": ["new"], "outputs": ["new"], "logs": ["newer"]}
        # Alone, it knows that whoever wrote the rest is dead.
        await ledger.bury("other")
        janitor = Janitor(ledger, blobs, watch)
        await janitor.start()
        await UploadJanitor(ledger, blobs, watch).start()
        await janitor.step()
        left = {kind: await blobs.names(f"{kind}/") for kind in ("files", "uploads", "outputs", "logs")}
        assert left == {"files": [], "uploads": [], "outputs": [], "logs": []}
        await ledger.close()

    asyncio.run(story())


def test_one_who_comes_while_somebody_sweeps(tmp_path: Path) -> None:
    """It is not there when blobs are listed, and is when they are judged: what it writes in between is not in the list."""

    async def story() -> None:
        ledger, blobs = SqlLedger.open(":memory:"), DiskBlobs(tmp_path / "blobs")
        await joined(ledger, "me")
        await _write(blobs, "files/left")

        class Late(DiskBlobs):
            async def names(self, prefix: str, *, untouched_seconds: float = 0.0) -> list[str]:
                found = await super().names(prefix, untouched_seconds=untouched_seconds)
                if not untouched_seconds and prefix == "files/":
                    await ledger.add_member(member("late"))
                    await _write(blobs, "files/arriving")
                return found

        await Janitor(ledger, Late(tmp_path / "blobs"), Watch()).start()
        assert await blobs.names("files/") == ["arriving", "left"]
        await ledger.close()

    asyncio.run(story())


def test_logs_of_members_are_left_alone(tmp_path: Path) -> None:
    """They write to them. What others have left is restored as ever."""

    async def story() -> None:
        ledger, blobs = SqlLedger.open(":memory:"), DiskBlobs(tmp_path / "blobs")
        await joined(ledger, "me", "other")
        await started(ledger, shards=(2,))
        for owner, line in (("other-0", 0), ("gone-0", 1)):
            shard = await claimed(ledger, owner=owner)
            kept = msgspec.structs.replace(
                segment(shard, line, key=f"logs/{shard.batch_id}/{owner}-1.output"), output_text=b"x" * 10
            )
            assert await ledger.commit_segments([kept], now=1.0, lease_seconds=9.0) == []
            await ledger.release_shard(shard.batch_id, shard.index, epoch=shard.epoch)
        restoring = Restoring(ledger, blobs)
        await restoring.step()
        assert restoring.done
        assert await blobs.names("logs/batch-0/") == ["gone-0-1.output"]
        await ledger.close()

    asyncio.run(story())
