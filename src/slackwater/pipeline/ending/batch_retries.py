"""Makes an input file of the lines of an ended batch that failed or never ran. Before: finalizer. After: admission.

Which lines those are is read in an Offload; the lines themselves are copied from blob to blob and do not pass through
memory. The new file is durable before its row, as with any upload. All that is read and copied is compared with what was
written: no line is sent again as what it has become, and none is left out because it is not there.
"""

from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct
from zlib_ng.zlib_ng import crc32

from slackwater.core.batch import Batch, Status
from slackwater.core.errors import Conflict, FileUnreadable, QuotaExceeded
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


class Read(Struct):
    """What was read of a file: how many bytes, and their CRC-32."""

    size: int = 0
    checksum: int = 0
    fault: str | None = None
    """Why it cannot be what was written, where that was seen."""

    def fault_as(self, file: File) -> str | None:
        """Why it is not what was written as this file. One of an older version has no checksum."""
        if self.fault is None and (self.size != file.size or file.checksum not in (None, self.checksum)):
            return f"changed; {self.size} bytes of {file.size}"
        return self.fault


class Run(Struct):
    """Lines one after another, and their CRC-32."""

    offset: int
    length: int
    checksum: int


class Picked(Struct):
    """The lines to try again, and what was read to find them."""

    runs: list[Run]
    input: Read
    results: Read


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
        not ended, where nothing failed, and where a file that is needed is deleted; FileUnreadable where one is not what was
        written; and QuotaExceeded.
        """
        if not batch.terminal:
            raise Conflict(f"The batch is '{batch.status.value}'. Only a batch that has ended can be tried again.")
        if batch.storage is not None:
            raise Conflict(
                "Input and results of this batch are in your storage: make a batch of a blob with what failed."
            )
        source = await self._input_of(batch)
        if batch.status is Status.FAILED or (batch.error_file_id is None and batch.output_file_id is None):
            return source.id
        try:
            picked = await self._pick(batch, source)
            if not picked.runs:
                raise Conflict(f"Every line of batch {batch.id} was completed; there is nothing to try again.")
            return await self._make(source, picked, expires_seconds=expires_seconds, limits=limits)
        except FileUnreadable:
            # It may have been deleted meanwhile, which is another answer.
            await self._input_of(batch)
            raise

    async def _input_of(self, batch: Batch) -> File:
        file = await self._ledger.file(batch.input_file_id)
        if file is None:
            raise Conflict(GONE.format(what="input file", id=batch.id))
        return file

    async def _pick(self, batch: Batch, source: File) -> Picked:
        """The lines that the error file names; or, where it is gone, those that the output file does not."""
        for file_id, named in ((batch.error_file_id, True), (batch.output_file_id, False)):
            file = None if file_id is None else await self._ledger.file(file_id)
            if file is not None:
                await stored_files.learn(self._blobs, source)
                await stored_files.learn(self._blobs, file)
                # Whoever knows the bytes of the whole input knows that each of its lines is as it was.
                sound = source.checksum is not None
                picked = await self._offload.run(pick_lines, self._blobs, source.blob, file.blob, named, sound)
                for each, read in ((file, picked.results), (source, picked.input)):
                    fault = read.fault_as(each)
                    if fault is not None:
                        raise stored_files.unreadable(each, fault)
                return picked
            if file_id is None and named and batch.counts.completed == batch.counts.total:
                return Picked([], Read(), Read())
        raise Conflict(GONE.format(what="error file", id=batch.id))

    async def _make(self, source: File, picked: Picked, *, expires_seconds: int | None, limits: FileLimits) -> str:
        file_id = self._new_file_id()
        blob = f"files/{file_id}"
        writer = await self._blobs.create(blob)
        try:
            for run in picked.runs:
                try:
                    copied = await writer.copy(BlobRange(key=source.blob, offset=run.offset, length=run.length))
                except OSError as error:
                    raise stored_files.unreadable(source, f"while it was copied: {error!r}") from error
                if copied != run.checksum:
                    raise stored_files.unreadable(source, "changed while it was copied")
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


def pick_lines(blobs: BlobStore, input_key: str, results_key: str, named: bool, sound: bool) -> Picked:
    """The runs of input lines whose id is in a results file, or (`named` false) is not in it.

    `sound`: the caller knows what the whole input has to be. Otherwise lines that were found to be damaged are left out.
    """
    picked = Picked([], Read(), Read())
    try:
        found = [_decode(line) for line in _lines(blobs, results_key, picked.results)]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        picked.results.fault = "changed: a line is no result"
        return picked
    # Lines whose bytes in the input have changed are not tried again as what they have become.
    damaged = {
        each.custom_id
        for each in found
        if not sound and each.error is not None and each.error.code == INPUT_UNREADABLE[0]
    }
    ids = {each.custom_id for each in found} - damaged
    position = 0
    for line in _lines(blobs, input_key, picked.input):
        start, position = position, position + len(line)
        if is_blank(line):
            continue
        custom_id = id_of(line)
        if not custom_id or custom_id in damaged or (custom_id in ids) is not named:
            continue
        if picked.runs and (last := picked.runs[-1]).offset + last.length == start:
            last.length += len(line)
            last.checksum = crc32(line, last.checksum)
        else:
            picked.runs.append(Run(start, len(line), crc32(line)))
    return picked


def _lines(blobs: BlobStore, key: str, read: Read) -> Iterator[bytes]:
    """The lines of a blob, and on the way what there is to be said of all of it."""
    try:
        with blobs.reader(key) as lines:
            for line in lines:
                read.size += len(line)
                read.checksum = crc32(line, read.checksum)
                yield line
    except OSError as error:
        read.fault = repr(error)
