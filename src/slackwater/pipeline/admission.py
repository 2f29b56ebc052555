"""Creates batches and takes requests to cancel them. Before: intake. After: validator.

What can be said at once is said at once: parameters and the input file's existence. The file's content is for the validator.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from msgspec import Struct

from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.batch import TERMINAL, Batch, Policies, Status, UserStorage
from slackwater.core.endpoints import NO_ASSISTANTS, REQUIRED_KEY, normalised, of_assistants
from slackwater.core.errors import (
    Conflict,
    FilesUnavailable,
    FileUnreadable,
    Forbidden,
    InputFileMissing,
    InvalidRequest,
    NoRoom,
    NotFound,
    TokenLimitExceeded,
    UserStorageAway,
    UserStorageRefused,
)
from slackwater.core.files.file import File, FileStatus, Purpose
from slackwater.core.input.peek import HEAD_BYTES, Peek, peek
from slackwater.core.quota.enqueued import limit_reached
from slackwater.core.sending.deployment import Deployment, WhenFull
from slackwater.pipeline import stored_files
from slackwater.ports import BlobRange, BlobStore, BlobVersion, Clock, IdempotencyKey, Ledger, UserStorages
from slackwater.telemetry import event, remember_origin

WINDOW = "24h"
WINDOW_SECONDS = 86_400
NO_STORAGES = (
    "Batches of blobs in a storage of your own are turned off. What may be named is listed by the operator, as [[storage]] in "
    "the configuration."
)
BLOB_MISSING = "Cannot find the blob that 'input_blob' names. Put it there first."
STORAGE_AWAY = "The storage that 'input_blob' names does not answer at the moment. Try again."


class Order(Struct, frozen=True, kw_only=True):
    """What the caller asks for; types are checked, values are not."""

    input_file_id: str
    """Empty where there is an `input_blob`."""
    endpoint: str
    completion_window: str
    metadata: Mapping[str, str] | None = None
    input_blob: str = ""
    """The URL of a blob in a storage of the caller's."""
    output_folder: str = ""
    """The URL of the folder in one that its results go to."""


class Admitted(Struct, frozen=True, kw_only=True):
    """A batch that was made now, or `repeated`: by an earlier create under the same key."""

    batch: Batch
    repeated: bool = False


class Admission:
    """Lets batches in, and lets them be cancelled."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: BlobStore,
        clock: Clock,
        *,
        wake: Callable[[], None],
        deployments: Callable[[], Iterable[Deployment]],
        expiry_now: Callable[[], float] | None = None,
        current: Callable[[], Awaitable[None]] | None = None,
        resource: str = DEFAULT,
        storages: UserStorages | None = None,
        blob_bytes_max: int = 0,
    ) -> None:
        """`wake` hints that there is something to do. `expiry_now`: by which moment files have expired; now without it.

        `current` returns when `deployments` says what there is now, where another server may change that.
        `storages` has what `resource` may name; blobs there may have up to `blob_bytes_max` bytes, 0 is no limit.
        """
        self._resource = resource
        self._storages = storages
        self._blob_bytes_max = blob_bytes_max
        self._current = current
        self._expiry_now = expiry_now or clock.now
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._wake = wake
        self._deployments = deployments

    async def create(
        self,
        order: Order,
        *,
        batch_id: str,
        endpoint: str,
        policies: Policies,
        fail_fast: bool = False,
        key: IdempotencyKey | None = None,
    ) -> Admitted:
        """A new batch, `validating`. `endpoint` is how the caller's family writes it back.

        With `fail_fast`, a batch whose estimated tokens find no room is refused now, and not when it is validated.
        Raises InvalidRequest (window, endpoint, file), TokenLimitExceeded, and Conflict (the key was another order's).
        """
        if key is not None and (earlier := await self._ledger.batch_of_key(key)) is not None:
            return Admitted(batch=earlier, repeated=True)
        self._check(order)
        file = storage = taker = None
        look = Peek()
        if order.input_blob:
            storage = await self._storage_of(order)
        else:
            file = await self._input_file(order.input_file_id)
            look, taker = await self._peek(file)
        now = int(self._clock.now())
        made = Batch(
            id=batch_id,
            input_file_id="" if file is None else file.id,
            input_blob="" if file is None else file.blob,
            endpoint=endpoint,
            completion_window=WINDOW,
            status=Status.VALIDATING,
            created_at=now,
            expires_at=now + WINDOW_SECONDS,
            policies=policies,
            deployment=look.deployment,
            enqueued_tokens=look.tokens or 0,
            input_bytes=0 if file is None else file.size,
            metadata=None if order.metadata is None else dict(order.metadata),
            storage=storage,
        )
        # With dynamic quota, whether there is room is only known when the tokens are (spec 6.2).
        limit = None
        if fail_fast and taker is not None and taker.when_full is WhenFull.FAIL and not taker.dynamic_quota:
            limit = taker.enqueued_token_limit
        try:
            batch = await self._ledger.add_batch(made, key=key, token_limit=limit)
        except NoRoom as full:
            assert taker is not None, "a deployment has a limit"
            assert limit is not None, "what has no limit has room"
            words = limit_reached(made.enqueued_tokens, limit=limit, deployment=taker.name)
            raise TokenLimitExceeded(words, held=full.held, limit=limit) from full
        if batch.id != batch_id:
            # Two creates under one key came at once, and the other was first.
            return Admitted(batch=batch, repeated=True)
        remember_origin(batch.id)
        event("batch_created", batch=batch.id, file=batch.input_file_id or "elsewhere", endpoint=batch.endpoint)
        self._wake()
        return Admitted(batch=batch)

    def _check(self, order: Order) -> None:
        if order.completion_window != WINDOW:
            raise InvalidRequest(
                f"Invalid value: '{order.completion_window[:60]}'. The completion_window must be '{WINDOW}'.",
                param="completion_window",
            )
        if of_assistants(order.endpoint):
            raise InvalidRequest(NO_ASSISTANTS, param="endpoint")
        if normalised(order.endpoint) not in REQUIRED_KEY:
            raise InvalidRequest(
                f"Invalid value: '{order.endpoint[:60]}'. Supported values are: "
                + ", ".join(f"'/v1{name}'" for name in REQUIRED_KEY)
                + ".",
                param="endpoint",
            )

    async def _storage_of(self, order: Order) -> UserStorage:
        """Where the caller's blobs are, if this one may name them, and what its input is called now."""
        if self._storages is None:
            raise Forbidden(NO_STORAGES, param="input_blob")
        self._storages.check(self._resource, order.input_blob, param="input_blob")
        self._storages.check(self._resource, order.output_folder, param="output_folder.url", folder=True)
        try:
            there = await self._storages.look(self._resource, order.input_blob)
        except FileNotFoundError as missing:
            raise InputFileMissing(BLOB_MISSING, param="input_blob") from missing
        except UserStorageAway as away:
            event("storage_not_asked", reason=away)
            raise FilesUnavailable(STORAGE_AWAY, passes=True) from away
        except UserStorageRefused as refused:
            # The batch says it, as the vendor's does; rights that come in a moment are in time.
            event("storage_not_asked", reason=refused)
            there = BlobVersion("", 0)
        if self._blob_bytes_max and there.size > self._blob_bytes_max:
            raise InvalidRequest(
                f"The blob has {there.size:,} bytes, and may have {self._blob_bytes_max:,}. Split it into several.",
                param="input_blob",
            )
        return UserStorage(
            input_url=order.input_blob, folder_url=order.output_folder.rstrip("/"), version=there.version
        )

    async def _input_file(self, file_id: str) -> File:
        file = await self._ledger.file(file_id)
        if file is None or (file.expires_at is not None and file.expires_at <= self._expiry_now()):
            raise InputFileMissing(
                f"Cannot find file '{file_id[:80]}', or it belongs to someone else. Upload it first, with the purpose 'batch'.",
                param="input_file_id",
            )
        if file.purpose is not Purpose.BATCH:
            raise InvalidRequest(
                f"The file has the purpose '{file.purpose.value}'; a batch needs one with the purpose 'batch'.",
                param="input_file_id",
            )
        if file.status is not FileStatus.PROCESSED:
            advice = "wait until it is 'processed'" if file.status is FileStatus.PENDING else "upload it again"
            raise InvalidRequest(f"The file is '{file.status.value}'; {advice}.", param="input_file_id")
        return file

    async def _peek(self, file: File) -> tuple[Peek, Deployment | None]:
        """Which deployment the file is for, and about what it weighs; nothing where there is no such deployment."""
        try:
            await stored_files.find(self._blobs, file)
            head = await self._blobs.read(BlobRange(key=file.blob, offset=0, length=HEAD_BYTES))
        except (FileNotFoundError, FileUnreadable) as error:
            if isinstance(error, FileUnreadable) and await self._ledger.file(file.id) is not None:
                raise
            raise InputFileMissing(
                f"The file '{file.id}' has just been deleted. Upload it again.", param="input_file_id"
            ) from error
        look = peek(head, size=file.size)
        deployment = self._deployment(look.deployment)
        if deployment is None and look.deployment is not None and self._current is not None:
            # Another server may just have made it.
            await self._current()
            deployment = self._deployment(look.deployment)
        if deployment is None:
            return Peek(), None
        return Peek(deployment.key, look.tokens), deployment

    def _deployment(self, name: str | None) -> Deployment | None:
        return next((each for each in self._deployments() if each.name == name), None)

    async def cancel(self, batch_id: str) -> Batch:
        """The batch, `cancelling` or already `cancelled`. Raises NotFound, and Conflict where it has ended otherwise."""
        batch = await self._ledger.request_cancel(batch_id, now=int(self._clock.now()))
        if batch is None:
            raise unknown_batch(batch_id)
        if batch.status in TERMINAL and batch.status is not Status.CANCELLED:
            raise Conflict(f"Cannot cancel a batch with status '{batch.status.value}'.")
        event("batch_cancel_requested", batch=batch.id, status=batch.status.value)
        self._wake()
        return batch


def unknown_batch(batch_id: str) -> NotFound:
    """The error for a batch that is not there; whatever is asked of it, the words are the same (spec 7.3)."""
    return NotFound(f"No batch found with id '{batch_id[:80]}'.")
