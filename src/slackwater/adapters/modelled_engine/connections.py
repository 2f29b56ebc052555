"""The connections of a modelled engine, which can all be cut at once: how a process that dies looks from outside."""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Connections:
    """All that are open. A new one is reset as soon as it is made where `refused` says so."""

    def __init__(self) -> None:
        self.refused: Callable[[], bool] = lambda: False
        self._open: set[asyncio.Transport] = set()

    def cut(self) -> None:
        """Resets every connection; whatever was on its way does not come."""
        for transport in self._open:
            transport.abort()

    def protocol(self) -> type[HttpToolsProtocol]:
        """What uvicorn is to make connections with."""
        connections = self

        class Connection(HttpToolsProtocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                connections._open.add(transport)
                if connections.refused():
                    transport.abort()

            def connection_lost(self, exc: Exception | None) -> None:
                connections._open.discard(self.transport)
                super().connection_lost(exc)

        return Connection
