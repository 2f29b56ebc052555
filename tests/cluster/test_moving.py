"""A ledger that moves from one server to several and back, with batches under way both times; real processes all of them."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, ended, until, whole
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import COMMIT_SECONDS, COMMIT_SLACK, input_lines
from tests.postgresql import Databases
from tests.server import Server

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(600)]

LINES, CONCURRENCY = 1200, 16


class Resent:
    """How often lines may be asked for again: what was out when a server was killed, and what was answered a moment before."""

    def __init__(self, backend: CountingBackend) -> None:
        self._backend = backend
        self.allowed = 0

    def killed(self, server: Server) -> None:
        """kill -9."""
        young = time.monotonic() - COMMIT_SECONDS - COMMIT_SLACK
        server.kill()
        answered = sum(times[-1] >= young for times in self._backend.answered.copy().values() if times)
        self.allowed += self._backend.in_flight + answered

    @property
    def times(self) -> int:
        """How often it was."""
        return sum(len(times) - 1 for times in self._backend.received.copy().values())


def moved(cluster: Cluster, to: str, *, refused: str = "") -> str:
    """`slackwater migrate-data`, as an operator gives it."""
    words = ["migrate-data", "--to", to, "--config", str(cluster.config), "--data", str(cluster.data)]
    done = subprocess.run([sys.executable, "-m", "slackwater", *words], capture_output=True, text=True, timeout=120)
    if refused:
        assert (done.returncode, refused in done.stderr) == (2, True), done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert "what has arrived is what was sent" in done.stdout
    return done.stderr


@pytest.fixture
def backend() -> Iterator[CountingBackend]:
    """What all servers send to."""
    with CountingBackend(latency=0.1) as counting:
        yield counting


def test_to_several_servers_and_back(tmp_path: Path, backend: CountingBackend, postgresql: Databases) -> None:
    """Batches of one server go on at two, and theirs at one again. Each line ends once, and is asked for once but for kills."""
    address = postgresql.new(template="template1")
    with Cluster(tmp_path, address, backend, concurrency=CONCURRENCY) as cluster:
        embedded = tmp_path / "embedded.toml"
        embedded.write_text(cluster.config.read_text().replace(f'database = "{address}"\n', ""))
        resent, batches = Resent(backend), {}

        def begun(server: Server, name: str) -> None:
            batches[name] = server.create_batch(server.upload("in.jsonl", input_lines(name, LINES)))

        def done(server: Server, name: str) -> int:
            return int(server.batch(batches[name])["request_counts"]["completed"])

        alone = Server(embedded, cluster.data, tmp_path / "alone.log")
        begun(alone, "first")
        begun(alone, "second")
        until(lambda: done(alone, "first") + done(alone, "second") > 200)
        # Nobody may write to what is being moved.
        moved(cluster, "postgresql", refused="is in use by another slackwater")
        resent.killed(alone)
        moved(cluster, "postgresql")

        one, two = cluster.start(), cluster.start()
        had = done(one, "first") + done(one, "second")
        assert had > 200
        begun(two, "third")
        until(lambda: len(cluster.holding()) == 2)
        until(lambda: done(two, "first") + done(two, "second") > had + 200)
        said = moved(cluster, "embedded", refused="the ledger is in use by 2 servers and workers (")
        assert all(f"server {cluster.name(each)} on {socket.gethostname()}" in said for each in (one, two))
        assert "stop all of them first" in said
        resent.killed(one)
        until(lambda: cluster.holding() == {cluster.name(two)})
        assert two.terminate() == 0
        counted = {name: cluster.asked(f"SELECT completed FROM batch WHERE id = '{batches[name]}'") for name in batches}
        moved(cluster, "embedded")

        alone = Server(embedded, cluster.data, tmp_path / "alone.log")
        try:
            assert all(done(alone, name) >= counted[name][0][0] for name in batches)  # type: ignore[operator]
            begun(alone, "fourth")
            for name, batch_id in batches.items():
                until(lambda batch_id=batch_id: ended(alone, batch_id), seconds=240)
                whole(alone, batch_id, LINES, name, account=False)
        finally:
            assert alone.terminate() == 0
        assert resent.times <= resent.allowed
        assert not any("Traceback" in log.read_text() for log in tmp_path.glob("*.log"))
