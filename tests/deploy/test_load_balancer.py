"""HAProxy with the file of deploy/, before two servers that share a ledger: what docs/cluster.md says of it."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, until
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.deploy.haproxy import Haproxy, free_port
from tests.postgresql import Databases
from tests.server import Server

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(300)]

LISTED = "/openai/batches?api-version=2024-10-21"
NAMES = ("server-1", "server-2")


class Place:
    """Two servers, each at an address that it keeps, and the proxy before them."""

    def __init__(self, cluster: Cluster, ports: dict[str, int], proxy: Haproxy) -> None:
        self.cluster = cluster
        self.proxy = proxy
        self.ports = ports
        self.servers: dict[str, Server] = {}

    def start(self, name: str) -> None:
        """Starts one. It is ready when this returns; the proxy may not know it yet."""
        self.servers[name] = self.cluster.start("--no-sending", listens=("--port", str(self.ports[name])))

    def ask(self, method: str = "GET", path: str = LISTED) -> int:
        """A call on a connection of its own, that nobody makes again; its status."""
        connection = http.client.HTTPConnection(self.proxy.address, timeout=30)
        try:
            connection.request(method, path, headers={"api-key": "any"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()


@pytest.fixture
def place(tmp_path: Path, postgresql: Databases, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Both servers are up, unless the test says more of the configuration."""
    ports = {name: free_port() for name in NAMES}
    address = postgresql.new(template="template1")
    with CountingBackend(latency=0.02) as backend, Cluster(tmp_path, address, backend) as cluster:
        cluster.config.write_text(
            cluster.config.read_text().replace("[server]\n", f"[server]\n{getattr(request, 'param', '')}\n")
        )
        with Haproxy(tmp_path, {name: f"127.0.0.1:{port}" for name, port in ports.items()}) as proxy:
            yield Place(cluster, ports, proxy)


class Upload:
    """An upload that has begun, and goes on when it is told."""

    def __init__(self, place: Place, data: bytes) -> None:
        mark = "load-balancer-test-boundary"
        head = (
            f'--{mark}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n'
            "Content-Type: application/json\r\n\r\n"
        ).encode()
        self._body = head + data + f"\r\n--{mark}--\r\n".encode()
        self._sent = len(self._body) // 2
        host, _, port = place.proxy.address.partition(":")
        self._connection = socket.create_connection((host, int(port)), timeout=60)
        self._connection.sendall(
            f"POST /openai/files?api-version=2024-10-21 HTTP/1.1\r\nHost: {place.proxy.address}\r\napi-key: any\r\n"
            f"Content-Type: multipart/form-data; boundary={mark}\r\nContent-Length: {len(self._body)}\r\n\r\n".encode()
            + self._body[: self._sent]
        )

    def finish(self) -> int:
        """Sends the rest; the status of the answer."""
        self._connection.sendall(self._body[self._sent :])
        answer = http.client.HTTPResponse(self._connection, method="POST")
        answer.begin()
        answer.read()
        self._connection.close()
        return answer.status


def test_an_upgrade_of_one_after_the_other_costs_no_call(place: Place) -> None:
    """Drain, wait for its calls, SIGTERM, start, and then let it in: a client that repeats nothing is never refused,
    and an upload that was under way at the one that goes comes to its end there."""
    for name in NAMES:
        place.start(name)
    until(lambda: all(map(place.proxy.is_up, NAMES)))
    statuses: list[int] = []
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            statuses.append(place.ask())

    asking = threading.Thread(target=client)
    asking.start()
    for name in NAMES:
        # So that the upload goes to this one.
        other = next(each for each in NAMES if each != name)
        place.proxy.say(f"set server slackwater/{other} state drain")
        upload = Upload(place, input_lines("upload", 2000))
        until(lambda name=name: int(place.proxy.status(name)["scur"]) >= 1)
        place.proxy.say(f"set server slackwater/{other} state ready")
        place.proxy.say(f"set server slackwater/{name} state drain")
        begun = len(statuses)
        until(lambda begun=begun: len(statuses) > begun + 10)
        # Only the upload is left there.
        assert int(place.proxy.status(name)["scur"]) == 1
        assert upload.finish() == 201
        until(lambda name=name: int(place.proxy.status(name)["scur"]) == 0)
        assert place.servers[name].terminate() == 0
        place.start(name)
        place.proxy.say(f"set server slackwater/{name} state ready")
        until(lambda name=name: place.proxy.is_up(name))
    over.set()
    asking.join(60)
    assert set(statuses) == {200}


def test_one_that_has_died_is_passed_over_at_once(place: Place) -> None:
    """Before any check has noticed: who cannot be reached has heard nothing, so another one is asked."""
    for name in NAMES:
        place.start(name)
    until(lambda: all(map(place.proxy.is_up, NAMES)))
    place.servers["server-1"].kill()
    assert [place.ask() for _ in range(20)] == [200] * 20


def test_no_page_of_metrics_comes_through(place: Place) -> None:
    """However it is written: whose it were would be chance, and each member's own is asked for at its own address."""
    place.start("server-1")
    until(lambda: place.proxy.is_up("server-1"))
    for path in ("/metrics", "/metrics?a=b", "/%6Detrics"):
        assert place.ask(path=path) == 404
    assert place.ask(path="/healthz") == 200


@pytest.mark.parametrize("place", [f"free_bytes_min = {1 << 60}"], indirect=True)
def test_where_none_is_ready_users_can_still_make_room(place: Place) -> None:
    """Both say that the disk is full. They get no new work, and nobody is turned away who wants to download or to delete."""
    for name in NAMES:
        place.start(name)
    for name in NAMES:
        until(lambda name=name: place.proxy.status(name)["check_code"] == "503")
        until(lambda name=name: place.proxy.status(name, "slackwater-alive")["check_status"] == "L7OK")
    until(lambda: place.proxy.status("server-1")["status"] == place.proxy.status("server-2")["status"] == "DOWN")
    assert place.ask() == 200
    assert place.ask("DELETE", "/openai/files/file-none?api-version=2024-10-21") == 200
    ready = http.client.HTTPConnection(place.proxy.address, timeout=30)
    ready.request("GET", "/readyz")
    answer = ready.getresponse()
    assert answer.status == 503
    assert {each["code"] for each in json.loads(answer.read())["reasons"]} == {"disk_space_low"}
    ready.close()
