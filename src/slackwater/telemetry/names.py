"""Every metric of the service, once: its name, what kind it is, what its labels are, and what it means.

The page (adapters/telemetry/prometheus_page.py) is made of this table, and so is the table in docs/metrics.md. Units are seconds,
bytes and tokens; what only grows is since the start of the process and ends in `_total`.
"""

from enum import Enum

from msgspec import Struct


class Kind(Enum):
    """How a metric behaves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(Struct, frozen=True, kw_only=True):
    """A family of series."""

    name: str
    """A counter's without its `_total`."""
    kind: Kind
    labels: tuple[str, ...] = ()
    help: str
    of_ledger: bool = False
    """Whether it is the same for all servers of a ledger: of several, one shows it."""

    @property
    def shown(self) -> str:
        """The name that is asked for."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


def _counter(name: str, help: str, *labels: str) -> Metric:
    return Metric(name=f"slackwater_{name}", kind=Kind.COUNTER, labels=labels, help=help)


def _gauge(name: str, help: str, *labels: str) -> Metric:
    return Metric(name=f"slackwater_{name}", kind=Kind.GAUGE, labels=labels, help=help)


def _ledger_gauge(name: str, help: str, *labels: str) -> Metric:
    return Metric(name=f"slackwater_{name}", kind=Kind.GAUGE, labels=labels, help=help, of_ledger=True)


def _histogram(name: str, help: str, *labels: str) -> Metric:
    return Metric(name=f"slackwater_{name}", kind=Kind.HISTOGRAM, labels=labels, help=help)


BATCHES = _ledger_gauge("batches", "Batches by their status.", "status")
BATCHES_OVERDUE = _ledger_gauge(
    "batches_overdue", "Batches that have not ended inside their completion window.", "deployment"
)
BATCH_REQUESTS = _counter(
    "batch_requests",
    "Requests by what became of them, counted when that is durable: completed, failed, or never run (cancelled, expired).",
    "deployment",
    "outcome",
)
FIRST_RESULT = _histogram(
    "batch_time_to_first_result_seconds", "From the creation of a batch until its first result was durable."
)
QUEUE_AGE = _ledger_gauge(
    "batch_queue_age_seconds", "Age of the oldest batch that has no result yet; 0 where none waits.", "deployment"
)
BATCH_DURATION = _histogram(
    "batch_duration_seconds", "From the creation of a batch to its end, by its last status.", "status"
)
DEADLINES_MISSED = _counter("batch_deadline_missed", "Batches that ended after their completion window.")
VALIDATION = _histogram("validation_seconds", "How long the validation of one input file took.")

IN_FLIGHT = _gauge("backend_in_flight", "Calls that a backend has not answered yet.", "deployment", "backend")
WINDOW = _gauge(
    "backend_window",
    "Calls that a backend may have now: its concurrency, 1 while it is probed, 0 while it is left alone.",
    "deployment",
    "backend",
)
BREAKER_OPEN = _gauge(
    "backend_breaker_open",
    "1 while a backend is left alone, because it failed or asked for it; 0 while it is called, or paused by an operator.",
    "deployment",
    "backend",
)
BACKEND_STATE = _gauge(
    "backend_state",
    "1 for the state that a backend is in, 0 for the others: ok, busy (it asked to be left alone), refusing (key, model, path), "
    "blocked (its account), down, paused (its engine, by an operator).",
    "deployment",
    "backend",
    "state",
)
ENGINE_STATE = _gauge(
    "engine_state",
    "The same of an engine (scheme, host, port): the state of its best backend.",
    "engine",
    "state",
)
ENGINE_IN_FLIGHT = _gauge("engine_in_flight", "Calls that are out to an engine, over all deployments.", "engine")
ENGINE_SLOTS = _gauge("engine_slots", "Calls that may be out to an engine at once.", "engine")
ENGINE_WINDOW = _gauge(
    "engine_window", "Requests that an engine may have now by its pace; absent where it is not paced.", "engine"
)
ENGINE_OTHERS = _gauge(
    "engine_others",
    "Requests of others that run or wait at an engine that is paced, by its metrics page; absent while nobody reads that.",
    "engine",
)
ENGINE_WAITING = _gauge(
    "engine_waiting",
    "Requests of anybody that an engine that is paced has not begun with; absent while nobody reads its metrics page.",
    "engine",
)
ENGINE_STEP = _gauge(
    "engine_step_seconds",
    "A step of an engine that is paced, which everybody waits for a token: now (measured), alone (without us), target (up to "
    "which requests are sent; absent where nobody else is there).",
    "engine",
    "kind",
)
ENGINE_ONLINE_RATIO = _gauge(
    "engine_online_ratio",
    "While others are at an engine that is paced: how many times slower their slow steps were than without us, over about the "
    "last hour of them (now), and how many times its pace allows (allowed; absent where it promises nothing).",
    "engine",
    "kind",
)
ENGINE_FROZEN = _gauge(
    "engine_frozen",
    "1 while an engine that is paced is sent nothing new, because others wait or its cache is nearly full.",
    "engine",
)
ENGINE_METRICS_LOST = _gauge(
    "engine_metrics_lost",
    "1 while the metrics page of an engine that is paced cannot be read; requests then go on with half the window.",
    "engine",
)
WAITING = _ledger_gauge(
    "deployment_waiting_seconds",
    "For how long batches in progress have waited because no backend of their deployment is open; 0 where none do. Pauses by "
    "operators do not count.",
    "deployment",
)
PAUSES = _ledger_gauge("operator_pauses", "Engines, deployments and batches that operators have paused.", "what")
PAUSE_OLDEST = _ledger_gauge(
    "operator_pause_oldest_seconds", "Age of the oldest of these pauses; 0 where there is none.", "what"
)
PROBES = _counter(
    "backend_probes",
    "Requests of our own to a backend, one token each, which tell a door that is shut from lines that are bad.",
    "deployment",
    "backend",
)
SLICES = _counter(
    "backend_slices",
    "Parts of long prompts that were sent to a backend before their requests, so that no step of its engine is long.",
    "deployment",
    "backend",
)
SLICE_TOKENS = _counter(
    "backend_slice_tokens",
    "Tokens that were computed for these: of prompts, most of which their requests find in the cache, and one for each answer.",
    "deployment",
    "backend",
)
ATTEMPTS = _counter(
    "backend_attempts",
    "Calls to a backend by how they ended: success, refused (4xx), error (any other status), busy (429, or 503 with "
    "Retry-After), timeout, unreachable, broken (no usable answer), aborted (by a cancel or a stop).",
    "deployment",
    "backend",
    "outcome",
)
REQUEST_DURATION = _histogram(
    "backend_request_duration_seconds",
    "How long calls to a backend took, whatever they brought; without those that were aborted.",
    "deployment",
    "backend",
)
RESENT = _counter("requests_resent", "Calls whose request had to be sent again.", "deployment", "backend")

TOKENS = _counter(
    "tokens",
    "Tokens that backends reported for completed requests: input, cached (part of input), output, reasoning (part of output).",
    "deployment",
    "direction",
)
ENQUEUED_TOKENS = _ledger_gauge("enqueued_tokens", "Enqueued tokens that batches hold.", "deployment")
ENQUEUED_LIMIT = _ledger_gauge(
    "enqueued_tokens_limit", "Enqueued tokens that a deployment may hold; absent where there is no limit.", "deployment"
)

COMMIT = _histogram("journal_commit_seconds", "How long it took to make a group of results durable.")
JOURNAL_BYTES = _counter("journal_bytes", "Bytes of results that were made durable.")
DAMAGE_SEEN = _counter(
    "damage_seen",
    "Tries to read an input, results or a whole file that failed, because bytes had changed, were missing, or the disk said no. "
    "Most are tried again.",
    "what",
)
LINES_LOST = _counter(
    "lines_lost",
    "Requests that ended with an error because their line in the input, or their result, could not be read any more.",
    "what",
)
RETENTION_REMOVED = _counter(
    "retention_removed",
    "What went because it is kept for some time only: batches, results (output and error files), inputs.",
    "kept",
)
CLOCK_JUMP = _gauge(
    "clock_jump_seconds",
    "By how much the clock of the machine has jumped while the service ran. While it is not 0, nothing expires or is deleted.",
)
DATA_FREE = _gauge("data_free_bytes", "Room that is left where the data directory is.")

MEMORY_BUDGET = _gauge(
    "memory_budget_bytes",
    "Bytes of requests, answers and results that may lie in memory before large answers take turns.",
)
MEMORY_HELD = _gauge(
    "memory_held_bytes",
    "Bytes of requests that are out, open shards, answers on their way in, and results that are not durable yet.",
)
MEMORY_MOST = _gauge("memory_held_most_bytes", "The most of these that was seen since the start of the process.")
MEMORY_WAITING = _gauge(
    "memory_waiting_answers", "Large answers that are not read on at the moment, because there is no room for them."
)

WEBHOOK_PENDING = _ledger_gauge("webhook_pending", "Deliveries that are still to be sent.")
WEBHOOK_OLDEST = _ledger_gauge(
    "webhook_oldest_pending_seconds", "Age of the oldest delivery that is still to be sent; 0 where there is none."
)
WEBHOOK_DELIVERIES = _counter(
    "webhook_deliveries",
    "Tries to deliver an event: delivered, failed (tried again later), dead (given up).",
    "outcome",
)

HTTP_REQUESTS = _counter("http_requests", "Calls of the API by operation and class of status.", "operation", "code")
HTTP_DURATION = _histogram(
    "http_request_duration_seconds", "From a call of the API to the beginning of its answer.", "operation"
)

CONNECTIONS = _gauge(
    "http_connections",
    "Connections of the front door by what they are about: fresh (nothing has come), idle (between two requests), head, body "
    "(coming in), answer (being worked on), closing.",
    "phase",
)
TURNED_AWAY = _counter(
    "http_turned_away",
    "What the front door refused or ended by itself: head_too_large, url_too_long, malformed, no_host, framing, head_slow, "
    "body_slow, reader_slow, idle, evicted (it made room for somebody else), full.",
    "reason",
)
KEYS_REFUSED = _counter("http_keys_refused", "Calls with a key or token that is not one of ours, or is over.")

STAGE_FAILURES = _counter(
    "stage_failures",
    "Steps of a stage that went wrong and are tried again: fault, storage_full (no room on the disk), ledger_unavailable "
    "(its database cannot be reached) or files_unavailable (the object store of the files cannot be reached, or refuses).",
    "stage",
    "reason",
)
EVENTS = _counter("events", "Events and other counts by name, as the log has them.", "event")
LOOP_LAG = _histogram(
    "event_loop_lag_seconds", "How late the event loop was for a timer, looked at four times a second."
)
MEMBERS = _ledger_gauge(
    "members",
    "Servers and workers that share the ledger: server (answers and sends), api (answers), worker (sends).",
    "kind",
)
MEMBER_LAG = _ledger_gauge(
    "member_lag_seconds",
    "For how long the member that has been silent longest has not said that it lives: up to 3 s is usual, after 15 s it is taken "
    "for dead.",
)
LEDGER_AWAY = _gauge(
    "ledger_unavailable_seconds",
    "For how long this process cannot use the ledger's database; 0 while it can, and where the ledger is in a file.",
)
LEDGER_READ = _ledger_gauge(
    "ledger_read",
    "1 where this page has what the ledger knows, 0 where it could not be read in time; absent where another server has it.",
)
BUILD_INFO = _gauge("build_info", "Always 1; the labels say what is running.", "version", "python")

METRICS = (
    BATCHES,
    BATCHES_OVERDUE,
    BATCH_REQUESTS,
    FIRST_RESULT,
    QUEUE_AGE,
    BATCH_DURATION,
    DEADLINES_MISSED,
    VALIDATION,
    IN_FLIGHT,
    WINDOW,
    BREAKER_OPEN,
    BACKEND_STATE,
    ENGINE_STATE,
    ENGINE_IN_FLIGHT,
    ENGINE_SLOTS,
    ENGINE_WINDOW,
    ENGINE_OTHERS,
    ENGINE_WAITING,
    ENGINE_STEP,
    ENGINE_ONLINE_RATIO,
    ENGINE_FROZEN,
    ENGINE_METRICS_LOST,
    WAITING,
    PAUSES,
    PAUSE_OLDEST,
    PROBES,
    SLICES,
    SLICE_TOKENS,
    ATTEMPTS,
    REQUEST_DURATION,
    RESENT,
    TOKENS,
    ENQUEUED_TOKENS,
    ENQUEUED_LIMIT,
    COMMIT,
    JOURNAL_BYTES,
    DAMAGE_SEEN,
    LINES_LOST,
    RETENTION_REMOVED,
    CLOCK_JUMP,
    DATA_FREE,
    MEMORY_BUDGET,
    MEMORY_HELD,
    MEMORY_MOST,
    MEMORY_WAITING,
    WEBHOOK_PENDING,
    WEBHOOK_OLDEST,
    WEBHOOK_DELIVERIES,
    HTTP_REQUESTS,
    HTTP_DURATION,
    CONNECTIONS,
    TURNED_AWAY,
    KEYS_REFUSED,
    STAGE_FAILURES,
    EVENTS,
    LOOP_LAG,
    MEMBERS,
    MEMBER_LAG,
    LEDGER_AWAY,
    LEDGER_READ,
    BUILD_INFO,
)
