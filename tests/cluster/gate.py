"""A network between a server and its database that can be cut: nothing comes through any more, and nobody is told."""

import contextlib
import socket
import threading
from pathlib import Path


class Gate:
    """Stands on a port before a server that listens on a socket in a folder. Open at first."""

    def __init__(self, folder: Path) -> None:
        self._server = str(next(folder.glob(".s.PGSQL.*[0-9]")))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = threading.Event()
        self._open.set()
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """From now on everything is withheld."""
        self._open.clear()

    def mend(self) -> None:
        """What was withheld comes through, and all that follows."""
        self._open.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.wait()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._kept += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                target.sendall(data)
            self._open.wait()
            target.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Everything goes."""
        self._open.set()
        self._listener.close()
        for each in self._kept:
            each.close()
