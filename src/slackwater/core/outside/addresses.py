"""URLs in their parts, and what kind of machine an address belongs to. Comes before every call to a URL of a user's choice.

A name says nothing about where it leads, so the addresses behind it are judged. Nothing here resolves or connects: whoever
does asks `kind_of_address` about each address right before it is used. Who is allowed is decided in imports.py and
destinations.py.
"""

import ipaddress
import re
import urllib.parse
from collections.abc import Iterator

from msgspec import Struct

from slackwater.core.errors import InvalidRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_PORTS = {"https": 443, "http": 80}
URL_LENGTH_MAX = 8_192
NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")

# Where clouds tell a machine its own secrets, in addition to the link-local 169.254.169.254: Azure, Alibaba, Oracle, AWS
# and Google over IPv6. The first looks public, and no store of a house has any of them.
METADATA = frozenset(
    map(ipaddress.ip_address, ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
# Special networks that not every version of Python knows to be so.
SPECIAL = tuple(map(ipaddress.ip_network, ("0.0.0.0/8", "192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
UNICAST = ipaddress.ip_network("2000::/3")
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Target(Struct, frozen=True, kw_only=True):
    """A URL in its parts, each checked. `path` carries the query, and with it perhaps a secret: it is never logged."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as a `Host` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str, *, param: str) -> Target:
    """The parts of a URL that came in the parameter `param`. Raises InvalidRequest.

    Strict on purpose: what two readers of a URL could read differently is refused, not repaired.
    """

    def refuse(why: str) -> InvalidRequest:
        return InvalidRequest(f"Invalid value for '{param}': {why}.", param=param)

    if len(url) > URL_LENGTH_MAX:
        raise refuse(f"it is longer than {URL_LENGTH_MAX:,} characters")
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise refuse("write spaces, backslashes and all but plain ASCII characters with percent signs")
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise refuse("it is not a URL") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise refuse("it must begin with https://")
    if "@" in parts.netloc:
        raise refuse("it must not carry a user name or a password")
    try:
        host = host_of(parts.hostname or "")
    except ValueError as error:
        raise refuse("it names no valid host") from error
    if port == 0:
        raise refuse("its port is not between 1 and 65535")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(scheme=parts.scheme, host=host, port=port or DEFAULT_PORTS[parts.scheme], path=path)


def host_of(host: str) -> str:
    """A host in the one form in which hosts are compared. Raises ValueError."""
    if ":" in host and "%" not in host:
        return str(ipaddress.IPv6Address(host))
    host = host.lower().removesuffix(".")
    if len(host) > 253 or not NAME.fullmatch(host):
        raise ValueError("not a host")
    return host


def kind_of_address(address: str) -> str | None:
    """What is wrong with an address; None for one that belongs to a single machine of the public internet."""
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return "malformed"
    return next((kind for each in _faces(read) if (kind := _kind(each)) is not None), None)


def _faces(address: Address) -> Iterator[Address]:
    """The address, or the IPv4 addresses inside it where it only wraps some: packets go to those."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address in NAT64:
        yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    else:
        yield address


def _kind(address: Address) -> str | None:
    if address in METADATA or address.is_link_local:
        return "link-local or metadata"
    if address.is_loopback:
        return "loopback"
    if address.is_multicast:
        return "multicast"
    if address.is_unspecified or address.is_reserved or any(address in network for network in SPECIAL):
        return "reserved"
    # Whatever is not global is somebody's own: 10/8, 172.16/12, 192.168/16, fc00::/7, and 100.64/10 of providers.
    return None if address.is_global and (address.version == 4 or address in UNICAST) else "private"
