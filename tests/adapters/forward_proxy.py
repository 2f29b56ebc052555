"""A proxy on loopback that knows names which nobody else does: tunnels for CONNECT, and whole URLs."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping

from slackwater.core.outside.proxies import Proxy


class ForwardProxy:
    """What it was asked for, and where it is."""

    def __init__(self, address: tuple[str, int], known: Mapping[str, int], wants: str) -> None:
        self.proxy = Proxy(*address, authorization=wants)
        self.known = known
        self.wants = wants
        self.asked: list[str] = []

    def serve(self, client: socket.socket) -> None:
        """One connection: its head, then bytes both ways."""
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(65536)
                if not piece:
                    return
                head += piece
            line, _, rest = head.partition(b"\r\n")
            method, target, _ = line.decode().split(" ")
            self.asked.append(f"{method} {target}")
            if self.wants and f"Proxy-Authorization: {self.wants}".encode() not in head:
                client.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
                return
            place = target if method == "CONNECT" else target.split("/")[2]
            port = self.known.get(place)
            if port is None:
                client.sendall(b"HTTP/1.1 403 Not allowed\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", port)) as server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    path = target.split("/", 3)[3]
                    server.sendall(f"{method} /{path} HTTP/1.1\r\n".encode() + rest)
                back = threading.Thread(target=_copy, args=(server, client))
                back.start()
                _copy(client, server)
                back.join(10)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def forward_proxy(known: Mapping[str, int], *, wants: str = "") -> Iterator[ForwardProxy]:
    """Serves on a port of its own. `known`: ports of loopback by the places (host:port) that it lets through."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = ForwardProxy(listener.getsockname()[:2], known, wants)
        served: list[threading.Thread] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    served.append(threading.Thread(target=made.serve, args=(client,), daemon=True))
                    served[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(10)
