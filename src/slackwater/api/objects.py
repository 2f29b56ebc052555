"""Every JSON object that crosses the wire, as a type: what handlers answer and what bodies they take.

The OpenAPI document is made of these types, so what a field means is said here, once. A field that is UNSET is left out;
one that is None is written as null. Key order is that of OpenAI's recordings (spec 2.1, 3.2).
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Moment = Annotated[int, Meta(description="Seconds since 1970-01-01 UTC.")]
Lifetime = Annotated[int, Meta(ge=3_600, le=2_592_000, description="Seconds, from an hour to 30 days.")]


class ErrorDetail(Struct, frozen=True, kw_only=True):
    """What is wrong, in the one shape that both vendors' clients read (spec 7.1)."""

    code: str | None
    """A word for programs; its values are those of the caller's family."""
    message: str
    """A sentence for people that says what to do."""
    type: str | None
    """OpenAI's class of error, such as `invalid_request_error`."""
    param: str | None
    """The parameter that is wrong, where it is one."""


class FilesDetail(Struct, frozen=True, kw_only=True):
    """The message once more, as OpenAI's Files API repeats it beside `error`."""

    message: str
    code: str | None


class ErrorBody(Struct, frozen=True, kw_only=True):
    """The body of every answer that is an error."""

    error: ErrorDetail
    detail: FilesDetail | UnsetType = UNSET


class BareError(Struct, frozen=True, kw_only=True):
    """What is wrong, as Azure's gateway says it."""

    code: str
    message: str


class ResourceNotFound(Struct, frozen=True, kw_only=True):
    """Azure's answer to a path or an api-version that it does not know (spec 1.3)."""

    error: BareError


class ExpiresAfter(Struct, frozen=True, kw_only=True):
    """When a file goes by itself."""

    anchor: Literal["created_at"]
    seconds: Lifetime


class FileObject(Struct, frozen=True, kw_only=True):
    """A file (spec 2.1)."""

    object: Literal["file"] = "file"
    id: str
    purpose: str
    filename: str
    bytes: int | UnsetType = UNSET
    """Size; absent while an import is `pending`."""
    created_at: Moment
    expires_at: Moment | UnsetType | None = UNSET
    status: Literal["pending", "processed", "error"]
    status_details: str | UnsetType | None = UNSET
    """Why the status is `error`."""


class FileList(Struct, frozen=True, kw_only=True):
    """A page of files. The next one is asked for with `after=last_id`."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(Struct, frozen=True, kw_only=True):
    """What became of a file that was to be deleted."""

    object: Literal["file"] = "file"
    deleted: bool
    id: str


class NewImport(Struct, frozen=True, kw_only=True):
    """A file to be fetched from a URL (spec 2.2)."""

    purpose: str
    filename: str
    content_url: str
    """Where the bytes are. The operator has to allow its host."""
    expires_after: ExpiresAfter | None = None


class NewUpload(Struct, frozen=True, kw_only=True):
    """A file that will come in parts (spec 2.5)."""

    purpose: str
    filename: str
    bytes: Annotated[int, Meta(ge=0)]
    """Size of the whole; the parts must add up to it."""
    mime_type: str
    expires_after: ExpiresAfter | None = None


class CompleteUpload(Struct, frozen=True, kw_only=True):
    """The order in which the parts make the file."""

    part_ids: list[str]
    """Ids of parts, or their `azure_block_id`."""
    md5: str | None = None
    """MD5 of the whole file, in hexadecimal digits or in base64, to be compared."""


class UploadObject(Struct, frozen=True, kw_only=True):
    """A file that comes in parts."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: Moment
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    expires_at: Moment
    file: FileObject | UnsetType = UNSET
    """The file that was made; only once the upload is `completed`."""


class UploadPartObject(Struct, frozen=True, kw_only=True):
    """One part of an upload."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: Moment
    upload_id: str
    azure_block_id: str | UnsetType = UNSET


class NewBatch(Struct, frozen=True, kw_only=True):
    """A batch to be made of an uploaded file (spec 3.1)."""

    input_file_id: str
    """A file with the purpose `batch`."""
    endpoint: str
    """Such as `/v1/chat/completions`, with or without `/v1`."""
    completion_window: str
    """`24h`, and nothing else."""
    metadata: Annotated[dict[str, Any], Meta(max_length=16)] | None = None
    """Up to 16 pairs: keys of up to 64 characters, values of up to 512."""
    output_expires_after: ExpiresAfter | None = None
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
    input_file_id: str
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


class BatchList(Struct, frozen=True, kw_only=True):
    """A page of batches. The next one is asked for with `after=last_id`."""

    object: Literal["list"] = "list"
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ModelObject(Struct, frozen=True, kw_only=True):
    """A name that `model` may have, as OpenAI and Azure v1 show it."""

    id: str
    object: Literal["model"] = "model"
    created: Moment
    owned_by: str


class ModelList(Struct, frozen=True, kw_only=True):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


class ModelCapabilities(Struct, frozen=True, kw_only=True):
    """What a model can be used for, as Azure's dated versions say it (spec 9.3)."""

    fine_tune: bool
    inference: bool
    completion: bool
    chat_completion: bool
    embeddings: bool


class ModelDeprecation(Struct, frozen=True, kw_only=True):
    """Until when a model answers."""

    inference: Moment


class AzureModel(Struct, frozen=True, kw_only=True):
    """A name that `model` may have, as Azure's dated versions show it."""

    object: Literal["model"] = "model"
    id: str
    status: Literal["succeeded"] = "succeeded"
    created_at: Moment
    capabilities: ModelCapabilities
    lifecycle_status: Literal["generally-available"] = "generally-available"
    deprecation: ModelDeprecation
    model: str
    """The model behind the deployment."""


class AzureModelList(Struct, frozen=True, kw_only=True):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[AzureModel]


class ScaleSettings(Struct, frozen=True, kw_only=True):
    """How many requests a deployment has in flight at most."""

    capacity: int
    scale_type: Literal["manual"] = "manual"


class LegacyDeployment(Struct, frozen=True, kw_only=True):
    """A deployment as api-version 2022-12-01 showed it (spec 9.3)."""

    object: Literal["deployment"] = "deployment"
    id: str
    model: str
    owner: str
    status: Literal["succeeded"] = "succeeded"
    scale_settings: ScaleSettings
    created_at: Moment
    updated_at: Moment


class LegacyDeploymentList(Struct, frozen=True, kw_only=True):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[LegacyDeployment]


class Health(Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["ok"] = "ok"
