"""Who works with a ledger that several may work with, and who of them is dead: what the one that watches decides, look by look.

A member that lives holds a lock of its database session, and says again and again until when it is to be believed. A lock that
nobody holds is a process that has ended, or one that has lost its connection and will have it back in a moment: so it has to be
missing for that moment, unless it is known that the process has ended; and one that is known to live may be missing for as long
as it is to be believed. A moment that is over is a machine that is lost, or a process that was stopped.

One member watches, another one is its deputy, who watches once it is gone. Who should have seen to something and has not may hang
itself: somebody else does it a little later.
"""

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct

# So long a member is to be believed after it has said that it lives, and how often it says so.
UNTIL_SECONDS = 15.0
SAID_SECONDS = 3.0
# How often the one that watches looks, and its deputy; and how often it does while it is alone.
LOOK_SECONDS, ALONE_SECONDS = 0.05, 1.0
# How often each of the others tries to be one of the two, and how many of those tries there are to a look. Of so many, each tries
# as often; of more, each less often, because it is enough that one of them does.
TRY_SECONDS, TRYING, TRY_SECONDS_MAX, LOOK_EVERY = 0.5, 8, 2.0, 2
# A lost connection is back by then, mostly: of those whose process is known to live nobody asks when.
MISSING_SECONDS = 0.1
# A member of whom somebody says that it has ended is believed for so long unless it says at once that it lives.
DOUBTED_SECONDS = 1.0
# A new connection sees nobody missing for so long, unless a process is known to have ended: the others may have lost theirs, and
# be about to have them back.
YOUNG_SECONDS = 5.0


class Kind(Enum):
    """What a process does that works with a ledger beside others."""

    SERVER = "server"
    """Answers calls of the API, and sends to engines."""
    API = "api"
    """Answers, and leaves the sending to others."""
    WORKER = "worker"
    """Sends, and answers nobody."""

    @property
    def answers(self) -> bool:
        """Whether it has the API."""
        return self is not Kind.WORKER

    @property
    def sends(self) -> bool:
        """Whether it sends to engines."""
        return self is not Kind.API


class Member(Struct, frozen=True, kw_only=True):
    """A process that works with the ledger. `id` is its incarnation's: it is never used again, and has no hyphen."""

    id: str
    host: str
    version: str
    kind: str = Kind.SERVER.value
    """As `Kind` has it; one of a newer version may have another."""
    started_at: float = 0.0
    """A moment of the ledger's clock, like the others."""
    until: float = 0.0
    dead: bool = False
    """Its end is decided, and what it had is about to be freed."""
    sends_for: tuple[str, ...] | None = None
    """The keys of the deployments that it sends for, in order. None: it has not said so (servers of version 29 of the schema and
    earlier do not), and is taken to send for all."""

    def sends(self, deployment: str) -> bool:
        """Whether it sends for a deployment, by its key."""
        return self.sends_for is None or deployment in self.sends_for


def all_named(members: Iterable[Member], *, now: float) -> str:
    """Those that are believed to live, for somebody who has to stop them: how many, what each is, and where.

    Empty where there is none. `now` is by the ledger's clock.
    """
    living = [each for each in members if not each.dead and each.until >= now]
    count = "1 server or worker" if len(living) == 1 else f"{len(living)} servers and workers"
    those = ", ".join(f"{each.kind} {each.id} on {each.host}" for each in living)
    return f"{count} ({those})" if living else ""


class Duty(Enum):
    """What one member at a time does."""

    VALIDATE = "validate"
    """A batch."""
    FINALIZE = "finalize"
    """A batch."""
    IMPORT = "import"
    """A file."""
    DELIVER = "deliver"
    """What waits for a webhook endpoint."""


class Turn(Enum):
    """What a member has to do with the deaths of others; its value is how long it leaves them to those before it, in seconds."""

    WATCHER = 0.0
    DEPUTY = 0.5
    OTHER = 2.0


class Seen(Struct, frozen=True, kw_only=True):
    """A member in one look."""

    id: str
    held: bool
    """Its lock is held by somebody, and that can only be itself."""
    overdue: float
    """For how long it has not been believed any more, in seconds; 0 while it is."""
    dead: bool

    @property
    def only_missing(self) -> bool:
        """Whether nothing speaks against it but that nobody holds its lock."""
        return not (self.held or self.overdue or self.dead)


class Look(Struct, frozen=True, kw_only=True):
    """The other members, as one of them sees them."""

    others: tuple[Seen, ...]
    at: float
    """When it was, by the ledger's clock."""
    turn: Turn
    young: bool = False
    """Whether it has just got its connection."""


def step_seconds(members: int, turn: Turn) -> float:
    """How often each of so many members looks where it watches or is the deputy, and tries to be one of them where it is neither.

    Where there is nobody else to look at, it is enough to hear of others in a second.
    """
    if turn is not Turn.OTHER:
        return LOOK_SECONDS if members > 1 else ALONE_SECONDS
    return min(TRY_SECONDS_MAX, TRY_SECONDS * max(1.0, members / TRYING))


def member_of(owner: str) -> str:
    """Whose worker an owner of leases is."""
    return owner.partition("-")[0]


class Watch:
    """Remembers since when somebody is missing."""

    def __init__(self) -> None:
        self._missing: dict[str, float] = {}

    @property
    def doubts(self) -> frozenset[str]:
        """Who is missing. It is a later look that tells, unless somebody knows that the process has ended."""
        return frozenset(self._missing)

    def judge(self, look: Look) -> list[Seen]:
        """Who is to be buried now."""
        found = [each for each in look.others if each.dead]
        living = [each for each in look.others if not each.dead]
        if look.young:
            # Nobody is missing for long yet. Somebody may know that a process has ended.
            self._missing = {each.id: look.at for each in living if not each.held}
            return found
        before = self._missing
        self._missing = {each.id: before.get(each.id, look.at) for each in living if not each.held}
        grace = look.turn.value
        for each in living:
            since = self._missing.get(each.id, look.at)
            if each.overdue > grace or look.at - since >= MISSING_SECONDS + grace:
                found.append(each)
                self._missing.pop(each.id, None)
        return found
