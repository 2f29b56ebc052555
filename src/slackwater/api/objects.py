"""Every JSON object that crosses the wire, as a type: what handlers answer and what bodies they take.

The OpenAPI document is made of these types, so what a field means is said here, once. A field that is UNSET is left out;
one that is None is written as null. Key order is that of OpenAI's recordings (spec 2.1, 3.2).
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Moment = Annotated[int, Meta(description="Seconds since 1970-01-01 UTC.")]
WebhookEvent = Literal["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"]
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


class NewWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """An endpoint that is to hear how batches end (spec 10)."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    url: str
    """Where events are posted to; https."""
    event_types: list[WebhookEvent]
    """What it is to hear of."""


class ChangedWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """What is to be different; the rest stays. An endpoint that was disabled or left alone is sent to again."""

    name: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    url: str | None = None
    event_types: list[WebhookEvent] | None = None
    """All that it is to hear of from now on."""


class RotateWebhookSecret(Struct, frozen=True, kw_only=True):
    """How a secret is changed."""

    keep_old_secret_active_for_24_hours: bool = False
    """Deliveries are signed with both for a day, so that receivers can change over."""


class TestWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """Which event to send a sample of."""

    event_type: WebhookEvent


class WebhookEndpointObject(Struct, frozen=True, kw_only=True):
    """An endpoint, and how it is doing."""

    id: str
    object: Literal["webhook_endpoint", "webhook.endpoint"]
    """The second one in Azure v1."""
    name: str
    url: str
    event_types: list[WebhookEvent]
    created_at: Moment
    updated_at: Moment
    """When its settings or its secret were changed last."""
    signing_secret: str | UnsetType = UNSET
    """What deliveries are signed with; only in the answers of create and rotate_secret."""
    signing_secret_hint: str
    """Its end, to know it by."""
    status: Literal["active", "failing", "disabled"]
    """`failing`: the last try failed. `disabled`: it answered 410, and nothing is sent until it is changed."""
    last_success_at: Moment | None
    last_failure_at: Moment | None
    last_failure: str | None
    """Why the last try that failed did."""


class WebhookEndpointList(Struct, frozen=True, kw_only=True):
    """A page of endpoints. The next one is asked for with `after=last_id`."""

    object: Literal["list"] = "list"
    data: list[WebhookEndpointObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class WebhookEndpointDeleted(Struct, frozen=True, kw_only=True):
    """An endpoint is gone."""

    id: str
    object: str
    """`webhook_endpoint.deleted`; in Azure v1 `webhook.endpoint.deleted`."""
    deleted: bool


class WebhookEndpointTested(Struct, frozen=True, kw_only=True):
    """What an endpoint answered to a test."""

    object: str
    """`webhook_endpoint.test`; in Azure v1 `webhook.endpoint.test`."""
    event_type: WebhookEvent
    status_code: int
    success: bool
    """Whether there was an answer; it always is true here."""
    webhook_endpoint_id: str


class WebhookEventTypes(Struct, frozen=True, kw_only=True):
    """All that there is to hear of."""

    object: Literal["list"] = "list"
    data: list[WebhookEvent]


class WebhookDeliveryObject(Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint."""

    id: str
    """What the receiver sees as `webhook-id`."""
    object: str
    """`webhook_endpoint.delivery`; in Azure v1 `webhook.endpoint.delivery`."""
    event_id: str
    event_type: WebhookEvent
    batch_id: str
    created_at: Moment
    state: Literal["pending", "delivered", "dead"]
    """`dead`: given up, after 72 hours or because the endpoint answered 410."""
    tries: int
    last_status_code: int | None
    """What was answered to the last try; null where nothing was."""
    last_failure: str | None
    next_try_at: Moment | None
    ended_at: Moment | None


class WebhookDeliveryList(Struct, frozen=True, kw_only=True):
    """A page of deliveries. The next one is asked for with `after=last_id`."""

    object: Literal["list"] = "list"
    data: list[WebhookDeliveryObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class UsageRow(Struct, frozen=True, kw_only=True):
    """Completed requests, their tokens, and what they cost, for one value of everything that was grouped by.

    Currencies are never added up: each has rows of its own, and so has what had no price.
    """

    day: str | UnsetType = UNSET
    """In UTC, such as `2026-01-31`: the day on which the requests were completed."""
    deployment: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    """As the backend named it; empty where it named none."""
    requests: int
    input_tokens: int
    cached_tokens: int
    """Those of the input tokens that a cache answered."""
    output_tokens: int
    reasoning_tokens: int
    """Those of the output tokens that were reasoning."""
    currency: str | None
    """Null where the work had no price."""
    cost: str | None
    """A decimal number with every digit, such as `0.003625`, the batch discount taken off."""


class UsageReport(Struct, frozen=True, kw_only=True):
    """What a resource has completed on some days."""

    object: Literal["usage"] = "usage"
    start: str
    """The first day."""
    end: str
    """The last day; it is included."""
    group_by: list[Literal["day", "deployment", "model"]]
    data: list[UsageRow]
    total: list[UsageRow]
    """The same over all groups: a row per currency."""


class PriceObject(Struct, frozen=True, kw_only=True):
    """What a million tokens cost, as decimal numbers, before the discount."""

    currency: str
    input: str
    cached_input: str
    output: str
    batch_discount: int
    """In per cent."""


class BatchCost(Struct, frozen=True, kw_only=True):
    """What a batch has cost so far: the sum over the lines of its output file."""

    object: Literal["batch.cost"] = "batch.cost"
    batch_id: str
    price: PriceObject | None
    """The price at which the batch was accepted; null where there was none, or where it is not accepted yet."""
    usage: UsageRow


class QuotaName(Struct, frozen=True, kw_only=True):
    """What is counted."""

    value: str
    """For programs."""
    localizedValue: str
    """For people."""


class QuotaUsage(Struct, frozen=True, kw_only=True):
    """How much of a quota is taken, in the shape of Azure's control plane (spec 9.2)."""

    name: QuotaName
    unit: Literal["Count"] = "Count"
    currentValue: int
    limit: int | None
    """Null where there is none."""


class QuotaUsages(Struct, frozen=True, kw_only=True):
    """Every quota of a resource."""

    value: list[QuotaUsage]


class AuditEntryObject(Struct, frozen=True, kw_only=True):
    """Who did what to which object."""

    object: Literal["audit.entry"] = "audit.entry"
    id: str
    """Its number in the order of the log, and the cursor of the list."""
    at: Moment
    who: str
    """The name of the key or the bearer of the token; `anonymous` where no key is needed."""
    action: str
    """The name of the operation, such as `create_batch`."""
    target: str
    """The id of what was made, changed or deleted."""
    detail: dict[str, Any]
    request_id: str
    """The `x-request-id` of the answer."""


class AuditPage(Struct, frozen=True, kw_only=True):
    """A page of the audit log, oldest first. The next one is asked for with `after=last_id`."""

    object: Literal["list"] = "list"
    data: list[AuditEntryObject]
    last_id: str | None
    has_more: bool


class Health(Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class NewKeys(Struct, frozen=True, kw_only=True):
    """Which role is to have two new keys."""

    role: str
    """`reader`, `user` or `admin`."""


class RotateKey(Struct, frozen=True, kw_only=True):
    """Which of the two keys is to be a new one."""

    key: Literal["key1", "key2"]


class KeyObject(Struct, frozen=True, kw_only=True):
    """A key of a resource."""

    object: Literal["key"] = "key"
    role: Literal["reader", "user", "admin"]
    name: Literal["key1", "key2"]
    hint: str
    """Its last characters."""
    created_at: Moment
    value: str | UnsetType = UNSET
    """The key itself, only in the answer to the call that made it."""


class KeyList(Struct, frozen=True, kw_only=True):
    """The keys of a resource, or of one role."""

    object: Literal["list"] = "list"
    data: list[KeyObject]


class KeysDeleted(Struct, frozen=True, kw_only=True):
    """The keys of a role are gone."""

    object: Literal["keys"] = "keys"
    role: str
    deleted: Literal[True] = True


class NewSku(Struct, frozen=True, kw_only=True):
    """Which kind of deployment, and how much of it."""

    name: str = "GlobalBatch"
    capacity: Annotated[int, Meta(ge=0)] | None = None
    """Thousands of enqueued tokens."""


class ChangedSku(Struct, frozen=True, kw_only=True):
    """What is to be different."""

    name: str | None = None
    capacity: Annotated[int, Meta(ge=0)] | None = None


class NewModel(Struct, frozen=True, kw_only=True):
    """The model behind a deployment."""

    format: str | None = None
    """`OpenAI`."""
    name: str | None = None
    version: str | None = None


class NewBackend(Struct, frozen=True, kw_only=True):
    """A server that answers for a deployment. Its host must be one that the operator allows."""

    url: str
    model: str | None = None
    """The name that this server knows the model by."""
    apiKeyEnv: str | None = None
    """The environment variable of the service that has its key."""
    apiKeyHeader: Literal["authorization", "api-key"] | None = None
    region: str | None = None
    dataZone: str | None = None
    concurrency: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    attempts: Annotated[int, Meta(ge=1)] | None = None


class NewProperties(Struct, frozen=True, kw_only=True):
    """What a deployment is to be. The last four are not Azure's."""

    model: NewModel | None = None
    versionUpgradeOption: (
        Literal["OnceNewDefaultVersionAvailable", "OnceCurrentVersionExpired", "NoAutoUpgrade"] | None
    ) = None
    raiPolicyName: str | None = None
    """A content filter of the operator's."""
    dynamicThrottlingEnabled: bool | None = None
    """Let in more than the capacity while there is measured room for it."""
    backendsOf: str | None = None
    """A deployment of the configuration whose backends it uses; by default the first with the same model."""
    backends: list[NewBackend] | None = None
    """Backends of its own, instead."""
    dataZone: str | None = None
    """For `DataZoneBatch`: where its requests may go."""
    whenFull: Literal["fail", "queue"] | None = None
    """What becomes of a batch that finds no room."""


class NewDeployment(Struct, frozen=True, kw_only=True):
    """A deployment, in the words of Azure's control plane (spec 9.2)."""

    sku: NewSku = NewSku()
    properties: NewProperties = NewProperties()
    tags: dict[str, Any] | None = None


class ChangedDeployment(Struct, frozen=True, kw_only=True):
    """What is to be different; the rest stays."""

    sku: ChangedSku | None = None
    properties: NewProperties | None = None
    tags: dict[str, Any] | None = None


class SkuObject(Struct, frozen=True, kw_only=True):
    """Which kind of deployment, and how much of it."""

    name: str
    capacity: int | UnsetType = UNSET
    """Thousands of enqueued tokens; left out where there is no limit."""


class DeployedModel(Struct, frozen=True, kw_only=True):
    """The model behind a deployment."""

    format: str
    name: str
    version: str | UnsetType = UNSET


class DynamicQuota(Struct, frozen=True, kw_only=True):
    """What dynamic quota allows at this moment, and why."""

    enqueuedTokensNow: int | None
    """How many enqueued tokens the deployment may hold now."""
    tokensPerSecond: float
    """What its backends were measured to finish."""
    secondsLeft: int
    """Until the first window of its open batches ends."""


class DeployedBackend(Struct, frozen=True, kw_only=True):
    """A server that answers for a deployment."""

    url: str
    """`built-in` for the one that echoes."""
    model: str | UnsetType = UNSET
    region: str | UnsetType = UNSET
    dataZone: str | UnsetType = UNSET
    concurrency: int


class DeploymentDetails(Struct, frozen=True, kw_only=True):
    """What Azure does not say."""

    source: Literal["api", "configuration"]
    """Who made it; what the configuration has, the API cannot change."""
    fault: str | None
    """Why it cannot be served, where it cannot."""
    enqueuedTokens: int
    enqueuedTokenLimit: int | None
    dynamicQuota: DynamicQuota | UnsetType = UNSET
    backends: list[DeployedBackend]


class DeploymentProperties(Struct, frozen=True, kw_only=True):
    """What a deployment is."""

    model: DeployedModel
    provisioningState: Literal["Accepted", "Succeeded", "Deleting", "Failed"]
    versionUpgradeOption: str | UnsetType = UNSET
    raiPolicyName: str | UnsetType = UNSET
    dynamicThrottlingEnabled: bool
    currentCapacity: int | UnsetType = UNSET
    backendsOf: str | UnsetType = UNSET
    dataZone: str | UnsetType = UNSET
    slackwater: DeploymentDetails


class DeploymentObject(Struct, frozen=True, kw_only=True):
    """A deployment, as Azure's control plane shows it (spec 9.2)."""

    id: str
    name: str
    type: Literal["Microsoft.CognitiveServices/accounts/deployments"] = (
        "Microsoft.CognitiveServices/accounts/deployments"
    )
    sku: SkuObject
    properties: DeploymentProperties
    tags: dict[str, Any] | UnsetType = UNSET
    etag: str | UnsetType = UNSET


class DeploymentList(Struct, frozen=True, kw_only=True):
    """Every deployment of a resource."""

    value: list[DeploymentObject]


class RegionModel(Struct, frozen=True, kw_only=True):
    """A model, and the deployments that may send to a region for it."""

    model: str
    skus: list[str]
    deployments: list[str]


class RegionRow(Struct, frozen=True, kw_only=True):
    """A region, and the models that answer there."""

    region: str | None
    """Null for backends of which nobody has said where they stand."""
    data_zone: str | None
    models: list[RegionModel]


class RegionTable(Struct, frozen=True, kw_only=True):
    """Which model answers where."""

    object: Literal["list"] = "list"
    home: str | None
    """Where files are."""
    data: list[RegionRow]
