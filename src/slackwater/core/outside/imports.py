"""Where files may be imported from: which hosts, over which scheme, at which addresses. Comes before every fetch.

A URL of a user's choice must not become a way into the house that this service stands in. The operator lists the hosts;
and because a name says nothing about where it leads, the addresses behind it are judged as well. Nothing here resolves or
connects: whoever does asks `judge_address` about each address right before it is used.
"""

import urllib.parse

from msgspec import Struct

from slackwater.core.errors import Forbidden, ImportRefused
from slackwater.core.outside.addresses import DEFAULT_PORTS, Target, host_of, kind_of_address, parse

OFF = (
    "Import from a URL is turned off here. Upload the file, or ask the operator to set enabled = true under [imports]."
)


class Origins(Struct, frozen=True, kw_only=True):
    """What the operator allows. A host is a name, `*.` and a domain, or an address; with a port where it is not the usual."""

    hosts: tuple[str, ...]
    allow_http: bool = False
    allow_private_addresses: bool = False

    def locate(self, url: str) -> Target:
        """The parts of a URL that may be fetched. Raises InvalidRequest for what is no URL, and ImportRefused."""
        target = parse(url, param="content_url")
        if target.scheme == "http" and not self.allow_http:
            raise ImportRefused(
                "Files are imported over https only. Use an https URL, or ask the operator to set allow_http = true "
                "under [imports].",
                param="content_url",
            )
        if not any(_matches(pattern, target) for pattern in self.hosts):
            raise ImportRefused(
                f"Files are not imported from '{target.authority[:100]}'. Use a host that the operator allows, or ask "
                "for it to be added to hosts under [imports].",
                param="content_url",
            )
        return target

    def judge_address(self, host: str, address: str) -> None:
        """Raises ImportRefused where a host's address is not one to fetch from."""
        kind = kind_of_address(address)
        if kind is None or (kind in ("loopback", "private") and self.allow_private_addresses):
            return
        advice = " The operator can allow private addresses under [imports]." if kind in ("loopback", "private") else ""
        raise ImportRefused(
            f"The host '{host[:100]}' leads to a {kind} address, and files are not imported from there.{advice}"
        )


def fault_of_host(pattern: str) -> str | None:
    """What is wrong with an entry of the allow-list; None where it can be used."""
    try:
        host, _ = _pattern(pattern)
    except ValueError:
        return (
            "must be a host such as 'store.example.com', '*.example.com' or 'store.example.com:8443', without a scheme"
        )
    if host.startswith("*.") and "." not in host[2:]:
        return "allows a whole top-level domain; name at least two parts, such as '*.example.com'"
    return None


def _matches(pattern: str, target: Target) -> bool:
    host, port = _pattern(pattern)
    if target.port != (port or DEFAULT_PORTS[target.scheme]):
        return False
    # The dot stays: `*.example.com` is neither `example.com` nor `badexample.com`.
    return target.host.endswith(host[1:]) if host.startswith("*.") else target.host == host


def _pattern(pattern: str) -> tuple[str, int | None]:
    """Host and port of an entry. Raises ValueError."""
    parts = urllib.parse.urlsplit(f"//{pattern}")
    if parts.netloc != pattern or parts.username is not None:
        raise ValueError("not a host")
    host = parts.hostname or ""
    star = "*." if host.startswith("*.") else ""
    if parts.port == 0 or (parts.port is None and pattern.endswith(":")):
        raise ValueError("not a port")
    return star + host_of(host.removeprefix("*.")), parts.port


def off() -> Forbidden:
    """The error for every import where the operator has not turned it on."""
    return Forbidden(OFF)
