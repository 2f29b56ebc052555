"""Opens connections for httpcore, to addresses that are allowed and to nothing else.

An address is judged between its resolution and the connection to it. That place matters: a name that is checked first and
resolved again for the connection can lead somewhere else the second time. So this resolves once, judges all of the answer,
and connects to the addresses themselves; TLS and the `Host` header still have the name.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpcore2

from slackwater.adapters.outside.dialing import tunnel_answer
from slackwater.core.outside.proxies import HEAD_BYTES_MAX, Proxy, ProxyRefused, proxy_for, tunnel_request

Resolve = Callable[[str, int], Awaitable[list[str]]]

ProxyFor = Callable[[str, str, int], Proxy | None]
"""The proxy for a scheme, a host and a port; None where there is none. Raises ValueError for one that cannot be used."""


def proxy_here(scheme: str, host: str, port: int) -> Proxy | None:
    """What the environment of the process says."""
    return proxy_for(scheme, host, port, os.environ)


# Addresses of one host that are tried; every one is judged.
ADDRESSES_MAX = 4


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host, as the system knows them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class JudgedNetwork(httpcore2.AsyncNetworkBackend):
    """Opens connections to addresses that are allowed, and to nothing else."""

    def __init__(self, judge: Callable[[str, str], None], resolve: Resolve) -> None:
        """`judge(host, address)` raises where an address of a host is not allowed; `resolve(host, port)` returns addresses."""
        self._judge = judge
        self._resolve = resolve
        self._network = httpcore2.AnyIOBackend()
        self._proxy: Proxy | None = None

    def through(self, proxy: Proxy | None) -> "JudgedNetwork":
        """The same, with tunnels of a proxy: it is asked for the addresses that were judged, and not for names."""
        network = JudgedNetwork(self._judge, self._resolve)
        network._proxy = proxy
        return network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolves, judges every address, and connects to the first that takes the connection."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout("name resolution") from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError("name resolution") from error
        # One address that is not allowed spoils the host: which one a connection takes must not be luck.
        for address in addresses:
            self._judge(host, address)
        tried = addresses[:ADDRESSES_MAX]
        # Together they have the time of one, so that a silent address does not keep the next from being tried.
        share = None if timeout is None else timeout / max(1, len(tried))
        failure: Exception = httpcore2.ConnectError("no address")
        for address in tried:
            try:
                return await self._connect(address, port, share, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _connect(
        self,
        address: str,
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: Iterable[Any] | None,
    ) -> httpcore2.AsyncNetworkStream:
        proxy = self._proxy
        if proxy is None:
            return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
        stream = await self._network.connect_tcp(proxy.host, proxy.port, timeout, local_address, socket_options)
        try:
            await stream.write(tunnel_request(address, port, proxy), timeout)
            await tunnel_answer(lambda: stream.read(HEAD_BYTES_MAX, timeout), proxy)
        except ProxyRefused as error:
            await stream.aclose()
            raise httpcore2.ConnectError(str(error)) from error
        except BaseException:
            await stream.aclose()
            raise
        return stream


def no_connection(host: str, error: Exception) -> str:
    """What to tell of a connection that was not made. Never the address: it may be one of the house."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ProxyRefused):
            return f"No connection to '{host}': the proxy of this service does not let it through."
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate of '{host}' is not trusted: {cause.verify_message}."
        if isinstance(cause, ssl.SSLError):
            return f"No TLS connection to '{host}' could be made."
        if isinstance(cause, socket.gaierror):
            return f"The host '{host}' is not known."
        cause = cause.__cause__ or cause.__context__
    return f"No connection to '{host}' could be made."
