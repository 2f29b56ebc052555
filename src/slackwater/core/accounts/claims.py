"""What a verified token says about its bearer: in which resource, as what, under which name.

Comes after the verifier, which has checked who signed the token, for whom and until when. Nothing here doubts a claim, and
nothing here repeats one to the caller: messages name claims and settings, never values.
"""

import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from slackwater.core.accounts.resource import DEFAULT, RANKS, Principal, Role
from slackwater.core.errors import PermissionDenied, TokenRefused

# A header, a payload and a signature in base64url. The signature may be empty: a token that nobody signed is answered as
# a token, not as a wrong key. A header is a JSON object, and `{"` is written as these two letters.
SHAPE = re.compile(r"ey[\w-]*\.[\w-]+\.[\w-]*", re.ASCII)
# Whom the audit log names beside the subject, which is a random string with many issuers. The first that there is.
LABELS = ("preferred_username", "upn", "appid", "azp")
NAME_LENGTH_MAX = 200
# Claims that hold several values in one string, with spaces between (RFC 8693).
SPACED = frozenset({"scp", "scope"})
# What a token may be signed with, and the keys for it: their type, and their curve where they have one. Never `none`, and
# nothing symmetric: the "secret" of such a token would be a public key.
ALGORITHMS: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class ClaimRules(Struct, frozen=True, kw_only=True):
    """How claims become a resource and a role. A claim is a name, or a path with dots, as in `realm_access.roles`."""

    resource_claim: str = "slackwater_resource"
    role_claim: str = "roles"
    resource_map: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Value of the claim -> resource; of several that fit, the first counts. Empty: the value is the resource's name."""
    role_map: Mapping[str, Role] = msgspec.field(default_factory=dict)
    """Value of the claim -> role. Empty: the value is the role's name."""
    resources: frozenset[str] = frozenset({DEFAULT})
    """Those that there are."""
    default_resource: str | None = None
    default_role: Role | None = None
    tenants: tuple[str, ...] = ()
    """Accepted values of `tid`; empty is all."""


def looks_like_jwt(text: str) -> bool:
    """Whether a bearer value is meant as a token rather than as a key."""
    return SHAPE.fullmatch(text) is not None


def principal_of(claims: Mapping[str, Any], rules: ClaimRules, *, asked: str | None = None) -> Principal:
    """Whom the claims of a verified token make. `asked`: the resource whose host name was called, if it was one's.

    Raises TokenRefused and PermissionDenied.
    """
    if rules.tenants and claims.get("tid") not in rules.tenants:
        raise TokenRefused("The token comes from a tenant that this service does not serve. Sign in to another tenant.")
    # The resource first: who belongs to none is told that, and not which role is missing in it.
    resource = _resource(claims, rules, asked)
    return Principal(resource=resource, role=_role(claims, rules), name=_name(claims))


def _resource(claims: Mapping[str, Any], rules: ClaimRules, asked: str | None) -> str:
    values = values_of(claims, rules.resource_claim)
    if rules.resource_map:
        # In the order of the map, which is the operator's; the order inside a token is nobody's.
        found = [resource for value, resource in rules.resource_map.items() if value in values]
    else:
        found = sorted(rules.resources.intersection(values))
    if not found and rules.default_resource is not None:
        found = [rules.default_resource]
    if asked is not None and asked in found:
        return asked
    if asked is not None or not found:
        raise PermissionDenied(
            f"The token is valid, but its claim '{rules.resource_claim}' does not lead to "
            f"{'a' if asked is None else 'this'} resource of this service. Ask the operator to add one of its values to "
            "resource_map under [oidc]."
        )
    if not rules.resource_map and len(found) > 1:
        raise PermissionDenied(
            f"The token names several resources in its claim '{rules.resource_claim}', and this service does not guess. "
            "Call the host name of the one that you mean, or use a token that names one."
        )
    return found[0]


def _role(claims: Mapping[str, Any], rules: ClaimRules) -> Role:
    role_map = rules.role_map or {role.value: role for role in Role}
    roles = [role_map[value] for value in values_of(claims, rules.role_claim) if value in role_map]
    if roles:
        return max(roles, key=RANKS.__getitem__)
    if rules.default_role is None:
        raise PermissionDenied(
            f"The token is valid, but its claim '{rules.role_claim}' gives no role in this service. Ask for a role in "
            "your directory, or ask the operator to add one of its values to role_map under [oidc]."
        )
    return rules.default_role


def values_of(claims: Mapping[str, Any], name: str) -> list[str]:
    """The strings that a claim holds; none where it is missing or something else."""
    value: Any = claims.get(name)
    if value is None and "." in name:
        # Only then: a claim may be named with a URL, which has dots of its own.
        value = claims
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return value.split() if name in SPACED else [value]
    if isinstance(value, list):
        return [entry for entry in value if isinstance(entry, str)]
    return []


def _name(claims: Mapping[str, Any]) -> str:
    """A name without spaces or control characters: it stands in log lines."""
    subject = str(claims.get("sub", ""))
    label = next((value for key in LABELS if isinstance(value := claims.get(key), str) and value), subject)
    whole = f"token/{label}" if label == subject else f"token/{label}/{subject}"
    return "".join(c if c.isprintable() and c != " " else "_" for c in whole)[:NAME_LENGTH_MAX]


def fault_of_issuer_url(url: str) -> str | None:
    """What is wrong with the URL of an issuer or of its keys; None for one that keys may be fetched from."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("https", "http") or not host or port == 0:
        return "must look like https://login.example.com/tenant"
    if parts.scheme == "http" and host not in LOOPBACK:
        # Whoever can change an answer on its way could otherwise sign tokens.
        return "must begin with https://; plain http is for loopback only"
    if parts.username is not None or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        return "must be a plain URL, without a user name, a fragment or spaces"
    return None
