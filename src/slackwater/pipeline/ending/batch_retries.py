"""Makes an input file of the lines of an ended batch that failed or never ran. Before: finalizer. After: admission.

Which lines those are is read in an Offload; the lines themselves are copied from blob to blob and do not pass through
memory. The new file is durable before its row, as with any upload.
"""

from collections.abc import Callable

import msgspec
from msgspec import Struct

from slackwater.core.batch import Batch, Status
from slackwater.core.errors import Conflict, QuotaExceeded
from slackwater.core.files.file import File, FileLimits, Purpose
from slackwater.core.input.validation import is_blank
from slackwater.pipeline import stored_files
from slackwater.pipeline.sending.endings import INPUT_UNREADABLE
from slackwater.pipeline.sending.shard_lines import id_of
from slackwater.ports import BlobRange, BlobStore, Clock, Ledger, Offload
from slackwater.telemetry import event

GONE = (
    "The {what} of batch {id} has been deleted or has expired, so its lines cannot be tried again. "
    "Upload the input file again."
)


class _Error(Struct):
    """Why a line has no answer."""

    code: str | None = None


class _Id(Struct):
    """A line of a results file."""

    custom_id: str
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Id).decode


class BatchRetries:
    """Prepares another try of what a batch did not get done."""

    def __init__(
        self, ledger: Ledger, blobs: BlobStore, clock: Clock, offload: Offload, *, new_file_id: Callable[[], str]
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._offload = offload
        self._new_file_id = new_file_id

    async def input_of(self, batch: Batch, *, expires_seconds: int | None, limits: FileLimits) -> str:
        """The id of a new input file with the lines that failed or never ran.

        A batch that failed validation ran nothing at all: its own file is the answer. Raises Conflict where the batch has
        not ended, where nothing failed, and where a file that is needed is gone; and QuotaExceeded.
        """
        if not batch.terminal:
            raise Conflict(f"The batch is '{batch.status.value}'. Only a batch that has ended can be tried again.")
        source = await self._ledger.file(batch.input_file_id)
        if source is None:
            raise Conflict(GONE.format(what="input file", id=batch.id))
        if batch.status is Status.FAILED or (batch.error_file_id is None and batch.output_file_id is None):
            return source.id
        ranges = await self._ranges(batch)
        if not ranges:
            raise Conflict(f"Every line of batch {batch.id} was completed; there is nothing to try again.")
        return await self._make(source, ranges, expires_seconds=expires_seconds, limits=limits)

    async def _ranges(self, batch: Batch) -> list[tuple[int, int]]:
        """Where the lines lie that the error file names; or, where it is gone, those that the output file does not."""
        for file_id, named in ((batch.error_file_id, True), (batch.output_file_id, False)):
            file = None if file_id is None else await self._ledger.file(file_id)
            if file is not None:
                await stored_files.check(self._blobs, file)
                try:
                    return await self._offload.run(pick_lines, self._blobs, batch.input_blob, file.blob, named)
                except FileNotFoundError as error:
                    raise Conflict(GONE.format(what="input file", id=batch.id)) from error
            if file_id is None and named and batch.counts.completed == batch.counts.total:
                return []
        raise Conflict(GONE.format(what="error file", id=batch.id))

    async def _make(
        self, source: File, ranges: list[tuple[int, int]], *, expires_seconds: int | None, limits: FileLimits
    ) -> str:
        file_id = self._new_file_id()
        blob = f"files/{file_id}"
        writer = await self._blobs.create(blob)
        try:
            for offset, length in ranges:
                await writer.copy(BlobRange(key=source.blob, offset=offset, length=length))
            await writer.publish()
        finally:
            await writer.discard()
        now = int(self._clock.now())
        stem = source.filename.removesuffix(".jsonl").removesuffix("_retry")
        file = File(
            id=file_id,
            filename=f"{stem}_retry.jsonl",
            purpose=Purpose.BATCH,
            size=writer.size,
            created_at=now,
            blob=blob,
            expires_at=None if expires_seconds is None else now + expires_seconds,
            checksum=writer.checksum,
        )
        try:
            await self._ledger.add_file(file, limits=limits)
        except QuotaExceeded:
            await self._blobs.delete(blob)
            raise
        event("retry_prepared", file=file_id, source=source.id, bytes=file.size)
        return file_id


def pick_lines(blobs: BlobStore, input_key: str, results_key: str, named: bool) -> list[tuple[int, int]]:
    """Offset and length of the runs of input lines whose id is in a results file, or (`named` false) is not in it."""
    with blobs.reader(results_key) as results:
        found = [_decode(line) for line in results]
    # Lines whose bytes in the input have changed are not tried again as what they have become.
    damaged = {each.custom_id for each in found if each.error is not None and each.error.code == INPUT_UNREADABLE[0]}
    ids = {each.custom_id for each in found} - damaged
    runs: list[tuple[int, int]] = []
    position = 0
    with blobs.reader(input_key) as lines:
        for line in lines:
            start, position = position, position + len(line)
            if is_blank(line):
                continue
            custom_id = id_of(line)
            if not custom_id or custom_id in damaged or (custom_id in ids) is not named:
                continue
            if runs and sum(runs[-1]) == start:
                runs[-1] = (runs[-1][0], runs[-1][1] + len(line))
            else:
                runs.append((start, len(line)))
    return runs
