"""Who works with a ledger, as people see it: each member with what it holds, and what is wrong with all of them together.

What a member holds is in the ledger. What it says of itself (`SaysOfItself`) comes every two seconds, and is unknown of one that
has not said anything lately, or is of a version that says less. Moments are seconds since 1970, by the ledger's clock.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import Literal, TypeVar

from msgspec import Struct

from slackwater.core.members import SAID_SECONDS, UNTIL_SECONDS, Duty, Kind, Member
from slackwater.core.sending.engine_names import one_name
from slackwater.core.watching.standings import EngineView, Says, SaysOfItself

K = TypeVar("K")
# Who has not said that it lives for so long has missed two times to say so.
LATE_SECONDS = 3 * SAID_SECONDS
# Clocks that differ by more are worth a word.
CLOCKS_SECONDS = 5.0
# Deployments that are named at most where nobody sends for them.
NAMED_MAX = 5


class MemberState(Enum):
    """How a member is."""

    OK = "ok"
    LATE = "late"
    """It has not said lately that it lives, and is still believed to."""
    LEAVING = "leaving"
    """It is about to end, and takes nothing new."""
    OVERDUE = "overdue"
    """It has not said for so long that it lives that it is not believed to: somebody is about to bury it."""
    DEAD = "dead"
    """It was taken for dead, and what it had is about to be free."""

    @property
    def there(self) -> bool:
        """Whether something can be expected of it."""
        return self in (MemberState.OK, MemberState.LATE, MemberState.LEAVING)


class ShardsHeld(Struct, frozen=True):
    """Shards of a deployment that a member has in hand."""

    member: str
    deployment: str
    shards: int


class DutyHeld(Struct, frozen=True):
    """What a member does that nobody else does meanwhile; `thing` is a batch, a file or a webhook endpoint."""

    member: str
    duty: Duty
    thing: str


class SlotsHeld(Struct, frozen=True):
    """Slots of an engine that a member was granted, and how many it wants."""

    member: str
    engine: str
    slots: int
    wanted: int


class ClusterReading(Struct, frozen=True, kw_only=True):
    """What a ledger knows of its members. An embedded one knows of none, and what its only server holds is under no name."""

    now: float
    members: Sequence[Member] = ()
    watching: str = ""
    """Whose turn it is to bury the dead; empty where it is nobody's."""
    shards: Sequence[ShardsHeld] = ()
    duties: Sequence[DutyHeld] = ()
    slots: Sequence[SlotsHeld] = ()


class MemberSays(Struct, frozen=True, kw_only=True):
    """What a member has said lately: of itself, and by the keys of deployments."""

    itself: SaysOfItself = SaysOfItself()
    idle_engines: Sequence[EngineView] = ()
    """Those to which it sends, and for which it has nothing at the moment."""
    deployments: Mapping[str, Says] = {}


class EngineHeld(Struct, frozen=True, kw_only=True):
    """What a member has of an engine. None is not known."""

    engine: str
    slots: int
    """How many calls it may have out."""
    wanted: int | None
    """How many it has asked for; None where it asks nobody."""
    in_flight: int | None


class MemberView(Struct, frozen=True, kw_only=True):
    """One member."""

    member: Member
    state: MemberState
    here: bool
    """Whether it is the process that was asked."""
    said_at: float
    """When it last said that it lives."""
    lag_seconds: float
    watching: bool
    shards: Mapping[str, int]
    """By the key of their deployment."""
    duties: Mapping[Duty, Sequence[str]]
    engines: Sequence[EngineHeld]
    requests_out: int | None
    """None where it has not said anything lately, as `tokens_per_second`, `clock_ahead_seconds` and `sections`."""
    tokens_per_second: float | None
    clock_ahead_seconds: float | None
    """By how much the clock of its machine is before that of the ledger."""
    sections: Mapping[str, str] | None
    """Checksums of sections of its configuration, and of single settings (`server.files`), by their names."""

    @property
    def sends(self) -> bool:
        """Whether it sends to engines, and goes on with it."""
        return self.member.kind != Kind.API.value and self.state is not MemberState.LEAVING

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.member.id} on {self.member.host}"


def member_views(reading: ClusterReading, said: Mapping[str, MemberSays], *, here: str = "") -> list[MemberView]:
    """All members, the oldest first."""
    return [_view(each, reading, said.get(each.id), here=here) for each in reading.members]


def _view(member: Member, reading: ClusterReading, said: MemberSays | None, *, here: str) -> MemberView:
    said_at = member.until - UNTIL_SECONDS
    # A clock that was set back says nothing of the member.
    lag = max(0.0, reading.now - said_at)
    duties: dict[Duty, list[str]] = {}
    for each in reading.duties:
        if each.member == member.id:
            duties.setdefault(each.duty, []).append(each.thing)
    itself = None if said is None else said.itself
    return MemberView(
        member=member,
        state=_state(member, lag, leaving=itself is not None and itself.leaving),
        here=member.id == here,
        said_at=said_at,
        lag_seconds=lag,
        watching=member.id == reading.watching,
        shards={each.deployment: each.shards for each in reading.shards if each.member == member.id},
        duties=duties,
        engines=_engines(member.id, reading.slots, itself),
        requests_out=None if said is None else sum(each.out.in_flight for each in said.deployments.values()),
        tokens_per_second=None if said is None else sum(each.tokens_per_second for each in said.deployments.values()),
        clock_ahead_seconds=None if itself is None else itself.clock_ahead_seconds,
        sections=None if itself is None else itself.sections,
    )


def _state(member: Member, lag: float, *, leaving: bool) -> MemberState:
    if member.dead:
        return MemberState.DEAD
    if lag > UNTIL_SECONDS:
        return MemberState.OVERDUE
    if leaving:
        return MemberState.LEAVING
    return MemberState.LATE if lag > LATE_SECONDS else MemberState.OK


def _engines(member: str, slots: Sequence[SlotsHeld], itself: SaysOfItself | None) -> list[EngineHeld]:
    granted = {_one_engine(each.engine): each for each in slots if each.member == member}
    said = {} if itself is None else {_one_engine(each.name): each for each in itself.engines}
    return [
        EngineHeld(
            engine=said[name].name if name in said else name,
            slots=granted[name].slots if name in granted else said[name].slots,
            wanted=granted[name].wanted if name in granted else None,
            in_flight=None if itself is None else said[name].in_flight if name in said else 0,
        )
        for name in sorted({*granted, *said})
    ]


def _one_engine(name: str) -> str:
    """An engine by the name that all who use it call it, without that of the host which `localhost` is on."""
    return one_name(name).partition(" of ")[0] if "://" in name else name


ConcernKind = Literal[
    "nobody_sends",
    "deployments_unsent",
    "member_overdue",
    "member_late",
    "versions_differ",
    "configurations_differ",
    "clocks_differ",
]


class Concern(Struct, frozen=True, kw_only=True):
    """Something that an operator should know of the members together."""

    kind: ConcernKind
    message: str
    fix: str
    grave: bool = False
    """Whether work stands still, or its result may be wrong."""


def concerns_of(views: Sequence[MemberView], *, deployments: Collection[str] = ()) -> list[Concern]:
    """What is wrong with them together, the gravest first. `deployments` are the keys of those that somebody has to send for."""
    there = [each for each in views if each.state.there]
    found = [
        *_unsent(there, deployments),
        *(_overdue(each) for each in views if each.state in (MemberState.OVERDUE, MemberState.DEAD)),
        *(_late(each) for each in views if each.state is MemberState.LATE),
        *_versions(there),
        *_sections(there),
        *_clocks(there),
    ]
    return sorted(found, key=lambda each: not each.grave)


def _unsent(there: Sequence[MemberView], deployments: Collection[str]) -> Iterable[Concern]:
    senders = [each.member for each in there if each.sends]
    if not there:
        return
    if not senders:
        yield Concern(
            kind="nobody_sends",
            message="no member sends to engines: batches are taken and wait",
            fix="start 'slackwater serve' or 'slackwater worker' on this ledger",
            grave=True,
        )
        return
    left = sorted(key for key in deployments if not any(each.sends(key) for each in senders))
    if left:
        named = ", ".join(left[:NAMED_MAX]) + (f" and {len(left) - NAMED_MAX} others" if len(left) > NAMED_MAX else "")
        yield Concern(
            kind="deployments_unsent",
            message=f"no member sends for {named}: their batches are taken and wait",
            fix="start a 'slackwater worker' for them, or a server that sends",
            grave=True,
        )


def _overdue(view: MemberView) -> Concern:
    return Concern(
        kind="member_overdue",
        message=f"{view.name} has said nothing for {lasting(view.lag_seconds)}",
        fix="what it had in hand is freed by the next server that looks; see whether its machine is there",
    )


def _late(view: MemberView) -> Concern:
    return Concern(
        kind="member_late",
        message=f"{view.name} has said nothing for {lasting(view.lag_seconds)}; after {UNTIL_SECONDS:g} s it is taken for dead",
        fix="look at its machine: it is short of CPU, stopped, or cut off from the database",
    )


def _versions(there: Sequence[MemberView]) -> Iterable[Concern]:
    if len(groups := _grouped((each.member.version, each) for each in there)) > 1:
        yield Concern(
            kind="versions_differ",
            message=f"members are of different versions: {_told(groups)}",
            fix="an upgrade is under way, or one was forgotten: stop those of the older version when the newer ones are up",
        )


def _sections(there: Sequence[MemberView]) -> Iterable[Concern]:
    # Another version may know more of a section, and have another checksum of the same text.
    for views in _grouped((each.member.version, each) for each in there if each.sections).values():
        for section in sorted({name for each in views for name in each.sections or ()}):
            sides = _grouped(((each.sections or {}).get(section, ""), each) for each in views)
            if len(sides) > 1:
                named = " and ".join(", ".join(each.name for each in side) for side in sides.values())
                yield Concern(
                    kind="configurations_differ",
                    message=f"{setting_of(section)} is not the same in the configurations of {named}",
                    fix="give all members the same configuration, and start those again that have another one",
                )


def setting_of(name: str) -> str:
    """A section, or one setting of it, as the configuration has it: `[engines]`, `[server] files`."""
    section, _, setting = name.partition(".")
    return f"[{section}] {setting}".strip()


def _clocks(there: Sequence[MemberView]) -> Iterable[Concern]:
    for each in there:
        if each.clock_ahead_seconds is not None and abs(each.clock_ahead_seconds) > CLOCKS_SECONDS:
            way = "before" if each.clock_ahead_seconds > 0 else "behind"
            yield Concern(
                kind="clocks_differ",
                message=f"the clock of {each.name} is {abs(each.clock_ahead_seconds):.0f} s {way} the database's",
                fix="let NTP set it; what is decided goes by the database's clock, and logs and signatures by its own",
            )


def _grouped(pairs: Iterable[tuple[K, MemberView]]) -> dict[K, list[MemberView]]:
    groups: dict[K, list[MemberView]] = {}
    for what, view in pairs:
        groups.setdefault(what, []).append(view)
    return groups


def _told(groups: Mapping[str, Sequence[MemberView]]) -> str:
    return "; ".join(f"{what}: {', '.join(each.name for each in groups[what])}" for what in sorted(groups))


def counted(number: int, thing: str) -> str:
    """So many of a thing: `1 shard`, `2 shards`."""
    return f"{number} {thing}{'s' * (number != 1)}"


def lasting(seconds: float) -> str:
    """A time for people: `12 s`, `3 min`, `5 h`."""
    hours, minutes = divmod(int(max(0.0, seconds)) // 60, 60)
    return f"{hours} h" if hours else f"{minutes} min" if minutes else f"{max(0, int(seconds))} s"
