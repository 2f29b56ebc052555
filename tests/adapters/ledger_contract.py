"""What every Ledger promises. A test module of an implementation inherits the class and says how to open one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import pytest
from msgspec import structs

from slackwater.core.accounts.usage import Usage
from slackwater.core.batch import Batch, BatchError, Policies, RequestCounts, Status, WindowElapsed
from slackwater.core.errors import InvalidRequest
from slackwater.core.files.file import File, Purpose
from slackwater.core.sending.checksums import CHECKSUM_BYTES
from slackwater.ports import BlobRange, Ledger, NewShard, Segment, Shard
from tests.adapters.claiming import claim

T = TypeVar("T")


def file(number: int, **changes: Any) -> File:
    """A file; every field may be changed."""
    fields: dict[str, Any] = {"id": f"file-{number}", "filename": "in.jsonl", "purpose": Purpose.BATCH, "size": 10}
    return File(**(fields | {"created_at": 1_000 + number, "blob": f"files/{number}"} | changes))


def batch(number: int = 0, **changes: Any) -> Batch:
    """A new batch; every field may be changed."""
    fields: dict[str, Any] = {
        "id": f"batch-{number}",
        "input_file_id": f"file-{number}",
        "input_blob": f"files/{number}",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "status": Status.VALIDATING,
        "created_at": 1_000,
        "expires_at": 2_000,
        "policies": Policies(),
    }
    return Batch(**(fields | changes))


def segment(
    shard: Shard,
    *lines: int,
    offset: int = 0,
    key: str = "log",
    failed: int = 0,
    epoch: int = 0,
    ends: bool = False,
) -> Segment:
    """Results of these lines, ten bytes each."""
    done = bytearray((shard.lines + 7) // 8)
    for line in lines:
        done[line >> 3] |= 1 << (line & 7)
    return Segment(
        batch_id=shard.batch_id,
        index=shard.index,
        epoch=epoch or shard.epoch,
        output=BlobRange(key=key, offset=offset, length=10 * len(lines)),
        error=None,
        done=bytes(done),
        counts=RequestCounts(completed=len(lines) - failed, failed=failed),
        usage=Usage(input_tokens=len(lines)),
        model="m",
        ends=ends,
    )


async def started(ledger: Ledger, number: int = 0, *, shards: tuple[int, ...] = (3,), **changes: Any) -> Batch:
    """A batch that is in progress, with shards of so many lines, all queued and ranked."""
    new = batch(number, **changes)
    await ledger.add_batch(new)
    cut = [NewShard(offset=index * 100, length=100, lines=lines, tokens=lines) for index, lines in enumerate(shards)]
    assert await ledger.accept_batch(
        new.id, deployment="d", endpoint="/chat/completions", total=sum(shards), tokens=sum(shards), shards=cut
    )
    await ledger.enqueue([new.id], now=1_100)
    for waiting in await ledger.unranked():
        ranks = [float(index) for index in range(waiting.shards)]
        await ledger.rank_shards(waiting.batch_id, ranks)
    return new


async def claimed(ledger: Ledger, *, owner: str = "w", now: float = 0.0) -> Shard:
    """The next shard, which must be there."""
    shard = await claim(ledger, "d", owner=owner, now=now, seconds=10.0)
    assert shard is not None
    return shard


class LedgerContract:
    """Inherit, and define `open`."""

    def open(self, place: Any) -> Ledger:
        """A new, empty ledger below `place`."""
        raise NotImplementedError

    @pytest.fixture
    def run(self, tmp_path: Any) -> Callable[[Callable[[Ledger], Awaitable[None]]], None]:
        """Runs a story over a new ledger."""

        def runner(story: Callable[[Ledger], Awaitable[None]]) -> None:
            async def main() -> None:
                ledger = self.open(tmp_path)
                try:
                    await story(ledger)
                finally:
                    await ledger.close()

            asyncio.run(main())

        return runner

    def test_files_come_back_as_they_went_in(self, run: Any) -> None:
        """Every field of a file is kept."""

        async def story(ledger: Ledger) -> None:
            kept = file(1, expires_at=5_000, status_details="x", filename='ä "quoted"\n')
            await ledger.add_file(kept)
            assert await ledger.file("file-1") == kept
            assert await ledger.file("nobody") is None
            assert await ledger.delete_file("file-1") == kept
            assert await ledger.delete_file("file-1") is None

        run(story)

    def test_files_are_paged_in_both_orders(self, run: Any) -> None:
        """Each page continues behind its cursor; purposes are told apart; an unknown cursor is the caller's fault."""

        async def story(ledger: Ledger) -> None:
            for number in range(10):
                await ledger.add_file(file(number, purpose=Purpose.BATCH if number % 2 else Purpose.BATCH_OUTPUT))

            async def page(after: str | None, *, descending: bool = True, purpose: Purpose | None = None) -> list[str]:
                files = await ledger.files(purpose=purpose, after=after, limit=3, descending=descending, now=0)
                return [each.id for each in files]

            assert await page(None) == ["file-9", "file-8", "file-7"]
            assert await page("file-7") == ["file-6", "file-5", "file-4"]
            assert await page("file-8", descending=False) == ["file-9"]
            assert await page("file-5", purpose=Purpose.BATCH) == ["file-3", "file-1"]
            with pytest.raises(InvalidRequest):
                await page("nobody")

        run(story)

    def test_bytes_are_in_use_while_a_file_or_a_batch_needs_them(self, run: Any) -> None:
        """A deleted file's bytes are kept until the batch that reads them has ended."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_file(file(0))
            await ledger.add_batch(batch(0))
            await ledger.delete_file("file-0")
            assert await ledger.blob_in_use("files/0")
            await ledger.reject_batch("batch-0", errors=[BatchError(code="empty_file", message="m")], now=5)
            assert not await ledger.blob_in_use("files/0")

        run(story)

    def test_expired_files_are_found(self, run: Any) -> None:
        """Those whose moment has come, and no others."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_file(file(1, expires_at=100))
            await ledger.add_file(file(2, expires_at=101))
            await ledger.add_file(file(3))
            assert [each.id for each in await ledger.expired_files(now=100, limit=9)] == ["file-1"]

        run(story)

    def test_batches_come_back_as_they_went_in(self, run: Any) -> None:
        """Every field that a new batch has is kept, policies and metadata included."""

        async def story(ledger: Ledger) -> None:
            kept = batch(1, metadata={"a": "ä"}, policies=Policies(output_expires_seconds=7, validation="openai"))
            await ledger.add_batch(kept)
            assert await ledger.batch("batch-1") == kept

        run(story)

    def test_the_road_to_completed(self, run: Any) -> None:
        """Validating, in progress, finalizing, completed: with moments, counts, usage, files, and nothing left over."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, shards=(2, 1))
            first, second = await claimed(ledger), await claimed(ledger)
            assert (first.index, second.index, first.endpoint) == (0, 1, "/chat/completions")
            assert await claim(ledger, "d", owner="w", now=0, seconds=1) is None
            wrote = [segment(first, 0, 1, failed=1), segment(second, 0, offset=20)]
            assert await ledger.commit_segments(wrote, now=1, lease_seconds=9) == []
            assert await ledger.finish_shard("batch-0", 0, epoch=first.epoch)
            assert await ledger.begin_finalizing(now=1_200) is None
            assert await ledger.finish_shard("batch-0", 1, epoch=second.epoch)
            ending = await ledger.begin_finalizing(now=1_200)
            assert ending is not None
            assert (ending.status, ending.finalizing_at) == (Status.FINALIZING, 1_200)
            assert await ledger.unfinished_shards("batch-0") == []
            output = file(9, purpose=Purpose.BATCH_OUTPUT)
            ended = await ledger.publish_files("batch-0", output=output, error=None, now=1_300)
            assert ended == await ledger.batch("batch-0")
            assert ended is not None
            assert (ended.status, ended.completed_at) == (Status.COMPLETED, 1_300)
            assert ended.counts == RequestCounts(total=3, completed=2, failed=1)
            assert (ended.usage.input_tokens, ended.model) == (3, "m")
            assert (ended.output_file_id, ended.error_file_id) == ("file-9", None)
            assert await ledger.file("file-9") == output
            assert await ledger.publish_files("batch-0", output=None, error=None, now=1_400) is None
            assert await ledger.segments("batch-0") == []
            assert await ledger.begin_finalizing(now=1_500) is None

        run(story)

    def test_the_last_results_of_a_shard_end_it(self, run: Any) -> None:
        """In their transaction: it is nobody's any more, and with its last shard a batch has nothing left to run."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, shards=(2, 1))
            first, second = await claimed(ledger), await claimed(ledger)
            await ledger.commit_segments([segment(first, 0)], now=1, lease_seconds=9)
            # The other line had its result before: all are there.
            wrote = [segment(first, 1, offset=10, ends=True), segment(second, 0, offset=20, ends=True, epoch=7)]
            assert await ledger.commit_segments(wrote, now=1, lease_seconds=9) == [("batch-0", 1, 7)]
            assert await ledger.begin_finalizing(now=1_200) is None
            held = [("batch-0", shard.index, shard.epoch) for shard in (first, second)]
            states = await ledger.renew_leases(held, now=1, lease_seconds=9)
            assert [state.index for state in states] == [1]
            assert not await ledger.finish_shard("batch-0", 0, epoch=first.epoch)
            assert not await ledger.release_shard("batch-0", 0, epoch=first.epoch)
            assert await ledger.release_leases(now=5.0) == 0
            assert (
                await ledger.commit_segments([segment(second, 0, offset=20, ends=True)], now=1, lease_seconds=9) == []
            )
            ending = await ledger.begin_finalizing(now=1_200)
            assert ending is not None
            assert (ending.counts.completed, await ledger.unfinished_shards("batch-0")) == (3, [])

        run(story)

    def test_a_shard_does_not_end_with_a_line_missing(self, run: Any) -> None:
        """Whatever its owner says: nothing of that counts."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, shards=(2,))
            shard = await claimed(ledger)
            with pytest.raises(AssertionError):
                await ledger.commit_segments([segment(shard, 1, ends=True)], now=1, lease_seconds=9)
            assert (await ledger.segments("batch-0"), await ledger.begin_finalizing(now=2)) == ([], None)

        run(story)

    def test_an_ending_that_was_interrupted_is_repeated(self, run: Any) -> None:
        """A batch that was being finalized when somebody died is handed out again."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, shards=(1,))
            shard = await claimed(ledger)
            await ledger.commit_segments([segment(shard, 0)], now=1, lease_seconds=9)
            await ledger.finish_shard("batch-0", 0, epoch=shard.epoch)
            first = await ledger.begin_finalizing(now=5)
            second = await ledger.begin_finalizing(now=6)
            assert first == second

        run(story)

    def test_an_old_epoch_writes_nothing(self, run: Any) -> None:
        """After a new claim the old owner's commit, finish and release are refused, and nothing of them counts."""

        async def story(ledger: Ledger) -> None:
            await started(ledger)
            old = await claimed(ledger, owner="old")
            await ledger.commit_segments([segment(old, 0)], now=0, lease_seconds=10)
            assert await ledger.release_leases(now=11.0) == 1
            new = await claimed(ledger, owner="new", now=11.0)
            assert new.epoch > old.epoch
            assert new.done == b"\x01"
            before = await ledger.batch("batch-0")
            assert await ledger.commit_segments([segment(old, 1, offset=10)], now=12, lease_seconds=9) == [
                ("batch-0", 0, old.epoch)
            ]
            assert not await ledger.finish_shard("batch-0", 0, epoch=old.epoch)
            assert not await ledger.release_shard("batch-0", 0, epoch=old.epoch)
            assert await ledger.batch("batch-0") == before
            assert await ledger.renew_leases([("batch-0", 0, old.epoch)], now=12, lease_seconds=9) == []
            assert await ledger.commit_segments([segment(new, 1, 2, key="log2")], now=12, lease_seconds=9) == []
            assert await ledger.finish_shard("batch-0", 0, epoch=new.epoch)

        run(story)

    def test_one_fenced_segment_does_not_spoil_the_others(self, run: Any) -> None:
        """In one commit, what is still ours counts and what is not is reported."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, shards=(1, 1))
            first, second = await claimed(ledger), await claimed(ledger)
            wrote = [segment(first, 0, epoch=7), segment(second, 0)]
            assert await ledger.commit_segments(wrote, now=1, lease_seconds=9) == [("batch-0", 0, 7)]
            now = await ledger.batch("batch-0")
            assert now is not None
            assert now.counts.completed == 1

        run(story)

    def test_a_line_cannot_be_written_twice(self, run: Any) -> None:
        """A commit that repeats a line is refused as a whole: it must never happen."""

        async def story(ledger: Ledger) -> None:
            await started(ledger)
            shard = await claimed(ledger)
            await ledger.commit_segments([segment(shard, 0)], now=1, lease_seconds=9)
            before = await ledger.batch("batch-0")
            with pytest.raises(AssertionError, match="written twice"):
                await ledger.commit_segments([segment(shard, 0, 1, offset=10)], now=1, lease_seconds=9)
            assert await ledger.batch("batch-0") == before

        run(story)

    def test_a_shard_is_finished_only_when_all_lines_are_there(self, run: Any) -> None:
        """Finishing early must never happen."""

        async def story(ledger: Ledger) -> None:
            await started(ledger)
            shard = await claimed(ledger)
            await ledger.commit_segments([segment(shard, 0)], now=1, lease_seconds=9)
            with pytest.raises(AssertionError, match="1 of 3"):
                await ledger.finish_shard("batch-0", 0, epoch=shard.epoch)

        run(story)

    def test_neighbouring_ranges_share_a_row(self, run: Any) -> None:
        """A slow backend's results come one by one; rows stay few where the bytes lie side by side."""

        async def story(ledger: Ledger) -> None:
            await started(ledger)
            shard = await claimed(ledger)
            for line in range(2):
                await ledger.commit_segments([segment(shard, line, offset=10 * line)], now=1, lease_seconds=9)
            await ledger.commit_segments([segment(shard, 2, offset=500)], now=1, lease_seconds=9)
            rows = [each for _, each in await ledger.segments("batch-0")]
            assert [each.output for each in rows] == [
                BlobRange(key="log", offset=0, length=20),
                BlobRange(key="log", offset=500, length=10),
            ]
            first = (await ledger.segments("batch-0", limit=1))[0][0]
            assert len(await ledger.segments("batch-0", after=first)) == 1

        run(story)

    def test_a_row_that_is_long_is_not_written_anew(self, run: Any) -> None:
        """A shard that is answered line by line costs bytes by its lines, and not by their square."""

        async def story(ledger: Ledger) -> None:
            lines, at_once = 1_000, 20
            await started(ledger, shards=(lines,))
            shard = await claimed(ledger)
            for first in range(0, lines, at_once):
                part = segment(shard, *range(first, first + at_once), offset=10 * first)
                part = msgspec.structs.replace(
                    part, output_checksums=bytes([first // at_once]) * CHECKSUM_BYTES * at_once
                )
                await ledger.commit_segments([part], now=1, lease_seconds=9)
            rows = [each for _, each in await ledger.segments("batch-0")]
            assert max(len(each.output_checksums) for each in rows) < 600
            # Few they are nevertheless, and nothing of what was said is lost.
            assert len(rows) < 10
            assert b"".join(each.output_checksums for each in rows) == b"".join(
                bytes([part]) * CHECKSUM_BYTES * at_once for part in range(lines // at_once)
            )
            assert [each.output.offset for each in rows if each.output] == [
                10 * sum(len(each.output_checksums) for each in rows[:place]) // CHECKSUM_BYTES
                for place in range(len(rows))
            ]

        run(story)

    def test_checksums_are_kept_with_what_they_are_of(self, run: Any) -> None:
        """Those of a shard come with it; those of ranges that share a row follow one another, as the ranges do."""

        async def story(ledger: Ledger) -> None:
            new = batch()
            await ledger.add_batch(new)
            cut = [NewShard(offset=0, length=30, lines=3, tokens=3, checksums=b"abcdefghijkl")]
            await ledger.accept_batch(
                new.id, deployment="d", endpoint="/chat/completions", total=3, tokens=3, shards=cut
            )
            await ledger.enqueue([new.id], now=1)
            await ledger.rank_shards(new.id, [0.0])
            shard = await claimed(ledger)
            (unfinished,) = await ledger.unfinished_shards(new.id)
            assert shard.checksums == unfinished.checksums == b"abcdefghijkl"
            for line in range(3):
                results = segment(shard, line, offset=10 * line if line < 2 else 500)
                sums = structs.replace(results, output_checksums=b"sum%d" % line, error_checksums=b"")
                await ledger.commit_segments([sums], now=1, lease_seconds=9)
            rows = [each for _, each in await ledger.segments(new.id)]
            assert [(each.output_checksums, each.error_checksums) for each in rows] == [
                (b"sum0sum1", b""),
                (b"sum2", b""),
            ]
            await ledger.finish_shard(new.id, 0, epoch=shard.epoch)
            done = await ledger.shard(new.id, 0)
            assert done is not None
            assert (done.done, done.lines, done.places) == (b"\x07", 3, shard.places)
            assert await ledger.shard(new.id, 1) is None
            assert await ledger.shard("nobody", 0) is None

        run(story)

    def test_lost_results_have_failed(self, run: Any) -> None:
        """What was completed and cannot be read any more is in the error file; what it has used stays."""

        async def story(ledger: Ledger) -> None:
            await started(ledger)
            shard = await claimed(ledger)
            await ledger.commit_segments([segment(shard, 0, 1, 2, failed=1)], now=1, lease_seconds=9)
            await ledger.finish_shard("batch-0", 0, epoch=shard.epoch)
            assert await ledger.begin_finalizing(now=8) is not None
            ended = await ledger.publish_files("batch-0", output=file(8), error=file(9), now=9, lost=2)
            assert ended is not None
            assert ended.status is Status.COMPLETED
            assert ended.counts == RequestCounts(total=3, completed=0, failed=3)
            assert ended.usage == Usage(input_tokens=3)
            assert await ledger.enqueued_tokens("d") == 0

        run(story)

    def test_the_lowest_rank_is_claimed_first(self, run: Any) -> None:
        """Of each batch that is named, in one go; what it has beside that is said, and nobody is named twice for nothing."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, 0, shards=(1, 2))
            await started(ledger, 1, shards=(3,))
            await ledger.rank_shards("batch-0", [1.0, 0.0])
            names = ["batch-0", "batch-1", "it's gone"]
            shards = await ledger.claim_shards(names, owner="w", now=0, lease_seconds=9)
            assert [(each.batch_id, each.index, each.lines, each.tokens) for each in shards] == [
                ("batch-0", 1, 2, 2),
                ("batch-1", 0, 3, 3),
            ]
            assert [each.batch_queued for each in shards] == [True, False]
            assert [each.batch_left for each in shards] == [3.0, 3.0]
            shards = await ledger.claim_shards(names, owner="w", now=0, lease_seconds=9)
            assert [(each.batch_id, each.index, each.batch_queued) for each in shards] == [("batch-0", 0, False)]
            assert await ledger.claim_shards(names, owner="w", now=0, lease_seconds=9) == []

        run(story)

    def test_news_of_shards_are_numbered(self, run: Any) -> None:
        """Whoever knows a number hears of those batches only that have got shards to claim since."""

        async def story(ledger: Ledger) -> None:
            assert await ledger.queued_batches("d", after=0) == []
            await started(ledger, 0, shards=(1, 1))
            await started(ledger, 1, shards=(4,))
            first, second = await ledger.queued_batches("d", after=0)
            assert (first.batch_id, first.left, first.lines, first.since) == ("batch-0", 2.0, 2, 1_100)
            assert second.batch_id == "batch-1"
            assert [each.batch_id for each in await ledger.queued_batches("d", after=first.number)] == ["batch-1"]
            assert [each.batch_id for each in await ledger.queued_batches("d", after=0, limit=1)] == ["batch-0"]
            assert await ledger.queued_batches("d", after=second.number) == []
            shard = await claimed(ledger)
            await ledger.commit_segments([segment(shard, 0)], now=1, lease_seconds=9)
            assert await ledger.queued_batches("d", after=second.number) == [], "a claim is no news"
            await ledger.release_shard("batch-0", 0, epoch=shard.epoch)
            (again,) = await ledger.queued_batches("d", after=second.number)
            assert (again.batch_id, again.left, again.lines) == ("batch-0", 1.0, 1)
            assert again.number > second.number
            await ledger.request_cancel("batch-0", now=2)
            assert await ledger.queued_batches("d", after=second.number) == []

        run(story)

    def test_each_deployment_has_news_of_its_own(self, run: Any) -> None:
        """A worker hears of no batch of a deployment that it does not serve."""

        async def story(ledger: Ledger) -> None:
            await started(ledger)
            assert await ledger.queued_batches("other", after=0) == []
            assert len(await ledger.queued_batches("d", after=0)) == 1

        run(story)

    def test_leases_are_renewed_by_commit_and_by_heartbeat(self, run: Any) -> None:
        """A lease ends only when neither has come for its time."""

        async def story(ledger: Ledger) -> None:
            await started(ledger)
            shard = await claimed(ledger, now=0.0)
            await ledger.commit_segments([segment(shard, 0)], now=8.0, lease_seconds=10)
            assert await ledger.release_leases(now=15.0) == 0
            (state,) = await ledger.renew_leases([("batch-0", 0, shard.epoch)], now=16.0, lease_seconds=10)
            assert (state.stop, state.expired, state.epoch) == (False, False, shard.epoch)
            assert await ledger.release_leases(now=25.0) == 0
            assert await ledger.release_leases(now=26.5) == 1

        run(story)

    def test_a_lease_is_renewed_by_its_epoch(self, run: Any) -> None:
        """What is asked for under an old epoch is left out, and the lease of whoever has it now is not touched."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, shards=(1, 1))
            first, second = await claimed(ledger), await claimed(ledger)
            assert await ledger.release_leases(now=11.0) == 2
            again = await claimed(ledger, owner="w", now=11.0)
            assert again.index == first.index
            assert again.epoch > first.epoch
            held = ("batch-0", 0, again.epoch)
            asked = [("batch-0", 0, first.epoch), ("batch-0", 1, second.epoch), held, ("nobody", 0, again.epoch)]
            states = await ledger.renew_leases(asked, now=18.0, lease_seconds=10)
            assert [(state.index, state.epoch) for state in states] == [(0, again.epoch)]
            assert await ledger.renew_leases([], now=18.0, lease_seconds=10) == []
            assert await ledger.release_leases(now=27.5) == 0
            assert await ledger.release_leases(now=28.5) == 1

        run(story)

    def test_a_worker_learns_that_a_window_is_over(self, run: Any) -> None:
        """It is told apart from a cancel: a line may have an answer that is a better word than "expired"."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, policies=Policies(window_elapsed=WindowElapsed.EXPIRE))
            shard = await claimed(ledger)
            await ledger.elapse_windows(now=2_000)
            (state,) = await ledger.renew_leases([("batch-0", 0, shard.epoch)], now=1, lease_seconds=10)
            assert (state.stop, state.expired) == (True, True)

        run(story)

    def test_the_dead_are_known_by_name(self, run: Any) -> None:
        """After a restart the leases of all others go back at once."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, shards=(1, 1))
            first = await claimed(ledger, owner="dead")
            await claimed(ledger, owner="me")
            assert await ledger.release_leases(now=0.0, dead_owners_except="me") == 1
            again = await claimed(ledger, owner="me")
            assert again.index == first.index
            assert again.epoch > first.epoch

        run(story)

    def test_cancel_while_validating(self, run: Any) -> None:
        """The scan that was under way is not accepted, and the batch ends without files."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_batch(batch())
            cancelled = await ledger.request_cancel("batch-0", now=7)
            assert cancelled is not None
            assert (cancelled.status, cancelled.cancelling_at) == (Status.CANCELLING, 7)
            assert not await ledger.accept_batch("batch-0", deployment="d", endpoint="/x", total=1, tokens=1, shards=[])
            assert not await ledger.reject_batch("batch-0", errors=[], now=8)
            assert await ledger.next_to_validate() is None
            assert await ledger.begin_finalizing(now=8) is not None
            ended = await ledger.publish_files("batch-0", output=None, error=None, now=9)
            assert ended is not None
            assert (ended.status, ended.cancelled_at) == (Status.CANCELLED, 9)

        run(story)

    def test_cancel_while_running(self, run: Any) -> None:
        """Queued shards stop at once, the worker learns of it, and the batch ends when the last shard is back."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, shards=(2, 1))
            shard = await claimed(ledger)
            await ledger.request_cancel("batch-0", now=7)
            assert await claim(ledger, "d", owner="w", now=0, seconds=1) is None
            (state,) = await ledger.renew_leases([("batch-0", 0, shard.epoch)], now=1, lease_seconds=10)
            assert (state.stop, state.expired) == (True, False)
            assert await ledger.begin_finalizing(now=8) is None
            assert await ledger.commit_segments([segment(shard, 1)], now=1, lease_seconds=9) == []
            assert await ledger.release_shard("batch-0", 0, epoch=shard.epoch)
            ending = await ledger.begin_finalizing(now=8)
            assert ending is not None
            assert ending.status is Status.CANCELLING
            unfinished = await ledger.unfinished_shards("batch-0")
            assert [(each.index, each.done) for each in unfinished] == [(0, b"\x02"), (1, b"")]

        run(story)

    def test_cancel_of_what_has_ended_changes_nothing(self, run: Any) -> None:
        """The batch comes back as it is; an unknown one is None."""

        async def story(ledger: Ledger) -> None:
            await ledger.add_batch(batch())
            await ledger.reject_batch("batch-0", errors=[BatchError(code="c", message="m", line=3)], now=5)
            failed = await ledger.batch("batch-0")
            assert failed is not None
            assert (failed.status, failed.failed_at) == (Status.FAILED, 5)
            assert failed.errors == [BatchError(code="c", message="m", line=3)]
            assert await ledger.request_cancel("batch-0", now=9) == failed
            assert await ledger.request_cancel("nobody", now=9) is None

        run(story)

    def test_windows_elapse_where_the_policy_says_so(self, run: Any) -> None:
        """OpenAI's batches expire, Azure's run on; what never ran makes the end `expired`."""

        async def story(ledger: Ledger) -> None:
            expire = Policies(window_elapsed=WindowElapsed.EXPIRE)
            await started(ledger, 0, policies=expire)
            await started(ledger, 1)
            assert await ledger.elapse_windows(now=1_999) == []
            assert await ledger.elapse_windows(now=2_000) == ["batch-0"]
            ending = await ledger.begin_finalizing(now=2_001)
            assert ending is not None
            assert (ending.id, ending.status) == ("batch-0", Status.FINALIZING)
            ended = await ledger.publish_files("batch-0", output=None, error=None, now=2_002)
            assert ended is not None
            assert (ended.status, ended.expired_at) == (Status.EXPIRED, 2_002)

        run(story)

    def test_tokens_are_those_of_batches_that_have_not_ended(self, run: Any) -> None:
        """Held from acceptance to the end; those who wait are told what the others hold."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, 0, shards=(5,))
            await ledger.add_batch(batch(1))
            cut = [NewShard(offset=0, length=1, lines=1, tokens=7)]
            await ledger.accept_batch("batch-1", deployment="d", endpoint="/x", total=1, tokens=7, shards=cut)
            assert await ledger.enqueued_tokens("d") == 12
            (waiting,) = await ledger.waiting()
            assert (waiting.deployment, waiting.held, [each.id for each in waiting.batches]) == ("d", 5, ["batch-1"])
            for number in range(2):
                await ledger.request_cancel(f"batch-{number}", now=1)
                assert await ledger.begin_finalizing(now=2) is not None
                await ledger.publish_files(f"batch-{number}", output=None, error=None, now=3)
            assert await ledger.enqueued_tokens("d") == 0

        run(story)

    def test_a_terminal_batch_never_changes(self, run: Any) -> None:
        """Nothing that can be asked of a ledger moves what has ended."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, shards=(1,))
            shard = await claimed(ledger)
            await ledger.commit_segments([segment(shard, 0)], now=1, lease_seconds=9)
            await ledger.finish_shard("batch-0", 0, epoch=shard.epoch)
            await ledger.begin_finalizing(now=5)
            ended = await ledger.publish_files("batch-0", output=None, error=None, now=6)
            await ledger.request_cancel("batch-0", now=7)
            await ledger.enqueue(["batch-0"], now=7)
            await ledger.elapse_windows(now=10_000)
            await ledger.commit_segments([segment(shard, 0)], now=7, lease_seconds=9)
            await ledger.release_leases(now=10_000.0, dead_owners_except="")
            assert await ledger.batch("batch-0") == ended

        run(story)

    def test_reads_go_on_while_much_is_written(self, run: Any) -> None:
        """Readers see whole facts, at any moment."""

        async def story(ledger: Ledger) -> None:
            await started(ledger, shards=(200,))
            shard = await claimed(ledger)

            async def write() -> None:
                for line in range(200):
                    await ledger.commit_segments([segment(shard, line, offset=10 * line)], now=1, lease_seconds=99)

            writing = asyncio.ensure_future(write())
            last = -1
            while not writing.done():
                now = await ledger.batch("batch-0")
                assert now is not None
                assert now.counts.completed >= last
                assert now.counts.completed == now.usage.input_tokens
                last = now.counts.completed
                await asyncio.sleep(0)
            await writing

        run(story)
