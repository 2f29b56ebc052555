"""Where engines may be that people add while the service runs. Comes before every look at one, and every connection to it.

An engine is mostly on this machine or in the house, so those addresses are what people have. What no engine has is an address of
the link alone, where clouds answer with the credentials of a machine.
"""

import urllib.parse

from msgspec import Struct

from slackwater.core.errors import ImportRefused, InvalidRequest
from slackwater.core.outside.addresses import Target, kind_of_address, parse
from slackwater.core.outside.imports import Origins

# Parameters of a URL that are no secrets.
PUBLIC = frozenset({"api-version"})
KEY_LENGTH_MAX = 16_384
OF_ENGINES = (None, "loopback", "private")


class AddressRefused(OSError):
    """A host leads to an address that no request is sent to. Its text is for people."""


def refuse_no_engine(host: str, address: str) -> None:
    """Raises AddressRefused where an address is none that an engine has."""
    kind = kind_of_address(address)
    if kind not in OF_ENGINES:
        raise AddressRefused(
            f"the host '{host[:100]}' leads to a {kind} address, and nothing is sent there; the operator can list it under "
            "[control_plane] backend_hosts"
        )


class Reach(Struct, frozen=True, kw_only=True):
    """What the operator allows."""

    hosts: tuple[str, ...] = ()
    """Listed hosts: everybody who may add engines may add those, wherever they lead."""
    anywhere: bool = True
    """Whether whoever runs the service may add others, too."""
    key_envs: tuple[str, ...] = ()
    """Environment variables with keys that may be named."""

    def locate(self, url: str, *, operates: bool) -> tuple[Target, bool]:
        """The parts of a URL, and whether its host is listed. Raises InvalidRequest."""
        target = parse(url, param="url")
        if self.lists(url):
            return target, True
        if not (operates and self.anywhere):
            raise InvalidRequest(
                f"Invalid value for 'url': the host '{target.authority[:100]}' is not allowed. Name one that is, or ask the "
                "operator to add it to backend_hosts under [control_plane].",
                param="url",
            )
        try:
            if kind_of_address(target.host) != "malformed":
                refuse_no_engine(target.host, target.host)
        except AddressRefused as error:
            raise InvalidRequest(f"Invalid value for 'url': {error}.", param="url") from error
        return target, False

    def lists(self, url: str) -> bool:
        """Whether a host is listed. Raises InvalidRequest for what is no URL."""
        try:
            Origins(hosts=self.hosts, allow_http=True).locate(url)
        except ImportRefused:
            return False
        return True


def same_place(one: Target, other: Target) -> bool:
    """Whether two URLs lead to one server: scheme, host and port. A key for one is not for any other."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def check_key(key: str) -> None:
    """Raises InvalidRequest for what no header can have as a key."""
    if len(key) > KEY_LENGTH_MAX or not (key.isascii() and key.isprintable() and " " not in key):
        # What is wrong is not repeated: it may be most of a key.
        raise InvalidRequest(
            "Invalid value for 'api_key': a key is one line of ASCII characters without blanks.", param="api_key"
        )


def check_query(url: str) -> None:
    """A query is kept as it is and may be a key: then it belongs where keys are sealed."""
    query = url.partition("#")[0].partition("?")[2]
    if "#" in url or any(
        name.lower() not in PUBLIC for name, _ in urllib.parse.parse_qsl(query, keep_blank_values=True)
    ):
        raise InvalidRequest(
            "Invalid value for 'url': its query may only have api-version. A key is given as 'api_key'.", param="url"
        )
