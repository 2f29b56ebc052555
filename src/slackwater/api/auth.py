"""Who calls: a key of ours, as `api-key` or as a bearer token, a token of a directory, or a browser that has signed in; and
in which resource.

A key belongs to a resource and a role. The keys of the configuration belong to the service: they are administrators in the
resource whose host name was called, or in the default one. Keys are compared in constant time. The cookie of a session counts
only where there is nothing else, and changes something only where the browser says that the call is from a page of ours.
"""

import hmac
from collections.abc import Mapping

from msgspec import Struct
from starlette.requests import Request

from slackwater.api.arriving.connection import VISITOR
from slackwater.core.accounts.claims import looks_like_jwt
from slackwater.core.accounts.resource import DEFAULT, Principal, Role
from slackwater.core.accounts.session import COOKIE, Session, may_be_this_machine, of_another_site, surely_own_page
from slackwater.core.errors import PermissionDenied, Unauthorized
from slackwater.pipeline.accounts.keys import Keys
from slackwater.pipeline.accounts.sessions import Sessions
from slackwater.pipeline.accounts.wrong_keys import SlowDown
from slackwater.ports import TokenVerifier

# Azure's words (spec 7.2), which people search for.
REFUSED = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active "
    "subscription and use a correct regional API endpoint for your resource."
)

# Methods that change nothing.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Authenticator(Struct, frozen=True, kw_only=True):
    """Knows callers."""

    service_keys: tuple[str, ...]
    keys: Keys
    slow_down: SlowDown
    """Where the answers to wrong keys wait."""
    hosts: Mapping[str, str]
    """Host names, in lower case and without port, and the resources that they stand for."""
    resources: frozenset[str] = frozenset({DEFAULT})
    verifier: TokenVerifier | None = None
    """Who checks tokens; None takes none."""
    sessions: Sessions | None = None
    """Browsers that have signed in; None where there are no pages to sign in to."""
    public_host: str = ""
    """The host that browsers call, where a proxy stands before us and calls another."""

    may_open: bool = False
    """Whether nobody but this machine can call, so that no key is needed where there is none."""

    @property
    def open(self) -> bool:
        """Whether everybody may call: only this machine can, and there is nothing to tell callers apart by.

        Keys come and go while the service runs. Where others can call, the last one to go lets nobody in.
        """
        return self.may_open and not self.service_keys and not self.keys.any and self.verifier is None

    async def authenticate(self, request: Request) -> Principal:
        """Who calls.

        Raises Unauthorized, and TooBusy after many wrong keys; for tokens also PermissionDenied and IssuerUnavailable.
        """
        try:
            principal = await self._known(request)
        except Unauthorized:
            # No key at all is no wrong one, and a session that has ended was a good one.
            if _given(request):
                await self.refused(request)
            raise
        visitor = request.scope.get(VISITOR)
        if visitor is not None and not self.open:
            visitor.known()
        return principal

    async def refused(self, request: Request) -> None:
        """Counts a key that was refused, and returns when that may be said. Raises TooBusy."""
        await self.slow_down.refused(request.client.host if request.client else "")

    async def _known(self, request: Request) -> Principal:
        await self.keys.learn()
        asked = self.asked(request)
        if self.open:
            # The first key may just have been made at another server.
            await self.keys.learn_now()
        if self.open:
            self._refuse_pages_of_others(request)
            return Principal(resource=asked or DEFAULT, role=Role.ADMIN, name="anonymous", anywhere=asked is None)
        given = _given(request)
        if given is None:
            session = await self.session_of(request)
            if session is not None:
                if request.method not in SAFE:
                    self.refuse_other_pages(request)
                return session.principal
            if self.sessions is not None and COOKIE in request.cookies:
                raise Unauthorized("Your session has ended. Sign in again.", given=True)
            given = ""
        if self.verifier is not None and looks_like_jwt(given):
            return await self.verifier.verify(given, asked=asked)
        return await self.of_any_key(given, asked=asked)

    async def of_any_key(self, given: str, *, asked: str | None) -> Principal:
        """Whose key this is, also where another server has made it in this moment. Raises Unauthorized."""
        try:
            return self.of_key(given, asked=asked)
        except Unauthorized:
            if not given or not await self.keys.learn_now():
                raise
        return self.of_key(given, asked=asked)

    def knows(self, request: Request) -> bool:
        """Whether a caller is the service's own, by what is known without the ledger. Raises PermissionDenied."""
        if self.asked(request) is not None:
            return False
        if self.open:
            self._refuse_pages_of_others(request)
            return True
        given = (_given(request) or "").encode()
        return any([hmac.compare_digest(given, key.encode()) for key in self.service_keys])

    def of_key(self, given: str, *, asked: str | None) -> Principal:
        """Whose key this is. Raises Unauthorized."""
        # Every key is compared, whichever fits, so that the time says nothing.
        service = any([hmac.compare_digest(given.encode(), key.encode()) for key in self.service_keys])
        stored = self.keys.known(given)
        if service:
            return Principal(resource=asked or DEFAULT, role=Role.ADMIN, name="service", anywhere=asked is None)
        # Another resource's key at this host, or the key of a resource that is not configured any more, is no key here.
        if stored is None or stored.resource not in self.resources or asked not in (None, stored.resource):
            raise Unauthorized(REFUSED, given=bool(given))
        return Principal(resource=stored.resource, role=stored.role, name=stored.name)

    def asked(self, request: Request) -> str | None:
        """The resource whose host name was called."""
        return self.hosts.get(request.url.hostname or "")

    async def session_of(self, request: Request) -> Session | None:
        """The session of the browser that calls, if it is good for the host that it calls."""
        token = request.cookies.get(COOKIE)
        if self.sessions is None or not token:
            return None
        await self.keys.learn()
        session = await self.sessions.find(token)
        return session if session is not None and self.asked(request) in (None, session.resource) else None

    def own_hosts(self, request: Request) -> set[str]:
        """The names that a page of ours may have been loaded from, for this call."""
        return {request.headers.get("host", ""), self.public_host} - {""}

    def _refuse_pages_of_others(self, request: Request) -> None:
        """Raises PermissionDenied where a browser on this machine calls for somebody else's page.

        Whoever needs no key is known by nothing but being here, and so is every page that a browser here has open.
        """
        headers, site = request.headers, request.headers.get("sec-fetch-site")
        if not may_be_this_machine(request.url.hostname or "", named={*self.hosts, self.public_host.partition(":")[0]}):
            raise PermissionDenied(
                "This service has no keys, so it answers to names of its own machine only, such as localhost or 127.0.0.1. "
                "Make keys with 'slackwater keys create' to call it by others."
            )
        # What somebody types, or keeps as a bookmark, comes from no page.
        if site != "none" and of_another_site(
            fetch_site=site, origin=headers.get("origin"), hosts=self.own_hosts(request)
        ):
            raise PermissionDenied(
                "This service has no keys, and does not answer to pages of another site. "
                "Make keys with 'slackwater keys create', and let the page send one."
            )

    def refuse_other_pages(self, request: Request) -> None:
        """Raises PermissionDenied unless the browser says that the call is from a page of ours."""
        headers = request.headers
        if not surely_own_page(
            fetch_site=headers.get("sec-fetch-site"), origin=headers.get("origin"), hosts=self.own_hosts(request)
        ):
            raise PermissionDenied(
                "A browser's session changes something only from Studio's own pages. Programs send a key or a token."
            )


def _given(request: Request) -> str | None:
    """The credential that was sent; None where there is no header for one. `api-key` counts where both are there."""
    given = request.headers.get("api-key")
    if given is not None:
        return given
    authorization = request.headers.get("authorization")
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
