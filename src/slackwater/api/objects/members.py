"""Those who work with the ledger: servers and workers, what they hold, and what is wrong with them together."""

from typing import Literal

from msgspec import Struct

from slackwater.api.objects.times import Moment


class ShardsInHand(Struct, frozen=True, kw_only=True):
    """Shards of a deployment that a member works on."""

    deployment: str
    """Its name; of another resource than the default one, as `resource/name`."""
    shards: int


class DutyInHand(Struct, frozen=True, kw_only=True):
    """What a member does that nobody else does meanwhile."""

    duty: Literal["validate", "finalize", "import", "deliver"]
    count: int
    things: list[str]
    """Ids of the batches (`validate`, `finalize`), files (`import`) or webhook endpoints (`deliver`); twenty at most."""


class EngineInHand(Struct, frozen=True, kw_only=True):
    """What a member has of an engine."""

    engine: str
    """Its id, as in `/engines`."""
    name: str
    slots: int
    """How many calls it may have out there."""
    wanted: int | None
    """How many it has asked for; null where it asks nobody, because the engine is its own."""
    in_flight: int | None
    """How many it has out; null where it has not said anything lately."""


class MemberObject(Struct, frozen=True, kw_only=True):
    """One process that works with the ledger."""

    object: Literal["member"] = "member"
    id: str
    """That of its incarnation: a process that is started again is another member."""
    host: str
    kind: str
    """`server`: answers calls and sends to engines. `api`: answers. `worker`: sends."""
    version: str
    state: Literal["ok", "late", "leaving", "overdue", "dead"]
    """`late`: has not said lately that it lives. `leaving`: is about to end. `overdue`: is not believed to live any more.
    `dead`: was taken for dead, and what it had is about to be free."""
    here: bool
    """Whether it is the one that answers this call."""
    watching: bool
    """Whether it is the one that buries the dead."""
    started_at: Moment
    last_seen_at: Moment
    """When it last said that it lives: every three seconds, as long as nothing is wrong."""
    lag_seconds: float
    """How long ago that is, by the ledger's clock."""
    clock_ahead_seconds: float | None
    """By how much the clock of its machine is before the ledger's; null where that is one clock, or it is not known."""
    sends_for: list[str] | None
    """The deployments that it sends for; null: for all."""
    shards: list[ShardsInHand]
    duties: list[DutyInHand]
    engines: list[EngineInHand]
    requests_out: int | None
    """Calls to engines that it has out; null where it has not said anything lately."""
    tokens_per_second: float | None
    """What its backends have done lately; null likewise."""


class MemberWarning(Struct, frozen=True, kw_only=True):
    """Something that is wrong with the members together."""

    kind: Literal[
        "nobody_sends",
        "deployments_unsent",
        "member_overdue",
        "member_late",
        "versions_differ",
        "configurations_differ",
        "clocks_differ",
    ]
    message: str
    fix: str
    grave: bool
    """Whether work stands still."""


class MemberList(Struct, frozen=True, kw_only=True):
    """Everybody who works with the ledger, the oldest first."""

    object: Literal["list"] = "list"
    data: list[MemberObject]
    warnings: list[MemberWarning]
    shared: bool
    """Whether the ledger can have several members: it is on PostgreSQL."""
