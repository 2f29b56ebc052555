"""nginx with the block of docs/cluster.md, before two servers that share a ledger: what the page says of it."""

import http.client
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, until
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.deploy.haproxy import free_port
from tests.deploy.nginx import Nginx
from tests.postgresql import Databases
from tests.server import Server

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        shutil.which("nginx") is None or shutil.which("openssl") is None,
        reason="nginx and openssl are not installed (apt-get install nginx-light openssl)",
    ),
]

LISTED = "/openai/batches?api-version=2024-10-21"
FILES = "/openai/files?api-version=2024-10-21"
NAMES = ("server-1", "server-2")
MARK = "nginx-test-boundary"


def form(data: bytes) -> bytes:
    """An upload, as a body."""
    head = (
        f'--{MARK}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{MARK}\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n'
        "Content-Type: application/json\r\n\r\n"
    ).encode()
    return head + data + f"\r\n--{MARK}--\r\n".encode()


class Place:
    """Two servers and the proxy before them."""

    def __init__(self, cluster: Cluster, proxy: Nginx, ports: dict[str, int]) -> None:
        self.proxy, self.ports = proxy, ports
        self.servers: dict[str, Server] = {
            name: cluster.start("--no-sending", listens=("--port", str(port))) for name, port in ports.items()
        }

    def ask(self, method: str = "GET", path: str = LISTED) -> int:
        """A call on a connection of its own; its status."""
        connection = self.proxy.connection()
        connection.request(method, path, headers={"api-key": "any"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status


@pytest.fixture
def place(tmp_path: Path, postgresql: Databases) -> Iterator[Place]:
    """All of it is up."""
    ports = {name: free_port() for name in NAMES}
    address = postgresql.new(template="template1")
    with (
        CountingBackend(latency=0.02) as backend,
        Cluster(tmp_path, address, backend) as cluster,
        Nginx(tmp_path, {name: f"127.0.0.1:{port}" for name, port in ports.items()}) as proxy,
    ):
        yield Place(cluster, proxy, ports)


def begun(place: Place, body: bytes, first: int) -> http.client.HTTPSConnection:
    """An upload whose first bytes have been sent."""
    connection = place.proxy.connection()
    connection.putrequest("POST", FILES)
    connection.putheader("api-key", "any")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={MARK}")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:first])
    return connection


def test_calls_uploads_and_a_server_that_is_taken_out(place: Place) -> None:
    """A large body of unknown length passes, the metrics page does not; with `down` and a reload no call is lost, and who had
    an upload under way ends with it; who is killed is passed over."""
    assert [place.ask() for _ in range(10)] == [200] * 10
    assert place.ask(path="/metrics") == 404
    large = form(input_lines("large", 30_000))
    assert len(large) > 2 << 20
    connection = place.proxy.connection()
    # In chunks: nobody knows how many come.
    connection.request(
        "POST",
        FILES,
        body=(large[at : at + 65_536] for at in range(0, len(large), 65_536)),
        headers={"api-key": "any", "Content-Type": f"multipart/form-data; boundary={MARK}"},
        encode_chunked=True,
    )
    assert connection.getresponse().status == 201

    small = form(input_lines("small", 2_000))
    upload, before = begun(place, small, 5_000), place.proxy.workers()
    place.proxy.take_out(f"127.0.0.1:{place.ports['server-1']}")
    until(lambda: bool(place.proxy.workers() - before))
    assert [place.ask() for _ in range(20)] == [200] * 20
    upload.send(small[5_000:])
    assert upload.getresponse().status == 201
    upload.close()
    until(lambda: not place.proxy.workers() & before)
    assert place.servers["server-1"].terminate() == 0
    assert [place.ask() for _ in range(20)] == [200] * 20
    place.proxy.take_out(None)
    # It is dead and nobody has said so: who cannot be reached has heard nothing, so the other one is asked.
    assert [place.ask() for _ in range(20)] == [200] * 20


def test_nothing_is_sent_twice(tmp_path: Path) -> None:
    """Two servers that close the connection once they have heard a whole call: a create comes to one of them, once."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:

        def hear(listener: socket.socket) -> None:
            while True:
                try:
                    call, _ = listener.accept()
                except OSError:
                    return
                with call:
                    heard.append(call.recv(65_536))

        for listener in (one, two):
            threading.Thread(target=hear, args=(listener,), daemon=True).start()
        addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in (one, two)]
        with Nginx(tmp_path, dict(zip(NAMES, addresses, strict=True))) as proxy:
            connection = proxy.connection()
            connection.request("POST", LISTED, body=b"{}", headers={"api-key": "any", "Host": "batch.example:8443"})
            assert connection.getresponse().status == 502
        assert len(heard) == 1
        assert b"host: batch.example:8443\r\n" in heard[0].lower()
        assert b"connection: close\r\n" in heard[0].lower()
        for listener in (one, two):
            listener.shutdown(socket.SHUT_RDWR)
