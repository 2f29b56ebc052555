"""Browsers that have signed in, as the ledger keeps them; and who signs people in."""

from typing import Protocol

from slackwater.core.accounts.resource import Principal
from slackwater.core.accounts.session import Session


class SessionLedger(Protocol):
    """The part of the ledger that keeps sessions."""

    async def add_session(self, session: Session, *, most: int) -> None:
        """Keeps a session. Those that are over go, and the oldest of what would be more than `most`."""
        ...

    async def session(self, digest: str) -> Session | None: ...
    async def delete_session(self, digest: str) -> bool: ...


class SignIn(Protocol):
    """Sends people to an issuer, and knows them when they come back."""

    issuer: str

    async def address(self, *, redirect_uri: str, state: str, nonce: str, challenge: str) -> str:
        """Where a browser is to go. `challenge` is the S256 one of PKCE. Raises IssuerUnavailable."""
        ...

    async def redeem(
        self, code: str, *, redirect_uri: str, nonce: str, verifier: str, asked: str | None = None
    ) -> Principal:
        """Whom a code stands for, in the resource that was asked for.

        Raises TokenRefused, PermissionDenied and IssuerUnavailable.
        """
        ...

    async def close(self) -> None:
        """Ends what still goes on in the background."""
        ...
