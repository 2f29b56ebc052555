"""A line to an object store that loses answers, breaks off, takes its time, or is dead."""

import contextlib
import socket
import threading
import time


class BadLine:
    """Stands on a port before a server. Each attribute says what goes wrong from now on."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.dead = False
        """Connections are closed at once, and so are those that are open."""
        self.lose: tuple[bytes, int] = (b"", 0)
        """Answers to requests of this method are lost, so many of them; the requests are done."""
        self.twice: tuple[bytes, int] = (b"", 0)
        """Requests of this method are done twice, so many of them; it is the second answer that comes."""
        self.delay = 0.0
        """Seconds before each answer."""
        self.break_at: list[int] = []
        """The next answers break off after so many bytes, one each."""
        self.lost = self.asked = self.doubled = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.dead:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open += [client, server]
                mute = threading.Event()
                threading.Thread(target=self._ask, args=(client, server, mute), daemon=True).start()
                threading.Thread(target=self._answer, args=(client, server, mute), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self.dead:
                    break
                if data.startswith((b"PUT ", b"POST ", b"GET ", b"DELETE ", b"HEAD ")):
                    self.asked += 1
                    method, times = self.lose
                    if times and data.startswith(method):
                        self.lose = method, times - 1
                        mute.set()
                    method, times = self.twice
                    if times and data.startswith(method):
                        self.twice = method, times - 1
                        data = self._once_before(client, data)
                server.sendall(data)
        _shut(client, server)

    def _once_before(self, client: socket.socket, data: bytes) -> bytes:
        """Does a request on a connection of its own, and returns it whole, to be done again."""
        head, _, body = data.partition(b"\r\n\r\n")
        length = int((head.lower() + b"\r\n").partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        while len(body) < length:
            more = client.recv(65536)
            if not more:
                raise OSError("it was not whole")
            body += more
        whole = head + b"\r\n\r\n" + body
        with socket.create_connection(("127.0.0.1", self._to), timeout=10) as first:
            first.sendall(whole)
            # Its head is enough: by then it is done.
            first.recv(65536)
        self.doubled += 1
        return whole

    def _answer(self, client: socket.socket, server: socket.socket, mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            passed = 0
            limit = None
            while data := server.recv(65536):
                if self.dead:
                    break
                if data.startswith(b"HTTP/1.1 100"):
                    client.sendall(data)
                    continue
                if mute.is_set():
                    self.lost += 1
                    break
                if data.startswith(b"HTTP/1.1 "):
                    time.sleep(self.delay)
                    large = b"200" in data[:16] or b"206" in data[:16]
                    passed, limit = 0, self.break_at.pop(0) if self.break_at and large else None
                if limit is not None and passed + len(data) > limit:
                    client.sendall(data[: limit - passed])
                    break
                passed += len(data)
                client.sendall(data)
        _shut(client, server)

    def die(self) -> None:
        """From now on nobody gets through, also those who have."""
        self.dead = True
        for each in self._open:
            _shut(each)
        self._open = []

    def close(self) -> None:
        """Everything goes."""
        self._listener.close()
        self.die()


def _shut(*ends: socket.socket) -> None:
    for each in ends:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
