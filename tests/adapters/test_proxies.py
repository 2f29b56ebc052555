"""Calls that leave the house through a proxy, with certificates of the house, and to hosts with addresses that are dead."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from slackwater.adapters.outside.dialing import Address, dial
from slackwater.adapters.outside.httpcore_fetcher import HttpcoreFetcher
from slackwater.adapters.outside.httpcore_sender import HttpcoreSender
from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.config import BackendConfig
from slackwater.core.errors import BackendError, BackendUnreachable, ConfigError, ImportRefused, SendFailed
from slackwater.core.outside.destinations import Destinations
from slackwater.core.outside.imports import Origins
from slackwater.core.outside.proxies import Proxy
from slackwater.wiring.backends import backend_of
from tests.adapters.forward_proxy import forward_proxy
from tests.cli.scripted import Call, Reply, scripted
from tests.operate.engines import certificate, engine


def asked(backend: HttpBackend) -> int:
    """The status of one GET."""

    async def story() -> int:
        try:
            return (await backend.get("/models")).status
        finally:
            await backend.close()

    return asyncio.run(story())


def test_https_goes_through_a_tunnel(tmp_path: Path) -> None:
    """The proxy sees a place and nothing else; the certificate is the server's."""
    path = certificate(tmp_path / "engine.pem", days=30)
    tls = ssl.create_default_context(cafile=path)
    with engine(tls=path) as url:
        port = int(url.rpartition(":")[2].partition("/")[0])
        with forward_proxy({"engine.test:8443": port}, wants="Basic bWU6cEBzcw==") as proxy:
            assert asked(HttpBackend("https://engine.test:8443/v1", tls=tls, proxy=proxy.proxy)) == 200
            assert proxy.asked == ["CONNECT engine.test:8443"]
            stranger = Proxy(proxy.proxy.host, proxy.proxy.port)
            with pytest.raises(BackendUnreachable, match="status 407: it wants a user and password"):
                asked(HttpBackend("https://engine.test:8443/v1", tls=tls, proxy=stranger))
            with pytest.raises(BackendUnreachable, match=r"the proxy .* answers with status 403"):
                asked(HttpBackend("https://other.test/v1", tls=tls, proxy=proxy.proxy))


def test_http_is_asked_of_the_proxy() -> None:
    """With the whole URL, and what lets us into the proxy goes no further than to it in our head."""
    with scripted(lambda call: Reply.of({"data": []})) as server:
        port = int(server.url.rpartition(":")[2])
        with forward_proxy({"engine.test:8000": port}, wants="Basic bWU6cEBzcw==") as proxy:
            assert asked(HttpBackend("http://engine.test:8000/v1?x=1", proxy=proxy.proxy)) == 200
            assert proxy.asked == ["GET http://engine.test:8000/v1/models?x=1"]
            assert server.calls[0].headers["host"] == "engine.test:8000"


def test_the_environment_says_who_goes_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """For configured backends; what is on this machine is asked directly."""
    with scripted(lambda call: Reply.of({"data": []})) as server:
        port = int(server.url.rpartition(":")[2])
        with forward_proxy({"engine.test": port}) as proxy:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.proxy.port}")
            for url, through in (("http://engine.test/v1", 1), (f"{server.url}/v1", 1)):
                backend = backend_of(BackendConfig(url=url), key=None, clock=None)  # type: ignore[arg-type]
                assert asked(backend) == 200  # type: ignore[arg-type]
                assert len(proxy.asked) == through
            monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1")
            with pytest.raises(ConfigError, match="HTTP_PROXY must look like"):
                backend_of(BackendConfig(url="http://engine.test/v1"), key=None, clock=None)  # type: ignore[arg-type]


async def private(host: str, port: int) -> list[str]:
    """Every host is in the house."""
    return ["10.0.0.1"]


async def public(host: str, port: int) -> list[str]:
    """Every host is outside."""
    return ["8.8.8.8"]


def test_addresses_are_judged_before_the_proxy_is_asked_for_them() -> None:
    """The proxy gets the address that was judged: a name could lead it somewhere else."""

    def took(call: Call) -> Reply:
        return Reply.of({})

    with scripted(took) as server:
        port = int(server.url.rpartition(":")[2])
        with forward_proxy({"8.8.8.8:8000": port}) as proxy:

            def through(scheme: str, host: str, number: int) -> Proxy:
                return proxy.proxy

            async def posted(resolve: Any, url: str) -> int:
                sender = HttpcoreSender(
                    Destinations(allow_http=True, allow_private_addresses=False),
                    total_seconds=10,
                    resolve=resolve,
                    proxy_for=through,
                )
                return await sender.post(url, headers={}, body=b"{}")

            assert asyncio.run(posted(public, "http://hooks.test:8000/x")) == 200
            assert proxy.asked == ["CONNECT 8.8.8.8:8000"]
            with pytest.raises(SendFailed, match="the proxy of this service does not let it through"):
                asyncio.run(posted(public, "http://hooks.test:8001/x"))
            with pytest.raises(Exception, match=r"hooks\.test") as refused:
                asyncio.run(posted(private, "http://hooks.test:8000/x"))
            assert not isinstance(refused.value, AssertionError)
            assert len(proxy.asked) == 2, "what is not allowed is not asked for"

            async def fetched(resolve: Any) -> bytes:
                fetcher = HttpcoreFetcher(
                    Origins(hosts=("store.test:8000",), allow_http=True),
                    bytes_max=0,
                    connect_seconds=5,
                    total_seconds=5,
                    resolve=resolve,
                    proxy_for=through,
                )
                pieces: list[bytes] = []

                async def write(piece: bytes) -> None:
                    pieces.append(piece)

                await fetcher.fetch("http://store.test:8000/in.jsonl", write)
                return b"".join(pieces)

            assert asyncio.run(fetched(public)) == b"{}"
            with pytest.raises(ImportRefused):
                asyncio.run(fetched(private))


def test_certificates_of_the_house(tmp_path: Path) -> None:
    """A file of them is trusted besides the system's; without it the server is not."""
    path = certificate(tmp_path / "engine.pem", days=30)
    with engine(tls=path) as url:
        trusting = backend_of(BackendConfig(url=url, ca_file=str(path)), key=None, clock=None)  # type: ignore[arg-type]
        assert asked(trusting) == 200  # type: ignore[arg-type]
        with pytest.raises(BackendError, match="the certificate is not accepted"):
            asked(backend_of(BackendConfig(url=url), key=None, clock=None))  # type: ignore[arg-type]
    (tmp_path / "none.pem").write_text("nothing")
    for name, why in (("none.pem", "no certificate"), ("away.pem", "No such file")):
        config = BackendConfig(url=url, ca_file=str(tmp_path / name))
        with pytest.raises(ConfigError, match=why):
            backend_of(config, key=None, clock=None)  # type: ignore[arg-type]


@contextlib.contextmanager
def silent() -> Any:
    """An address that takes no connection and does not refuse one: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        held = []
        for _ in range(4):
            held.append(socket.socket())
            held[-1].setblocking(False)
            held[-1].connect_ex(listener.getsockname())
        yield listener.getsockname()
        for each in held:
            each.close()


def addresses(*found: Address) -> Callable[[str, int], Awaitable[list[Address]]]:
    """A host with these."""

    async def resolve(host: str, port: int) -> list[Address]:
        return list(found)

    return resolve


@pytest.mark.parametrize("dead", ["silent", "refusing"])
def test_a_dead_address_does_not_keep_the_next_from_being_tried(dead: str) -> None:
    """RFC 8305: all addresses of a name, the next one after a moment, and at once where one refuses."""

    async def story(first: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            found = addresses((socket.AF_INET, first), (socket.AF_INET, listener.getsockname()))
            async with asyncio.timeout(5):
                opened = await dial("engine.test", 80, addresses=found)
            with opened:
                assert opened.getpeername() == listener.getsockname()

    with silent() as address:
        asyncio.run(story(address if dead == "silent" else ("127.0.0.1", 1)))


def test_where_nobody_listens_the_first_reason_is_told() -> None:
    """And nothing stays open."""

    async def story() -> None:
        with pytest.raises(ConnectionRefusedError):
            await dial("x", 1, addresses=addresses(*[(socket.AF_INET, ("127.0.0.1", 1))] * 3))
        with pytest.raises(OSError, match="no address"):
            await dial("x", 1, addresses=addresses())

    asyncio.run(story())
