"""What the ledger knows of operators' pauses, and of the paces that they have set."""

from collections.abc import Collection
from typing import Protocol

from slackwater.core.sending.pace import SaidPace
from slackwater.core.sending.pause import Pause, Target


class PauseLedger(Protocol):
    """The part of the ledger that keeps pauses. They outlive the process."""

    async def pauses(self, what: Collection[Target]) -> list[Pause]:
        """Everything of these kinds that is paused, by its name."""
        ...

    async def pause_of(self, what: Target, target: str) -> Pause | None:
        """The pause of one thing, if it is paused."""
        ...

    async def pause(self, pause: Pause) -> Pause | None:
        """Pauses a thing, and returns its pause: the earlier one, where it is paused already.

        None for a batch that does not exist, or of which nothing is sent any more. Shards of a batch that nobody has in hand
        can be claimed no more.
        """
        ...

    async def resume(self, what: Target, target: str) -> Pause | None:
        """Ends a pause and returns it; None where there was none.

        The shards of a batch are queued again, none before what is being served now.
        """
        ...

    async def paces(self) -> list[SaidPace]:
        """What was said of engines, by their names."""
        ...

    async def set_pace(self, said: SaidPace) -> None:
        """Keeps what was said of an engine; the last word counts."""
        ...

    async def forget_pace(self, engine: str) -> None:
        """Nothing is said of an engine any more."""
        ...
