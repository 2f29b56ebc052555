"""Makes the two files of a batch that has nothing left to run, and publishes them with its last status.

The output file is the journaled lines, copied range by range without passing through memory; lines that never ran get a
coded error line here. Files are durable before the one transaction that names them; a crash in between repeats the work
under new keys. What is read is compared with its checksums first: what stays damaged costs its own lines, which end with a
coded error line too, and never the end of the batch. Before: worker. After: download.
"""

import logging
from collections.abc import Callable, Iterable, Sequence

from slackwater.core.batch import Batch, BatchError, EmptyFiles, Status, UserStorage
from slackwater.core.errors import StorageTrouble, UserStorageTrouble
from slackwater.core.files.file import File, Purpose
from slackwater.core.members import Duty
from slackwater.core.sending.lines import BATCH_CANCELLED, BATCH_EXPIRED, RESULT_UNREADABLE, LineWriter
from slackwater.core.sending.rereading import Rereading
from slackwater.pipeline.ending import segment_lines
from slackwater.pipeline.ending.handing_over import NOT_TAKEN, HandingOver, Made
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.sending.shard_lines import (
    Damaged,
    ids_of,
    is_done,
    read_shard,
    salvaged_shard,
    shard_digest,
)
from slackwater.ports import BlobRange, BlobStore, BlobWriter, Clock, Ledger, Segment, UnfinishedShard
from slackwater.telemetry import event, meters

# Segments that are read at a time.
SEGMENTS = 1000


class Unreadable(Exception):
    """The input or the results of a batch could not be read; the cause says why."""

    def __init__(self, what: str, cause: OSError) -> None:
        super().__init__(str(cause))
        self.what = what
        self.cause = cause


class Finalizer:
    """Ends one batch per step: of those whose results are files here, or of those whose users want them elsewhere."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: BlobStore,
        clock: Clock,
        *,
        new_file_id: Callable[[], str],
        logs_whole: Callable[[], bool] = lambda: True,
        handing_over: HandingOver | None = None,
    ) -> None:
        """`logs_whole`: whether the logs have all that was written to them; before that no batch ends.

        With `handing_over`, it ends those batches whose results go to storages of their users; several steps may run at once.
        """
        self._handing_over = handing_over
        self._in_hand: set[str] = set()
        self._logs_whole = logs_whole
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._new_file_id = new_file_id
        self._stumbled: set[str] = set()
        # Batches whose bytes could not be read, and those that are to be ended with what can be read of them.
        self._unread: dict[str, Rereading] = {}
        self._given_up: set[str] = set()
        # Files that were published for a batch here, also by tries that came to nothing. A start sweeps what others have left.
        self._tried: dict[str, set[str]] = {}
        self._nothing_left = False

    def at_rest(self) -> bool:
        """Whether no batch is to end, and none waits for its next try: whoever has brought one to its end says so."""
        return self._nothing_left

    async def step(self) -> Pace:
        """Publishes the oldest batch that is through."""
        self._nothing_left = False
        if not self._logs_whole():
            return Pace.IDLE
        now = self._clock.monotonic()
        waiting = {key for key, each in self._unread.items() if now < each.until and key not in self._given_up}
        if self._handing_over is not None:
            waiting |= self._handing_over.waiting() | self._in_hand
        batch = await self._ledger.begin_finalizing(
            now=int(self._clock.now()), skip=self._stumbled | waiting, elsewhere=self._handing_over is not None
        )
        if batch is None:
            self._nothing_left = not self._stumbled and not waiting
            # Those that could not be ended are tried again when nobody else waits.
            self._stumbled.clear()
            return Pace.IDLE
        if batch.id in self._in_hand:
            # Another step took it while the ledger was asked; the next look passes over it.
            return Pace.BUSY
        self._in_hand.add(batch.id)
        try:
            return await self._finalize(batch)
        finally:
            self._in_hand.discard(batch.id)
            await self._ledger.end_duty(Duty.FINALIZE, batch.id)

    async def _finalize(self, batch: Batch) -> Pace:
        made = None if self._handing_over is None else self._handing_over.made(batch)
        try:
            made = made or await self._make(batch)
            storage = None if self._handing_over is None else await self._handing_over.hand_over(batch, made)
        except UserStorageTrouble:
            # It has been said, and is tried again.
            return Pace.BUSY
        except Unreadable as unreadable:
            self._could_not_read(batch, unreadable.what, unreadable.cause)
            return Pace.BUSY
        except Exception:
            # One batch that cannot be ended must not keep the others from it.
            self._stumbled.add(batch.id)
            raise
        await self._end(batch, made, storage, errors=[NOT_TAKEN] if self._handing_over and storage is None else [])
        meters.lines_lost["results"] += made.lost
        self._unread.pop(batch.id, None)
        self._given_up.discard(batch.id)
        return Pace.BUSY

    async def _make(self, batch: Batch) -> Made:
        ending = _Ending(self._ledger, self._blobs, batch, salvages=batch.id in self._given_up)
        output, error = await self._write_files(ending) if batch.counts.total else (None, None)
        return Made(batch.status, output, error, ending.lost, ending.lost_completed)

    def _could_not_read(self, batch: Batch, what: str, cause: OSError) -> None:
        """Tries it again later, and after the last time ends the batch with what can be read."""
        reading = self._unread.setdefault(batch.id, Rereading())
        last = reading.failed(damaged=isinstance(cause, Damaged), now=self._clock.monotonic())
        meters.damage_seen[what] += 1
        event(
            "batch_unreadable",
            level=logging.ERROR if last else logging.WARNING,
            batch=batch.id,
            what=what,
            tries=reading.tries,
            error=repr(cause),
        )
        if last:
            self._given_up.add(batch.id)

    async def _end(
        self, batch: Batch, made: Made, storage: UserStorage | None, *, errors: Sequence[BatchError]
    ) -> None:
        now = int(self._clock.now())
        output, error = (made.output, made.error) if storage is None else (None, None)
        ended = await self._ledger.publish_files(
            batch.id, output=output, error=error, now=now, lost=made.lost_completed, storage=storage, errors=errors
        )
        mine = {file.blob for file in (made.output, made.error) if file is not None}
        if ended is None:
            # Somebody else has ended it, and perhaps removed what we read from: only theirs count.
            self._tried.pop(batch.id, None)
            for key in mine:
                await self._blobs.delete(key)
            return
        if storage is not None:
            mine = set()
        meters.batch_ended(
            ended.status.value, created_at=ended.created_at, expires_at=ended.expires_at, now=self._clock.now()
        )
        counts = ended.counts
        if ended.deployment is not None and (never_run := counts.total - counts.completed - counts.failed):
            meters.deployment(ended.deployment).ended[ended.status.value] += never_run
        event(
            "batch_ended",
            batch=batch.id,
            status=ended.status.value,
            completed=ended.counts.completed,
            failed=ended.counts.failed,
            total=ended.counts.total,
        )
        try:
            await self._clean(batch, keep=mine)
        except (OSError, StorageTrouble) as fault:
            # The batch has ended all the same; the next start sweeps.
            event("not_cleaned", level=logging.WARNING, batch=batch.id, error=repr(fault))

    async def _write_files(self, ending: "_Ending") -> tuple[File | None, File | None]:
        # Each attempt has keys of its own: a late one must not overwrite what an earlier one has published.
        batch = ending.batch
        # All in one folder, so that one sync makes the names of both files durable.
        keys = [(file_id := self._new_file_id(), f"outputs/{file_id}") for _ in range(2)]
        output, error = await self._blobs.create(keys[0][1]), await self._blobs.create(keys[1][1])
        try:
            await ending.copy_segments(output, error)
            for shard in await self._ledger.unfinished_shards(batch.id):
                await ending.write_never_run(shard, error)
            policies, alone = batch.policies, not self._there_is(batch, output)
            second = await self._publish(batch, error, *keys[1], filename=policies.error_filename, named=alone)
            return await self._publish(batch, output, *keys[0], filename=policies.output_filename), second
        finally:
            await output.discard()
            await error.discard()

    @staticmethod
    def _there_is(batch: Batch, writer: BlobWriter) -> bool:
        """Whether a batch has this file."""
        return writer.size > 0 or batch.storage is not None or batch.policies.empty_files is not EmptyFiles.OMIT

    async def _publish(
        self, batch: Batch, writer: BlobWriter, file_id: str, key: str, *, filename: str, named: bool = True
    ) -> File | None:
        if not self._there_is(batch, writer):
            return None
        size = writer.size
        self._tried.setdefault(batch.id, set()).add(key)
        await writer.publish(named=named)
        created_at = int(self._clock.now())
        lifetime = batch.policies.output_expires_seconds
        return File(
            id=file_id,
            resource=batch.resource,
            filename=filename.format(id=batch.id),
            purpose=Purpose.BATCH_OUTPUT,
            size=size,
            created_at=created_at,
            blob=key,
            expires_at=None if lifetime is None else created_at + lifetime,
            checksum=writer.checksum,
        )

    async def _clean(self, batch: Batch, *, keep: set[str]) -> None:
        """Removes what only the running batch needed, and what interrupted attempts to end it have left."""
        for key in self._tried.pop(batch.id, set()) - keep:
            await self._blobs.delete(key)
        await self._blobs.delete(f"logs/{batch.id}/")
        # Of one whose input has never come there is none.
        if batch.input_blob and not await self._ledger.blob_in_use(batch.input_blob):
            await self._blobs.delete(batch.input_blob)


class _Ending:
    """One try to write the lines of a batch. Raises Unreadable, unless it `salvages` what can be read."""

    def __init__(self, ledger: Ledger, blobs: BlobStore, batch: Batch, *, salvages: bool) -> None:
        self.batch = batch
        self.lost = 0
        """Results that are lost."""
        self.lost_completed = 0
        """Those of them that were in the output log."""
        self._ledger = ledger
        self._blobs = blobs
        self._salvages = salvages
        # By shard, which lines have a result that is what was written.
        self._seen: dict[int, set[int]] = {}

    async def copy_segments(self, output: BlobWriter, error: BlobWriter) -> None:
        """Writes the results, and an error line for each one that is lost."""
        copies = (_Copy(output), _Copy(error))
        completed = after = 0
        while page := await self._ledger.segments(self.batch.id, after=after, limit=SEGMENTS):
            for sequence, segment in page:
                after = sequence
                completed += await self._copy(segment, segment.output, segment.output_checksums, copies[0])
                await self._copy(segment, segment.error, segment.error_checksums, copies[1])
            if len(page) < SEGMENTS:
                break
        for copy in copies:
            await copy.flush()
        if self._salvages:
            self.lost_completed = max(0, self.batch.counts.completed - completed)
            for index in sorted(self._seen):
                await self._write_lost(index, error)

    async def _copy(self, segment: Segment, place: BlobRange | None, checksums: bytes, copy: "_Copy") -> int:
        """Copies a range, or what can be read of it; then it is known how many lines that are."""
        if place is None:
            return 0
        if not self._salvages:
            try:
                whole = await segment_lines.check(self._blobs, place, checksums)
            except OSError as error:
                raise Unreadable("results", error) from error
            await (copy.add(place) if whole is None else copy.write(whole))
            return 0
        kept = await segment_lines.salvaged(
            self._blobs, place, checksums, batch_id=segment.batch_id, index=segment.index
        )
        seen = self._seen.setdefault(segment.index, set())
        new = [each for each in kept if each.line not in seen]
        for each in new:
            seen.add(each.line)
            await copy.add(each.place)
        return len(new)

    async def _write_lost(self, index: int, error: BlobWriter) -> None:
        """An error line for each line of a shard that has a result which is not there any more."""
        shard = await self._ledger.shard(self.batch.id, index)
        if shard is None:
            return
        seen = self._seen[index]
        lost = [line for line in range(shard.lines) if is_done(shard.done, line) and line not in seen]
        if lost:
            self.lost += len(lost)
            event("results_lost", level=logging.ERROR, batch=self.batch.id, shard=index, lines=len(lost))
            await self._write_errors(shard, lost, RESULT_UNREADABLE, error)

    async def write_never_run(self, shard: UnfinishedShard, error: BlobWriter) -> None:
        """An error line for each line of a shard that never ran."""
        reason = BATCH_CANCELLED if self.batch.status is Status.CANCELLING else BATCH_EXPIRED
        never_run = [line for line in range(shard.lines) if not is_done(shard.done, line)]
        await self._write_errors(shard, never_run, reason, error)

    async def _write_errors(
        self, shard: UnfinishedShard, lines: Iterable[int], reason: tuple[str, str], error: BlobWriter
    ) -> None:
        try:
            data = await read_shard(self._blobs, shard)
        except OSError as unread:
            if not self._salvages:
                raise Unreadable("input", unread) from unread
            data, _ = await salvaged_shard(self._blobs, shard)
        ids, (code, message) = ids_of(data, shard.lines), reason
        writer = LineWriter(shard_digest(self.batch.id, shard.index))
        await error.write(b"".join([writer.unanswered(line, ids[line], code=code, message=message) for line in lines]))


class _Copy:
    """Copies ranges into a writer, joining those that lie side by side."""

    def __init__(self, writer: BlobWriter) -> None:
        self._writer = writer
        self._range: BlobRange | None = None

    async def add(self, more: BlobRange | None) -> None:
        last = self._range
        if more is None:
            return
        if last is not None and last.key == more.key and last.offset + last.length == more.offset:
            self._range = BlobRange(key=last.key, offset=last.offset, length=last.length + more.length)
            return
        await self.flush()
        self._range = more

    async def write(self, data: bytes) -> None:
        """Adds bytes that have just been read."""
        await self.flush()
        await self._writer.write(data)

    async def flush(self) -> None:
        if self._range is not None:
            await self._writer.copy(self._range)
            self._range = None
