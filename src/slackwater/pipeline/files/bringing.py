"""Input that lies in a storage of its user's is copied from there, once. Before: admission. After: validator.

The copy is what is validated and sent from, so that it does not matter what becomes of the blob later. It is durable before the
transaction that names it; a crash in between brings it again under another key. Several steps may run at once, each for a batch
of its own, and for as many resources as there are: a slow store holds up its own batches.
"""

import logging
from collections.abc import Callable, Iterable

import msgspec

from slackwater.core.batch import Batch, BatchError, UserStorage
from slackwater.core.errors import StorageTrouble, UserBlobModified, UserStorageAway, UserStorageRefused
from slackwater.core.files.storage_waits import StorageWaits
from slackwater.core.input.peek import HEAD_BYTES, Peek, peek
from slackwater.core.members import Duty
from slackwater.core.sending.deployment import Deployment
from slackwater.core.sending.rereading import Rereading
from slackwater.pipeline.loops import Pace
from slackwater.ports import BlobStore, BlobWriter, Clock, Ledger, UserStorages
from slackwater.telemetry import event, meters

# So many bytes come before it is looked whether anybody still wants them.
LOOK_BYTES = 64 << 20
# What a batch says that fails: the vendor's words (spec 5.1).
MODIFIED = "Blob input has been modified after the batch job has been submitted."
NO_PERMISSIONS = (
    "It's not possible to access the input blob. Please check permissions and network access between this service and the "
    "storage account."
)
TOO_LARGE = "The input blob is larger than {most:,} bytes. Split it into several blobs, and make a batch of each."
UNREADABLE = "The input blob could not be copied because of a fault in the batch service. Try again."


class _TooLarge(Exception):
    """It has more bytes than it may have."""


class _NotWanted(Exception):
    """The batch has ended meanwhile."""


class Bringing:
    """Brings the input of one batch per step."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: BlobStore,
        clock: Clock,
        *,
        storages: UserStorages | None,
        new_id: Callable[[], str],
        deployments: Callable[[], Iterable[Deployment]],
        bytes_max: int = 0,
        brought: Callable[[], None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Without `storages`, nobody may name any, and what waits from before fails. `bytes_max`: 0 is no limit.

        `brought` hears that there is something to validate, `ended` that a batch has failed.
        """
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._storages = storages
        self._new_id = new_id
        self._deployments = deployments
        self._bytes_max = bytes_max
        self._brought = brought
        self._ended = ended
        self._in_hand: dict[str, str] = {}
        self.waits = StorageWaits()
        """Batches whose store is away."""
        # Tries that have failed otherwise.
        self._failed: dict[str, Rereading] = {}

    async def step(self) -> Pace:
        """Copies the input of the next batch whose store is not known to be away."""
        now = self._clock.monotonic()
        waiting = self.waits.waiting(now) | {key for key, each in self._failed.items() if now < each.until}
        skip = self._in_hand.keys() | waiting
        batch = await self._ledger.next_to_bring(skip=skip, busy=set(self._in_hand.values()))
        if batch is None:
            return Pace.IDLE
        if batch.id in self._in_hand:
            # Another step took it while the ledger was asked; the next look passes over it.
            return Pace.BUSY
        self._in_hand[batch.id] = batch.resource
        try:
            assert batch.storage is not None, "a batch without a storage has its input here"
            await self._take(batch, batch.storage)
        finally:
            self._in_hand.pop(batch.id, None)
            await self._ledger.end_duty(Duty.VALIDATE, batch.id)
        return Pace.BUSY

    async def _take(self, batch: Batch, storage: UserStorage) -> None:
        try:
            if self._storages is None:
                raise UserStorageRefused("no [[storage]] is configured")
            await self._bring(self._storages, batch, storage)
        except StorageTrouble:
            raise
        except _NotWanted:
            event("input_dropped", batch=batch.id)
        except UserStorageAway as away:
            seconds = self.waits.failed(batch.id, refused=False, now=self._clock.monotonic()).seconds
            event("input_waits_for_storage", level=logging.WARNING, batch=batch.id, seconds=seconds, reason=away)
            return
        except UserStorageRefused as refused:
            event("input_refused", level=logging.WARNING, batch=batch.id, reason=refused)
            await self._fail(batch, "input_no_permissions", NO_PERMISSIONS)
        except UserBlobModified:
            await self._fail(batch, "input_modified", MODIFIED)
        except FileNotFoundError:
            # It was there when it was looked at; where we could not look, nobody knows.
            known = bool(storage.version)
            await self._fail(
                batch, *(("input_modified", MODIFIED) if known else ("input_no_permissions", NO_PERMISSIONS))
            )
        except _TooLarge:
            await self._fail(batch, "invalid_request", TOO_LARGE.format(most=self._bytes_max))
        except Exception as fault:
            tries = self._failed.setdefault(batch.id, Rereading())
            last = tries.failed(damaged=False, now=self._clock.monotonic())
            event("input_not_brought", level=logging.ERROR, batch=batch.id, tries=tries.tries, error=repr(fault))
            if not last:
                return
            await self._fail(batch, "invalid_request", UNREADABLE)
        self.waits.over(batch.id)
        self._failed.pop(batch.id, None)

    async def _bring(self, storages: UserStorages, batch: Batch, storage: UserStorage) -> None:
        # Each try has a key of its own: a late one must not overwrite what an earlier one has published.
        key = f"files/{self._new_id()}"
        writer = await self._blobs.create(key)
        try:
            look = await self._copy(storages, batch, storage, writer)
            await writer.publish()
        finally:
            await writer.discard()
        taker = next((each for each in self._deployments() if self._is_taker(each, batch, look)), None)
        if not await self._ledger.finish_bringing(
            batch.id,
            blob=key,
            size=writer.size,
            storage=msgspec.structs.replace(storage, checksum=writer.checksum),
            deployment=None if taker is None else taker.key,
            tokens=0 if taker is None else look.tokens or 0,
        ):
            # Cancelled meanwhile, or brought by somebody else: nobody knows of these bytes.
            await self._blobs.delete(key)
            raise _NotWanted
        event("input_brought", batch=batch.id, bytes=writer.size)
        self._brought()

    async def _copy(self, storages: UserStorages, batch: Batch, storage: UserStorage, writer: BlobWriter) -> Peek:
        """Writes all of it, and says what its beginning says."""
        head, looked = b"", 0
        async for piece in storages.read(batch.resource, storage.input_url, version=storage.version):
            if self._bytes_max and writer.size + len(piece) > self._bytes_max:
                raise _TooLarge
            if len(head) < HEAD_BYTES:
                head += piece[: HEAD_BYTES - len(head)]
            await writer.write(piece)
            if writer.size >= looked + LOOK_BYTES:
                looked = writer.size
                now = await self._ledger.batch(batch.id)
                if now is None or now.terminal or now.cancelling_at is not None:
                    raise _NotWanted
        return peek(head, size=writer.size)

    @staticmethod
    def _is_taker(deployment: Deployment, batch: Batch, look: Peek) -> bool:
        return (deployment.resource, deployment.name) == (batch.resource, look.deployment)

    async def _fail(self, batch: Batch, code: str, message: str) -> None:
        now = self._clock.now()
        if await self._ledger.reject_batch(batch.id, errors=[BatchError(code=code, message=message)], now=int(now)):
            meters.batch_ended("failed", created_at=batch.created_at, expires_at=batch.expires_at, now=now)
            event("batch_rejected", batch=batch.id, errors=1, first=code)
            self._ended()
