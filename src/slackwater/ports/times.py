"""What the ledger knows of the time of day."""

from typing import Protocol

from msgspec import Struct


class WallTime(Struct, frozen=True):
    """When a server was last seen alive, and from when on what users gave an end may go. Since 1970; 0: never, at once."""

    alive_at: float
    expire_from: float


class TimeLedger(Protocol):
    """The part of the ledger that remembers when it was served."""

    async def wall_time(self) -> WallTime: ...
    async def note_alive(self, now: float, *, expire_from: float) -> None:
        """Notes both."""
        ...
