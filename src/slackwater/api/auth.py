"""Who calls: a key of ours, as `api-key` or as a bearer token, or a token of a directory; and in which resource.

A key belongs to a resource and a role. The keys of the configuration belong to the service: they are administrators in the
resource whose host name was called, or in the default one. Keys are compared in constant time.
"""

import hmac
from collections.abc import Mapping

from msgspec import Struct
from starlette.requests import Request

from slackwater.core.claims import looks_like_jwt
from slackwater.core.errors import Unauthorized
from slackwater.core.resource import DEFAULT, Principal, Role
from slackwater.pipeline.keys import Keys
from slackwater.ports import TokenVerifier

# Azure's words (spec 7.2), which people search for.
REFUSED = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active "
    "subscription and use a correct regional API endpoint for your resource."
)


class Authenticator(Struct, frozen=True, kw_only=True):
    """Knows callers."""

    service_keys: tuple[str, ...]
    keys: Keys
    hosts: Mapping[str, str]
    """Host names, in lower case and without port, and the resources that they stand for."""
    resources: frozenset[str] = frozenset({DEFAULT})
    verifier: TokenVerifier | None = None
    """Who checks tokens; None takes none."""

    @property
    def open(self) -> bool:
        """Whether everybody may call, because there is nothing to tell callers apart by."""
        return not self.service_keys and not self.keys.any and self.verifier is None

    async def authenticate(self, request: Request) -> Principal:
        """Who calls. Raises Unauthorized; for tokens also PermissionDenied and IssuerUnavailable."""
        asked = self.hosts.get(request.url.hostname or "")
        if self.open:
            return Principal(resource=asked or DEFAULT, role=Role.ADMIN, name="anonymous", anywhere=asked is None)
        given = _given(request)
        if self.verifier is not None and looks_like_jwt(given):
            return await self.verifier.verify(given, asked=asked)
        # Every key is compared, whichever fits, so that the time says nothing.
        service = any([hmac.compare_digest(given.encode(), key.encode()) for key in self.service_keys])
        stored = self.keys.known(given)
        if service:
            return Principal(resource=asked or DEFAULT, role=Role.ADMIN, name="service", anywhere=asked is None)
        # Another resource's key at this host, or the key of a resource that is not configured any more, is no key here.
        if stored is None or stored.resource not in self.resources or asked not in (None, stored.resource):
            raise Unauthorized(REFUSED, given=bool(given))
        return Principal(resource=stored.resource, role=stored.role, name=stored.name)


def _given(request: Request) -> str:
    """The credential that was sent; empty where there is none. `api-key` counts where both are there."""
    given = request.headers.get("api-key")
    if given is None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else ""
    return given
