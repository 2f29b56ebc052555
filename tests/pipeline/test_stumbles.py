"""One batch that cannot be worked on must not keep the others from going their way."""

import asyncio
import errno
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

import pytest

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.system_clock import SystemClock
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.core.batch import Status
from slackwater.core.errors import FilesUnavailable, SlackwaterError
from slackwater.core.sending.deployment import BackendRef, Deployment
from slackwater.core.sending.rereading import TRIES_REFUSED
from slackwater.pipeline.ending.finalizer import Finalizer
from slackwater.pipeline.input.validator import STUMBLES_MAX, Validator
from slackwater.pipeline.loops import Pace
from slackwater.ports import BlobRange
from tests.adapters.ledger_contract import batch, claimed, segment, started
from tests.pipeline.engines import inline, played
from tests.simulation.virtual import VirtualClock, VirtualLoop

T = TypeVar("T")
DEPLOYMENT = Deployment(name="d", model="d", backends=(BackendRef(name="b", concurrency=1),))


class DyingOffload(InlineOffload):
    """Its process dies over one file."""

    async def run(self, function: Callable[..., T], *args: object) -> T:
        if args[1] == "files/0":
            raise SlackwaterError("the worker process ended twice")
        return await super().run(function, *args)


async def upload(blobs: DiskBlobs, number: int) -> None:
    """A file of one valid request."""
    body = {"model": "d", "messages": [{"role": "user", "content": "x"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    writer = await blobs.create(f"files/{number}")
    await writer.write(json.dumps(line).encode())
    await writer.publish()


def test_a_file_that_kills_its_scan_waits_and_then_fails(tmp_path: Path) -> None:
    """Others are validated in between, and after a few tries the batch fails with a word about why."""

    async def story() -> None:
        ledger, blobs = SqlLedger.open(":memory:"), DiskBlobs(tmp_path)
        for number in range(3):
            await upload(blobs, number)
            await ledger.add_batch(batch(number))
        validator = Validator(
            ledger, blobs, SystemClock(), DyingOffload(), deployments=lambda: [DEPLOYMENT], counter=None
        )
        for _ in range(STUMBLES_MAX + 2):
            await validator.step()
        poison = await ledger.batch("batch-0")
        assert poison is not None
        assert poison.errors is not None
        assert poison.status is Status.FAILED
        assert "fault in the batch service" in poison.errors[0].message
        (waiting,) = await ledger.waiting()
        assert [each.id for each in waiting.batches] == ["batch-1", "batch-2"]
        assert await validator.step() is Pace.IDLE
        await ledger.close()

    asyncio.run(story())


class Unasked(DiskBlobs):
    """An object store that cannot be reached for a while."""

    gone = True

    def reader(self, key: str) -> BinaryIO:
        if self.gone:
            raise FilesUnavailable("it does not answer")
        return super().reader(key)


def test_a_file_whose_store_cannot_be_asked_is_not_given_up(tmp_path: Path) -> None:
    """However often it is tried: that says nothing of the file."""

    async def story() -> None:
        ledger, blobs = SqlLedger.open(":memory:"), Unasked(tmp_path)
        await upload(blobs, 0)
        await ledger.add_batch(batch(0))
        validator = Validator(
            ledger, blobs, SystemClock(), InlineOffload(), deployments=lambda: [DEPLOYMENT], counter=None
        )
        for _ in range(STUMBLES_MAX + TRIES_REFUSED):
            with pytest.raises(FilesUnavailable):
                await validator.step()
        blobs.gone = False
        await validator.step()
        (waiting,) = await ledger.waiting()
        assert [each.id for each in waiting.batches] == ["batch-0"]
        await ledger.close()

    asyncio.run(story())


class Away(DiskBlobs):
    """A disk that does not give one file for a while."""

    until = 0.0
    clock: VirtualClock

    def reader(self, key: str) -> BinaryIO:
        if key == "files/0" and self.clock.monotonic() < self.until:
            raise OSError(errno.EIO, "the disk says no")
        return super().reader(key)


@pytest.mark.parametrize("seconds", [120.0, 1e9])
def test_a_file_that_cannot_be_read_waits_for_the_disk(tmp_path: Path, seconds: float) -> None:
    """With growing gaps, for some minutes; others are validated meanwhile. Where it comes back, nothing is said of it."""

    async def story(loop: VirtualLoop) -> None:
        ledger, blobs, clock = SqlLedger.open(":memory:", inline=True), Away(tmp_path, run=inline), VirtualClock(loop)
        blobs.clock = clock
        for number in range(3):
            await upload(blobs, number)
            await ledger.add_batch(batch(number))
        blobs.until = seconds
        validator = Validator(ledger, blobs, clock, InlineOffload(), deployments=lambda: [DEPLOYMENT], counter=None)
        while await validator.step() is Pace.BUSY:
            pass
        (waiting,) = await ledger.waiting()
        assert [each.id for each in waiting.batches] == ["batch-1", "batch-2"]
        tries = 1
        while (away := await ledger.batch("batch-0")) is not None and away.deployment is None and not away.terminal:
            assert loop.time() < 900
            await clock.sleep(0.5)
            tries += await validator.step() is Pace.BUSY
        assert away is not None
        assert away.terminal == (seconds > 1e3)
        assert tries <= TRIES_REFUSED
        assert away.errors is None or "could not be read" in away.errors[0].message
        await ledger.close()

    played(story)


def test_a_deleted_input_fails_the_batch(tmp_path: Path) -> None:
    """Bytes that went between the look at the file and the creation of the batch: the batch says so."""

    async def story() -> None:
        ledger = SqlLedger.open(":memory:")
        await ledger.add_batch(batch())
        validator = Validator(
            ledger, DiskBlobs(tmp_path), SystemClock(), InlineOffload(), deployments=lambda: [DEPLOYMENT], counter=None
        )
        await validator.step()
        failed = await ledger.batch("batch-0")
        assert failed is not None
        assert failed.errors is not None
        assert "has been deleted" in failed.errors[0].message
        await ledger.close()

    asyncio.run(story())


def test_a_batch_whose_bytes_are_gone_does_not_stop_the_others(tmp_path: Path) -> None:
    """The finalizer passes over it, ends the others, and comes back to it later (tests/pipeline/test_damage.py)."""

    async def story() -> None:
        ledger, blobs = SqlLedger.open(":memory:"), DiskBlobs(tmp_path)
        for number in range(2):
            await started(ledger, number, shards=(1,))
            shard = await claimed(ledger)
            where = await (await blobs.open_log(f"logs/{shard.batch_id}/w.output")).append([b"x" * 9 + b"\n"])
            if number == 0:
                where = BlobRange(key="logs/nowhere/w.output", offset=0, length=10)
            await ledger.commit_segments([segment(shard, 0, key=where.key)], now=1, lease_seconds=9)
            await ledger.finish_shard(shard.batch_id, 0, epoch=1)
        finalizer = Finalizer(ledger, blobs, SystemClock(), new_file_id=iter(f"file-{n}" for n in range(9)).__next__)
        while await finalizer.step() is Pace.BUSY:
            pass
        lost, ended = await ledger.batch("batch-0"), await ledger.batch("batch-1")
        assert lost is not None
        assert ended is not None
        assert (lost.status, ended.status) == (Status.FINALIZING, Status.COMPLETED)
        await ledger.close()

    asyncio.run(story())


class Fixed:
    """Counts every text as so many tokens."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def count(self, texts: Sequence[str]) -> list[int]:
        return [self.tokens] * len(texts)


def test_each_deployment_has_its_own_tokenizer(tmp_path: Path) -> None:
    """The file's own deployment decides what its tokens are counted with."""

    async def story() -> None:
        ledger, blobs = SqlLedger.open(":memory:"), DiskBlobs(tmp_path)
        await upload(blobs, 0)
        await ledger.add_batch(batch())
        counters = {"cl100k_base": Fixed(7), "o200k_base": Fixed(1000)}
        validator = Validator(
            ledger, blobs, SystemClock(), InlineOffload(), deployments=lambda: [DEPLOYMENT], counter=counters
        )
        await validator.step()
        accepted = await ledger.batch("batch-0")
        assert accepted is not None
        assert 1000 <= accepted.enqueued_tokens < 1100
        await ledger.close()

    asyncio.run(story())


def test_shards_of_validation_are_what_the_worker_reads(tmp_path: Path) -> None:
    """Accepted shards tile the file's requests."""

    async def story() -> None:
        ledger, blobs = SqlLedger.open(":memory:"), DiskBlobs(tmp_path)
        await upload(blobs, 0)
        await ledger.add_batch(batch())
        validator = Validator(
            ledger, blobs, SystemClock(), InlineOffload(), deployments=lambda: [DEPLOYMENT], counter=None
        )
        assert await validator.step() is Pace.BUSY
        (shard,) = await ledger.unfinished_shards("batch-0")
        assert shard.lines == 1
        assert len(await blobs.read(BlobRange(key="files/0", offset=0, length=10_000))) == shard.places[0].length
        await ledger.close()

    asyncio.run(story())
