"""Posts webhooks with httpcore, to addresses that judged_network.py has judged.

Nothing but the status of the answer counts. Redirects are not followed: where a delivery goes is what its owner wrote
down. Proxies of the environment are not used, because behind one no address could be judged.
"""

import asyncio
import ssl
from collections.abc import Mapping

import httpcore2

from slackwater.adapters.outside.judged_network import (
    JudgedNetwork,
    ProxyFor,
    Resolve,
    no_connection,
    proxy_here,
    resolve,
)
from slackwater.core.errors import SendFailed
from slackwater.core.outside.addresses import Target
from slackwater.core.outside.destinations import Destinations
from slackwater.core.outside.proxies import Proxy


class HttpcoreSender:
    """Posts once per connection; nothing is kept between two deliveries."""

    def __init__(
        self,
        destinations: Destinations,
        *,
        total_seconds: float,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
        proxy_for: ProxyFor = proxy_here,
    ) -> None:
        """`total_seconds`: from the resolution of the name to the status. `tls` is by default the system's
        trust, and `proxy_for` what the environment says.
        """
        self._destinations = destinations
        self._total_seconds = total_seconds
        self._proxy_for = proxy_for
        self._network = JudgedNetwork(destinations.judge_address, resolve)
        self._tls = tls

    def check(self, url: str) -> str:
        """The host of a URL that may be sent to. Raises InvalidRequest."""
        return self._destinations.locate(url).host

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> int:
        """The status that was answered. Raises InvalidRequest and SendFailed."""
        target = self._destinations.locate(url)
        try:
            async with asyncio.timeout(self._total_seconds) as whole:
                return await self._post(target, headers, body)
        except TimeoutError as error:
            if not whole.expired():
                raise
            raise SendFailed(f"'{target.host}' did not answer within {self._total_seconds:g} seconds.") from error
        except httpcore2.TimeoutException as error:
            raise SendFailed(f"'{target.host}' did not answer within {self._total_seconds:g} seconds.") from error
        except httpcore2.ConnectError as error:
            raise SendFailed(no_connection(target.host, error)) from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise SendFailed(f"The connection to '{target.host}' broke before it had answered.") from error

    async def _post(self, target: Target, headers: Mapping[str, str], body: bytes) -> int:
        if self._tls is None and target.scheme == "https":
            # Loaded when it is needed: most services have no webhooks.
            self._tls = ssl.create_default_context()
        url = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        sent = [
            ("Host", target.authority),
            ("Accept", "*/*"),
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
            *headers.items(),
        ]
        proxy = self._proxy_of(target)
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self._total_seconds)
        async with httpcore2.AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=1,
            max_keepalive_connections=0,
            network_backend=self._network.through(proxy),
        ) as pool:
            # The body of the answer is left where it is: it may be long, and says nothing.
            async with pool.stream("POST", url, headers=sent, content=body, extensions={"timeout": timeouts}) as answer:
                return answer.status

    def _proxy_of(self, target: Target) -> Proxy | None:
        try:
            return self._proxy_for(target.scheme, target.host, target.port)
        except ValueError as error:
            raise SendFailed(f"No connection to '{target.host}': the proxy of this service cannot be used.") from error
