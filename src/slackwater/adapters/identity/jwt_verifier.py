"""Checks tokens (JWT) with PyJWT against the keys of the issuers that the operator trusts.

Before: api/auth, with a bearer value that looks like a token. After: core/accounts/claims, which says what its bearer
may do. A token is judged in an order in which nothing of it is believed early: its issuer is only looked up in a
list, its key id only in that issuer's keys, its algorithm only in the operator's list; everything else counts after the
signature.
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

import jwt

from slackwater.adapters.identity.issuer_keys import Fetch, IssuerKeys, fetch_with
from slackwater.core.accounts.claims import ClaimRules, principal_of
from slackwater.core.accounts.resource import Principal
from slackwater.core.errors import TokenRefused
from slackwater.ports import Clock

# Far above the largest real ones, which carry some 200 groups.
TOKEN_LENGTH_MAX = 1 << 14
# An issuer is asked for its keys at most this often; so long may a key that it has just begun to use be refused.
REFETCH_SECONDS = 10.0
# Time for one document. The first callers wait for two of them.
FETCH_SECONDS = 5.0
REQUIRED = ["exp", "iss", "aud", "sub"]

# What the library says -> what the caller is told. The first class that fits counts.
REFUSALS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "The token has expired. Get a new one."),
    (
        jwt.ImmatureSignatureError,
        "The token is not valid yet. Wait for a moment, or check the clocks of the issuer and of this service.",
    ),
    (
        jwt.InvalidAudienceError,
        "The token is meant for another service: its audience (aud) is none that this service accepts. Get one for the "
        "scope that the operator has configured, such as https://cognitiveservices.azure.com/.default.",
    ),
    (
        jwt.MissingRequiredClaimError,
        f"The token lacks a claim that this service needs. It must have {', '.join(REQUIRED)}.",
    ),
    (jwt.InvalidSignatureError, "The signature of the token is wrong. Get a new one, and send it unchanged."),
)
MALFORMED = "The token cannot be read. Send the access token as your identity provider gave it, unchanged."
UNKNOWN_ISSUER = (
    "The token was issued by somebody whom this service does not trust. Sign in with the identity provider and the tenant "
    "that the operator has configured."
)
UNKNOWN_KEY = "The token is signed with a key that its issuer does not publish for that. Get a new token."


class JwtVerifier:
    """Implements TokenVerifier for issuers that publish their keys as OpenID Connect says, such as Entra ID."""

    def __init__(
        self,
        issuers: Sequence[str],
        *,
        audiences: Sequence[str],
        algorithms: Sequence[str],
        rules: ClaimRules,
        clock: Clock,
        jwks_url: str | None = None,
        clock_skew_seconds: float = 60.0,
        cache_seconds: float = 3_600.0,
        stale_seconds: float = 86_400.0,
        refetch_seconds: float = REFETCH_SECONDS,
        fetch_seconds: float = FETCH_SECONDS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` is by default the system's trust."""
        fetch: Fetch = fetch_with(tls or ssl.create_default_context(), seconds=fetch_seconds)
        self._audiences = list(audiences)
        self._algorithms = list(algorithms)
        self._rules = rules
        self._clock_skew_seconds = clock_skew_seconds
        # Short RSA keys are refused, not only warned of.
        self._jwt = jwt.PyJWT(options={"enforce_minimum_key_length": True})
        self._issuers = {
            issuer: IssuerKeys(
                issuer,
                jwks_url=jwks_url,
                algorithms=tuple(algorithms),
                clock=clock,
                fetch=fetch,
                cache_seconds=cache_seconds,
                stale_seconds=stale_seconds,
                refetch_seconds=refetch_seconds,
            )
            for issuer in issuers
        }

    async def verify(self, token: str, *, asked: str | None = None) -> Principal:
        """Whom a token makes its bearer, in the resource that was asked for.

        Raises TokenRefused, PermissionDenied and IssuerUnavailable.
        """
        return principal_of(await self.claims_of(token), self._rules, asked=asked)

    async def claims_of(self, token: str) -> dict[str, Any]:
        """What a good token says. Raises TokenRefused and IssuerUnavailable."""
        if len(token) > TOKEN_LENGTH_MAX:
            raise TokenRefused(f"The token is longer than the {TOKEN_LENGTH_MAX:,} characters that this service reads.")
        issuer, key_id, algorithm = self._read(token)
        keys = self._issuers.get(issuer)
        if keys is None:
            raise TokenRefused(UNKNOWN_ISSUER)
        key = await keys.find(key_id, algorithm)
        if key is None:
            raise TokenRefused(UNKNOWN_KEY)
        try:
            claims: dict[str, Any] = self._jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audiences,
                issuer=issuer,
                leeway=self._clock_skew_seconds,
                options={"require": REQUIRED},
            )
        except jwt.PyJWTError as error:
            # `from None`: the library's words may quote the token, and whoever logs this error would log them too.
            raise TokenRefused(_refusal(error)) from None
        return claims

    async def close(self) -> None:
        """Gives up fetches that are under way."""
        await asyncio.gather(*(keys.close() for keys in self._issuers.values()))

    def _read(self, token: str) -> tuple[str, str, str]:
        """Issuer, key id and algorithm, as the token claims them; nothing is verified yet. Raises TokenRefused."""
        try:
            parts = self._jwt.decode_complete(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise TokenRefused(MALFORMED) from None
        header, claims = parts["header"], parts["payload"]
        algorithm = header.get("alg")
        if algorithm not in self._algorithms:
            raise TokenRefused(
                f"The token is not signed with an algorithm that this service accepts: {', '.join(self._algorithms)}."
            )
        key_id = header.get("kid")
        if not isinstance(key_id, str):
            raise TokenRefused("The token does not say which key it is signed with (kid). Get one that does.")
        issuer: Any = claims.get("iss")
        return issuer if isinstance(issuer, str) else "", key_id, algorithm


def _refusal(error: jwt.PyJWTError) -> str:
    return next((message for kind, message in REFUSALS if isinstance(error, kind)), MALFORMED)
