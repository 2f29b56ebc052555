"""Processes of their own kinds over one ledger: servers that send nothing, and workers that nobody calls."""

from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, ended, until, whole
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Databases

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(600)]


@pytest.fixture
def address(postgresql: Databases) -> str:
    """A database that nothing is in, not even a schema."""
    return postgresql.new(template="template1")


def test_an_api_and_two_workers_do_a_batch(tmp_path: Path, address: str) -> None:
    """A worker comes first and makes the schema. Both send, the server does not; all of them end gently, and nothing is left."""
    with CountingBackend(latency=0.05) as backend, Cluster(tmp_path, address, backend) as cluster:
        workers = [cluster.worker(), cluster.worker()]
        server = cluster.start("--no-sending")
        kinds = "SELECT kind, sends_for FROM member ORDER BY kind"
        until(lambda: cluster.asked(kinds) == [("api", "[]"), ("worker", '["crash"]'), ("worker", '["crash"]')])
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", 4000)))
        until(lambda: cluster.holding() == {cluster.name(each) for each in workers})
        until(lambda: ended(server, batch_id))
        whole(server, batch_id, 4000)
        assert {len(times) for times in backend.received.values()} == {1}
        assert [each.terminate() for each in (server, *workers)] == [0, 0, 0]
        assert cluster.asked("SELECT count(*) FROM member") == [(0,)]
        assert cluster.asked("SELECT count(*) FROM duty") == [(0,)]
