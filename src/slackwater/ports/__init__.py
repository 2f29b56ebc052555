"""The doors to the world. The pipeline waits only through these; `wiring.py` decides who stands behind them.

Whoever implements a port passes that port's contract tests (tests/adapters/*_contract.py).
"""

from slackwater.ports.blobs import BlobLog, BlobRange, BlobStore, BlobWriter
from slackwater.ports.ledger import NO_LIMITS, Ledger
from slackwater.ports.records import (
    IdempotencyKey,
    LeaseState,
    NewShard,
    OpenBatch,
    PendingImport,
    Segment,
    Shard,
    UnfinishedShard,
    Waiting,
)
from slackwater.ports.world import Backend, Clock, Fetcher, Offload

__all__ = [
    "NO_LIMITS",
    "Backend",
    "BlobLog",
    "BlobRange",
    "BlobStore",
    "BlobWriter",
    "Clock",
    "Fetcher",
    "IdempotencyKey",
    "LeaseState",
    "Ledger",
    "NewShard",
    "Offload",
    "OpenBatch",
    "PendingImport",
    "Segment",
    "Shard",
    "UnfinishedShard",
    "Waiting",
]
