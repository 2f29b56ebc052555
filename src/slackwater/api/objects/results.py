"""The results of a batch as a table: its rows, what a search finds in them, and two batches side by side."""

from typing import Literal

from msgspec import Struct

from slackwater.api.objects.watching import ExcerptObject


class BatchResult(Struct, frozen=True, kw_only=True):
    """One result in short, as a row of a table."""

    object: Literal["batch.result"] = "batch.result"
    custom_id: str
    line: int | None
    """The number of its request in the input, from 1, blank lines left out; null where it cannot be told: as long as the table
    is not ready, or where one of the two files of results has been deleted."""
    outcome: Literal["completed", "failed"]
    status_code: int | None
    """Null where there was no HTTP answer."""
    code: str | None
    """What went wrong."""
    message: str | None
    answer: str | None
    """The first 300 characters of the answer's text; null where there is none, and for a line of more than 32 KiB."""
    input_tokens: int | None
    output_tokens: int | None
    latency_seconds: float | None
    """How long the call took that brought it, which the `request_id` of its line says; null for lines of older versions, and
    where there was no answer."""


class BatchResultTable(Struct, frozen=True, kw_only=True):
    """Some rows of a table of results."""

    object: Literal["list"] = "list"
    data: list[BatchResult]
    offset: int
    """How many rows come before them. It is that of the last page where more was asked for than there is."""
    total: int
    """Rows of the table."""
    ready: bool
    """False for a first page that is shown before the table is made, which takes a second or so for a large batch. The others are
    answered when it is."""


class FoundBatchResult(BatchResult, frozen=True, kw_only=True):
    """A result that a search has found."""

    found_in: Literal["custom_id", "answer", "prompt"]
    excerpt: ExcerptObject


class BatchResultSearch(Struct, frozen=True, kw_only=True):
    """What a search has found in one call, and how far it has come."""

    object: Literal["list"] = "list"
    data: list[FoundBatchResult]
    has_more: bool
    """Whether there is more to look through. A call looks through a bounded number of bytes, for a bounded time."""
    next: str | None
    """The `after` of the call that goes on."""
    stopped: Literal["limit", "time", "bytes", "lines"] | None
    """Why it stopped; null where everything was looked through."""
    results_searched: int
    """Results whose ids and answers have been looked through, in all calls of this search together."""
    results: int
    """How many there are."""
    input_bytes_searched: int
    """Bytes of the input file whose prompts have been looked through, in all calls together."""
    input_bytes: int | None
    """How many there are; null where that is not known."""
    input_gone: bool
    """The input file has been deleted, so that prompts are not looked through."""
    passed_over: int
    """Results of more than 8 MiB, which are not looked through, in this call."""


class BatchResultPair(Struct, frozen=True, kw_only=True):
    """One request in two batches."""

    object: Literal["batch.result_pair"] = "batch.result_pair"
    custom_id: str
    same: bool
    """Whether both have the same answer, or failed with the same code."""
    here: BatchResult | None
    """Null where this batch has no result of it."""
    there: BatchResult | None


class BatchComparison(Struct, frozen=True, kw_only=True):
    """Some lines of two batches side by side."""

    object: Literal["list"] = "list"
    data: list[BatchResultPair]
    offset: int
    total: int
    """Lines of those that are shown."""
    counts: dict[str, int]
    """How many lines there are of each: all, different, same, only_here, only_there."""
