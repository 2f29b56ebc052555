"""A load balancer without a memory: each connection goes to the next server in turn, whoever it comes from."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Sequence


class Balancer:
    """Stands before servers (`host:port`). One that refuses connections is passed over."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._next = itertools.cycle(addresses)
        self._count = len(addresses)
        self.taken: list[str] = []
        """Who has got each connection."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Balancer":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = self._to_somebody()
                if server is None:
                    client.close()
                    continue
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _to_somebody(self) -> socket.socket | None:
        for address in itertools.islice(self._next, self._count):
            host, _, port = address.partition(":")
            with contextlib.suppress(OSError):
                server = socket.create_connection((host, int(port)))
                self.taken.append(address)
                return server
        return None

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
