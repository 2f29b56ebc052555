"""One call, with what a doctor wants to know of it beside the answer: the other clock, and the certificate's last day."""

import email.utils
import http.client
import ssl
import time
import urllib.parse
from collections.abc import Mapping

from msgspec import Struct

from slackwater.wiring.backends import DIRECTLY, Way

SECONDS = 10.0
BODY_BYTES_MAX = 4 << 20


class Answer(Struct, frozen=True, kw_only=True):
    """What came back. `ahead`: seconds that the other clock is ahead of ours, to about one second."""

    status: int
    body: bytes
    ahead: float | None
    certificate_ends_at: float | None


def _connection(parts: urllib.parse.SplitResult, way: Way) -> http.client.HTTPConnection:
    """To the server, or to the proxy before it."""
    host, port, proxy = parts.hostname or "", parts.port, way.proxy
    place = (host, port) if proxy is None else (proxy.host, proxy.port)
    if parts.scheme == "http":
        return http.client.HTTPConnection(*place, timeout=SECONDS)
    connection = http.client.HTTPSConnection(*place, timeout=SECONDS, context=way.tls or ssl.create_default_context())
    if proxy is not None:
        said = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
        connection.set_tunnel(host, port or 443, said)
    return connection


def probe(url: str, headers: Mapping[str, str], way: Way = DIRECTLY, *, body: bytes | None = None) -> Answer:
    """One GET, or a POST of a JSON `body`, without redirects. Blocks.

    Raises OSError (TLS errors are some) and http.client.HTTPException.
    """
    parts = urllib.parse.urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if way.proxy is not None and parts.scheme == "http":
        target = f"http://{parts.netloc}{target}"
        if way.proxy.authorization:
            headers = {**headers, "Proxy-Authorization": way.proxy.authorization}
    connection = _connection(parts, way)
    try:
        connection.connect()
        ends_at = None
        if isinstance(connection.sock, ssl.SSLSocket):
            certificate = connection.sock.getpeercert() or {}
            ends = certificate.get("notAfter")
            ends_at = float(ssl.cert_time_to_seconds(ends)) if isinstance(ends, str) else None
        if body is None:
            connection.request("GET", target, headers=dict(headers))
        else:
            connection.request("POST", target, body, {**headers, "Content-Type": "application/json"})
        answer = connection.getresponse()
        date = email.utils.parsedate_to_datetime(answer.headers["Date"]) if answer.headers["Date"] else None
        # A date has whole seconds: half of one is the best guess at the rest.
        ahead = None if date is None else date.timestamp() + 0.5 - time.time()
        return Answer(status=answer.status, body=answer.read(BODY_BYTES_MAX), ahead=ahead, certificate_ends_at=ends_at)
    finally:
        connection.close()
