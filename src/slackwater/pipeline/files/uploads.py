"""Files that come in parts. Before: the user. After: admission, to which the file is one like any other.

A part's bytes are durable before its row, and the whole file before the transaction that shows it and ends the upload; a
crash between the two leaves bytes that nothing names, and a later start removes them. Parts lie side by side under
`uploads/` and not in a directory per upload, so that nobody removes one into which another part is just coming. The bytes
of ended uploads are the janitor's.
"""

import asyncio
import base64
import hashlib
import logging
import uuid
from collections.abc import Callable, Sequence

import msgspec

from slackwater.core.errors import FileTooLarge, FileUnreadable, InvalidRequest, NotFound, SlackwaterError
from slackwater.core.files.file import FILENAME_MAX, File, FileLimits, Purpose
from slackwater.core.files.upload import Upload, UploadPart, UploadStatus, checksum, in_order
from slackwater.core.input.peek import HEAD_BYTES
from slackwater.pipeline.sending.shard_lines import Damaged
from slackwater.ports import BlobRange, BlobStore, BlobWriter, Clock, Ledger
from slackwater.telemetry import event, meters

# Clients cut at 64 MiB (spec 2.5); one more, so that nobody fails over what "MB" means.
PART_BYTES_MAX = 65 << 20
PARTS_MAX = 10_000
# A client that hears no answer sends a part up to three times, and each may have arrived.
COPIES_MAX = 3
MIME_TYPE_MAX = 255
HASH_PIECE = 1 << 20


class IncomingPart:
    """One part on its way in. End it with `finish` or `discard`."""

    def __init__(self, uploads: "Uploads", upload: Upload, part_id: str, writer: BlobWriter) -> None:
        self._uploads = uploads
        self._upload = upload
        self._part_id = part_id
        self._writer = writer

    def check(self, more: int) -> None:
        """Raises FileTooLarge where so many more bytes would be too many."""
        if self._writer.size + more > PART_BYTES_MAX:
            raise FileTooLarge(
                f"The part is larger than {PART_BYTES_MAX:,} bytes. Cut the file into parts of up to 64 MiB.",
                param="data",
            )

    async def write(self, data: bytes) -> None:
        """Adds bytes. Raises FileTooLarge as soon as there are too many, and StorageFull."""
        self.check(len(data))
        await self._writer.write(data)

    async def finish(self) -> UploadPart:
        """Makes the part durable, then known. Raises InvalidRequest where the upload has ended meanwhile or is full."""
        return await self._uploads.keep_part(self._upload, self._part_id, self._writer)

    async def discard(self) -> None:
        """Leaves nothing behind. Harmless after `finish`."""
        await self._writer.discard()


class Uploads:
    """Takes announcements and parts, and makes files of them."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: BlobStore,
        clock: Clock,
        *,
        bytes_max: Callable[[Purpose], int],
        limits: FileLimits,
        new_file_id: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        """`bytes_max` of 0 is no limit; `wake` hints that an upload has ended and its parts may go."""
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._bytes_max = bytes_max
        self._limits = limits
        self._new_file_id = new_file_id
        self._wake = wake

    async def create(
        self,
        *,
        filename: str,
        purpose: Purpose,
        size: int,
        mime_type: str,
        lifetime_seconds: int,
        file_lifetime_seconds: int | None,
    ) -> Upload:
        """A new upload, `pending` for `lifetime_seconds`. Raises InvalidRequest and FileTooLarge."""
        for name, text, most in (("filename", filename, FILENAME_MAX), ("mime_type", mime_type, MIME_TYPE_MAX)):
            if len(text) > most:
                raise InvalidRequest(f"The {name} is longer than {most} characters.", param=name)
        limit = self._bytes_max(purpose)
        if limit and size > limit:
            raise FileTooLarge(
                f"File is too large. This service accepts up to {limit:,} bytes for the purpose '{purpose.value}', "
                f"and {size:,} were announced; split it into several files.",
                param="bytes",
            )
        now = int(self._clock.now())
        upload = Upload(
            id=f"upload_{uuid.uuid4().hex}",
            filename=filename,
            purpose=purpose,
            size=size,
            mime_type=mime_type,
            created_at=now,
            expires_at=now + lifetime_seconds,
            file_lifetime_seconds=file_lifetime_seconds,
        )
        await self._ledger.add_upload(upload)
        event("upload_created", upload=upload.id, bytes=size, purpose=purpose.value)
        return upload

    async def begin_part(self, upload_id: str, *, part_id: str) -> IncomingPart:
        """Starts a part. Raises NotFound, and InvalidRequest where the upload has ended."""
        upload = await self._find(upload_id)
        if upload.status_at(self._clock.now()) is not UploadStatus.PENDING:
            raise self._ended(upload, "no part can be added to it")
        return IncomingPart(self, upload, part_id, await self._blobs.create(f"uploads/{part_id}"))

    async def keep_part(self, upload: Upload, part_id: str, writer: BlobWriter) -> UploadPart:
        """Bytes first, then the row that names them, if the upload still takes it. Otherwise nothing stays."""
        await writer.publish()
        now = int(self._clock.now())
        part = UploadPart(
            id=part_id,
            upload_id=upload.id,
            block_id=base64.b64encode(uuid.uuid4().bytes).decode(),
            size=writer.size,
            created_at=now,
            blob=f"uploads/{part_id}",
            checksum=writer.checksum,
        )
        bytes_max = COPIES_MAX * upload.size + PART_BYTES_MAX
        try:
            added = await self._ledger.add_upload_part(part, now=now, parts_max=PARTS_MAX, bytes_max=bytes_max)
        except SlackwaterError:
            await self._blobs.delete(part.blob)
            raise
        if added:
            return part
        await self._blobs.delete(part.blob)
        upload = await self._find(upload.id)
        if upload.status_at(now) is not UploadStatus.PENDING:
            raise self._ended(upload, "no part can be added to it")
        raise InvalidRequest(
            f"The upload has as many parts as it takes: {PARTS_MAX:,}, or {COPIES_MAX} times the {upload.size:,} bytes "
            "that were announced. Complete it, or cancel it and create another one with larger parts.",
            param="data",
        )

    async def complete(
        self,
        upload_id: str,
        *,
        part_ids: Sequence[str],
        md5: str | None = None,
        look: Callable[[Upload, bytes], None] | None = None,
    ) -> tuple[Upload, File | None]:
        """Makes the file of these parts, in this order; `look` may refuse it by its first bytes.

        Saying the same again returns what was made, because the first answer may have been lost; the file is None if it
        has been deleted since. Raises NotFound, InvalidRequest, QuotaExceeded, StorageFull.
        """
        expected = None if md5 is None else checksum(md5)
        completed_with = hashlib.sha256(msgspec.json.encode(part_ids)).hexdigest()
        # The parts before the upload: while it is pending none goes, so if it is pending now these were all there.
        known = await self._ledger.upload_parts(upload_id)
        upload = await self._find(upload_id)
        if upload.status_at(self._clock.now()) is not UploadStatus.PENDING:
            return await self._as_it_ended(upload, completed_with)
        parts = in_order(part_ids, known)
        total = sum(part.size for part in parts)
        if total != upload.size:
            raise InvalidRequest(
                f"The parts add up to {total:,} bytes, but the upload was created with {upload.size:,}. "
                "Name every part once, or create an upload of the right size.",
                param="part_ids",
            )
        try:
            if look is not None:
                look(upload, await self._head(parts))
            if expected is not None:
                await self._compare(parts, expected)
            file = await self._join(upload, parts)
        except OSError as error:
            # Parts go when the upload ends: somebody else has completed or cancelled it, or it has expired.
            upload = await self._find(upload_id)
            if upload.status is UploadStatus.PENDING:
                event("part_unreadable", level=logging.ERROR, upload=upload.id, error=repr(error))
                meters.damage_seen["files"] += 1
                raise FileUnreadable(
                    f"A part of the upload '{upload.id}' is missing or damaged on the server. Send its bytes again as a new "
                    "part, and complete the upload with that one."
                ) from error
            return await self._as_it_ended(upload, completed_with)
        return await self._publish(upload, file, completed_with)

    async def _publish(self, upload: Upload, file: File, completed_with: str) -> tuple[Upload, File | None]:
        """The file's bytes are durable; now it is shown and the upload ended, or nothing stays."""
        try:
            completed = await self._ledger.complete_upload(
                upload.id, file=file, limits=self._limits, completed_with=completed_with, now=file.created_at
            )
        except SlackwaterError:
            await self._blobs.delete(file.blob)
            raise
        upload = await self._find(upload.id)
        if not completed:
            await self._blobs.delete(file.blob)
            return await self._as_it_ended(upload, completed_with)
        event("upload_completed", upload=upload.id, file=file.id, bytes=file.size, purpose=file.purpose.value)
        self._wake()
        return upload, file

    async def _join(self, upload: Upload, parts: Sequence[UploadPart]) -> File:
        """The whole file, durable and not yet shown."""
        file_id = self._new_file_id()
        blob = f"files/{file_id}"
        writer = await self._blobs.create(blob)
        try:
            for part in parts:
                copied = await writer.copy(BlobRange(key=part.blob, offset=0, length=part.size))
                if part.checksum not in (None, copied):
                    raise Damaged(f"{part.id} has changed")
            await writer.publish()
        finally:
            await writer.discard()
        now = int(self._clock.now())
        lifetime = upload.file_lifetime_seconds
        return File(
            id=file_id,
            filename=upload.filename,
            purpose=upload.purpose,
            size=upload.size,
            created_at=now,
            blob=blob,
            expires_at=None if lifetime is None else now + lifetime,
            checksum=writer.checksum,
        )

    async def _head(self, parts: Sequence[UploadPart]) -> bytes:
        """The first bytes of the whole."""
        head = b""
        for part in parts:
            if len(head) == HEAD_BYTES:
                break
            head += await self._blobs.read(BlobRange(key=part.blob, offset=0, length=HEAD_BYTES - len(head)))
        return head

    async def _compare(self, parts: Sequence[UploadPart], expected: bytes) -> None:
        """Raises InvalidRequest unless the whole has this MD5. The event loop goes on: a thread reads part by part."""
        digest = hashlib.md5(usedforsecurity=False)

        def add(key: str) -> None:
            with self._blobs.reader(key) as part:
                while piece := part.read(HASH_PIECE):
                    digest.update(piece)

        for part in parts:
            await asyncio.to_thread(add, part.blob)
        if digest.digest() != expected:
            raise InvalidRequest(
                f"The MD5 of the parts in this order is {digest.hexdigest()}, but {expected.hex()} was given. "
                "Check their order, or send again those that may be damaged.",
                param="md5",
            )

    async def cancel(self, upload_id: str) -> Upload:
        """The upload, `cancelled`, now or before. Raises NotFound, and InvalidRequest where it has ended otherwise."""
        now = int(self._clock.now())
        upload = await self._ledger.cancel_upload(upload_id, now=now)
        if upload is None:
            raise _unknown(upload_id)
        if upload.status is not UploadStatus.CANCELLED:
            raise self._ended(upload, "it cannot be cancelled")
        event("upload_cancelled", upload=upload.id)
        self._wake()
        return upload

    async def _find(self, upload_id: str) -> Upload:
        upload = await self._ledger.upload(upload_id)
        if upload is None:
            raise _unknown(upload_id)
        return upload

    async def _as_it_ended(self, upload: Upload, completed_with: str) -> tuple[Upload, File | None]:
        if upload.file_id is None or upload.completed_with != completed_with:
            raise self._ended(upload, "it cannot be completed")
        return upload, await self._ledger.file(upload.file_id)

    def _ended(self, upload: Upload, so: str) -> InvalidRequest:
        status = upload.status_at(self._clock.now()).value
        return InvalidRequest(f"The upload '{upload.id}' is {status}; {so}. Create another upload.", param="upload_id")


def _unknown(upload_id: str) -> NotFound:
    return NotFound(f"No such Upload object: {upload_id[:80]}", param="upload_id")
