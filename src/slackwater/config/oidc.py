"""`[oidc]`: whose tokens are accepted, and what they make of their bearer."""

import urllib.parse
from collections.abc import Collection, Iterator

import msgspec
from msgspec import Struct

from slackwater.core.accounts.claims import ALGORITHMS, fault_of_issuer_url
from slackwater.core.accounts.resource import Role

AZURE_AUDIENCES = tuple(
    f"https://{host}{slash}" for host in ("cognitiveservices.azure.com", "ai.azure.com") for slash in ("", "/")
)
CLOCK_SKEW_SECONDS_MAX = 600.0


class OidcConfig(Struct, frozen=True, kw_only=True):
    """`[oidc]`: tokens of a directory, such as Entra ID, are accepted beside API keys. See authentication.md."""

    issuers: list[str] = msgspec.field(default_factory=list)
    """Whose tokens are accepted, spelled as in their `iss`; for Entra `https://login.microsoftonline.com/TENANT/v2.0` and \
`https://sts.windows.net/TENANT/`. Empty turns tokens off."""
    jwks_url: str = ""
    """Where the issuers publish their keys; by default each one's `/.well-known/openid-configuration` says so."""
    audiences: list[str] = msgspec.field(default_factory=lambda: list(AZURE_AUDIENCES))
    """Accepted values of `aud`."""
    algorithms: list[str] = msgspec.field(default_factory=lambda: ["RS256", "ES256"])
    """What tokens may be signed with."""
    clock_skew_seconds: float = 60.0
    """How far the issuer's clock may be from ours."""
    tenants: list[str] = msgspec.field(default_factory=list)
    """Accepted values of `tid`, for an issuer of several tenants. Empty: not looked at."""
    resource_claim: str = "slackwater_resource"
    """The claim that says which resource the caller belongs to: a name, or a path such as `app.tenant`."""
    resource_map: dict[str, str] = msgspec.field(default_factory=dict)
    """Value of that claim to resource; of several that fit, the first written here. Empty: the value is the resource's name."""
    default_resource: str = ""
    """The resource of whoever the claim leads nowhere. Empty: such tokens are refused."""
    role_claim: str = "roles"
    """The claim that says what the caller may do: a name, or a path such as `realm_access.roles`."""
    role_map: dict[str, Role] = msgspec.field(default_factory=dict)
    """Value of that claim to `reader`, `user` or `admin`; of several, the highest. Empty: the value is the role's name."""
    default_role: Role | None = None
    """The role of whoever the claim gives none. Without one, such tokens are refused."""
    jwks_cache_seconds: float = 3_600.0
    """How long keys are used before they are fetched again; a token with a new key id makes that happen at once."""
    jwks_stale_seconds: float = 86_400.0
    """How long they are used when the issuer cannot be reached."""


def faults_of_oidc(oidc: OidcConfig, resources: Collection[str]) -> Iterator[str]:
    """What is wrong with the section, a sentence each."""
    for issuer in oidc.issuers:
        fault = fault_of_issuer_url(issuer)
        if fault is not None:
            yield f"issuers: '{issuer}' {fault}"
        elif urllib.parse.urlsplit(issuer).query:
            yield f"issuers: '{issuer}' must not have a query"
    if len(set(oidc.issuers)) < len(oidc.issuers):
        yield "issuers: names one twice"
    if oidc.jwks_url and (fault := fault_of_issuer_url(oidc.jwks_url)) is not None:
        yield f"jwks_url: '{oidc.jwks_url}' {fault}"
    if not all(oidc.audiences):
        yield "audiences: must not hold an empty text"
    if not oidc.audiences:
        yield "audiences: is empty, so that every token would be meant for somebody else; leave it out for Azure's"
    if not oidc.algorithms:
        yield "algorithms: is empty; leave it out for RS256 and ES256"
    for algorithm in oidc.algorithms:
        if algorithm not in ALGORITHMS:
            yield f"algorithms: '{algorithm}' cannot be used; known are {', '.join(ALGORITHMS)}"
    if not 0 <= oidc.clock_skew_seconds <= CLOCK_SKEW_SECONDS_MAX:
        yield f"clock_skew_seconds must be between 0 and {CLOCK_SKEW_SECONDS_MAX:g}"
    if oidc.jwks_cache_seconds <= 0:
        yield "jwks_cache_seconds must be more than 0"
    if oidc.jwks_stale_seconds < oidc.jwks_cache_seconds:
        yield "jwks_stale_seconds must not be less than jwks_cache_seconds"
    for name in ("resource_claim", "role_claim"):
        if not getattr(oidc, name):
            yield f"{name}: is empty; leave it out for its default"
    named = [("resource_map", resource) for resource in oidc.resource_map.values()]
    if oidc.default_resource:
        named.append(("default_resource", oidc.default_resource))
    for name, resource in named:
        if resource not in resources:
            yield f"{name}: there is no resource '{resource}'; known are {', '.join(sorted(resources))}"
