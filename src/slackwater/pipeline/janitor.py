"""Keeps house: leases of the dead go back to the queue, windows elapse, expired files and left-over bytes go.

Everything here may be done twice, or by two at once, without harm.
"""

from slackwater.pipeline.loops import Pace
from slackwater.ports import BlobStore, Clock, Ledger
from slackwater.telemetry import event


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
