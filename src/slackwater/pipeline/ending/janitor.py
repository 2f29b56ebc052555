"""Keeps house: leases of the dead go back to the queue, windows elapse, expired files go, and uploads end.

Bytes that no row names are put aside and not removed: should the ledger be the wrong one, they are all that there is. Days later
they go. Everything here may be done twice, or by two at once, without harm.
"""

from slackwater.core.errors import StorageTrouble
from slackwater.core.files.lost import KEPT_DAYS as LOST_KEPT_DAYS
from slackwater.core.files.lost import name_of, to_forget
from slackwater.core.watching.engine_minutes import KEPT_DAYS
from slackwater.pipeline.loops import Pace
from slackwater.pipeline.wall_clock import BELIEVED, Wall
from slackwater.ports import AccountLedger, BlobStore, Clock, EngineLedger, Ledger, MemberLedger
from slackwater.telemetry import event

# An upload that has ended is kept so long: a client whose answer was lost may ask again, and hears how it ended.
UPLOAD_KEPT_SECONDS = 86_400
# Entries of the audit log that one round looks at: a transaction of a few milliseconds, which results wait for.
AUDIT_ROUND = 500
# Minutes of each engine that one round forgets.
MINUTES_ROUND = 500
# Batches whose results one round compares with their rows after a restart; there may be very many.
RESULTS_ROUND = 100
# While nothing can be written, nobody can renew a lease: whoever holds one has so long after that, as long as a lease is.
GRACE_SECONDS = 30.0
# Where others are at work, too, only what nobody has written to for so long is nobody's.
SWEPT_AFTER_SECONDS = 3600.0
# How often it is looked whether something has been put aside for long enough.
LOST_LOOK_SECONDS = 3600.0


async def left_behind(ledger: MemberLedger, blobs: BlobStore, prefix: str) -> list[str]:
    """Names of blobs that nobody can be about to name in the ledger: all there are, or those that are old where others live.

    First what there is, then who else there is: whoever comes later has written none of it.
    """
    names = await blobs.names(prefix)
    if names and await ledger.others():
        return await blobs.names(prefix, untouched_seconds=SWEPT_AFTER_SECONDS)
    return names


class Janitor:
    """Does what nobody asked for at that moment but must be done some time."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: BlobStore,
        clock: Clock,
        *,
        wall: Wall = BELIEVED,
        lost_kept_days: int = LOST_KEPT_DAYS,
    ) -> None:
        self._wall = wall
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._lost_kept_days = lost_kept_days
        # Folders of results as older versions made them, one for each batch; and the files that batches have ended with.
        self._unswept: list[str] = []
        self._unswept_outputs: list[str] = []
        # Under what this start puts things aside, and when it looks again at what earlier ones have.
        self._aside = name_of(clock.now())
        self._lost_look_at = clock.monotonic()
        # Until then no lease is over, whatever its row says.
        self._leases_hold_until = clock.monotonic()

    async def start(self) -> None:
        """After a restart: whoever held leases in this data directory and is no member is dead, or nobody but us can live."""
        released = await self._ledger.release_leases(now=self._clock.now(), dead_owners_except="")
        if released:
            event("leases_recovered", shards=released)
        for batch_id in await left_behind(self._ledger, self._blobs, "logs/"):
            batch = await self._ledger.batch(batch_id)
            if batch is None or batch.terminal:
                await self._blobs.set_aside(f"logs/{batch_id}/", under=self._aside)
                event("logs_swept", batch=batch_id, to=self._aside)
        await self._sweep("files/")
        # These can wait: nobody needs the room at once, and the service is to be back soon.
        self._unswept = await left_behind(self._ledger, self._blobs, "results/")
        self._unswept_outputs = await left_behind(self._ledger, self._blobs, "outputs/")

    async def _sweep(self, prefix: str) -> None:
        """Puts bytes without a row aside: the service ended between the two, on the way in or on the way out."""
        await self._sweep_files(prefix, await left_behind(self._ledger, self._blobs, prefix))

    async def _sweep_files(self, prefix: str, file_ids: list[str]) -> None:
        for file_id in file_ids:
            if not await self._ledger.blob_in_use(key := prefix + file_id):
                await self._blobs.set_aside(key, under=self._aside)
                event("file_swept", file=file_id, to=self._aside)

    async def _sweep_results(self) -> None:
        """The same for results, a round at a time. Those of a batch that has not ended may just be on their way in."""
        round_, self._unswept = self._unswept[:RESULTS_ROUND], self._unswept[RESULTS_ROUND:]
        for batch_id in round_:
            batch = await self._ledger.batch(batch_id)
            if batch is None or batch.terminal:
                await self._sweep(f"results/{batch_id}/")
        # What was there at the start is of an end that did not come about, or has a row.
        outputs, self._unswept_outputs = self._unswept_outputs[:RESULTS_ROUND], self._unswept_outputs[RESULTS_ROUND:]
        await self._sweep_files("outputs/", outputs)

    async def _forget_lost(self) -> None:
        """What was put aside long ago goes."""
        if self._clock.monotonic() < self._lost_look_at or not self._wall.may_expire():
            return
        self._lost_look_at = self._clock.monotonic() + LOST_LOOK_SECONDS
        names = await self._blobs.names("lost/")
        for name in to_forget(names, now=self._clock.now(), kept_days=self._lost_kept_days):
            await self._blobs.delete(f"lost/{name}/")
            event("lost_forgotten", since=name)

    async def step(self) -> Pace:
        """One round of housekeeping."""
        await self._sweep_results()
        await self._forget_lost()
        now = self._clock.now()
        released = await self._release(now)
        if released:
            event("leases_expired", shards=released)
        elapsed = await self._ledger.elapse_windows(now=int(now)) if self._wall.trusted() else []
        for batch_id in elapsed:
            event("window_elapsed", batch=batch_id)
        expired = await self._ledger.expired_files(now=int(now), limit=100) if self._wall.may_expire() else []
        for file in expired:
            await self._ledger.delete_file(file.id)
            event("file_expired", file=file.id)
            if not await self._ledger.blob_in_use(file.blob):
                await self._blobs.delete(file.blob)
        return Pace.BUSY if released or elapsed or expired else Pace.IDLE

    async def _release(self, now: float) -> int:
        try:
            if self._clock.monotonic() < self._leases_hold_until:
                # Only whether the ledger is there now.
                await self._ledger.wall_time()
                return 0
            return await self._ledger.release_leases(now=now)
        except StorageTrouble:
            self._leases_hold_until = self._clock.monotonic() + GRACE_SECONDS
            raise


class UploadJanitor:
    """Ends uploads whose time is over, removes the parts of those that have ended, and in the end forgets them."""

    def __init__(self, ledger: Ledger, blobs: BlobStore, clock: Clock, *, wall: Wall = BELIEVED) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._wall = wall
        self._aside = name_of(clock.now())

    async def start(self) -> None:
        """After a restart: parts without a row are put aside. They were written when the service ended; nobody was told."""
        for part_id in await left_behind(self._ledger, self._blobs, "uploads/"):
            if not await self._ledger.has_upload_part(part_id):
                await self._blobs.set_aside(f"uploads/{part_id}", under=self._aside)
                event("upload_part_swept", part=part_id, to=self._aside)

    async def step(self) -> Pace:
        """One round: the bytes of parts go before their rows, so that none is left that nobody knows of."""
        now = int(self._clock.now())
        expired = await self._ledger.expire_uploads(now=now, limit=100) if self._wall.may_expire() else []
        for upload_id in expired:
            event("upload_expired", upload=upload_id)
        emptied = await self._ledger.uploads_to_empty(limit=10)
        for upload_id in emptied:
            for part in await self._ledger.upload_parts(upload_id):
                await self._blobs.delete(part.blob)
            await self._ledger.forget_upload_parts(upload_id)
        forgotten = 0
        if self._wall.may_expire():
            forgotten = await self._ledger.forget_uploads(ended_before=now - UPLOAD_KEPT_SECONDS, limit=100)
        return Pace.BUSY if expired or emptied or forgotten else Pace.IDLE


class AuditJanitor:
    """Forgets what was done so long ago that the operator does not keep it."""

    def __init__(self, ledger: AccountLedger, clock: Clock, *, keep_days: int, wall: Wall = BELIEVED) -> None:
        assert keep_days > 0, "what is kept for ever needs no janitor"
        self._wall = wall
        self._ledger = ledger
        self._clock = clock
        self._keep_seconds = keep_days * 86_400

    async def step(self) -> Pace:
        """One round, from the oldest entry on."""
        if not self._wall.may_expire():
            return Pace.IDLE
        before = int(self._clock.now()) - self._keep_seconds
        forgotten = await self._ledger.trim_audit(before=before, limit=AUDIT_ROUND)
        if forgotten:
            event("audit_trimmed", entries=forgotten)
        return Pace.BUSY if forgotten else Pace.IDLE


class EngineJanitor:
    """Forgets what became of engines so long ago that nobody draws it any more."""

    def __init__(self, ledger: EngineLedger, clock: Clock, *, wall: Wall = BELIEVED) -> None:
        self._wall = wall
        self._ledger = ledger
        self._clock = clock

    async def step(self) -> Pace:
        """One round, from the oldest minutes on."""
        if not self._wall.may_expire():
            return Pace.IDLE
        before = int(self._clock.now()) - KEPT_DAYS * 86_400
        forgotten = await self._ledger.trim_engine_minutes(before=before, limit=MINUTES_ROUND)
        return Pace.BUSY if forgotten else Pace.IDLE
