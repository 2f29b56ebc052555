"""Keeps house: leases of the dead go back to the queue, windows elapse, expired files and left-over bytes go, and uploads end.

Everything here may be done twice, or by two at once, without harm.
"""

from slackwater.pipeline.loops import Pace
from slackwater.ports import BlobStore, Clock, Ledger
from slackwater.telemetry import event

# An upload that has ended is kept so long: a client whose answer was lost may ask again, and hears how it ended.
UPLOAD_KEPT_SECONDS = 86_400


class Janitor:
    """Does what nobody asked for at that moment but must be done some time."""

    def __init__(self, ledger: Ledger, blobs: BlobStore, clock: Clock) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock

    async def start(self) -> None:
        """After a restart: whoever held leases in this data directory is dead, because the directory is ours alone."""
        released = await self._ledger.release_leases(now=self._clock.now(), dead_owners_except="")
        if released:
            event("leases_recovered", shards=released)
        for batch_id in await self._blobs.names("logs/"):
            batch = await self._ledger.batch(batch_id)
            if batch is None or batch.terminal:
                await self._blobs.delete(f"logs/{batch_id}/")
        for file_id in await self._blobs.names("files/"):
            # Bytes without a row: the service ended between the two, on the way in or on the way out.
            if not await self._ledger.blob_in_use(key := f"files/{file_id}"):
                await self._blobs.delete(key)
                event("file_swept", file=file_id)

    async def step(self) -> Pace:
        """One round of housekeeping."""
        now = self._clock.now()
        released = await self._ledger.release_leases(now=now)
        if released:
            event("leases_expired", shards=released)
        elapsed = await self._ledger.elapse_windows(now=int(now))
        for batch_id in elapsed:
            event("window_elapsed", batch=batch_id)
        expired = await self._ledger.expired_files(now=int(now), limit=100)
        for file in expired:
            await self._ledger.delete_file(file.id)
            event("file_expired", file=file.id)
            if not await self._ledger.blob_in_use(file.blob):
                await self._blobs.delete(file.blob)
        return Pace.BUSY if released or elapsed or expired else Pace.IDLE


class UploadJanitor:
    """Ends uploads whose time is over, removes the parts of those that have ended, and in the end forgets them."""

    def __init__(self, ledger: Ledger, blobs: BlobStore, clock: Clock) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock

    async def start(self) -> None:
        """After a restart: parts without a row go. They were written when the service ended; nobody was told of them."""
        for part_id in await self._blobs.names("uploads/"):
            if not await self._ledger.has_upload_part(part_id):
                await self._blobs.delete(f"uploads/{part_id}")
                event("upload_part_swept", part=part_id)

    async def step(self) -> Pace:
        """One round: the bytes of parts go before their rows, so that none is left that nobody knows of."""
        now = int(self._clock.now())
        expired = await self._ledger.expire_uploads(now=now, limit=100)
        for upload_id in expired:
            event("upload_expired", upload=upload_id)
        emptied = await self._ledger.uploads_to_empty(limit=10)
        for upload_id in emptied:
            for part in await self._ledger.upload_parts(upload_id):
                await self._blobs.delete(part.blob)
            await self._ledger.forget_upload_parts(upload_id)
        forgotten = await self._ledger.forget_uploads(ended_before=now - UPLOAD_KEPT_SECONDS, limit=100)
        return Pace.BUSY if expired or emptied or forgotten else Pace.IDLE
