"""What goes into the ledger and comes out of it, besides the records of core."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.accounts.usage import Usage
from slackwater.core.batch import RequestCounts
from slackwater.core.files.file import File
from slackwater.core.quota.enqueued import WaitingBatch
from slackwater.ports.blobs import BlobRange


class PendingImport(Struct, frozen=True, kw_only=True):
    """A file that is still to be fetched. `tries` is how many have failed."""

    file: File
    url: str
    tries: int
    check_first_line: bool


class IdempotencyKey(Struct, frozen=True, kw_only=True):
    """A name that a caller gave to one create, and a digest of what was asked for under it."""

    key: str
    digest: str
    resource: str = DEFAULT


# A small input file, some hundred lines: so large it is at most. The indexes of schema 22 know this number.
SMALL_INPUT_BYTES = 64 << 10


class NewShard(Struct, frozen=True, kw_only=True):
    """A run of input lines that validation cut: where it lies in the input and how much it weighs."""

    offset: int
    length: int
    lines: int
    tokens: int
    checksums: bytes = b""
    """One for each line (core/sending/checksums.py)."""


class Start(Struct, frozen=True, kw_only=True):
    """With what a batch may start as soon as it is validated: how many enqueued tokens its deployment may hold (None: as many
    as there are), the ranks of its shards, and the moment."""

    limit: int | None
    ranks: Sequence[float]
    now: int


class Shard(Struct, frozen=True, kw_only=True):
    """A shard that somebody leased. `done` has a bit per line that is journaled; `epoch` is the right to write."""

    batch_id: str
    index: int
    epoch: int
    places: tuple[BlobRange, ...]
    """Where its lines lie in the input, in the order in which they are sent and numbered."""
    lines: int
    done: bytes
    endpoint: str
    deployment: str
    tokens: int = 0
    """Input tokens of all of its lines, as validation has estimated them."""
    batch_left: float = 0.0
    """Input tokens of the lines of its batch that have no result yet, about."""
    batch_since: int = 0
    """When its batch was let in."""
    batch_queued: bool = False
    """Whether there are more shards of the batch to claim."""
    batch_created_at: int = 0
    batch_unbegun: bool = False
    """Whether no request of the batch had a result when this was leased."""
    checksums: bytes = b""
    """One for each line; empty where validation was of a version that made none."""


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
    regions: tuple[str, ...] = ()
    """Where the backends stand that answered."""
    mended: int = 0
    """How many of the completed ones had an answer that was not quite JSON."""
    output_checksums: bytes = b""
    error_checksums: bytes = b""
    """One for each line of a range, in its order; empty for those that an older version wrote."""
    output_text: bytes = b""
    error_text: bytes = b""
    """The lines themselves where they are few, and their log is not durable yet: the ledger keeps them until the batch ends."""
    ends: bool = False
    """Whether every line of the shard is recorded with these: it is done, and nobody's any more."""


class LeaseState(Struct, frozen=True, kw_only=True):
    """What the ledger says of a shard whose lease was renewed."""

    batch_id: str
    index: int
    epoch: int
    stop: bool
    """Whether its batch is ending: nothing of it is to be sent any more."""
    expired: bool = False
    """It ends because its window is over, and not because somebody has cancelled it."""
    paused: bool = False
    """An operator has paused its batch: nothing more of it is to be sent, and what is out is kept."""


class UnfinishedShard(Struct, frozen=True, kw_only=True):
    """A shard as the finalizer needs it to write error lines: for those that never ran, or whose results are lost."""

    index: int
    places: tuple[BlobRange, ...]
    lines: int
    done: bytes
    checksums: bytes = b""


class Waiting(Struct, frozen=True, kw_only=True):
    """The validated batches of a deployment that wait for room, oldest first, and the tokens that others hold.

    Of many, the oldest: whoever has let them in asks again.
    """

    deployment: str
    batches: list[WaitingBatch]
    held: int


class OpenBatch(Struct, frozen=True, kw_only=True):
    """A batch whose shards have no rank yet, as the scheduler sees it."""

    batch_id: str
    deployment: str
    shards: int


class QueuedBatch(Struct, frozen=True, kw_only=True):
    """A batch that has shards to claim. `number` grows each time that a batch of its deployment gets some."""

    number: int
    batch_id: str
    left: float
    """Input tokens of its lines that have no result yet, about."""
    lines: int
    """Those lines."""
    since: int
    """When it was let in."""


class OpenBatches(Struct, frozen=True, kw_only=True):
    """How many batches of a deployment have not ended, and when the first of their windows does."""

    count: int
    first_expires_at: int | None


class FileCounts(Struct, frozen=True, kw_only=True):
    """How many uploaded files a resource has: those that live until they are deleted, and those that go by themselves."""

    lasting: int
    expiring: int


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Who did what to which object. The ledger gives it its number, and never changes it."""

    seq: int = 0
    at: int
    resource: str
    who: str
    action: str
    object: str
    detail: dict[str, Any]
    request_id: str


class AuditSearch(Struct, frozen=True, kw_only=True):
    """Which entries are wanted: those that have each of these texts in the column of that name. An empty one asks nothing."""

    who: str = ""
    action: str = ""
    object: str = ""


class StoredDeployment(Struct, frozen=True, kw_only=True):
    """A deployment that was made over the API: what was asked for, in the words of Azure's control plane."""

    resource: str
    name: str
    body: dict[str, Any]
    etag: str
    created_at: int
    updated_at: int
    deleted_at: int | None = None
    """When it was to be deleted; it stays until its batches have ended."""
