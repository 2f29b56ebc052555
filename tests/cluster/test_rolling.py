"""An upgrade to the version after this one, beside servers of this one that work."""

from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.rolling import upgraded
from tests.crash.counting_backend import CountingBackend
from tests.postgresql import Databases

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(600)]


def test_the_next_version_comes_beside_this_one(tmp_path: Path, postgresql: Databases) -> None:
    """Its step takes the tables that are written most. No call fails, no line is lost, doubled or asked for twice."""
    address = postgresql.new(template="template1")
    with CountingBackend(latency=0.05) as backend, Cluster(tmp_path, address, backend) as cluster:
        upgraded(
            cluster,
            backend,
            old=lambda cluster: cluster.start(),
            new=lambda cluster: cluster.start(module=("tests.cluster.later_version", "serve")),
        )
