"""Where facts live."""

from collections.abc import Collection, Sequence
from typing import Protocol

from slackwater.core.accounts.price import Price
from slackwater.core.accounts.resource import DEFAULT, Role, Slot, StoredKey
from slackwater.core.batch import Batch, BatchError, Stage, UserStorage
from slackwater.core.files.file import File, FileLimits, FileStatus, Purpose
from slackwater.core.files.upload import Upload, UploadPart
from slackwater.core.watching.listing import EVERY_BATCH, BatchQuery
from slackwater.ports.accounts import AccountLedger
from slackwater.ports.blobs import BlobRange
from slackwater.ports.connections import ANY_VERSION, ConnectionLedger
from slackwater.ports.engines import EngineLedger
from slackwater.ports.members import MemberLedger
from slackwater.ports.pauses import PauseLedger
from slackwater.ports.records import (
    IdempotencyKey,
    LeaseState,
    NewShard,
    OpenBatch,
    OpenBatches,
    PendingImport,
    QueuedBatch,
    Segment,
    Shard,
    Start,
    StoredDeployment,
    UnfinishedShard,
    Waiting,
)
from slackwater.ports.retention import RetentionLedger
from slackwater.ports.sessions import SessionLedger
from slackwater.ports.times import TimeLedger
from slackwater.ports.watching import WatchingLedger
from slackwater.ports.webhooks import WebhookLedger

NO_LIMITS = FileLimits()


class Ledger(
    AccountLedger,
    ConnectionLedger,
    EngineLedger,
    MemberLedger,
    PauseLedger,
    RetentionLedger,
    SessionLedger,
    TimeLedger,
    WatchingLedger,
    WebhookLedger,
    Protocol,
):
    """Durable facts. One method is one transaction, named after the fact it makes true."""

    # Files
    async def add_file(self, file: File, *, limits: FileLimits = NO_LIMITS) -> None:
        """Shows a file. Raises QuotaExceeded where that would be one too many of its kind."""
        ...

    async def file(self, file_id: str) -> File | None: ...
    async def files(
        self,
        *,
        purpose: Purpose | None,
        after: str | None,
        limit: int,
        descending: bool,
        now: int,
        resource: str = DEFAULT,
    ) -> list[File]:
        """A page of a resource's files that have not expired, behind the file `after`, which may have been deleted lately.

        Raises InvalidRequest where there never was such a file.
        """
        ...

    async def delete_file(self, file_id: str) -> File | None:
        """Forgets a file and returns it; its bytes may go once `blob_in_use` is false."""
        ...

    async def blob_in_use(self, key: str) -> bool:
        """Whether a file or a batch that has not ended still needs these bytes."""
        ...

    async def expired_files(self, *, now: int, limit: int) -> list[File]: ...

    # Uploads
    async def add_upload(self, upload: Upload) -> None: ...
    async def upload(self, upload_id: str) -> Upload | None: ...
    async def add_upload_part(self, part: UploadPart, *, now: int, parts_max: int, bytes_max: int) -> bool:
        """Records a part whose bytes are durable.

        False if the upload takes none: it is unknown, has ended or expired, or would have more parts or bytes than that.
        """
        ...

    async def upload_parts(self, upload_id: str) -> list[UploadPart]: ...
    async def has_upload_part(self, part_id: str) -> bool: ...
    async def complete_upload(
        self, upload_id: str, *, file: File, completed_with: str, now: int, limits: FileLimits = NO_LIMITS
    ) -> bool:
        """The file becomes visible and the upload `completed`, in one transaction. False if it has ended before.

        Raises QuotaExceeded where the file would be one too many; the upload stays `pending`.
        """
        ...

    async def cancel_upload(self, upload_id: str, *, now: int) -> Upload | None:
        """Ends the upload as `cancelled` unless it has ended or expired, and returns what it is now; None if unknown."""
        ...

    async def expire_uploads(self, *, now: int, limit: int) -> list[str]:
        """Ends uploads whose time is over; returns their ids."""
        ...

    async def uploads_to_empty(self, *, limit: int) -> list[str]:
        """Uploads that have ended and still have parts, whose bytes nobody needs any more."""
        ...

    async def forget_upload_parts(self, upload_id: str) -> None:
        """The parts of an upload that has ended are gone, their bytes before them."""
        ...

    async def forget_uploads(self, *, ended_before: int, limit: int) -> int:
        """Forgets uploads without parts that ended at that moment or earlier; returns how many."""
        ...

    # Imports
    async def add_import(
        self, file: File, *, url: str, check_first_line: bool, pending_max: int, limits: FileLimits = NO_LIMITS
    ) -> None:
        """Shows a `pending` file and keeps what is to be fetched for it, in one transaction.

        Raises QuotaExceeded where the file would be one too many of its kind, or `pending_max` imports are waiting.
        """
        ...

    async def next_import(self, *, now: float, skip: Collection[str] = ()) -> PendingImport | None:
        """The oldest file that may be fetched now and whose id is not in `skip`: a duty, where there are members."""
        ...

    async def postpone_import(self, file_id: str, *, tries: int, not_before: float) -> bool:
        """So many tries have failed; the next one is not before that moment. False if the file has been deleted."""
        ...

    async def finish_import(
        self,
        file_id: str,
        *,
        status: FileStatus,
        size: int = 0,
        checksum: int | None = None,
        status_details: str | None = None,
        blob: str | None = None,
    ) -> bool:
        """Gives the file its end and forgets the URL, in one transaction. False if the file has been deleted, or has its end.

        `blob` is where its bytes are, if not where they were to be.
        """
        ...

    # Keys
    async def keys(self) -> list[StoredKey]:
        """Every key of every resource: there are few."""
        ...

    async def put_keys(self, keys: Sequence[StoredKey], *, instead: bool = False) -> bool:
        """Keeps keys; one that stands in the place of another replaces it.

        `instead`: only where each of their roles has one already, else False, and nothing is kept.
        """
        ...

    async def delete_keys(self, resource: str, role: Role, slot: Slot | None = None) -> int:
        """Forgets one key of a role, or both; returns how many."""
        ...

    # Batches
    async def add_batch(
        self, batch: Batch, *, key: IdempotencyKey | None = None, token_limit: int | None = None
    ) -> Batch:
        """Adds a batch and returns it; or, where the key has been used for the same order, the batch that it made.

        Raises Conflict where the key has been used for another order, and NoRoom where its deployment would hold more than
        `token_limit`, with what was estimated for those that are not validated yet.
        """
        ...

    async def batch_of_key(self, key: IdempotencyKey) -> Batch | None:
        """The batch that was made under this key. Raises Conflict where it was another order's."""
        ...

    async def batch(self, batch_id: str) -> Batch | None: ...
    async def batches(
        self, query: BatchQuery = EVERY_BATCH, *, after: str | None = None, limit: int, resource: str = DEFAULT
    ) -> list[Batch]:
        """A resource's next batches in the order of `query`, behind the batch `after`, whether that one matches or not.

        Raises InvalidRequest where `after` is unknown, or where too many batches would have to be looked at.
        """
        ...

    async def request_cancel(self, batch_id: str, *, now: int) -> Batch | None:
        """Moves the batch to `cancelling` if its status allows that, and returns what it is now; None if unknown."""
        ...

    # Bringing
    async def next_to_bring(self, *, skip: Collection[str] = (), busy: Collection[str] = ()) -> Batch | None:
        """The oldest batch, not in `skip`, whose input is to be copied from a storage of its user's.

        Those of resources that are `busy` come behind all others. A duty, where there are members.
        """
        ...

    async def finish_bringing(
        self, batch_id: str, *, blob: str, size: int, storage: UserStorage, deployment: str | None, tokens: int
    ) -> bool:
        """The input is here, under the key `blob`: the batch is to be validated. False if it is no longer waited for.

        From here on it holds `tokens` of its deployment, which are an estimate.
        """
        ...

    # Validation
    async def next_to_validate(
        self, *, after: str = "", skip: Collection[str] = (), small: bool = False
    ) -> Batch | None:
        """The oldest batch that is to be validated and not in `skip`, of the first resource behind `after` that has one.

        Behind the last resource comes the first. `small`: of those alone whose input file is known to be at most
        SMALL_INPUT_BYTES large. Where there are members it is this one's duty from now on, until `end_duty`.
        """
        ...

    async def accept_batch(
        self,
        batch_id: str,
        *,
        deployment: str,
        endpoint: str,
        total: int,
        tokens: int,
        shards: Sequence[NewShard],
        price: Price | None = None,
        start: Start | None = None,
        token_limit: int | None = None,
        stored: str | None = None,
    ) -> Stage | None:
        """Records the shards; the batch now waits for room, at this price. None if it is no longer `validating`.

        `stored` is the name of a deployment that was made over the API: None also where that is not there any more.

        Raises NoRoom, and changes nothing, where its deployment would hold more than `token_limit`: for one that is not to wait.

        With `start` it is `in_progress` at once, and its shards have their ranks, where no other batch of the deployment waits
        and there is room for it; and where an operator has not paused it.
        """
        ...

    async def reject_batch(self, batch_id: str, *, errors: Sequence[BatchError], now: int) -> bool: ...

    # Quota
    async def waiting(self) -> list[Waiting]: ...
    async def enqueue(
        self, batch_ids: Sequence[str], *, now: int, deployment: str | None = None, limit: int | None = None
    ) -> list[str]:
        """Starts batches that wait, one after the other, and returns those that were started.

        With a `deployment`, only as many as it may hold by then: up to `limit`, or one alone.
        """
        ...

    async def enqueued_tokens(self, deployment: str) -> int:
        """Tokens of all batches of a deployment that have not ended; before validation, their estimate."""
        ...

    async def counted_tokens(self, deployment: str) -> int:
        """The same without those that are not validated yet."""
        ...

    # Scheduling
    async def unranked(self) -> list[OpenBatch]: ...
    async def rank_shards(self, batch_id: str, ranks: Sequence[float]) -> None: ...

    # Working
    async def queued_batches(self, deployment: str, *, after: int, limit: int = 500) -> list[QueuedBatch]:
        """Batches of a deployment that have got shards to claim since: those with a number greater than `after`, in order.

        One of which all shards have been claimed meanwhile may be among them.
        """
        ...

    async def claimable_batches(self, batch_ids: Sequence[str]) -> frozenset[str]:
        """Those of these batches of which a claim found nothing that have a shard to claim all the same.

        Somebody had it in hand then, and may have left it as it was. None where claims do not pass over anything.
        """
        ...

    async def claim_shards(
        self, batch_ids: Sequence[str], *, owner: str, now: float, lease_seconds: float, most: int | None = None
    ) -> list[Shard]:
        """Leases the first queued shard of each of these batches, under a new epoch. Those that have none are left out.

        In their order, until `most` shards are leased, where that is given.
        """
        ...

    async def renew_leases(
        self, leases: Sequence[tuple[str, int, int]], *, now: float, lease_seconds: float
    ) -> list[LeaseState]:
        """Renews leases, each a batch, an index and an epoch, and says how they are. Those that are not ours are left out."""
        ...

    async def commit_segments(
        self, segments: Sequence[Segment], *, now: float, lease_seconds: float
    ) -> list[tuple[str, int, int]]:
        """Records results, adds completed ones to the account of the day, and renews the leases of their shards.

        Returns the (batch, index, epoch) that is not the shard's any more: nothing of those counts.
        """
        ...

    async def finish_shard(self, batch_id: str, index: int, *, epoch: int) -> bool:
        """Every line is journaled. False if the shard is no longer ours."""
        ...

    async def release_shard(self, batch_id: str, index: int, *, epoch: int) -> bool:
        """Gives a shard back to the queue (or ends it, if its batch is ending). False if it is no longer ours."""
        ...

    async def kept_texts(self, *, after: int = 0, limit: int = 100) -> list[tuple[int, BlobRange, bytes]]:
        """The lines of batches that have not ended which the ledger keeps besides their logs, and where they belong.

        In the order of their numbers, from the one behind `after`: that in which they were written.
        """
        ...

    async def segments(self, batch_id: str, *, after: int = 0, limit: int = 1000) -> list[tuple[int, Segment]]:
        """Committed segments in commit order, each with its sequence number; `after` is exclusive."""
        ...

    # Finalizing
    async def begin_finalizing(self, *, now: int, skip: Collection[str] = (), elsewhere: bool = False) -> Batch | None:
        """The next batch, not in `skip`, that has nothing left to run.

        `elsewhere`: of those alone whose results go to a storage of their user's; otherwise, of all others.
        It is `finalizing` (all lines are done, or its window elapsed) or `cancelling`. A duty, where there are members.
        """
        ...

    async def unfinished_shards(self, batch_id: str) -> list[UnfinishedShard]: ...
    async def shard(self, batch_id: str, index: int) -> UnfinishedShard | None:
        """Any shard of a batch that has not ended."""
        ...

    async def publish_files(
        self,
        batch_id: str,
        *,
        output: File | None,
        error: File | None,
        now: int,
        lost: int = 0,
        storage: UserStorage | None = None,
        errors: Sequence[BatchError] = (),
    ) -> Batch | None:
        """Files, ids, status, and tokens back, in one transaction. None if somebody else has ended the batch.

        `lost` of the results that were completed could not be read any more: they count as failed from now on.
        `storage` says where the results are that are no files here. `errors`: what the batch says of its end, besides.
        """
        ...

    # Keeping house
    async def release_leases(self, *, now: float, dead_owners_except: str | None = None) -> int:
        """Queues shards whose lease is over; with `dead_owners_except`, those of every other owner at once.

        Where there are members, that means those of whoever is none.
        """
        ...

    async def elapse_windows(self, *, now: int) -> list[str]:
        """Starts to end the batches whose window is over and whose policy says so; returns their ids."""
        ...

    # Deployments
    async def deployments(self) -> list[StoredDeployment]:
        """Every deployment that was made over the API, of every resource."""
        ...

    async def put_deployment(
        self, deployment: StoredDeployment, *, over: str | None = ANY_VERSION, most: int = 0
    ) -> bool:
        """Keeps a deployment, in the place of one of the same name.

        With `over`, only in that of the version with this etag, which nobody is deleting; None: only where there is none.
        Otherwise False. Raises NoRoom where it is new and there are `most` already; 0 is no limit.
        """
        ...

    async def remove_deployment(self, deployment: StoredDeployment, *, key: str) -> bool:
        """Forgets a deployment, unless a batch that has not ended is on it: then False."""
        ...

    async def open_batches(self, deployment: str) -> OpenBatches:
        """The batches of a deployment that have not ended, those that wait for validation included."""
        ...

    async def batch_regions(self, batch_id: str) -> list[str]:
        """Where the backends stand that have answered requests of a batch, by name."""
        ...

    async def close(self) -> None: ...
