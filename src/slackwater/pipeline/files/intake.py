"""Bytes in, a File out. Before: the user's upload. After: admission.

The file's bytes are durable before the row that shows it; what is not finished leaves nothing behind.
"""

import uuid
from collections.abc import Callable

from slackwater.core.errors import FileTooLarge, InvalidRequest, QuotaExceeded
from slackwater.core.files.file import FILENAME_MAX, File, FileLimits, Purpose
from slackwater.core.input.peek import HEAD_BYTES
from slackwater.ports import BlobStore, BlobWriter, Clock, Ledger
from slackwater.telemetry import event


def new_file_id() -> str:
    """An id as Azure gives uploads: `file-` and 32 hexadecimal digits (spec 2.1)."""
    return f"file-{uuid.uuid4().hex}"


class IncomingFile:
    """One file on its way in. End it with `finish` or `discard`."""

    def __init__(self, intake: "Intake", file_id: str, writer: BlobWriter) -> None:
        self._intake = intake
        self._file_id = file_id
        self._writer = writer
        self.head = b""
        """The first bytes, for whoever wants to look at them; at most HEAD_BYTES."""

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._writer.size

    def check(self, more: int) -> None:
        """Raises FileTooLarge where so many more bytes would be too many."""
        limit = self._intake.upload_bytes_max
        if limit and self._writer.size + more > limit:
            raise FileTooLarge(
                f"File is too large. This service accepts up to {limit:,} bytes; split it into several files."
            )

    async def write(self, data: bytes) -> None:
        """Adds bytes. Raises FileTooLarge as soon as there are too many, and StorageFull."""
        self.check(len(data))
        if len(self.head) < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - len(self.head)]
        await self._writer.write(data)

    async def finish(self, *, purpose: Purpose, filename: str, expires_seconds: int | None) -> File:
        """Makes the file durable, then visible. `expires_seconds` counts from now; None keeps it until it is deleted."""
        return await self._intake.keep(
            self._file_id, self._writer, purpose=purpose, filename=filename, expires_seconds=expires_seconds
        )

    async def discard(self) -> None:
        """Leaves nothing behind. Harmless after `finish`."""
        await self._writer.discard()


class Intake:
    """Takes uploads."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: BlobStore,
        clock: Clock,
        *,
        upload_bytes_max: int,
        limits: FileLimits | None = None,
        new_id: Callable[[], str] = new_file_id,
    ) -> None:
        """`upload_bytes_max` of 0 is no limit."""
        self.upload_bytes_max = upload_bytes_max
        self.limits = limits or FileLimits()
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._new_id = new_id

    async def begin(self) -> IncomingFile:
        """Starts an upload."""
        file_id = self._new_id()
        return IncomingFile(self, file_id, await self._blobs.create(f"files/{file_id}"))

    async def keep(
        self, file_id: str, writer: BlobWriter, *, purpose: Purpose, filename: str, expires_seconds: int | None
    ) -> File:
        """Blob first, then the row that names it. Raises QuotaExceeded; then nothing stays."""
        if len(filename) > FILENAME_MAX:
            raise InvalidRequest(f"The file name is longer than {FILENAME_MAX} characters.", param="file")
        await writer.publish()
        now = int(self._clock.now())
        file = File(
            id=file_id,
            filename=filename,
            purpose=purpose,
            size=writer.size,
            created_at=now,
            blob=f"files/{file_id}",
            expires_at=None if expires_seconds is None else now + expires_seconds,
            checksum=writer.checksum,
        )
        try:
            await self._ledger.add_file(file, limits=self.limits)
        except QuotaExceeded:
            await self._blobs.delete(file.blob)
            raise
        event("file_uploaded", file=file.id, bytes=file.size, purpose=purpose.value)
        return file

    async def forget(self, file_id: str) -> bool:
        """Deletes a file; False if there is none. A batch that is using its bytes keeps them until it has ended."""
        file = await self._ledger.delete_file(file_id)
        if file is None:
            return False
        if not await self._ledger.blob_in_use(file.blob):
            await self._blobs.delete(file.blob)
        event("file_deleted", file=file_id)
        return True
