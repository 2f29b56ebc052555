"""The doors to the world. The pipeline waits only through these; `wiring.py` decides who stands behind them.

Whoever implements a port passes that port's contract tests (tests/adapters/*_contract.py).
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import BinaryIO, Protocol, TypeVar

from msgspec import Struct

from slackwater.core.batch import Batch, BatchError, RequestCounts, Usage
from slackwater.core.file import File, Purpose
from slackwater.core.request import Reply

T = TypeVar("T")


class Clock(Protocol):
    """The time, and the only way to wait for it. A simulation brings its own."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, from any origin."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds` of this clock."""
        ...


class Offload(Protocol):
    """Runs heavy, picklable work where it cannot stall the event loop: another process in production."""

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Calls `function(*args)` elsewhere. Cancelling the caller ends the work."""
        ...


class BlobRange(Struct, frozen=True, kw_only=True):
    """Some bytes of a blob."""

    key: str
    offset: int
    length: int


class BlobLog(Protocol):
    """A blob that grows. What `append` returned survives a crash; what it did not return may or may not be there."""

    async def append(self, data: Sequence[bytes]) -> BlobRange:
        """Writes the parts one after another and returns where they lie, once they are durable.

        Raises StorageFull where there is no room; nothing of `data` counts then, and append may be called again.
        """
        ...

    async def close(self) -> None:
        """Lets go of the blob. It stays readable."""
        ...


class BlobWriter(Protocol):
    """A new blob being written. Nobody sees it before `publish`; `discard` leaves nothing behind."""

    size: int

    async def write(self, data: bytes) -> None:
        """Adds bytes. Raises StorageFull."""
        ...

    async def copy(self, source: BlobRange) -> None:
        """Adds a range of another blob without carrying it through memory. Raises StorageFull."""
        ...

    async def publish(self) -> None:
        """Makes the blob durable, then visible under its key."""
        ...

    async def discard(self) -> None:
        """Removes what was written. Harmless after `publish`."""
        ...


class BlobStore(Protocol):
    """Bytes under keys (`files/...`, `batches/...`). Keys are ours, never a user's text."""

    async def create(self, key: str) -> BlobWriter:
        """Starts a new blob, replacing one of the same key when it is published."""
        ...

    async def open_log(self, key: str) -> BlobLog:
        """Starts a new growing blob. The key must not have been used before."""
        ...

    async def read(self, source: BlobRange) -> bytes:
        """The bytes of a range; fewer only where the blob ends."""
        ...

    def stream(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of a blob in pieces of bounded size."""
        ...

    def reader(self, key: str) -> BinaryIO:
        """A blocking reader from the start of a blob, for work that runs in an Offload. The store itself is picklable."""
        ...

    async def names(self, prefix: str) -> list[str]:
        """The next parts of the keys below a prefix that ends in `/`, like a directory listing."""
        ...

    async def delete(self, key: str) -> None:
        """Removes a blob, or every blob below a key that ends in `/`. Missing ones are fine."""
        ...


class Backend(Protocol):
    """Somebody who answers requests: an engine, a cloud endpoint, or the built-in echo."""

    async def send(self, path: str, body: bytes) -> Reply:
        """One call. `path` has no version prefix (`/chat/completions`); `body` is JSON and is sent as it is.

        Returns whatever HTTP answered, any status. Raises BackendError where there was no whole answer.
        Cancelling aborts the call and closes its connection.
        """
        ...

    async def close(self) -> None:
        """Ends idle connections."""
        ...


class NewShard(Struct, frozen=True, kw_only=True):
    """A run of input lines that validation cut: where it lies in the input and how much it weighs."""

    offset: int
    length: int
    lines: int
    tokens: int


class Shard(Struct, frozen=True, kw_only=True):
    """A shard that somebody leased. `done` has a bit per line that is journaled; `epoch` is the right to write."""

    batch_id: str
    index: int
    epoch: int
    offset: int
    length: int
    lines: int
    done: bytes
    input_blob: str
    endpoint: str
    deployment: str


class Segment(Struct, frozen=True, kw_only=True):
    """Results of one shard that became durable together: ranges in the batch's output log and error log."""

    batch_id: str
    index: int
    epoch: int
    output: BlobRange | None
    error: BlobRange | None
    done: bytes
    counts: RequestCounts
    usage: Usage
    model: str | None = None


class LeaseState(Struct, frozen=True, kw_only=True):
    """What the ledger says of a leased shard: whether it is still ours, and the status of its batch."""

    batch_id: str
    index: int
    epoch: int
    mine: bool
    stop: bool


class UnfinishedShard(Struct, frozen=True, kw_only=True):
    """A shard with lines that never ran, as the finalizer needs it to write their error lines."""

    index: int
    offset: int
    length: int
    lines: int
    done: bytes


class Waiting(Struct, frozen=True, kw_only=True):
    """The validated batches of a deployment that wait for room, oldest first, and the tokens that others hold."""

    deployment: str
    batches: list[Batch]
    held: int


class OpenBatch(Struct, frozen=True, kw_only=True):
    """A batch whose shards have no rank yet, as the scheduler sees it."""

    batch_id: str
    deployment: str
    shards: int
    virtual_time: float


class Ledger(Protocol):
    """Durable facts. One method is one transaction, named after the fact it makes true."""

    # Files
    async def add_file(self, file: File) -> None: ...
    async def file(self, file_id: str) -> File | None: ...
    async def files(
        self, *, purpose: Purpose | None, after: str | None, limit: int, descending: bool
    ) -> list[File]: ...
    async def delete_file(self, file_id: str) -> File | None:
        """Forgets a file and returns it; its bytes may go once `blob_in_use` is false."""
        ...

    async def blob_in_use(self, key: str) -> bool:
        """Whether a file or a batch that has not ended still needs these bytes."""
        ...

    async def expired_files(self, *, now: int, limit: int) -> list[File]: ...

    # Batches
    async def add_batch(self, batch: Batch) -> None: ...
    async def batch(self, batch_id: str) -> Batch | None: ...
    async def batches(self, *, after: str | None, limit: int) -> list[Batch]: ...
    async def request_cancel(self, batch_id: str, *, now: int) -> Batch | None:
        """Moves the batch to `cancelling` if its status allows that, and returns what it is now; None if unknown."""
        ...

    # Validation
    async def next_to_validate(self, *, skip: Collection[str] = ()) -> Batch | None:
        """The oldest batch that is to be validated and not in `skip`."""
        ...

    async def accept_batch(
        self, batch_id: str, *, deployment: str, endpoint: str, total: int, tokens: int, shards: Sequence[NewShard]
    ) -> bool:
        """Records the shards; the batch now waits for room. False if it is no longer `validating`."""
        ...

    async def reject_batch(self, batch_id: str, *, errors: Sequence[BatchError], now: int) -> bool: ...

    # Quota
    async def waiting(self) -> list[Waiting]: ...
    async def enqueue(self, batch_ids: Sequence[str], *, now: int) -> None: ...
    async def enqueued_tokens(self, deployment: str) -> int: ...

    # Scheduling
    async def unranked(self) -> list[OpenBatch]: ...
    async def rank_shards(self, batch_id: str, ranks: Sequence[float]) -> None: ...

    # Working
    async def claim_shard(
        self, deployments: Sequence[str], *, owner: str, now: float, lease_seconds: float
    ) -> Shard | None: ...
    async def renew_leases(self, owner: str, *, now: float, lease_seconds: float) -> list[LeaseState]: ...
    async def commit_segments(
        self, segments: Sequence[Segment], *, now: float, lease_seconds: float
    ) -> list[tuple[str, int]]:
        """Records results and renews the leases of their shards.

        Returns the (batch, index) whose epoch is no longer ours: nothing of those counts.
        """
        ...

    async def finish_shard(self, batch_id: str, index: int, *, epoch: int) -> bool:
        """Every line is journaled. False if the shard is no longer ours."""
        ...

    async def release_shard(self, batch_id: str, index: int, *, epoch: int) -> bool:
        """Gives a shard back to the queue (or ends it, if its batch is ending). False if it is no longer ours."""
        ...

    async def segments(self, batch_id: str, *, after: int = 0, limit: int = 1000) -> list[tuple[int, Segment]]:
        """Committed segments in commit order, each with its sequence number; `after` is exclusive."""
        ...

    # Finalizing
    async def begin_finalizing(self, *, now: int, skip: Collection[str] = ()) -> Batch | None:
        """The next batch, not in `skip`, that has nothing left to run.

        It is `finalizing` (all lines are done, or its window elapsed) or `cancelling`.
        """
        ...

    async def unfinished_shards(self, batch_id: str) -> list[UnfinishedShard]: ...
    async def publish_files(self, batch_id: str, *, output: File | None, error: File | None, now: int) -> Batch | None:
        """Files, ids, status, and tokens back, in one transaction. None if somebody else has ended the batch."""
        ...

    # Keeping house
    async def release_leases(self, *, now: float, dead_owners_except: str | None = None) -> int:
        """Queues shards whose lease is over; with `dead_owners_except`, those of every other owner at once."""
        ...

    async def elapse_windows(self, *, now: int) -> list[str]:
        """Starts to end the batches whose window is over and whose policy says so; returns their ids."""
        ...

    async def close(self) -> None: ...
