"""The signing keys of one issuer: fetched from it, kept for a while, fetched again when a token names a new one.

What must hold: nobody can make this service ask the issuer more often than once per `refetch_seconds`, whatever key ids
they invent; a key that the issuer has withdrawn is not accepted for longer than the cache lasts, or, while the issuer is
down, than `stale_seconds`; and tokens whose key is known do not wait for an issuer that is known to be down.
"""

import asyncio
import logging
import ssl
import urllib.parse
from collections.abc import Awaitable, Callable, Iterator

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from msgspec import Raw, Struct

from slackwater.adapters.outside.httpcore_fetcher import HttpcoreFetcher
from slackwater.core.accounts.claims import ALGORITHMS, LOOPBACK, fault_of_issuer_url
from slackwater.core.errors import IssuerUnavailable, SlackwaterError
from slackwater.core.outside.imports import Origins
from slackwater.ports import Clock
from slackwater.telemetry import event

# A set of keys with a certificate for each is some 20 KiB at the largest issuers.
DOCUMENT_BYTES_MAX = 1 << 18
KEYS_MAX = 100

Fetch = Callable[[str], Awaitable[bytes]]


class Discovery(Struct, frozen=True):
    """What is needed of an issuer's `/.well-known/openid-configuration`."""

    issuer: str
    jwks_uri: str


class KeySet(Struct, frozen=True):
    """A JWKS, its keys not yet looked at: one that cannot be read must not spoil the others."""

    keys: list[Raw]


class Key(Struct, frozen=True, omit_defaults=True):
    """The public parts of a JWK. Whatever else it has, such as private parts, is not even read."""

    kty: str
    kid: str
    use: str | None = None
    alg: str | None = None
    crv: str | None = None
    n: str | None = None
    e: str | None = None
    x: str | None = None
    y: str | None = None


def fetch_with(tls: ssl.SSLContext, *, seconds: float) -> Fetch:
    """Fetches a document as files are imported: whole, bounded, without redirects, never from a metadata address."""

    async def fetch(url: str) -> bytes:
        parts = urllib.parse.urlsplit(url)
        pieces: list[bytes] = []

        async def write(piece: bytes) -> None:
            pieces.append(piece)

        # The operator has named the issuer, and an issuer of the house stands at a private address.
        origins = Origins(hosts=(parts.netloc,), allow_http=parts.hostname in LOOPBACK, allow_private_addresses=True)
        fetcher = HttpcoreFetcher(
            origins, bytes_max=DOCUMENT_BYTES_MAX, connect_seconds=seconds, total_seconds=seconds, tls=tls
        )
        await fetcher.fetch(url, write)
        return b"".join(pieces)

    return fetch


class IssuerKeys:
    """The keys of one issuer. One fetch at a time, whoever waits for it."""

    def __init__(
        self,
        issuer: str,
        *,
        jwks_url: str | None,
        algorithms: tuple[str, ...],
        clock: Clock,
        fetch: Fetch,
        cache_seconds: float,
        stale_seconds: float,
        refetch_seconds: float,
    ) -> None:
        """Without a `jwks_url` the issuer's own configuration says where its keys are."""
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._algorithms = algorithms
        self._clock = clock
        self._fetch = fetch
        self._cache_seconds = cache_seconds
        self._stale_seconds = stale_seconds
        self._refetch_seconds = refetch_seconds
        # A key is found by its id and the algorithm it is to be used with, so that a token cannot choose another one for it.
        self._keys: dict[tuple[str, str], jwt.PyJWK] = {}
        self._ids: frozenset[str] = frozenset()
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._failing = False
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, key_id: str, algorithm: str) -> jwt.PyJWK | None:
        """The key with this id for this algorithm; None if the issuer has none. Raises IssuerUnavailable."""
        if key_id in self._ids and self._usable():
            if self._age() >= self._cache_seconds:
                await self._refresh(wait=not self._failing)
        else:
            await self._refresh(wait=True)
        if not self._usable() or (key_id not in self._ids and self._failing):
            raise IssuerUnavailable(
                "The token could not be checked, because the keys of its issuer cannot be had at the moment. Try again "
                "later."
            )
        return self._keys.get((key_id, algorithm))

    async def close(self) -> None:
        """Gives up a fetch that is under way."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock.monotonic() - self._fetched_at

    def _usable(self) -> bool:
        return self._age() < self._stale_seconds

    async def _refresh(self, *, wait: bool) -> None:
        """Begins a fetch unless one is under way, or it is too soon after the last. `wait`: until it has ended."""
        if self._refreshing is None or self._refreshing.done():
            now = self._clock.monotonic()
            if self._tried_at is not None and now - self._tried_at < self._refetch_seconds:
                return
            self._tried_at = now
            self._refreshing = asyncio.create_task(self._replace_keys(), name=f"keys of {self._issuer}")
        if wait:
            # Whoever goes away must not take the fetch from the others.
            await asyncio.shield(self._refreshing)

    async def _replace_keys(self) -> None:
        try:
            jwks_url = self._jwks_url or await self._discover()
            keys = dict(self._read_keys(await self._fetch(jwks_url)))
        except (SlackwaterError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            self._failing = True
            event("issuer_keys_failed", level=logging.WARNING, issuer=self._issuer, reason=error)
            return
        # An empty set is an answer too: the issuer has withdrawn every key.
        self._keys = keys
        self._ids = frozenset(key_id for key_id, _ in keys)
        self._fetched_at = self._clock.monotonic()
        self._failing = False
        event("issuer_keys_fetched", issuer=self._issuer, keys=len(self._ids))

    async def _discover(self) -> str:
        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = msgspec.json.decode(await self._fetch(url), type=Discovery)
        # Somebody else's document must not bring somebody else's keys.
        if found.issuer != self._issuer:
            raise IssuerUnavailable("its configuration is that of another issuer; write it exactly as it calls itself")
        fault = fault_of_issuer_url(found.jwks_uri)
        if fault is not None:
            raise IssuerUnavailable(f"its jwks_uri {fault}")
        return found.jwks_uri

    def _read_keys(self, document: bytes) -> Iterator[tuple[tuple[str, str], jwt.PyJWK]]:
        """Every usable key under each algorithm that it fits and that may be used. What is not usable is passed over."""
        raw_keys = msgspec.json.decode(document, type=KeySet).keys
        if len(raw_keys) > KEYS_MAX:
            raise IssuerUnavailable(f"it has more than {KEYS_MAX} keys")
        for raw in raw_keys:
            try:
                key = msgspec.json.decode(raw, type=Key)
            except (msgspec.MsgspecError, UnicodeError):
                continue
            if key.use not in (None, "sig"):
                continue
            for algorithm in self._algorithms:
                if key.alg not in (None, algorithm) or ALGORITHMS[algorithm] != (
                    key.kty,
                    None if key.kty == "RSA" else key.crv,
                ):
                    continue
                try:
                    yield (key.kid, algorithm), jwt.PyJWK(msgspec.to_builtins(key), algorithm)
                except (jwt.PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
                    break
