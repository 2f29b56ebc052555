"""A primary and its standby: the database fails over under servers that work with it.

Both hosts are in the servers' address. What PostgreSQL has confirmed it still has, or the loss is noticed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cluster.cluster import Cluster, answers, until, whole
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Postgresql
from tests.server import NotStarted, Server

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(600)]

LINES = 4000


class Pair:
    """Two PostgreSQL servers, one of which follows the other."""

    def __init__(self, place: Path, primary: Postgresql) -> None:
        self.primary = primary
        self._place = place
        self.standby = primary.copy(place / "b", "-R")
        self.standby.start()
        hosts = ",".join(str(each.place / "socket") for each in (self.primary, self.standby))
        self.address = f"postgresql://slackwater@/postgres?host={hosts}"

    def wait_for_the_standby(self) -> None:
        """From now on nothing is confirmed that the standby has not got."""
        self.primary.configure(synchronous_standby_names="*")
        sync = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
        with psycopg.connect(self.primary.address("postgres"), autocommit=True) as db:
            until(lambda: db.execute(sync).fetchone())

    @contextlib.contextmanager
    def deaf_standby(self) -> Iterator[None]:
        """It takes nothing for a while."""
        with psycopg.connect(self.standby.address("postgres")) as db:
            row = db.execute("SELECT pid FROM pg_stat_wal_receiver").fetchone()
        assert row is not None
        os.kill(row[0], signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(row[0], signal.SIGCONT)

    def fail_over(self) -> None:
        """kill -9 of the primary, and its standby takes its place."""
        if self.primary.process is not None and self.primary.process.poll() is None:
            self.primary.kill()
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def rebuild(self) -> None:
        """The one that was lost comes back as a standby of the other."""
        self.standby.follow(self.primary)
        self.wait_for_the_standby()

    def stop(self) -> None:
        """Both."""
        for each in (self.primary, self.standby):
            each.stop()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A primary and a standby that it does not wait for."""
    with tempfile.TemporaryDirectory(prefix="slackwater-pg-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        place.chmod(0o755)
        (place / "a").mkdir()
        primary = Postgresql(place / "a", careless=False)
        primary.make()
        primary.start()
        both = Pair(place, primary)
        try:
            yield both
        finally:
            both.stop()


def completed(server: Server, batch_id: str) -> int:
    """How many lines have a result; none while nobody knows."""
    try:
        return int(server.batch(batch_id)["request_counts"]["completed"])
    except (AssertionError, OSError):
        return -1


def went_on(server: Server, batch_id: str, since: float) -> float:
    """Waits for a result that is new; returns how many seconds after that moment it came."""
    known = -1
    while (now := completed(server, batch_id)) <= known or known < 0:
        known = max(known, now)
        signal.sigtimedwait([], 0.02)
        assert time.monotonic() - since < 90
    return time.monotonic() - since


@pytest.mark.parametrize("servers", [1, 2])
def test_the_standby_takes_over(tmp_path: Path, pair: Pair, servers: int) -> None:
    """Twice, there and back. Nothing is lost, nothing is there twice, and no server is taken for dead or ends."""
    pair.wait_for_the_standby()
    with CountingBackend(latency=0.05) as backend, Cluster(tmp_path, pair.address, backend) as cluster:
        alive = [cluster.start() for _ in range(servers)]
        first, took = alive[0], []
        for turn in range(2):
            batch_id = first.create_batch(first.upload("in.jsonl", input_lines(f"line{turn}", LINES)))
            until(lambda batch_id=batch_id: completed(first, batch_id) > LINES // 4)
            # What it is told now it has perhaps not got: commits that wait have an end that nobody knows.
            with pair.deaf_standby():
                signal.sigtimedwait([], 0.3)
                began = time.monotonic()
                pair.primary.kill()
            pair.fail_over()
            promoted = time.monotonic()
            took.append((promoted - began, went_on(first, batch_id, promoted)))
            pair.rebuild()
            until(lambda batch_id=batch_id: first.batch(batch_id)["status"] == "completed", seconds=180)
            whole(first, batch_id, LINES, f"line{turn}", account=turn == 0)
        cluster.connect()
        assert [each.process.poll() for each in alive] == [None] * servers
        assert cluster.asked("SELECT count(*) FROM member") == [(servers,)]
        assert not any("ERROR" in line for each in alive for line in cluster.log(each).splitlines())
        print(f"\n{servers} servers: promoted after, and the first new result after that, in seconds: {took}")
        assert [each.terminate() for each in alive] == [0] * servers
        # A start finds the one that takes writes, beside one that does not.
        assert answers(cluster.start())


def test_what_an_asynchronous_standby_has_lost(tmp_path: Path, pair: Pair) -> None:
    """The server that was told that it is kept ends, none starts, and 'recover' goes on; every line of the batch ends once."""
    with CountingBackend(latency=0.05) as backend, Cluster(tmp_path, pair.address, backend) as cluster:
        server = cluster.start()
        kept = server.create_batch(server.upload("kept.jsonl", input_lines("kept", LINES)))
        until(lambda: completed(server, kept) > LINES // 4)
        pair.standby.stop()
        known = completed(server, kept)
        until(lambda: completed(server, kept) > known + 200)
        lost = server.upload("lost.jsonl", input_lines("lost", 3))
        pair.primary.kill()
        pair.standby.start()
        pair.fail_over()
        assert server.process.wait(60) == 1
        assert "has lost what it had confirmed" in cluster.log(server)
        assert "slackwater recover" in cluster.log(server)
        with pytest.raises(NotStarted):
            cluster.start()
        refused = (tmp_path / "server1.log").read_text()
        assert "is older than the files" in refused
        assert "slackwater recover" in refused
        assert "Traceback" not in cluster.log(server) + refused
        recover = [sys.executable, "-m", "slackwater", "recover", "--config", str(cluster.config)]
        done = subprocess.run(
            [*recover, "--data", str(cluster.data), "--yes"], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        server = cluster.start()
        until(lambda: server.batch(kept)["status"] == "completed", seconds=180)
        whole(server, kept, LINES, "kept")
        with pytest.raises(AssertionError, match="404"):
            server.call("GET", f"/files/{lost}")


def test_a_standby_that_is_away(tmp_path: Path, pair: Pair) -> None:
    """Where PostgreSQL waits for one, everything waits for it, and nobody is taken for dead meanwhile."""
    pair.wait_for_the_standby()
    with CountingBackend(latency=0.05) as backend, Cluster(tmp_path, pair.address, backend) as cluster:
        first, second = cluster.start(), cluster.start()
        batch_id = first.create_batch(first.upload("in.jsonl", input_lines("line", LINES)))
        until(lambda: completed(first, batch_id) > LINES // 4)
        pair.standby.stop()
        signal.sigtimedwait([], 20.0)
        assert [each.process.poll() for each in (first, second)] == [None, None]
        pair.standby.start()
        began = time.monotonic()
        print(f"\nwent on {went_on(first, batch_id, began):.1f} s after the standby was back")
        until(lambda: first.batch(batch_id)["status"] == "completed", seconds=180)
        whole(second, batch_id, LINES)
        assert [each.process.poll() for each in (first, second)] == [None, None]
        said = "".join(cluster.log(each) for each in (first, second))
        assert "member_buried" not in said
        # Nothing has failed: it waits.
        assert " ERROR " not in said
