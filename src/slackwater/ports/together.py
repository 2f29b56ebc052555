"""Servers that work with the same ledger: what has changed, what may be to do, and how each of them gets on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct


class Standing(Struct, frozen=True):
    """What one server has said of a deployment, or of itself where that is empty."""

    member: str
    deployment: str
    facts: bytes
    """JSON of pipeline/watching/standings.py."""


class Together(Protocol):
    """The part of a ledger that several may work with. Where one server has it, there is nothing of this."""

    @property
    def listening(self) -> bool:
        """Whether hints of others are heard. While they are not, nothing is lost but time."""
        ...

    async def changes(self) -> Mapping[str, int]:
        """The number of each kind of what servers keep in memory. It is another one once something of that kind has changed."""
        ...

    async def change(self, what: str) -> None:
        """Gives something of that kind another number, where it is no fact of the ledger that has changed."""
        ...

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Hears what others hint at, if it does not already; `heard` is called on the event loop, one word after the other.

        Does not wait for a ledger that does not answer at once, and raises nothing for it.
        """
        ...

    async def say(self, word: str) -> None:
        """Lets the others hear a word; who does not listen never does."""
        ...

    async def stand(self, member: str, facts: Mapping[str, bytes]) -> None:
        """Keeps what a server says of its deployments, instead of what it has said of the same ones; empty: nothing any more.

        The server itself is the one without a name, and lives as long as that is said anew.
        """
        ...

    async def leave(self, member: str) -> None:
        """Forgets what a server has said."""
        ...

    async def standings(self, *, but: str, seconds: float) -> Sequence[Standing]:
        """What all servers say but that one, where they were there in the last `seconds`."""
        ...

    async def close(self) -> None:
        """Listens no more."""
        ...
