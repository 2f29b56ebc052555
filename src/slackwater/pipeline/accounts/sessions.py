"""Browsers that have signed in. The ledger has the digests of what they carry; the token itself is in the browser alone.

A session is looked up at every call, so it ends at once with its key, its issuer or its resource, whoever took those away.
"""

import secrets
from collections.abc import Iterable

from slackwater.core.accounts.resource import Principal, digest_of
from slackwater.core.accounts.session import Session, origin_of_issuer, origin_of_key
from slackwater.pipeline.accounts.keys import Keys
from slackwater.ports import Clock, Ledger
from slackwater.telemetry import event

TOKEN_BYTES = 32
# Of all resources. Whoever signs in again and again pushes out the oldest.
SESSIONS_MAX = 10_000


class Sessions:
    """The sessions of all resources."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        keys: Keys,
        *,
        service_keys: Iterable[str],
        issuers: Iterable[str],
        resources: frozenset[str],
        seconds: int,
    ) -> None:
        """`seconds` is how long a session lasts."""
        self._ledger = ledger
        self._clock = clock
        self._keys = keys
        self._lasting = {origin_of_key(digest_of(key)) for key in service_keys}
        self._lasting |= {origin_of_issuer(issuer) for issuer in issuers}
        self._resources = resources
        self._seconds = seconds

    async def create(self, principal: Principal, *, origin: str, expires_at: int | None = None) -> tuple[str, Session]:
        """A session for somebody who has shown who they are, and the token that it is known by.

        `expires_at` is for a session that takes the place of another, and lasts no longer.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        now = int(self._clock.now())
        session = Session(
            digest=digest_of(token),
            resource=principal.resource,
            role=principal.role,
            name=principal.name,
            anywhere=principal.anywhere,
            origin=origin,
            created_at=now,
            expires_at=now + self._seconds if expires_at is None else expires_at,
        )
        await self._ledger.add_session(session, most=SESSIONS_MAX)
        event("signed_in", resource=session.resource, who=session.name)
        return token, session

    async def find(self, token: str) -> Session | None:
        """The session of a token, if it still counts."""
        session = await self._ledger.session(digest_of(token))
        if session is None:
            return None
        origins = self._lasting | {origin_of_key(key.digest) for key in self._keys.all()}
        return session if session.lives(now=self._clock.now(), origins=origins, resources=self._resources) else None

    async def end(self, token: str) -> bool:
        """Forgets a session; False if there was none."""
        return await self._ledger.delete_session(digest_of(token))
