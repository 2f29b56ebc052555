"""A batch: what the user asked for and how far it is. Stage and status move only along the table in this module."""

from enum import StrEnum

from msgspec import Struct

from slackwater.core.accounts.price import Price
from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.accounts.usage import Usage


class Status(StrEnum):
    """The eight statuses of the contract (spec: state machine). Nothing else is ever shown."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class Stage(StrEnum):
    """What is to be done next with a batch, and by whom. It drives the pipeline and is never shown."""

    BRINGING = "bringing"
    """Its input lies in a storage of its user's, and is to be copied from there."""
    NEW = "new"
    """To be validated."""
    WAITING = "waiting"
    """Validated; waits for room."""
    RUNNING = "running"
    """Its shards are claimed and sent."""
    ENDING = "ending"
    """Nothing of it is sent any more; its files are to be written."""
    ENDED = "ended"


class Event(StrEnum):
    """What moves a batch from one stage or status to the next."""

    BROUGHT = "brought"
    VALIDATED = "validated"
    REJECTED = "rejected"
    ENQUEUED = "enqueued"
    EXHAUSTED = "exhausted"
    WINDOW_ELAPSED = "window_elapsed"
    CANCEL_REQUESTED = "cancel_requested"
    PUBLISHED = "published"
    PUBLISHED_EXPIRED = "published_expired"
    PUBLISHED_CANCELLED = "published_cancelled"


# A batch is always in one of the pairs on the left. What is not here does not happen: an event that comes too late, such as
# a cancel of a batch that has ended, changes nothing.
Standing = tuple[Stage, Status]
BEGIN: Standing = (Stage.NEW, Status.VALIDATING)
BEGIN_ELSEWHERE: Standing = (Stage.BRINGING, Status.VALIDATING)
MOVES: dict[Standing, dict[Event, Standing]] = {
    BEGIN_ELSEWHERE: {
        Event.BROUGHT: BEGIN,
        Event.REJECTED: (Stage.ENDED, Status.FAILED),
        Event.WINDOW_ELAPSED: (Stage.ENDING, Status.FINALIZING),
        Event.CANCEL_REQUESTED: (Stage.ENDING, Status.CANCELLING),
    },
    BEGIN: {
        Event.VALIDATED: (Stage.WAITING, Status.VALIDATING),
        Event.REJECTED: (Stage.ENDED, Status.FAILED),
        Event.WINDOW_ELAPSED: (Stage.ENDING, Status.FINALIZING),
        Event.CANCEL_REQUESTED: (Stage.ENDING, Status.CANCELLING),
    },
    (Stage.WAITING, Status.VALIDATING): {
        Event.ENQUEUED: (Stage.RUNNING, Status.IN_PROGRESS),
        Event.WINDOW_ELAPSED: (Stage.ENDING, Status.FINALIZING),
        Event.CANCEL_REQUESTED: (Stage.ENDING, Status.CANCELLING),
    },
    (Stage.RUNNING, Status.IN_PROGRESS): {
        Event.EXHAUSTED: (Stage.ENDING, Status.FINALIZING),
        Event.WINDOW_ELAPSED: (Stage.ENDING, Status.FINALIZING),
        Event.CANCEL_REQUESTED: (Stage.ENDING, Status.CANCELLING),
    },
    (Stage.ENDING, Status.FINALIZING): {
        Event.PUBLISHED: (Stage.ENDED, Status.COMPLETED),
        Event.PUBLISHED_EXPIRED: (Stage.ENDED, Status.EXPIRED),
        Event.CANCEL_REQUESTED: (Stage.ENDING, Status.CANCELLING),
    },
    (Stage.ENDING, Status.CANCELLING): {Event.PUBLISHED_CANCELLED: (Stage.ENDED, Status.CANCELLED)},
    (Stage.ENDED, Status.FAILED): {},
    (Stage.ENDED, Status.COMPLETED): {},
    (Stage.ENDED, Status.EXPIRED): {},
    (Stage.ENDED, Status.CANCELLED): {},
}

TERMINAL = frozenset(status for stage, status in MOVES if stage is Stage.ENDED)

# The moment that is set on entering a status. Entering `validating` is `created_at`.
MOMENT: dict[Status, str] = {
    Status.FAILED: "failed_at",
    Status.IN_PROGRESS: "in_progress_at",
    Status.FINALIZING: "finalizing_at",
    Status.COMPLETED: "completed_at",
    Status.EXPIRED: "expired_at",
    Status.CANCELLING: "cancelling_at",
    Status.CANCELLED: "cancelled_at",
}


class Move(Struct, frozen=True):
    """One step of a batch: where it stands then, and which of its moments that is, if its status changes."""

    stage: Stage
    status: Status
    moment: str | None


def move(stage: Stage, status: Status, event: Event) -> Move | None:
    """What `event` does to a batch that stands there; None where it does nothing.

    Raises KeyError for a standing that no batch can have.
    """
    after = MOVES[stage, status].get(event)
    if after is None:
        return None
    return Move(after[0], after[1], None if after[1] is status else MOMENT[after[1]])


class EmptyFiles(StrEnum):
    """What becomes of a results file that would have no line: Azure makes it with zero bytes, OpenAI leaves the id null."""

    CREATE = "create"
    OMIT = "omit"


class WindowElapsed(StrEnum):
    """What happens when the completion window is over: Azure runs on until cancelled, OpenAI expires the batch."""

    CONTINUE = "continue"
    EXPIRE = "expire"


class Policies(Struct, frozen=True, kw_only=True):
    """How one batch is to be treated. Decided at the door from the caller's dialect, stored on the batch, obeyed inside."""

    empty_files: EmptyFiles = EmptyFiles.CREATE
    window_elapsed: WindowElapsed = WindowElapsed.CONTINUE
    # Names of validation errors and the strictness of urls differ per family; see core/input/validation.py.
    validation: str = "azure"
    # Seconds that a results file lives after its creation; None keeps it until it is deleted.
    output_expires_seconds: int | None = None
    output_filename: str = "{id}_results.jsonl"
    error_filename: str = "{id}_errors.jsonl"


class RequestCounts(Struct, frozen=True, kw_only=True):
    """`total` accepted lines, of which `completed` went to the output file and `failed` were answered with an error.

    Lines that never ran (cancelled, expired) are in the error file but not in `failed` (recorded behaviour, spec 4.3).
    """

    total: int = 0
    completed: int = 0
    failed: int = 0


class BatchError(Struct, frozen=True, kw_only=True):
    """One entry of `errors.data`: why the input was refused. `line` counts from 1 and is None for the whole file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class UserStorage(Struct, frozen=True, kw_only=True):
    """Where the bytes of a batch are whose user keeps them himself: bring your own storage (spec 4.4)."""

    input_url: str
    """The blob that it was made of."""
    folder_url: str
    """What its results are put below; without a slash at its end."""
    version: str = ""
    """What the store called the bytes of the input at create, such as an ETag; empty where it did not let us look."""
    checksum: int | None = None
    """CRC-32 of the copy that was made of the input; None before."""
    output_url: str = ""
    error_url: str = ""
    """Where the results are; empty until the batch has ended, and where it has none."""


class Batch(Struct, frozen=True, kw_only=True):
    """What the user asked for and how far it is. Moments are whole seconds since 1970 in UTC."""

    id: str
    input_file_id: str
    """Empty where its input came from a storage of its user's."""
    input_blob: str
    """The key of the bytes of its input; empty as long as they are to be brought."""
    endpoint: str
    completion_window: str
    status: Status
    created_at: int
    expires_at: int
    policies: Policies
    resource: str = DEFAULT
    deployment: str | None = None
    model: str | None = None
    metadata: dict[str, str] | None = None
    enqueued_tokens: int = 0
    input_bytes: int = 0
    """Bytes of its input file; 0 where that is not known."""
    counts: RequestCounts = RequestCounts()
    usage: Usage = Usage()
    price: Price | None = None
    errors: list[BatchError] | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    first_result_at: int | None = None
    """When the first of its results was journaled."""
    answers_mended: int = 0
    """How many of its answers had to be made valid JSON."""
    paused: bool = False
    """Whether somebody has paused it: nothing more of it is sent until it is resumed."""
    storage: UserStorage | None = None
    """Where its user has the input and wants the results; None: they are files here."""

    @property
    def ended_at(self) -> int | None:
        """When it ended, however that was; None while it has not."""
        return self.completed_at or self.failed_at or self.expired_at or self.cancelled_at

    @property
    def terminal(self) -> bool:
        """Whether the batch has ended. A terminal batch never changes."""
        return self.status in TERMINAL
