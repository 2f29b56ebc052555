"""A browser that has signed in: who it stands for, and until when. The token that it carries is kept as a digest only.

A session is never more than what it was made with: it names the key or the issuer that let it in, and ends with it.
"""

from collections.abc import Collection

from msgspec import Struct

from slackwater.core.accounts.resource import Principal, Role

COOKIE = "slackwater_session"


class Session(Struct, frozen=True, kw_only=True):
    """What is kept of a session. Moments are whole seconds since 1970."""

    digest: str
    """SHA-256 of the token in the browser's cookie."""
    resource: str
    role: Role
    name: str
    anywhere: bool = False
    """Whether it was made with a key of the service, which is good in every resource."""
    origin: str
    """`key:` and the digest of the key that was shown, or `issuer:` and the issuer whose token was."""
    created_at: int
    expires_at: int

    def lives(self, *, now: float, origins: Collection[str], resources: Collection[str]) -> bool:
        """Whether it still counts: in time, with a key or an issuer that still is one, in a resource that there still is."""
        return now < self.expires_at and self.origin in origins and self.resource in resources

    @property
    def principal(self) -> Principal:
        """Whom it makes its bearer."""
        return Principal(resource=self.resource, role=self.role, name=self.name, anywhere=self.anywhere)


def origin_of_key(digest: str) -> str:
    """The origin of sessions that a key has made."""
    return f"key:{digest}"


def origin_of_issuer(issuer: str) -> str:
    """The origin of sessions that a token of an issuer has made."""
    return f"issuer:{issuer}"


def of_another_site(*, fetch_site: str | None, origin: str | None, hosts: Collection[str]) -> bool:
    """Whether a browser says that a call comes from a page that is not ours.

    `fetch_site` and `origin` are the headers `Sec-Fetch-Site` and `Origin`; `hosts` are the names, with ports, that we were
    called by. Pages cannot forge either header.
    """
    if fetch_site is not None:
        return fetch_site.lower() != "same-origin"
    return origin is not None and not _is_one_of(origin, hosts)


def may_be_this_machine(hostname: str, *, named: Collection[str]) -> bool:
    """Whether a host name, in lower case and without a port, can only have led to this machine from this machine.

    Other names are anybody's: their owner can make them lead here, and a browser then takes us for the owner's server.
    """
    if hostname in named or hostname in ("localhost", "::1") or hostname.endswith(".localhost"):
        return True
    parts = hostname.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(part.isdecimal() for part in parts)


def surely_own_page(*, fetch_site: str | None, origin: str | None, hosts: Collection[str]) -> bool:
    """Whether a browser vouches that a call comes from a page of ours; one that says neither does not."""
    if fetch_site is None and origin is None:
        return False
    return not of_another_site(fetch_site=fetch_site, origin=origin, hosts=hosts)


def _is_one_of(origin: str, hosts: Collection[str]) -> bool:
    scheme, mark, host = origin.lower().partition("://")
    if not mark or scheme not in ("http", "https"):
        return False
    usual = {"http": ":80", "https": ":443"}[scheme]
    return host.removesuffix(usual) in {each.lower().removesuffix(usual) for each in hosts}
