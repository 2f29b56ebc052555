"""What a service is put together from: what its stages meet, what it offers, and its bounds."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from slackwater.core.accounts.price import Price
from slackwater.core.files.file import FileLimits
from slackwater.core.files.lost import KEPT_DAYS as LOST_KEPT_DAYS
from slackwater.core.files.retention import Keeping
from slackwater.core.input.line_judge import InputLimits
from slackwater.core.input.tokens import QuickCounter, TokenCounter
from slackwater.core.members import Kind, Member
from slackwater.core.sending.budget import Budget
from slackwater.core.sending.deployment import Deployment
from slackwater.core.sending.spend_guard import SpendGuard
from slackwater.pipeline.accounts.connections import Connections
from slackwater.pipeline.accounts.control_plane import Assemble
from slackwater.pipeline.input.input_scan import SHARD_LINES_MAX
from slackwater.pipeline.loops import Hints, Pace
from slackwater.pipeline.membership import Membership
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.sharing import Sharing
from slackwater.pipeline.sending.worker import WorkerSettings
from slackwater.ports import (
    NO_LIMITS,
    Away,
    BlobStore,
    Clock,
    Fetcher,
    Ledger,
    Offload,
    Sender,
    Together,
    Tracing,
    UserStorages,
)
from slackwater.wiring.credentials import Credentials

if TYPE_CHECKING:
    pass


class Doors(Struct, frozen=True, kw_only=True):
    """What the stages meet: where facts and bytes live, what time it is, who works and calls for them."""

    ledger: Ledger
    blobs: BlobStore
    clock: Clock
    offload: Offload
    validating: Offload | None = None
    """Where large input files are validated; without it, where all heavy work is done."""
    validated_at_once: int = 1
    """How many of them."""
    checking: Offload | None = None
    """Where files are checked for users, who are not to wait until batches are validated."""
    fetcher: Fetcher | None = None
    """Without one, nothing is imported from URLs."""
    sender: Sender | None = None
    """Without one, no webhook is sent."""
    storages: UserStorages | None = None
    """Without any, no batch is made of a blob in a storage of its user's."""
    tracing: Tracing | None = None
    budget: Budget | None = None
    """What may lie in memory, over all deployments."""
    sharing: Sharing | None = None
    """Divides engines with other members of a cluster; without it, they are this server's."""
    credentials: Credentials | None = None
    """Without them, no key is read again."""
    hints: Hints | None = None
    """Who is woken by whom; one of its own without it."""
    marking: Callable[[], Awaitable[Pace]] | None = None
    """Says again that ledger and blobs belong together; without it that is said once, at the start."""
    membership: Membership | None = None
    """Where others work with the ledger, too."""
    member: Member | None = None
    """What this process is called among them; also where it is alone."""
    sections: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Checksums of sections of its configuration, which others compare with theirs."""
    clock_ahead: Callable[[], float | None] = lambda: None
    """By how many seconds the clock of the machine is before that of the ledger; None where that is one clock."""
    acquaintance: Callable[[], Awaitable[Pace]] | None = None
    """Sees to it that they and this one see each other's files."""
    together: Together | None = None
    """What servers on this ledger tell each other; None where it can have only one."""
    away: Callable[[], Away | None] = lambda: None
    """That the ledger's database cannot be used."""
    clock_confirmed: Callable[[], bool] = lambda: False
    """Whether an operator has just said that the clock is right, after it has jumped."""


class Offer(Struct, frozen=True, kw_only=True):
    """What is served, and by whom."""

    deployments: Sequence[Deployment]
    backends: Callable[[Deployment], Sequence[Dispatcher]]
    """Makes the dispatchers of a deployment."""
    counter: TokenCounter | Mapping[str, TokenCounter] | None = None
    quick_counter: QuickCounter | Mapping[str, QuickCounter] | None = None
    """Without it, small input files are validated like all others."""
    accept_any: str | None = None
    """Takes every model name and sends all to that one deployment."""
    price_of: Callable[[str], Price | None] = lambda model: None
    weights: Mapping[str, float] = msgspec.field(default_factory=dict)
    """How much of an engine each resource gets beside others; 1 where nothing is said."""
    guard: SpendGuard | None = None
    """Bounds what is spent, over all deployments."""
    assemble: Assemble | None = None
    """Without it, no deployments are made over the API."""
    connections: Callable[[Callable[[], Awaitable[None]] | None], Connections] | None = None
    """Makes those who keep the engines that are added; it is told how to see what other servers have changed."""


class Settings(Struct, frozen=True, kw_only=True):
    """Bounds and periods."""

    worker: WorkerSettings
    kind: Kind = Kind.SERVER
    """Whether it answers calls, sends, or both. Where it shares its ledger with nobody, it does both."""
    sends_for: frozenset[str] | None = None
    """The keys of the deployments that it sends for, if need be before they are made; None: all."""
    input: InputLimits = InputLimits()
    files: FileLimits = NO_LIMITS
    input_blob_bytes: int = 0
    """Largest blob in a storage of a user's that a batch is made of; 0 is no limit."""
    shard_lines_max: int = SHARD_LINES_MAX
    keeping: Mapping[str, Keeping] = msgspec.field(default_factory=dict)
    """For how long each resource keeps things; one that is not named keeps everything."""
    audit_keep_days: int = 0
    """0 never trims the audit log."""
    lost_keep_days: int = LOST_KEPT_DAYS
    """How long what no row names lies aside before it goes."""
