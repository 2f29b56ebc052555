"""A connection to PostgreSQL that is lost at the worst moment: while a transaction ends."""

import contextlib
import socket
import threading
from enum import Enum
from pathlib import Path


class Cut(Enum):
    """When the connection of the client goes, once its COMMIT has come this far."""

    BEFORE = "the server never hears of it, and sees its connection go"
    SILENT = "the server never hears of it, and believes the connection to be there"
    AFTER = "the server has done it, and its answer is lost"


class CuttingProxy:
    """Stands on a port before a server that listens on a socket in a folder; cuts the next COMMIT where it is told to.

    Or another statement, if `at` is some of its text.
    """

    def __init__(self, folder: Path) -> None:
        self._server = str(next(folder.glob(".s.PGSQL.*[0-9]")))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut: Cut | None = None
        self.at = b"COMMIT"
        self.cuts = 0
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._kept += [client, server]
                threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                cut = self.cut if self.at in data else None
                if cut is not None:
                    self.cut = None
                    self.cuts += 1
                    if cut is Cut.AFTER:
                        # Nothing of what comes back is passed on any more.
                        client.shutdown(socket.SHUT_RDWR)
                        server.sendall(data)
                    elif cut is Cut.BEFORE:
                        server.shutdown(socket.SHUT_RDWR)
                    client.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Everything goes."""
        self._listener.close()
        for each in self._kept:
            # Closed alone, one that a thread waits at stays open, and with it the session of whoever works in this database next.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
