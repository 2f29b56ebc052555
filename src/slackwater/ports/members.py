"""What the ledger knows of those who work with it where they are several, and how one of them is there."""

from collections.abc import Callable, Sequence
from typing import Protocol

from slackwater.core.members import Duty, Look, Member
from slackwater.core.watching.cluster import ClusterReading


class MemberLedger(Protocol):
    """The part of the ledger that concerns members. In one that has none, all of it does nothing and asks nobody."""

    async def members(self) -> list[Member]:
        """All of them, the oldest first."""
        ...

    async def send_for(self, member_id: str, deployments: Sequence[str]) -> None:
        """For which deployments a member sends from now on, by their keys."""
        ...

    async def cluster(self, *, now: float) -> ClusterReading:
        """All of them and what each of them holds. `now` is only for a ledger whose database has no clock of its own.

        Of a ledger that has no members, what its only server holds is under no name.
        """
        ...

    async def others(self) -> bool:
        """Whether anybody else is a member, or was one a moment ago."""
        ...

    async def bury(self, member_id: str, *, gone: bool = False) -> int | None:
        """Frees the leases and duties of a member and forgets it, in one transaction; returns how many leases.

        None where it is none any more. Nothing that it writes may count by then (`Presence.doom`). `gone` as for
        `SharingLedger.bury_shares`.
        """
        ...

    async def end_duty(self, duty: Duty, thing: str) -> None:
        """It is done, or not to be done now. What cannot be written is written with the next one: raises nothing for that."""
        ...


class Presence(Protocol):
    """That this process is a member: a lock on a connection of its own, and the look at the others."""

    id: str

    def begin(
        self,
        *,
        looked: Callable[[Look], None],
        news: Callable[[], None],
        buried: Callable[[], None],
        behind: Callable[[], None] = lambda: None,
    ) -> None:
        """Tells of each look, of others' burials, that this one has been buried itself, and that the ledger has lost what it had
        confirmed to it.

        The first two are called on the event loop that calls this, the others at once, on a thread.
        """
        ...

    async def doom(self, member_id: str) -> bool:
        """Ends the connections of a member that is dead by the last look, and lets nothing that it writes count from now on.

        False where it lives after all. Raises LedgerUnavailable.
        """
        ...

    def retire(self) -> None:
        """Lets somebody else watch."""
        ...

    def leave(self) -> None:
        """From now on it is this one's own doing where it is no member any more: nobody is told that it was buried."""
        ...
