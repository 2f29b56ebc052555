"""What people who watch see: batches in short, how they get on, their lines one by one, and the deployments behind them."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from slackwater.api.objects.batches import RequestCountsObject
from slackwater.api.objects.pacing import EnginePacing
from slackwater.api.objects.times import Moment

BatchStatus = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]


class PauseObject(Struct, frozen=True, kw_only=True):
    """Somebody has paused a thing: nothing new is sent of it until it is resumed. Calls that were out end by themselves."""

    who: str | None
    """As the audit log calls them; null for those who need not know."""
    reason: str | None
    since: Moment


class WaitingOn(Struct, frozen=True, kw_only=True):
    """Why nothing of a batch is sent: something is paused, or no backend of its deployment is open, or it is held back alone."""

    what: Literal["batch", "deployment", "engine", "backend", "content_filter", "disk", "storage"]
    """What is paused, or else what it waits for. A `batch` that is not paused is held back alone: its lines fail, or are told to
    wait, and those of others are answered. An `engine` that is `busy` is taken by others and answers nobody. A `deployment`
    that is `down` is not served at all, or no living server or worker sends for it; a `content_filter` cannot judge, the
    `disk` is the service's own, and a `storage` that of the user, which does not give the input or take the results."""
    backend: str | None
    """The one that is looked at first; for others than administrators, its host."""
    health: Literal["busy", "refusing", "blocked", "down", "paused"]
    """`busy` only where it has asked to be left alone for more than a moment."""
    reason: str | None
    """In the upstream's words for administrators, in general ones for others; for a pause, what was given as its reason."""
    since: Moment | None
    until: Moment | None
    """When it is looked at again; null where somebody has to resume it."""
    who: str | None
    """Who has paused it."""


class BatchOverviewRow(Struct, frozen=True, kw_only=True):
    """A batch in short."""

    object: Literal["batch.overview"] = "batch.overview"
    id: str
    status: BatchStatus
    created_at: Moment
    ended_at: Moment | None
    """When it came to its last status."""
    endpoint: str
    deployment: str | None
    model: str | None
    input_file_id: str | None
    filename: str | None
    """That of the input file; null once it is deleted."""
    counts: RequestCountsObject
    input_tokens: int
    output_tokens: int
    enqueued_tokens: int
    cost: str | None
    """A decimal number with every digit; null where the batch has no price."""
    currency: str | None
    queue_position: int | None
    """1 where it is the next of its deployment to start; null where it does not wait for room."""
    error: str | None
    """The first reason why the input was refused."""
    waiting_on: WaitingOn | None
    """Null while something of it can be sent, and where it has not begun or has ended. One that waits for room has it, too,
    where nothing of its deployment is sent."""
    requests_out: int | None
    """Calls that are out for its deployment, this batch's and others'; null where it is not in progress."""
    quiet_since: Moment | None
    """Since when none of these has come back; null where none is out."""
    metadata: dict[str, str] | None


class BatchOverviewPage(Struct, frozen=True, kw_only=True):
    """A page of batches, newest first. The next one is asked for with the last `id` as `after`."""

    object: Literal["list"] = "list"
    data: list[BatchOverviewRow]
    has_more: bool
    counts: dict[str, int]
    """How many batches of each status the resource has, whatever was asked for."""
    completed_with_failures: int
    """How many of the completed ones have failed requests; counted up to 10,000."""


class BatchProgress(Struct, frozen=True, kw_only=True):
    """How a batch gets on. Rates are those of about the last minute; what cannot be told honestly is null."""

    object: Literal["batch.progress"] = "batch.progress"
    batch_id: str
    status: BatchStatus
    queue_position: int | None
    """1 where it is the next of its deployment to start; null where it does not wait for room."""
    counts: RequestCountsObject
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: str | None
    currency: str | None
    requests_per_second: float | None
    tokens_per_second: float | None
    """Read and written."""
    seconds_left: int | None
    """Null before there is a rate, and while nothing gets done."""
    seconds_left_range: Annotated[list[int], Meta(min_length=2, max_length=2)] | None
    """From, to: wide while the rate changes."""
    waiting_on: WaitingOn | None
    """Null while something of it can be sent, and where it has not begun or has ended. One that waits for room has it, too,
    where nothing of its deployment is sent."""
    requests_out: int | None
    """Calls that are out for its deployment, this batch's and others'; null where it is not in progress."""
    quiet_since: Moment | None
    """Since when none of these has come back; null where none is out."""
    answers_mended: int
    """Answers that were not quite JSON (NaN, bytes that are not UTF-8, half an emoji), and were made valid."""
    first_result_at: Moment | None
    kept_until: Moment | None
    """When the operator's retention removes it; null where it has not ended, or is kept for ever."""
    deployment: str | None
    model: str | None
    regions: list[str]
    """Where the backends stand that have answered, as far as it is known."""


class BatchHistoryPoint(Struct, frozen=True, kw_only=True):
    """What became of a batch in one step of time."""

    at: Moment
    """When the step began."""
    completed: int
    """Requests that were answered."""
    failed: int
    output_tokens: int


class SpreadBar(Struct, frozen=True, kw_only=True):
    """How many values lie between two bounds."""

    above: float
    upto: float
    count: int


class Spread(Struct, frozen=True, kw_only=True):
    """How values are distributed. They are counted between bounds a fifth apart, so a percentile is right to within that."""

    count: int
    p50: float
    p90: float
    p99: float
    data: list[SpreadBar]
    """At most 24 beside each other, from the least value to the largest."""


class BatchHistoryObject(Struct, frozen=True, kw_only=True):
    """How a batch went, for pictures. It is written down every five seconds; what a process had not written when it died is
    missing."""

    object: Literal["batch.history"] = "batch.history"
    batch_id: str
    step: int
    """Seconds: 1 at first, and doubled whenever a batch takes longer than 120 steps."""
    data: list[BatchHistoryPoint]
    """In order; steps in which nothing ended are left out."""
    latency_seconds: Spread | None
    """How long the calls took that brought the answers; null without any."""
    answer_tokens: Spread | None
    """Output tokens of answers that have any; null without any."""


class BatchLine(Struct, frozen=True, kw_only=True):
    """One result in short."""

    object: Literal["batch.line"] = "batch.line"
    custom_id: str
    outcome: Literal["completed", "failed"]
    status_code: int | None
    """Null where there was no HTTP answer."""
    code: str | None
    """What went wrong."""
    message: str | None
    answer: str | None
    """The first 300 characters of the answer's text."""
    input_tokens: int | None
    output_tokens: int | None


class BatchLineList(Struct, frozen=True, kw_only=True):
    """Some results, in about the order of completion."""

    object: Literal["list"] = "list"
    data: list[BatchLine]
    has_more: bool
    """Whether there is more already. It may be true for an empty page: a call looks through a bounded number of lines."""
    next: str | None
    """The `after` of the next call, also of one that comes later and finds what has come since."""


class BatchLineDetail(Struct, frozen=True, kw_only=True):
    """One request of a batch as a whole."""

    object: Literal["batch.line.detail"] = "batch.line.detail"
    custom_id: str
    line: int | None
    """Its number in the input file, from 1."""
    request: dict[str, Any] | None
    """Its line of the input file; null where the file is gone."""
    result: dict[str, Any] | None
    """Its line of the output file or of the error file; null until there is one."""


class ErrorGroupExample(Struct, frozen=True, kw_only=True):
    """One of the lines of a group."""

    custom_id: str
    message: str | None


class ErrorGroupObject(Struct, frozen=True, kw_only=True):
    """Lines that failed in the same way."""

    code: str
    status_code: int | None
    count: int
    message: str | None
    """Of the first one."""
    examples: list[ErrorGroupExample]


class ErrorGroupList(Struct, frozen=True, kw_only=True):
    """What went wrong in a batch, the largest group first."""

    object: Literal["list"] = "list"
    data: list[ErrorGroupObject]
    failed: int
    """Lines in all groups together: those that failed, and, once the batch has ended, those that never ran."""


class ValidateFile(Struct, frozen=True, kw_only=True):
    """For what a file is to be validated."""

    endpoint: str | None = None
    """Such as `/v1/chat/completions`; by default that of the file's first line."""


class ExcerptObject(Struct, frozen=True, kw_only=True):
    """A piece of a wrong line."""

    text: str
    """At most 240 characters around the fault."""
    start: int | None
    """Where the fault begins in them; null where it cannot be told."""
    end: int | None


class FileValidationError(Struct, frozen=True, kw_only=True):
    """One thing that is wrong, with the code and the words that a batch would have."""

    code: str
    message: str
    line: int | None
    """Counted from 1; null where it is about the whole file."""
    param: str | None
    excerpt: ExcerptObject | None


class ValidationQuota(Struct, frozen=True, kw_only=True):
    """Whether the file's tokens would fit the deployment now."""

    held: int
    """Enqueued tokens of the deployment."""
    limit: int | None
    """What it may hold now; null where there is no limit."""
    fits: bool
    waits: bool
    """Whether a batch that does not fit waits for its turn instead of being refused."""


class EstimatedCost(Struct, frozen=True, kw_only=True):
    """What the input tokens will cost, the discount taken off. What the answers cost, nobody knows before."""

    input: str
    currency: str


class EstimatedTime(Struct, frozen=True, kw_only=True):
    """How long a batch of the file would take at most, at the pace at which its deployment was last seen to work. Nothing is
    foreseen: a deployment that had little to do may be able to do more."""

    tokens_per_second: float
    """Input tokens that its backends have finished, over the last five minutes in which they did any, none older than a day."""
    seconds: int
    """For the file by itself."""
    tokens_ahead: int
    """Enqueued tokens of batches of the deployment that have not ended; one that is half done counts whole."""
    seconds_ahead: int
    """At most so much more, if all of these went first."""


class FileValidation(Struct, frozen=True, kw_only=True):
    """What validation finds in a file."""

    object: Literal["file.validation"] = "file.validation"
    file_id: str
    valid: bool
    endpoint: str
    deployment: str | None
    """The name that the file has in `model`."""
    model: str | None
    requests: int
    tokens: int
    """Input tokens, as a batch of it would hold them; 0 for a file that is not valid."""
    error_count: int
    errors: list[FileValidationError]
    """The first ones, up to the operator's cap, by line."""
    quota: ValidationQuota | None
    estimated_cost: EstimatedCost | None
    estimated_time: EstimatedTime | None
    """Null for a file that is not valid, and where nothing of its deployment has been measured."""


class BackendStatus(Struct, frozen=True, kw_only=True):
    """One backend now. Rates and latency are those of about the last minute."""

    name: str
    """Its URL without user name and query; for others than administrators, its host."""
    region: str
    data_zone: str
    health: Literal["ok", "busy", "refusing", "blocked", "down", "paused"]
    """`busy`: it asked to be left alone until a moment. `refusing`: it lets nobody in (key, model, path). `blocked`: the
    account behind its key may not go on. `down`: it does not answer, or with errors only. `paused`: by an operator."""
    reason: str | None
    """Why, in the upstream's words for administrators, in general ones for others; null for `ok`."""
    since: Moment | None
    until: Moment | None
    """When it is looked at again, where that is known."""
    in_flight: int
    quiet_since: Moment | None
    """Since when calls are out to it and none has come back; null where none is out."""
    window: int
    """How many requests it may have at once now."""
    pacing: EnginePacing
    """How its engine is paced, which it may share with other backends and deployments."""
    latency_seconds: float | None
    requests_per_second: float
    tokens_per_second: float
    last_error: str | None
    """Of the last ten minutes, for administrators."""


class DeploymentQuotaStatus(Struct, frozen=True, kw_only=True):
    """How full a deployment is."""

    held: int
    """Enqueued tokens of the batches that do not wait for room."""
    waiting: int
    """Enqueued tokens of those that do."""
    waiting_batches: int
    limit: int | None
    limit_now: int | None
    """With dynamic quota, what it may hold at the moment; else the same as `limit`."""
    dynamic: bool
    when_full: Literal["fail", "queue"]


class DeploymentStatus(Struct, frozen=True, kw_only=True):
    """One deployment now."""

    object: Literal["deployment.status"] = "deployment.status"
    name: str
    model: str
    version: str | None
    sku: str
    health: Literal["serving", "degraded", "waiting", "refusing", "blocked", "down", "paused"]
    """That of its backends: all of them take requests; some do not; none does for a moment; none does, for one reason, or for
    several (`down`, also where there is none, and where no server or worker sends for it). `paused`: by an operator, the
    deployment or all of its engines."""
    accepts: bool
    """False while it is being deleted: it takes no new batches."""
    regions: list[str]
    quota: DeploymentQuotaStatus
    open_batches: int
    content_filter: str | None
    pause: PauseObject | None
    """Where somebody has paused it."""
    waiting_on: WaitingOn | None
    """What keeps all of its batches waiting; null while something of them can be sent."""
    backends: list[BackendStatus]


class DeploymentStatusList(Struct, frozen=True, kw_only=True):
    """Every deployment of the resource, by name."""

    object: Literal["list"] = "list"
    data: list[DeploymentStatus]
