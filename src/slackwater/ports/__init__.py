"""The doors to the world. The pipeline waits only through these; `wiring` decides who stands behind them.

Whoever implements a port passes that port's contract tests (tests/adapters/*_contract.py).
"""

from slackwater.ports.accounts import AccountLedger
from slackwater.ports.blobs import BlobLog, BlobRange, BlobStat, BlobStore, BlobWriter
from slackwater.ports.connections import (
    ANY_VERSION,
    CannotOpen,
    ConnectionLedger,
    EngineCheck,
    EngineLook,
    EngineLooker,
    FoundEngine,
    Sealer,
    StoredConnection,
)
from slackwater.ports.engines import EngineLedger
from slackwater.ports.health import Away, Room, Writable
from slackwater.ports.ledger import NO_LIMITS, Ledger
from slackwater.ports.members import MemberLedger, Presence
from slackwater.ports.monitoring import MonitoredLedger, OpenReading, PausesReading, Readings
from slackwater.ports.pauses import PauseLedger
from slackwater.ports.peers import PeerBoard, PeerSeat
from slackwater.ports.records import (
    SMALL_INPUT_BYTES,
    AuditEntry,
    AuditSearch,
    FileCounts,
    IdempotencyKey,
    LeaseState,
    NewShard,
    OpenBatch,
    OpenBatches,
    PendingImport,
    QueuedBatch,
    Segment,
    Shard,
    Start,
    StoredDeployment,
    UnfinishedShard,
    Waiting,
)
from slackwater.ports.retention import RetentionLedger
from slackwater.ports.sessions import SessionLedger, SignIn
from slackwater.ports.sharing import Heard, Said, SharingLedger
from slackwater.ports.times import TimeLedger, WallTime
from slackwater.ports.together import Standing, Together
from slackwater.ports.tracing import Span, SpanKind, Tracing
from slackwater.ports.user_storages import BlobVersion, UserStorages
from slackwater.ports.watching import BatchDone, DeploymentLoad, NewResults, Overview, OverviewRow, WatchingLedger
from slackwater.ports.webhooks import DueDelivery, Sender, WebhookLedger
from slackwater.ports.world import Backend, Classifier, Clock, Fetcher, Metered, Offload, Polled, TokenVerifier

__all__ = [
    "ANY_VERSION",
    "NO_LIMITS",
    "SMALL_INPUT_BYTES",
    "AccountLedger",
    "AuditEntry",
    "AuditSearch",
    "Away",
    "Backend",
    "BatchDone",
    "BlobLog",
    "BlobRange",
    "BlobStat",
    "BlobStore",
    "BlobVersion",
    "BlobWriter",
    "CannotOpen",
    "Classifier",
    "Clock",
    "ConnectionLedger",
    "DeploymentLoad",
    "DueDelivery",
    "EngineCheck",
    "EngineLedger",
    "EngineLook",
    "EngineLooker",
    "Fetcher",
    "FileCounts",
    "FoundEngine",
    "Heard",
    "IdempotencyKey",
    "LeaseState",
    "Ledger",
    "MemberLedger",
    "Metered",
    "MonitoredLedger",
    "NewResults",
    "NewShard",
    "Offload",
    "OpenBatch",
    "OpenBatches",
    "OpenReading",
    "Overview",
    "OverviewRow",
    "PauseLedger",
    "PausesReading",
    "PeerBoard",
    "PeerSeat",
    "PendingImport",
    "Polled",
    "Presence",
    "QueuedBatch",
    "Readings",
    "RetentionLedger",
    "Room",
    "Said",
    "Sealer",
    "Segment",
    "Sender",
    "SessionLedger",
    "Shard",
    "SharingLedger",
    "SignIn",
    "Span",
    "SpanKind",
    "Standing",
    "Start",
    "StoredConnection",
    "StoredDeployment",
    "TimeLedger",
    "Together",
    "TokenVerifier",
    "Tracing",
    "UnfinishedShard",
    "UserStorages",
    "Waiting",
    "WallTime",
    "WatchingLedger",
    "WebhookLedger",
    "Writable",
]
