"""The Backend that speaks HTTP to any OpenAI-compatible endpoint.

The client is made for one thing: many small JSON calls to few servers, at the lowest cost per call. Why it is not a
library: docs/decisions/http-client.md.
"""

import email.utils
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from types import MappingProxyType

from slackwater import __version__
from slackwater.adapters.http_connection import Answer
from slackwater.adapters.http_pool import Pool, Timeouts
from slackwater.core.request import Reply

RETRY_AFTER_MAX = 3600.0
REPLY_BYTES_MAX = 64 << 20
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class HttpBackend:
    """One server, named by the URL up to where `/chat/completions` follows; a query in it is kept behind every path."""

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        timeouts: Timeouts | None = None,
        reply_bytes_max: int = REPLY_BYTES_MAX,
        connections_max: int = 1024,
        keep_alive_seconds: float = 30.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`headers` go with every call. `tls` replaces the default context, which verifies certificates. Raises ValueError."""
        parts = urllib.parse.urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the URL must look like http://host:port/v1")
        if not base_url.isascii() or any(character.isspace() for character in base_url):
            raise ValueError("the URL must be ASCII without spaces")
        for name, value in headers.items():
            if any(character in name + value for character in "\r\n\0"):
                raise ValueError(f"header {name!r} has a line break in it")
        secure = parts.scheme == "https"
        self._path = parts.path.rstrip("/")
        self._query = f"?{parts.query}" if parts.query else ""
        common = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": f"slackwater/{__version__}"}
        common |= {"Accept": "application/json", "Accept-Encoding": "identity"} | dict(headers)
        self._common = "".join(f"{name}: {value}\r\n" for name, value in common.items())
        self._heads: dict[str, bytes] = {}
        self._pool = Pool(
            parts.hostname,
            parts.port or (443 if secure else 80),
            tls=(tls or ssl.create_default_context()) if secure else None,
            timeouts=timeouts or Timeouts(),
            reply_bytes_max=reply_bytes_max,
            connections_max=connections_max,
            keep_alive_seconds=keep_alive_seconds,
        )

    async def send(self, path: str, body: bytes) -> Reply:
        """One POST of JSON. Raises BackendError where there is no whole answer."""
        head = self._heads.get(path)
        if head is None:
            head = self._heads[path] = (
                f"POST {self._path}{path}{self._query} HTTP/1.1\r\n{self._common}"
                "Content-Type: application/json\r\nContent-Length: "
            ).encode("latin-1")
        return _reply(await self._pool.call(head + b"%d\r\n\r\n" % len(body), body))

    async def get(self, path: str) -> Reply:
        """One GET, for asking a server what it has."""
        head = f"GET {self._path}{path}{self._query} HTTP/1.1\r\n{self._common}\r\n".encode("latin-1")
        return _reply(await self._pool.call(head, b""))

    async def close(self) -> None:
        """Closes idle connections."""
        await self._pool.close()


def _reply(answer: Answer) -> Reply:
    if answer.retry_after is None and answer.retry_after_ms is None:
        return Reply(answer.status, answer.body)
    return Reply(answer.status, answer.body, _seconds(answer))


def _seconds(answer: Answer) -> float | None:
    """When to come again, in seconds. Milliseconds win, as in the OpenAI clients; what cannot be read counts as nothing."""
    if answer.retry_after_ms is not None:
        try:
            return _bounded(float(answer.retry_after_ms) / 1000)
        except ValueError:
            pass
    if answer.retry_after is None:
        return None
    try:
        return _bounded(float(answer.retry_after))
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(answer.retry_after.decode("latin-1"))
        return _bounded(max(0.0, moment.timestamp() - time.time()))
    except (ValueError, TypeError, OverflowError):
        return None


def _bounded(seconds: float) -> float | None:
    # The comparison is false for NaN as well.
    return min(seconds, RETRY_AFTER_MAX) if seconds >= 0 else None
