"""A connection pooler in transaction mode, as PgBouncer may be: a session of the server is a client's for one transaction."""

import contextlib
import socket
import struct
import threading
from pathlib import Path

# Messages after which a client waits until the server is ready, that one, and the one with which a client goes.
ASKING, READY, GOODBYE = (b"Q", b"S"), b"Z", b"X"


class PoolingProxy:
    """Stands on a port before a server that listens on a socket in a folder. The session that was free last is given first."""

    def __init__(self, folder: Path) -> None:
        self._server = str(next(folder.glob(".s.PGSQL.*[0-9]")))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._free: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client:
            size = _exactly(client, 4)
            server: socket.socket | None = socket.socket(socket.AF_UNIX)
            assert server is not None
            server.connect(self._server)
            server.sendall(size + _exactly(client, struct.unpack("!i", size)[0] - 4))
            while True:
                ready = _until_ready(server, client)
                if ready[5:] == b"I":
                    self._free.append(server)
                    server = None
                client.sendall(ready)
                kind = b""
                while kind not in ASKING:
                    kind, message = _message(client)
                    if kind == GOODBYE:
                        return
                    server = server or self._free.pop()
                    server.sendall(message)

    def close(self) -> None:
        """Everything goes."""
        self._listener.close()
        for each in self._free:
            each.close()


def _exactly(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = end.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _message(end: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(end, 5)
    return head[:1], head + _exactly(end, struct.unpack("!i", head[1:])[0] - 4)


def _until_ready(server: socket.socket, client: socket.socket) -> bytes:
    """Passes on what the server says until it is ready, and returns the message that says so."""
    while True:
        kind, message = _message(server)
        if kind == READY:
            return message
        client.sendall(message)
