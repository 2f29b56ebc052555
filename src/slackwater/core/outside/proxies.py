"""Which proxy a call goes through, as the environment says: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as curl and Go read them.

Small letters count before capitals. What is on this machine is never asked through a proxy, which would look for it on its own.
"""

import base64
import ipaddress
import urllib.parse
from collections.abc import Mapping

from msgspec import Struct

VARIABLES = {"https": ("https_proxy", "HTTPS_PROXY"), "http": ("http_proxy", "HTTP_PROXY")}
NO_PROXY = ("no_proxy", "NO_PROXY")
PORT = 8080


class Proxy(Struct, frozen=True):
    """An HTTP proxy. `authorization` is the value of its header, where its URL has a user."""

    host: str
    port: int
    authorization: str = ""

    def __repr__(self) -> str:
        # What it is given to let us in is nobody's to read.
        return f"<proxy {self.host}:{self.port}>"


class ProxyRefused(OSError):
    """The proxy does not open a tunnel. Its text is for people."""


# What a proxy may say before the tunnel begins.
HEAD_BYTES_MAX = 8 << 10


def tunnel_request(host: str, port: int, proxy: Proxy) -> bytes:
    """What asks a proxy for a connection to a host (RFC 9110, 9.3.6)."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    lines += [f"Proxy-Authorization: {proxy.authorization}"] if proxy.authorization else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def tunnel_open(head: bytes, proxy: Proxy) -> bool:
    """Whether a proxy has opened the tunnel; False while its answer is not whole. Raises ProxyRefused."""
    where = f"the proxy {proxy.host}:{proxy.port}"
    if b"\r\n\r\n" not in head:
        if len(head) > HEAD_BYTES_MAX:
            raise ProxyRefused(f"{where} does not speak HTTP")
        return False
    version, _, rest = head.partition(b" ")
    status = rest[:3].decode("latin-1")
    if not version.startswith(b"HTTP/1.") or not (status.isascii() and status.isdigit()):
        raise ProxyRefused(f"{where} does not speak HTTP")
    if not status.startswith("2"):
        why = ": it wants a user and password in the URL of the proxy" if status == "407" else ""
        raise ProxyRefused(f"{where} answers with status {status}{why}")
    return True


def _said(environ: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """The first of these that is set, with its value."""
    for name in names:
        if value := environ.get(name, "").strip():
            return name, value
    return names[-1], ""


def proxy_for(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy of a call, or None where it goes directly. Raises ValueError for a proxy that cannot be used."""
    name, url = _said(environ, VARIABLES[scheme])
    if not url or goes_directly(host, port, _said(environ, NO_PROXY)[1]):
        return None
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    try:
        place, number = parts.hostname, parts.port
    except ValueError:
        place, number = None, None
    if parts.scheme != "http" or not place:
        # The URL is not repeated: it may hold a password.
        raise ValueError(f"{name} must look like http://host:port; proxies over https or SOCKS are not spoken to")
    authorization = ""
    if parts.username is not None:
        given = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(given.encode()).decode()
    return Proxy(place, number or PORT, authorization)


def goes_directly(host: str, port: int, no_proxy: str) -> bool:
    """Whether a host is asked without a proxy: it is this machine, or one of a list of names, addresses and networks."""
    host = host.rstrip(".").lower()
    address = _address(host)
    if host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback):
        return True
    return any(_matches(entry.strip().lower(), host, address, port) for entry in no_proxy.split(",") if entry.strip())


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _matches(entry: str, host: str, address: _Address | None, port: int) -> bool:
    if entry == "*":
        return True
    if address is not None:
        if entry.endswith(f"]:{port}") or (entry.count(":") == 1 and entry.endswith(f":{port}")):
            entry = entry.rpartition(":")[0]
        try:
            return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            return False
    name, colon, number = entry.partition(":")
    if colon and number != str(port):
        return False
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith("." + name))
