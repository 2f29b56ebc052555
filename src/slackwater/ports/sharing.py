"""What the members of a cluster share of their engines, by way of the ledger. An embedded server has nobody to share with."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from slackwater.core.sending.shared_slots import Ask, Grant


class Said(Struct, frozen=True):
    """What a member says to the others, and for how many seconds that is to be heard; an empty text takes it back."""

    text: str
    seconds: float


class Heard(Struct, frozen=True):
    """What another one has said, and for how many seconds more it is to be heard. `number` is another one for each word."""

    member: str
    text: str
    left: float
    number: int


class SharingLedger(Protocol):
    """The part of a ledger of a cluster that its engines need. A *member* is one life of a process; its name is never used again.

    Time is the database's. `now` is only for a database that has no clock of its own.
    """

    async def share_engines(self, member: str, asks: Sequence[Ask], *, seconds: float, now: float) -> list[Grant]:
        """Grants slots for so many seconds from now, by the rules of `core/sending/shared_slots`; a grant for each ask.

        All in one transaction, so that the sum of what is granted is never above an engine's limit. Nothing is granted to an ask
        whose serial is not above the last one, nor to a member that is buried.
        """
        ...

    async def leave_engines(self, member: str, serials: Mapping[str, int]) -> None:
        """A member has nothing out at these any more, and wants nothing: its slots are the others' at once.

        By engine, with the serial of its last ask: what it has asked for since then stays.
        """
        ...

    async def bury_shares(self, member: str, *, gone: bool = False, now: float = 0.0) -> None:
        """A member is dead: it gets nothing any more. What it was granted counts to its end, because it may still be out there.

        `gone`: its process is known to have ended, and its connections with it, so that engines do not go on for it. What it was
        granted counts for the moment that engines need to notice (`CLOSED_SECONDS`).
        """
        ...

    async def exchange_words(
        self, member: str, said: Mapping[str, Said], topics: Collection[str], *, now: float
    ) -> dict[str, list[Heard]]:
        """Says this by topic, in the place of what it said before, and hears what others say on `topics`, by topic."""
        ...
