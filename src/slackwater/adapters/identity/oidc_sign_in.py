"""Signs people in with OpenID Connect: authorization code with PKCE, and the ID token that the issuer gives for the code.

Before: api/sign_in, which keeps what belongs to the browser. After: core/accounts/claims, as for tokens that programs send.
The ID token is checked like any other token, and has to be for this client and to repeat the nonce. Nothing of the issuer's is
kept but where its pages are; neither code nor token is ever logged.
"""

import asyncio
import base64
import contextlib
import hmac
import ssl
import urllib.parse
from collections.abc import Mapping

import httpcore2
import msgspec
from msgspec import Struct, field

from slackwater.adapters.identity.issuer_keys import DOCUMENT_BYTES_MAX, Fetch, fetch_with
from slackwater.adapters.identity.jwt_verifier import JwtVerifier
from slackwater.adapters.outside.judged_network import JudgedNetwork, no_connection, resolve
from slackwater.core.accounts.claims import LOOPBACK, ClaimRules, fault_of_issuer_url, principal_of
from slackwater.core.accounts.resource import Principal
from slackwater.core.errors import IssuerUnavailable, SlackwaterError, TokenRefused
from slackwater.core.outside.addresses import parse
from slackwater.core.outside.imports import Origins
from slackwater.ports import Clock
from slackwater.telemetry import event

# Where an issuer's pages are does not change from one hour to the next; one that cannot be asked is not asked again at once,
# because anybody can make us ask.
CACHE_SECONDS = 3_600.0
REFETCH_SECONDS = 10.0
CALL_SECONDS = 10.0
# Codes that are redeemed at once.
AT_ONCE_MAX = 8
UNAVAILABLE = "The identity provider cannot be reached at the moment. Try to sign in again later, or use a key."
REFUSED = "The identity provider did not accept this sign-in; it may have taken too long. Sign in again."


class Discovery(Struct, frozen=True):
    """What is needed of an issuer's `/.well-known/openid-configuration`."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    token_endpoint_auth_methods_supported: list[str] = field(default_factory=lambda: ["client_secret_basic"])


class _Tokens(Struct):
    id_token: str


class OidcSignIn:
    """Implements SignIn for one issuer."""

    def __init__(
        self,
        issuer: str,
        *,
        client_id: str,
        client_secret: str | None,
        scope: str,
        algorithms: tuple[str, ...],
        rules: ClaimRules,
        clock: Clock,
        clock_skew_seconds: float,
        jwks_url: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Without a secret, this is a public client, which PKCE alone protects. `tls` is by default the system's trust."""
        self.issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._rules = rules
        self._clock = clock
        self._tls = tls or ssl.create_default_context()
        self._fetch: Fetch = fetch_with(self._tls, seconds=CALL_SECONDS)
        self._verifier = JwtVerifier(
            [issuer],
            audiences=[client_id],
            algorithms=algorithms,
            rules=rules,
            clock=clock,
            jwks_url=jwks_url,
            clock_skew_seconds=clock_skew_seconds,
            tls=self._tls,
        )
        self._found: Discovery | None = None
        self._tried_at: float | None = None
        self._discovering = asyncio.Lock()
        self._redeeming = asyncio.Semaphore(AT_ONCE_MAX)

    async def address(self, *, redirect_uri: str, state: str, nonce: str, challenge: str) -> str:
        """Where a browser is to go. Raises IssuerUnavailable."""
        found = await self._discover()
        query = urllib.parse.urlencode(
            {
                "response_type": "code",
                "client_id": self._client_id,
                "redirect_uri": redirect_uri,
                "scope": self._scope,
                "state": state,
                "nonce": nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        return f"{found.authorization_endpoint}{'&' if '?' in found.authorization_endpoint else '?'}{query}"

    async def redeem(
        self, code: str, *, redirect_uri: str, nonce: str, verifier: str, asked: str | None = None
    ) -> Principal:
        """Whom a code stands for. Raises TokenRefused, PermissionDenied and IssuerUnavailable."""
        found = await self._discover()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self._client_id,
            "code_verifier": verifier,
        }
        async with self._redeeming:
            token = await self._exchange(found, form)
        claims = await self._verifier.claims_of(token)
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise TokenRefused(REFUSED)
        # A token that is for several has to say for whom it was made.
        if claims.get("azp", self._client_id) != self._client_id:
            raise TokenRefused(REFUSED)
        return principal_of(claims, self._rules, asked=asked)

    async def _discover(self) -> Discovery:
        async with self._discovering:
            now = self._clock.monotonic()
            age = float("inf") if self._tried_at is None else now - self._tried_at
            if age < (REFETCH_SECONDS if self._found is None else CACHE_SECONDS):
                if self._found is None:
                    raise IssuerUnavailable(UNAVAILABLE)
                return self._found
            self._tried_at = now
            url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
            try:
                found = msgspec.json.decode(await self._fetch(url), type=Discovery)
                fault = _fault(found, self.issuer)
            except (SlackwaterError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                fault = str(error)
            if fault is not None:
                event("sign_in_unavailable", issuer=self.issuer, reason=fault)
                self._found = None
                raise IssuerUnavailable(UNAVAILABLE)
            self._found = found
            return found

    async def _exchange(self, found: Discovery, form: dict[str, str]) -> str:
        """The ID token for a code. Raises TokenRefused and IssuerUnavailable."""
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        if self._client_secret is not None:
            if "client_secret_post" in found.token_endpoint_auth_methods_supported:
                form["client_secret"] = self._client_secret
            else:
                pair = ":".join(urllib.parse.quote(each, safe="") for each in (self._client_id, self._client_secret))
                headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        status, body = await self._post(found.token_endpoint, headers, urllib.parse.urlencode(form).encode())
        if status != 200:
            # Its words may repeat what was sent.
            event("sign_in_refused", issuer=self.issuer, status=status)
            raise IssuerUnavailable(UNAVAILABLE) if status >= 500 else TokenRefused(REFUSED)
        try:
            return msgspec.json.decode(body, type=_Tokens).id_token
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise TokenRefused(REFUSED) from None

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        target = parse(url, param="token_endpoint")
        origins = Origins(hosts=(target.authority,), allow_http=target.host in LOOPBACK, allow_private_addresses=True)
        sent = [
            ("Host", target.authority),
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
            *headers.items(),
        ]
        where = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                async with httpcore2.AsyncConnectionPool(
                    ssl_context=self._tls,
                    max_connections=1,
                    max_keepalive_connections=0,
                    network_backend=JudgedNetwork(origins.judge_address, resolve),
                ) as pool:
                    async with pool.stream("POST", where, headers=sent, content=body) as answer:
                        return answer.status, await _bounded(answer)
        except (TimeoutError, httpcore2.TimeoutException) as error:
            event("sign_in_unavailable", issuer=self.issuer, reason="no answer in time")
            raise IssuerUnavailable(UNAVAILABLE) from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            event("sign_in_unavailable", issuer=self.issuer, reason=no_connection(target.host, error))
            raise IssuerUnavailable(UNAVAILABLE) from error

    async def close(self) -> None:
        """Gives up fetches that are under way."""
        await self._verifier.close()


async def _bounded(answer: httpcore2.Response) -> bytes:
    """A body; what is longer than any answer of an issuer is cut, and will not be JSON."""
    data = bytearray()
    async with contextlib.aclosing(answer.aiter_stream()) as pieces:
        async for piece in pieces:
            data += piece
            if len(data) > DOCUMENT_BYTES_MAX:
                break
    return bytes(data)


def _fault(found: Discovery, issuer: str) -> str | None:
    # Somebody else's document must not lead people to somebody else's pages.
    if found.issuer != issuer:
        return "its configuration is that of another issuer; write it exactly as it calls itself"
    for name in ("authorization_endpoint", "token_endpoint"):
        fault = fault_of_issuer_url(getattr(found, name))
        if fault is not None:
            return f"its {name} {fault}"
    return None
