"""Makes the two files of a batch that has nothing left to run, and publishes them with its last status.

The output file is the journaled lines, copied range by range without passing through memory; lines that never ran get a
coded error line here. Files are durable before the one transaction that names them; a crash in between repeats the work
under new keys. Before: worker. After: download.
"""

import io
from collections.abc import Callable

from slackwater.core.batch import Batch, EmptyFiles, Status
from slackwater.core.files.file import File, Purpose
from slackwater.core.input.validation import is_blank
from slackwater.core.sending.lines import BATCH_CANCELLED, BATCH_EXPIRED, LineWriter, read_input_line
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.sending.shard_lines import read_shard, shard_digest
from slackwater.ports import BlobRange, BlobStore, BlobWriter, Clock, Ledger, UnfinishedShard
from slackwater.telemetry import event, meters


class Finalizer:
    """Ends one batch per step."""

    def __init__(self, ledger: Ledger, blobs: BlobStore, clock: Clock, *, new_file_id: Callable[[], str]) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._new_file_id = new_file_id
        self._stumbled: set[str] = set()

    async def step(self) -> Pace:
        """Publishes the oldest batch that is through."""
        batch = await self._ledger.begin_finalizing(now=int(self._clock.now()), skip=self._stumbled)
        if batch is None:
            # Those that could not be ended are tried again when nobody else waits.
            self._stumbled.clear()
            return Pace.IDLE
        try:
            output, error = await self._write_files(batch) if batch.counts.total else (None, None)
        except Exception:
            # One batch whose bytes cannot be read must not keep the others from ending.
            self._stumbled.add(batch.id)
            raise
        ended = await self._ledger.publish_files(batch.id, output=output, error=error, now=int(self._clock.now()))
        mine = {file.blob for file in (output, error) if file is not None}
        if ended is None:
            # Somebody else has ended it, and perhaps removed what we read from: only theirs count.
            for key in mine:
                await self._blobs.delete(key)
            return Pace.BUSY
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
        await self._clean(batch, keep=mine)
        return Pace.BUSY

    async def _write_files(self, batch: Batch) -> tuple[File | None, File | None]:
        # Each attempt has keys of its own: a late one must not overwrite what an earlier one has published.
        keys = [(file_id := self._new_file_id(), f"results/{batch.id}/{file_id}") for _ in range(2)]
        output, error = await self._blobs.create(keys[0][1]), await self._blobs.create(keys[1][1])
        try:
            await self._copy_segments(batch.id, output, error)
            for shard in await self._ledger.unfinished_shards(batch.id):
                await self._write_never_run(batch, shard, error)
            return (
                await self._publish(batch, output, *keys[0], filename=batch.policies.output_filename),
                await self._publish(batch, error, *keys[1], filename=batch.policies.error_filename),
            )
        finally:
            await output.discard()
            await error.discard()

    async def _copy_segments(self, batch_id: str, output: BlobWriter, error: BlobWriter) -> None:
        copies = (_Copy(output), _Copy(error))
        after = 0
        while page := await self._ledger.segments(batch_id, after=after):
            for sequence, segment in page:
                after = sequence
                await copies[0].add(segment.output)
                await copies[1].add(segment.error)
        for copy in copies:
            await copy.flush()

    async def _write_never_run(self, batch: Batch, shard: UnfinishedShard, error: BlobWriter) -> None:
        code, message = BATCH_CANCELLED if batch.status is Status.CANCELLING else BATCH_EXPIRED
        data = await read_shard(self._blobs, shard.places)
        writer = LineWriter(shard_digest(batch.id, shard.index))
        texts = []
        line = 0
        for text in io.BytesIO(data):
            if is_blank(text):
                continue
            if not (line >> 3 < len(shard.done) and shard.done[line >> 3] >> (line & 7) & 1):
                custom_id = read_input_line(text).custom_id
                texts.append(writer.unanswered(line, custom_id, code=code, message=message))
            line += 1
        await error.write(b"".join(texts))

    async def _publish(self, batch: Batch, writer: BlobWriter, file_id: str, key: str, *, filename: str) -> File | None:
        size = writer.size
        if size == 0 and batch.policies.empty_files is EmptyFiles.OMIT:
            return None
        await writer.publish()
        created_at = int(self._clock.now())
        lifetime = batch.policies.output_expires_seconds
        return File(
            id=file_id,
            filename=filename.format(id=batch.id),
            purpose=Purpose.BATCH_OUTPUT,
            size=size,
            created_at=created_at,
            blob=key,
            expires_at=None if lifetime is None else created_at + lifetime,
        )

    async def _clean(self, batch: Batch, *, keep: set[str]) -> None:
        """Removes what only the running batch needed, and what interrupted attempts to end it have left."""
        for name in await self._blobs.names(f"results/{batch.id}/"):
            if (key := f"results/{batch.id}/{name}") not in keep:
                await self._blobs.delete(key)
        await self._blobs.delete(f"logs/{batch.id}/")
        if not await self._ledger.blob_in_use(batch.input_blob):
            await self._blobs.delete(batch.input_blob)


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

    async def flush(self) -> None:
        if self._range is not None:
            await self._writer.copy(self._range)
            self._range = None
