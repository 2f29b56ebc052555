"""Who works with a ledger that several may work with, and who of them is dead: what the one that watches decides, look by look.

A member that lives holds a lock of its database session, and says again and again until when it is to be believed. A lock that
nobody holds is a process that has ended, or one that has lost its connection and will have it back in a moment: so it has to be
seen twice. A moment that is over is a machine that is lost, or a process that was stopped.
"""

from enum import Enum

from msgspec import Struct

# So long a member is to be believed after it has said that it lives, and how often it says so.
UNTIL_SECONDS = 15.0
SAID_SECONDS = 3.0
# How often the one that watches looks, and how often the others try to be that one.
LOOK_SECONDS = 0.1
TRY_SECONDS = 0.2
# Of so many, each tries as often; of more, each less often, because it is enough that one of them does.
TRYING, TRY_SECONDS_MAX = 4, 1.0
# After a lost connection nobody is buried for so long: all may have lost theirs, and be about to have them back.
YOUNG_SECONDS = 5.0


class Member(Struct, frozen=True, kw_only=True):
    """A process that works with the ledger. `id` is its incarnation's: it is never used again, and has no hyphen."""

    id: str
    host: str
    version: str
    kind: str = "server"
    started_at: float = 0.0
    """A moment of the ledger's clock, like the others."""
    until: float = 0.0
    dead: bool = False
    """Its end is decided, and what it had is about to be freed."""


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


class Seen(Struct, frozen=True, kw_only=True):
    """A member in one look."""

    id: str
    held: bool
    """Its lock is held by somebody, and that can only be itself."""
    overdue: bool
    dead: bool


class Look(Struct, frozen=True, kw_only=True):
    """The other members, as one of them sees them."""

    others: tuple[Seen, ...]
    watching: bool
    """Whether who looks is the one that watches. Others only see to those who are overdue, the one that watches among them."""
    young: bool = False
    """Whether it has just got its connection back."""


def step_seconds(members: int, *, watching: bool) -> float:
    """How often each of so many members tries to be the one that watches, and how often that one looks.

    Where there is nobody else to look at, it is enough to hear of others in a second.
    """
    if watching:
        return LOOK_SECONDS if members > 1 else TRY_SECONDS_MAX
    return min(TRY_SECONDS_MAX, TRY_SECONDS * max(1.0, members / TRYING))


def member_of(owner: str) -> str:
    """Whose worker an owner of leases is."""
    return owner.partition("-")[0]


class Watch:
    """Remembers who was missing in the last look."""

    def __init__(self) -> None:
        self._missing: frozenset[str] = frozenset()

    @property
    def doubts(self) -> bool:
        """Whether somebody was missing, and it is the next look that tells."""
        return bool(self._missing)

    def judge(self, look: Look) -> list[str]:
        """Who is to be buried now."""
        found = [each.id for each in look.others if each.dead]
        if look.young:
            self._missing = frozenset()
            return found
        living = [each for each in look.others if not each.dead]
        missing = frozenset(each.id for each in living if not each.held) if look.watching else frozenset()
        found += [each.id for each in living if each.overdue or (each.id in missing and each.id in self._missing)]
        self._missing = missing - frozenset(found)
        return found
