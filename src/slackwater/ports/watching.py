"""What the ledger knows for people who watch: lists in short, queues, what is new."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from slackwater.core.batch import Batch, Status
from slackwater.core.sending.request import Outcome
from slackwater.core.watching.batch_history import BatchHistory
from slackwater.ports.blobs import BlobRange


class OverviewRow(Struct, frozen=True, kw_only=True):
    """A batch in a list for people."""

    batch: Batch
    filename: str | None
    """That of the input file; None once it is deleted."""
    queue_position: int | None
    """1 is the next of its deployment to start; None for a batch that does not wait for room."""


class Overview(Struct, frozen=True, kw_only=True):
    """A page of batches, newest first, and how many there are of each status."""

    rows: Sequence[OverviewRow]
    counts: Mapping[Status, int]
    completed_with_failures: int = 0
    """How many have completed with failed requests, as far as somebody counts: 10,000."""


class BatchDone(Struct, frozen=True):
    """How far an open batch is."""

    batch_id: str
    finished: int
    tokens: int


class DeploymentLoad(Struct, frozen=True, kw_only=True):
    """The batches of a deployment that have not ended."""

    open_batches: int
    held: int
    """Enqueued tokens of those that do not wait for room; before validation, their estimate."""
    waiting_batches: int
    waiting: int
    """Enqueued tokens of those that wait for room."""


class NewResults(Struct, frozen=True, kw_only=True):
    """A run of committed lines in a log, which a reader has not seen."""

    outcome: Outcome
    range: BlobRange


class WatchingLedger(Protocol):
    """The part of the ledger that is for people who watch."""

    async def batch_overview(
        self,
        *,
        resource: str,
        statuses: Collection[Status] = (),
        deployment: str | None = None,
        with_failures: bool = False,
        search: str = "",
        metadata: Sequence[tuple[str, str]] = (),
        after: str | None = None,
        limit: int,
    ) -> Overview:
        """A page of a resource's batches, newest first, behind the batch `after`. Without statuses, all of them; with
        `with_failures`, only those of which requests have failed.

        `search` is looked for in ids, names of input files and values of metadata, in any case. Of `metadata`, each key has
        that value. Raises InvalidRequest where `after` is unknown, or where too many batches would have to be looked at.
        """
        ...

    async def queue_position(self, batch_id: str) -> int | None:
        """1 where a batch is the next of its deployment to start; None where it does not wait for room."""
        ...

    async def batches_at_work(self, *, limit: int) -> list[BatchDone]:
        """How far every batch is that runs, oldest first."""
        ...

    async def deployment_load(self, deployment: str) -> DeploymentLoad: ...
    async def deployments_at_work(self) -> set[str]:
        """The keys of those that have batches which are to be validated, wait for room, or run."""
        ...

    async def shard_sizes(self, batch_id: str) -> list[int]:
        """How many lines each shard of a batch has, in the order of the input; none once it has ended."""
        ...

    async def add_batch_histories(self, news: Mapping[str, BatchHistory]) -> None:
        """Adds to how batches went, by their ids, what somebody has seen of it. Of a batch that is not there, nothing is kept.

        A power cut may take it back.
        """
        ...

    async def batch_history(self, batch_id: str) -> BatchHistory | None:
        """How a batch went; None where nothing has been written down."""
        ...

    async def results_behind(
        self, batch_id: str, *, seen: Mapping[str, int], outcomes: Collection[Outcome], limit: int
    ) -> list[NewResults]:
        """Committed lines of a running batch behind the offsets in `seen`, which has one for each log.

        The runs of a log come in the order in which they were written; those of several logs about in that of their commits.
        """
        ...
