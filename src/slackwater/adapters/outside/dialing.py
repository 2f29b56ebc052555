"""Opens a TCP connection to a host: to the first of its addresses that answers, or through a proxy.

RFC 8305: addresses of both families take turns, and the next one is tried when the one before has not answered for a moment, so
that a dead address, or a family without a route, costs a quarter of a second and not the time for a connection.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, zip_longest
from typing import Any

from slackwater.core.outside.proxies import HEAD_BYTES_MAX, Proxy, ProxyRefused, tunnel_open, tunnel_request

# RFC 8305, section 5.
NEXT_SECONDS = 0.25
# Addresses of one host that are tried.
ADDRESSES_MAX = 8

Address = tuple[int, Any]
"""A family of the system's, and an address of that family."""


async def addresses_of(host: str, port: int) -> list[Address]:
    """All addresses of a host, families by turns, that of the system's choice first."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    unique = dict.fromkeys((int(family), address) for family, _, _, _, address in found)
    first = next(iter(unique), (0, None))[0]
    ours = [each for each in unique if each[0] == first]
    others = [each for each in unique if each[0] != first]
    return [each for each in chain.from_iterable(zip_longest(ours, others)) if each is not None]


Judge = Callable[[str, str], None]
"""Takes a host and one of its addresses, and raises OSError where that is none to connect to."""


def judged_by(judge: Judge) -> Callable[[str, int], Awaitable[list[Address]]]:
    """All addresses of a host, once each of them was judged: one that is not allowed spoils the host."""

    async def addresses(host: str, port: int) -> list[Address]:
        found = await addresses_of(host, port)
        for _, address in found:
            judge(host, str(address[0]))
        return found

    return addresses


async def dial(
    host: str,
    port: int,
    *,
    proxy: Proxy | None = None,
    addresses: Callable[[str, int], Awaitable[Sequence[Address]]] = addresses_of,
) -> socket.socket:
    """A connected socket, which does not block. Raises OSError; cancelling closes what was opened."""
    if proxy is None:
        return await _first(await addresses(host, port))
    opened = await _first(await addresses(proxy.host, proxy.port))
    try:
        await _tunnel(opened, host, port, proxy)
    except BaseException:
        opened.close()
        raise
    return opened


async def _connected(address: Address) -> socket.socket:
    opened = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(opened, address[1])
    except BaseException:
        opened.close()
        raise
    return opened


async def _first(addresses: Sequence[Address]) -> socket.socket:
    """The first that is connected; the others are let go."""
    if not addresses:
        raise OSError("the name has no address")
    if len(addresses) == 1:
        return await _connected(addresses[0])
    trying: dict[asyncio.Task[socket.socket], None] = {}
    failures: list[BaseException] = []
    waiting = list(addresses[:ADDRESSES_MAX])
    try:
        while waiting or trying:
            if waiting:
                trying[asyncio.ensure_future(_connected(waiting.pop(0)))] = None
            done, _ = await asyncio.wait(
                trying, timeout=NEXT_SECONDS if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                del trying[task]
                error = task.exception()
                if error is None:
                    # Another may have come in the same moment.
                    for other in done - {task}:
                        if other in trying and other.exception() is None:
                            other.result().close()
                            del trying[other]
                    return task.result()
                failures.append(error)
        raise failures[0]
    finally:
        for task in trying:
            task.cancel()
        for result in await asyncio.gather(*trying, return_exceptions=True):
            if isinstance(result, socket.socket):
                result.close()


async def _tunnel(opened: socket.socket, host: str, port: int, proxy: Proxy) -> None:
    """Asks a proxy for a connection to a host. Raises ProxyRefused."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(opened, tunnel_request(host, port, proxy))
    await tunnel_answer(lambda: loop.sock_recv(opened, HEAD_BYTES_MAX), proxy)


async def tunnel_answer(read: Callable[[], Awaitable[bytes]], proxy: Proxy) -> None:
    """Reads what a proxy says to that. Raises ProxyRefused where it opens no tunnel."""
    head = b""
    while not tunnel_open(head, proxy):
        piece = await read()
        if not piece:
            raise ProxyRefused(f"the proxy {proxy.host}:{proxy.port} ended the connection")
        head += piece
