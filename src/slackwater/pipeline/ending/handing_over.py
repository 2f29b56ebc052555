"""Results that go to a storage of their user's: they are files here first, and are put there before the batch ends.

The name of a folder is made of what is in it, so whoever does it again, after a crash or beside a server that was taken for dead,
writes the same bytes under the same names, and finds that they are there. A store that does not take them is waited for: the
batch stays as it is, and keeps no other from its end. What is not taken in three days stays here, as files of the batch.
"""

import logging
import uuid
from collections.abc import AsyncIterator

import msgspec
from msgspec import Struct

from slackwater.core.batch import Batch, BatchError, Status, UserStorage
from slackwater.core.errors import SlackwaterError, UserStorageRefused, UserStorageTrouble
from slackwater.core.files.file import File
from slackwater.core.files.storage_waits import WAIT_MAX, StorageWaits
from slackwater.pipeline.wall_clock import BELIEVED, Wall
from slackwater.ports import BlobStore, Clock, UserStorages
from slackwater.telemetry import event

# Names as Azure has them, in a folder for each batch (spec 4.4).
OUTPUT, ERROR = "results.jsonl", "errors.jsonl"
# So long after a batch had nothing left to run its store is asked, at least once a minute.
HANDED_SECONDS = 72 * 3_600
NOT_TAKEN = BatchError(
    code="output_no_permissions",
    message="The storage of 'output_folder' did not take the results in 72 hours. They are kept here, in the files with the ids "
    "'output_file_id' and 'error_file_id'.",
    param="output_folder",
)
# Whoever finds another's bytes under such a name takes the next one.
NAMES_MAX = 8


class Made(Struct, frozen=True):
    """What a batch ends with, made for one way of ending. Lines that were lost are in the error file."""

    status: Status
    output: File | None
    error: File | None
    lost: int
    lost_completed: int


class HandingOver:
    """Puts results where their users want them."""

    def __init__(self, blobs: BlobStore, clock: Clock, storages: UserStorages | None, *, wall: Wall = BELIEVED) -> None:
        self._blobs = blobs
        self._wall = wall
        self._clock = clock
        self._storages = storages
        self._made: dict[str, Made] = {}
        self.waits = StorageWaits()
        """Batches whose store does not take their results."""

    def waiting(self) -> set[str]:
        """Those that are not to be tried yet."""
        return self.waits.waiting(self._clock.monotonic())

    def made(self, batch: Batch) -> Made | None:
        """What an earlier try has made of a batch, if it still ends like that."""
        made = self._made.get(batch.id)
        return made if made is not None and made.status is batch.status else None

    async def hand_over(self, batch: Batch, made: Made) -> UserStorage | None:
        """Puts both files there, and says where; None where they are not taken, and stay here.

        Raises UserStorageTrouble, which has been told: it is to be tried again.
        """
        storage = batch.storage
        assert storage is not None, "this one ends no other batches"
        try:
            handed = await self._hand_over(batch, storage, made)
        except UserStorageTrouble as trouble:
            refused = isinstance(trouble, UserStorageRefused)
            seconds = self.waits.failed(batch.id, refused=refused, now=self._clock.monotonic()).seconds
            if seconds == WAIT_MAX and self._is_over(batch):
                event("results_not_taken", level=logging.ERROR, batch=batch.id, reason=trouble)
                self.waits.over(batch.id)
                self._made.pop(batch.id, None)
                return None
            self._made[batch.id] = made
            event("results_wait_for_storage", level=logging.WARNING, batch=batch.id, seconds=seconds, reason=trouble)
            raise
        except OSError:
            # What was made is not there any more, or not what it was: it is made again.
            self._made.pop(batch.id, None)
            raise
        self.waits.over(batch.id)
        self._made.pop(batch.id, None)
        return handed

    def _is_over(self, batch: Batch) -> bool:
        """Whether there has been enough of asking. Whoever has come late has asked often enough before this counts."""
        since = batch.cancelling_at or batch.finalizing_at or batch.created_at
        return self._wall.trusted() and self._clock.now() - since >= HANDED_SECONDS

    async def _hand_over(self, batch: Batch, storage: UserStorage, made: Made) -> UserStorage:
        if made.output is None and made.error is None:
            return storage
        if self._storages is None:
            raise UserStorageRefused("no [[storage]] is configured")
        for attempt in range(NAMES_MAX):
            folder = f"{storage.folder_url}/{_name(batch, made, attempt)}"
            urls = {name: f"{folder}/{name}" for name in (OUTPUT, ERROR)}
            try:
                for name, file in ((OUTPUT, made.output), (ERROR, made.error)):
                    # Both paths are said; a blob without lines is made for answers only (spec 4.3).
                    if file is not None and (file.size or name == OUTPUT):
                        await self._put(self._storages, batch, urls[name], file)
            except FileExistsError as taken:
                event("name_taken", level=logging.WARNING, batch=batch.id, reason=str(taken))
                continue
            event("results_handed_over", batch=batch.id)
            return msgspec.structs.replace(storage, output_url=urls[OUTPUT], error_url=urls[ERROR])
        raise UserStorageRefused("other bytes have every name already")

    async def _put(self, storages: UserStorages, batch: Batch, url: str, file: File) -> None:
        checksum = file.checksum or 0

        def content() -> AsyncIterator[bytes]:
            return self._blobs.stream_whole(file.blob, size=file.size, checksum=checksum)

        try:
            await storages.put(batch.resource, url, content, size=file.size, checksum=checksum)
        except (SlackwaterError, OSError):
            raise
        except Exception as fault:
            # What one storage makes go wrong is no trouble of the stage.
            event("not_handed_over", level=logging.ERROR, batch=batch.id, error=repr(fault))
            raise UserStorageRefused("a fault of the batch service") from fault


def _name(batch: Batch, made: Made, attempt: int) -> str:
    parts = [f"{file.size}:{file.checksum}" if file is not None else "-" for file in (made.output, made.error)]
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join([batch.id, *parts, str(attempt)])))
