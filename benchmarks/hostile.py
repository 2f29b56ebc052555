"""Connections that mean no good, for benchmarks/front_door.py: `python benchmarks/hostile.py HOST:PORT KIND COUNT SECONDS`.

One process, one loop over all sockets. Each connection does its worst for as long as it is let, and comes back some seconds
after it was closed. Nobody here has a key.
"""

import contextlib
import errno
import resource
import select
import socket
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

HOST = b"Host: localhost\r\n"
CHUNKED = b"POST /v1/files HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


class Kind(NamedTuple):
    """What a connection sends first, what it sends again and again, how often, and whether it reads answers."""

    first: bytes
    again: bytes = b""
    every: float = 0.0
    reads: bool = True


KINDS = {
    "head": Kind(b"GET / HTTP/1.1\r\n" + HOST, b"".join(b"X-%d: %b\r\n" % (n, b"a" * 100) for n in range(40))),
    "endless value": Kind(b"GET / HTTP/1.1\r\n" + HOST + b"X: ", b"a" * 1000),
    "endless url": Kind(b"GET /", b"a" * 1000),
    "trailers": Kind(CHUNKED + b"1\r\na\r\n0\r\n", b"X-Trailer: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 40),
    "extensions": Kind(CHUNKED + b"1;", b"a=b;" * 1000),
    "pipeline": Kind(b"", b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n" + b"", reads=False),
    "silent": Kind(b""),
    "slow head": Kind(b"GET / HTTP/1.1\r\n", b"X: a\r\n", every=1.0),
    "slow body": Kind(
        b"POST /studio/session HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n", b"{", every=1.0
    ),
    "slow reader": Kind((b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n") * 20, reads=False),
}
KINDS["pipeline"] = KINDS["pipeline"]._replace(again=KINDS["pipeline"].again * 200)
# So long after it was closed, a connection comes back.
BACK_SECONDS = 10.0
# As many new ones in a step of the loop, so that opening them is no flood of its own.
OPENED_AT_ONCE = 50


class Peer:
    """One connection."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.socket: socket.socket | None = None
        self.left = b""
        self.due = 0.0
        self.closed = 0

    def open(self, address: tuple[str, int]) -> socket.socket:
        connection = self.socket = socket.socket()
        if not self.kind.reads:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            connection.connect(address)
        self.left = self.kind.first
        return connection

    def close(self, now: float) -> None:
        assert self.socket is not None
        self.socket.close()
        self.socket, self.due, self.closed = None, now + BACK_SECONDS, self.closed + 1

    def hears(self) -> bool:
        """Reads what is there; False once the server has closed."""
        assert self.socket is not None
        try:
            return self.socket.recv(1 << 16) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def says(self, now: float) -> bool:
        """Sends what goes; False once the server has closed."""
        assert self.socket is not None
        if not self.left and self.kind.again and now >= self.due:
            self.left, self.due = self.kind.again, now + self.kind.every
        try:
            if self.left:
                self.left = self.left[self.socket.send(self.left) :]
        except BlockingIOError:
            return True
        except OSError as error:
            return error.errno == errno.ENOTCONN
        return True


def storm(address: tuple[str, int], kinds: list[Kind], count: int, seconds: float, told: Callable[[int], None]) -> int:
    """So many connections of each kind, for so long. Says how many are open when all have been; returns how many were closed."""
    peers = [Peer(kind) for _ in range(count) for kind in kinds]
    waiting, known = select.epoll(), {}
    begun, said = time.monotonic(), False
    while (now := time.monotonic()) < begun + seconds:
        opened = 0
        gone = []
        for peer in peers:
            if peer.socket is None:
                if peer.due <= now and opened < OPENED_AT_ONCE:
                    # Who does not read hears nothing but the end.
                    number = peer.open(address).fileno()
                    known[number] = peer
                    waiting.register(number, select.EPOLLIN if peer.kind.reads else 0)
                    opened += 1
            elif (peer.left or peer.kind.again) and not peer.says(now):
                gone.append(peer)
        for number, _ in waiting.poll(0):
            if known[number] not in gone and not known[number].hears():
                gone.append(known[number])
        for peer in gone:
            assert peer.socket is not None
            waiting.unregister(peer.socket.fileno())
            peer.close(now)
        if not opened and not said:
            said = True
            told(sum(peer.socket is not None for peer in peers))
        time.sleep(0.05)
    return sum(peer.closed for peer in peers)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    place, names, number, duration = sys.argv[1:]
    host, _, port = place.rpartition(":")
    chosen = list(KINDS.values()) if names == "all" else [KINDS[names]]
    closed = storm((host, int(port)), chosen, int(number), float(duration), lambda n: print(n, "open", flush=True))
    print(closed, "closed", flush=True)
