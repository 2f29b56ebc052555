"""What a store says of itself, for whoever asks whether the service is well."""

from typing import Protocol

from msgspec import Struct


class Writable(Protocol):
    """A store of which somebody wants to know whether it takes what is written."""

    @property
    def refuses_writes(self) -> bool:
        """Whether the last write failed, and none has succeeded since; not that a database is Away, which it says itself."""
        ...

    async def try_write(self) -> None:
        """Writes something that means nothing, durably. Raises what a write raises; else it refuses no more."""
        ...


class Away(Struct, frozen=True, kw_only=True):
    """The ledger's database cannot be used."""

    seconds: float
    """For how long."""
    why: str
    """In words, without anything that is secret."""


class Room(Protocol):
    """Where bytes go."""

    async def free_bytes(self) -> int:
        """How many more it can take."""
        ...
