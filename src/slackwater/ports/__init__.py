"""The doors to the world. The pipeline waits only through these; `wiring` decides who stands behind them.

Whoever implements a port passes that port's contract tests (tests/adapters/*_contract.py).
"""

from slackwater.ports.blobs import BlobLog, BlobRange, BlobStore, BlobWriter
from slackwater.ports.ledger import NO_LIMITS, Ledger
from slackwater.ports.records import (
    AuditEntry,
    FileCounts,
    IdempotencyKey,
    LeaseState,
    NewShard,
    OpenBatch,
    OpenBatches,
    PendingImport,
    Segment,
    Shard,
    StoredDeployment,
    UnfinishedShard,
    Waiting,
)
from slackwater.ports.webhooks import DueDelivery, Sender, WebhookLedger
from slackwater.ports.world import Backend, Classifier, Clock, Fetcher, Offload, TokenVerifier

__all__ = [
    "NO_LIMITS",
    "AuditEntry",
    "Backend",
    "BlobLog",
    "BlobRange",
    "BlobStore",
    "BlobWriter",
    "Classifier",
    "Clock",
    "DueDelivery",
    "Fetcher",
    "FileCounts",
    "IdempotencyKey",
    "LeaseState",
    "Ledger",
    "NewShard",
    "Offload",
    "OpenBatch",
    "OpenBatches",
    "PendingImport",
    "Segment",
    "Sender",
    "Shard",
    "StoredDeployment",
    "TokenVerifier",
    "UnfinishedShard",
    "Waiting",
    "WebhookLedger",
]
