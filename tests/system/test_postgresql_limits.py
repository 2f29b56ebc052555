"""How many connections a server has, also under load and after losses, and what becomes of it where PostgreSQL has none left."""

import concurrent.futures
import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cluster.cluster import Cluster, answers, ended, until, whole
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Databases, Postgresql, running
from tests.server import NotStarted, Server

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

# What docs/postgresql.md says.
MOST = 9
CONNECTIONS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'slackwater %'"


def asks(server: Server) -> None:
    """What makes a server open connections: reads, and a search."""
    for path in ("/files", "/batches", "/batches?$filter=status%20eq%20'completed'&$orderby=created_at%20asc"):
        # While connections are lost, some of it may be told to come later.
        with contextlib.suppress(AssertionError, OSError):
            server.call("GET", path)


def test_nine_at_most(tmp_path: Path, postgresql: Databases) -> None:
    """Under load, and again each time that all of them were lost in the middle of it."""
    with (
        CountingBackend(latency=0.05) as backend,
        Cluster(tmp_path, postgresql.new(template="template1"), backend) as cluster,
        concurrent.futures.ThreadPoolExecutor(16) as callers,
    ):
        first = cluster.start()
        batch_id = first.create_batch(first.upload("in.jsonl", input_lines("line", 3000)))
        most = []
        for _ in range(4):
            calls = [callers.submit(asks, first) for _ in range(60)]
            counts = []
            while not all(each.done() for each in calls):
                counts += [int(str(row[0])) for row in cluster.asked(f"SELECT count(*) {CONNECTIONS}")]
            most.append(max(counts))
            cluster.asked(f"SELECT pg_terminate_backend(pid, 5000) {CONNECTIONS}")
        print(f"\nconnections at most: {most}")
        assert max(most) <= MOST
        assert max(most) >= MOST - 2, "it was no load"
        until(lambda: ended(first, batch_id))
        whole(first, batch_id, 3000)


def told(server: Server, batch_id: str) -> bool:
    """Whether a batch is said to be through; not where nobody knows."""
    try:
        return ended(server, batch_id)
    except AssertionError:
        return False


@pytest.fixture
def small() -> Iterator[Postgresql]:
    """A PostgreSQL with few connections, and a role that is no superuser: some are kept for those."""
    with running(settings={"max_connections": "20"}) as server:
        with psycopg.connect(server.address("postgres"), autocommit=True) as admin:
            admin.execute("CREATE ROLE service LOGIN")
            admin.execute("CREATE DATABASE ledger OWNER service")
        yield server


def taken(address: str, held: list[psycopg.Connection]) -> None:
    """Takes every connection that is left."""
    with pytest.raises(psycopg.OperationalError, match=r"connection slots are reserved|too many clients"):
        while True:
            held.append(psycopg.connect(address, autocommit=True))


def test_no_connection_is_left(tmp_path: Path, small: Postgresql) -> None:
    """A start says so and what to do; a server that has lost its own waits for some, and has lost nothing when it goes on."""
    address = small.address("ledger").replace("slackwater@", "service@")
    held: list[psycopg.Connection] = []
    with (
        CountingBackend(latency=0.05) as backend,
        Cluster(tmp_path, small.address("ledger"), backend) as cluster,
        psycopg.connect(small.address("postgres"), autocommit=True) as admin,
    ):
        cluster.config.write_text(cluster.config.read_text().replace("slackwater@", "service@"))
        taken(address, held)
        with pytest.raises(NotStarted):
            cluster.start()
        log = (tmp_path / "server0.log").read_text()
        (line,) = [each for each in log.splitlines() if each.startswith("error: ")]
        assert "raise max_connections in postgresql.conf: each server has up to nine" in line
        assert "Traceback" not in log
        while held:
            held.pop().close()
        first = cluster.start()
        batch_id = first.create_batch(first.upload("in.jsonl", input_lines("line", 1000)))
        until(lambda: first.batch(batch_id)["request_counts"]["completed"] > 100)
        taken(address, held)
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'slackwater %'"
        )
        # Whoever is faster has them; of those that are lost at last, none comes back.
        with contextlib.suppress(AssertionError):
            taken(address, held)
        until(lambda: not answers(first))
        assert first.process.poll() is None
        while held:
            held.pop().close()
        # Each of its connections comes back by itself: one call finds its own, and the next one may not yet.
        until(lambda: answers(first) and told(first, batch_id))
        whole(first, batch_id, 1000)
        assert " ERROR " not in cluster.log(first)
