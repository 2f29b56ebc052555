"""Fetches files over HTTP with httpcore, from addresses that judged_network.py has judged.

Neither redirects, proxies of the environment nor compressed answers are followed.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import httpcore2

from slackwater.adapters.outside.judged_network import (
    JudgedNetwork,
    ProxyFor,
    Resolve,
    no_connection,
    proxy_here,
    resolve,
)
from slackwater.core.errors import FetchFailed
from slackwater.core.outside.addresses import Target
from slackwater.core.outside.imports import Origins

# A host that sends nothing for so long is given up, although the whole download may take longer.
SILENCE_SECONDS = 60.0
# Answers that may be different the next time. What else is not 200 is final.
PASSING = frozenset({408, 425, 429})
ADVICE = {
    401: "check that the URL carries what the host asks for",
    403: "check that the URL allows reading and has not expired",
    404: "check the URL",
    410: "check the URL",
}


class HttpcoreFetcher:
    """Fetches one URL per connection; nothing is kept between two fetches."""

    def __init__(
        self,
        origins: Origins,
        *,
        bytes_max: int,
        connect_seconds: float,
        total_seconds: float,
        silence_seconds: float = SILENCE_SECONDS,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
        proxy_for: ProxyFor = proxy_here,
    ) -> None:
        """`bytes_max` of 0 is no limit. `resolve(host, port)` returns addresses; `tls` is by default the system's
        trust, and `proxy_for` what the environment says.
        """
        self._origins = origins
        self._bytes_max = bytes_max
        self._total_seconds = total_seconds
        self._timeouts = {
            "connect": connect_seconds,
            "read": silence_seconds,
            "write": silence_seconds,
            "pool": connect_seconds,
        }
        self._proxy_for = proxy_for
        self._network = JudgedNetwork(origins.judge_address, resolve)
        self._tls = tls or ssl.create_default_context()

    def check(self, url: str) -> str:
        """The host of a URL that may be fetched from. Raises InvalidRequest and ImportRefused."""
        return self._origins.locate(url).host

    async def fetch(self, url: str, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Hands all bytes to `write`. Raises InvalidRequest, ImportRefused and FetchFailed."""
        target = self._origins.locate(url)
        try:
            async with asyncio.timeout(self._total_seconds) as whole:
                await self._fetch(target, write)
        except TimeoutError as error:
            if not whole.expired():
                raise
            raise FetchFailed(
                f"The file did not come whole from '{target.host}' within {self._total_seconds:g} seconds.", again=False
            ) from error
        except httpcore2.ConnectTimeout as error:
            seconds = self._timeouts["connect"]
            raise FetchFailed(
                f"'{target.host}' could not be reached within {seconds:g} seconds.", again=True
            ) from error
        except httpcore2.TimeoutException as error:
            seconds = self._timeouts["read"]
            raise FetchFailed(f"'{target.host}' was silent for {seconds:g} seconds.", again=True) from error
        except httpcore2.ConnectError as error:
            raise FetchFailed(no_connection(target.host, error), again=True) from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise FetchFailed(
                f"The connection to '{target.host}' broke before the file was whole.", again=True
            ) from error

    async def _fetch(self, target: Target, write: Callable[[bytes], Awaitable[None]]) -> None:
        url = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        headers = [
            ("Host", target.authority),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
            ("User-Agent", "slackwater"),
        ]
        extensions = {"timeout": self._timeouts}
        try:
            proxy = self._proxy_for(target.scheme, target.host, target.port)
        except ValueError as error:
            message = f"No connection to '{target.host}': the proxy of this service cannot be used."
            raise FetchFailed(message, again=True) from error
        async with httpcore2.AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=1,
            max_keepalive_connections=0,
            network_backend=self._network.through(proxy),
        ) as pool:
            async with pool.stream("GET", url, headers=headers, extensions=extensions) as response:
                self._check_head(target.host, response)
                size = 0
                async with aclosing(response.aiter_stream()) as pieces:
                    async for piece in pieces:
                        size += len(piece)
                        self._check_size(target.host, size)
                        await write(piece)

    def _check_head(self, host: str, response: httpcore2.Response) -> None:
        """Raises FetchFailed where the body is not going to be the file, or its end could not be told from a break."""
        status = response.status
        if 300 <= status < 400:
            raise FetchFailed(
                f"'{host}' redirects to another URL (status {status}). Import from that one.", again=False
            )
        if status != 200:
            advice = ADVICE.get(status)
            message = f"'{host}' answered with status {status} instead of the file{f': {advice}' if advice else ''}."
            raise FetchFailed(message, again=status >= 500 or status in PASSING)
        headers = {name.lower(): value.strip().lower() for name, value in response.headers}
        coding = headers.get(b"content-encoding", b"identity")
        if coding not in (b"", b"identity"):
            shown = coding.decode("latin-1")[:20]
            raise FetchFailed(f"'{host}' sends the file compressed ({shown}). Store it uncompressed.", again=False)
        length = headers.get(b"content-length")
        if length is not None:
            self._check_size(host, int(length))
        elif b"chunked" not in headers.get(b"transfer-encoding", b""):
            raise FetchFailed(
                f"'{host}' does not say how long the file is, so half of it would look whole.", again=False
            )

    def _check_size(self, host: str, size: int) -> None:
        if self._bytes_max and size > self._bytes_max:
            raise FetchFailed(
                f"The file at '{host}' is larger than the {self._bytes_max:,} bytes that this service imports. Split it "
                "into several files.",
                again=False,
            )
