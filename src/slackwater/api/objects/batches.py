"""Batches, from their create to their end."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from slackwater.api.objects.files import ExpiresAfter
from slackwater.api.objects.times import Moment


class OutputFolder(Struct, frozen=True, kw_only=True):
    """Where results go in a storage of the caller's."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    """A folder, or a container, that the operator lets the resource name."""
    delimiter: Literal["/"] = "/"


class NewBatch(Struct, frozen=True, kw_only=True):
    """A batch to be made of an uploaded file, or of a blob in a storage of the caller's (spec 3.1)."""

    input_file_id: str | None = None
    """A file with the purpose `batch`. Required where there is no `input_blob`."""
    endpoint: str
    """What all lines ask for, with or without `/v1`: `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`,
    `/v1/responses`, `/v1/moderations`; where the deployment offers it, also `/v1/images/generations`, `/v1/images/edits`,
    `/v1/videos`, `/v1/messages`, `/v1/rerank`, `/v1/score`, `/v1/audio/speech`."""
    completion_window: str
    """`24h`, and nothing else."""
    metadata: Annotated[dict[str, Any], Meta(max_length=16)] | None = None
    """Up to 16 pairs: keys of up to 64 characters, values of up to 512."""
    output_expires_after: ExpiresAfter | None = None
    input_blob: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None
    """The URL of a blob instead of a file, with an `output_folder` and without `metadata` (spec 4.4)."""
    output_folder: OutputFolder | None = None
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    """As the header `Idempotency-Key`: a repeated create returns the batch that the first one made."""


class RetryBatch(Struct, frozen=True, kw_only=True):
    """How the batch that tries the failed lines again differs from the first one; everything is optional."""

    metadata: Annotated[dict[str, Any], Meta(max_length=16)] | None = None
    """By default that of the first batch. `retry_of` is added."""
    output_expires_after: ExpiresAfter | None = None
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class BatchErrorObject(Struct, frozen=True, kw_only=True):
    """One reason why the input was refused (spec 5)."""

    code: str
    message: str
    param: str | None
    line: int | None
    """Counted from 1; null where it is about the whole file."""


class BatchErrors(Struct, frozen=True, kw_only=True):
    """All reasons, by line."""

    object: Literal["list"] = "list"
    data: list[BatchErrorObject]


class RequestCountsObject(Struct, frozen=True, kw_only=True):
    """Lines of the input file, and what became of them."""

    total: int
    completed: int
    failed: int


class InputDetails(Struct, frozen=True, kw_only=True):
    """Of the input tokens, those that a cache answered."""

    cached_tokens: int


class OutputDetails(Struct, frozen=True, kw_only=True):
    """Of the output tokens, those of reasoning."""

    reasoning_tokens: int


class UsageObject(Struct, frozen=True, kw_only=True):
    """Tokens that the backends reported for the completed lines."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class BatchObject(Struct, frozen=True, kw_only=True):
    """A batch, with every key of both vendors (spec 3.2): clients ignore what they do not know."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None
    """The model that answered, as the backend named it; null until the first answer."""
    errors: BatchErrors | None
    input_file_id: str | None
    """null where there is an `input_blob`."""
    completion_window: str
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: Moment
    in_progress_at: Moment | None
    expires_at: Moment
    finalizing_at: Moment | None
    completed_at: Moment | None
    failed_at: Moment | None
    expired_at: Moment | None
    cancelling_at: Moment | None
    cancelled_at: Moment | None
    request_counts: RequestCountsObject
    usage: UsageObject
    metadata: dict[str, str] | None
    input_blob: str | UnsetType = UNSET
    """Only of batches whose user keeps their bytes himself, as the next two."""
    output_blob: str | UnsetType = UNSET
    error_blob: str | UnsetType = UNSET
    """Empty until the batch has ended. The blob with the errors is only made where there are any."""


class BatchList(Struct, frozen=True, kw_only=True):
    """A page of batches. The next one is asked for with `after=last_id`."""

    object: Literal["list"] = "list"
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool
