"""What the ledger knows of connections, and who seals the keys that are stored with them."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

# Whichever version there is, or none. No etag has a star in it.
ANY_VERSION = "*"


class StoredConnection(Struct, frozen=True, kw_only=True):
    """An engine that an administrator has added while the service runs: its URL, and how it is got into."""

    resource: str
    name: str
    url: str
    key_env: str | None = None
    """The environment variable that has its key."""
    key_header: str | None = None
    """`authorization` or `api-key`; None: as its host wants it."""
    key_stored: bool = False
    """Whether its key is stored here; in a ledger out of a back-up it is, and `sealed` is not there."""
    made_by: str = ""
    """Who has added it, as the audit log calls them."""
    etag: str
    created_at: int
    updated_at: int
    sealed: str | None = None
    """The stored key, sealed."""


class CannotOpen(Exception):
    """A sealed secret that none of the keys opens. Its text says what to do, and has nothing of the secret in it."""


class Sealer(Protocol):
    """Seals secrets under the newest of the operator's keys, and opens what any of them has sealed."""

    def seal(self, secret: str, *, about: str) -> str:
        """`about` is what the secret belongs to: sealed for one thing, it opens for no other."""
        ...

    def open(self, sealed: str, *, about: str) -> str:
        """The secret again. Raises CannotOpen."""
        ...

    def is_newest(self, sealed: str) -> bool:
        """Whether it is sealed under the newest key."""
        ...


class ConnectionLedger(Protocol):
    """The part of the ledger that concerns connections."""

    async def connections(self) -> list[StoredConnection]:
        """Every connection of every resource, with its sealed key."""
        ...

    async def put_connection(
        self, connection: StoredConnection, *, over: str | None = ANY_VERSION, most: int = 0
    ) -> bool:
        """Keeps a connection and its sealed key, in the place of one of the same name; without one, none stays.

        `over` and `most` are as for deployments.
        """
        ...

    async def reseal_connection(self, connection: StoredConnection, *, sealed: str) -> bool:
        """Another seal around the same key; False where it is not the one that `connection` has any more."""
        ...

    async def remove_connection(self, connection: StoredConnection) -> Sequence[str]:
        """Forgets a connection of this version and its key, unless a deployment uses it: then the names of those.

        Nothing is done, either, where it is in another version by now.
        """
        ...


class EngineCheck(Struct, frozen=True, kw_only=True):
    """One thing that was looked at, and what to do about it."""

    level: str
    """`ok`, `note`, `warning` or `fault`."""
    about: str
    message: str
    fix: str = ""


class EngineLook(Struct, frozen=True, kw_only=True):
    """What an engine said when it was looked at."""

    checks: Sequence[EngineCheck]
    models: Sequence[str] = ()
    """Those that it lists, as far as somebody can choose from them."""
    models_left_out: int = 0


class FoundEngine(Struct, frozen=True, kw_only=True):
    """Somebody who answers like an engine on a port of this machine where people usually have one."""

    usual: str
    url: str
    models: Sequence[str]


class EngineLooker(Protocol):
    """Looks at engines, as `slackwater doctor` does."""

    async def look(
        self, url: str, *, key: str | None, key_header: str | None, model: str | None, anywhere: bool
    ) -> EngineLook:
        """Asks for its models, and sends a request of one token. `anywhere`: also at addresses that no engine has."""
        ...

    async def find(self) -> Sequence[FoundEngine]:
        """Engines on this machine, ourselves left out."""
        ...
