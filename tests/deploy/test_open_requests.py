"""What KEDA is told to ask the ledger, on a real one: how many requests are open."""

import json
from pathlib import Path

import psycopg
import pytest

from tests.cluster.cluster import Cluster, ended, until
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.deploy.helm import CHART, one, rendered
from tests.postgresql import Databases
from tests.server import Server

QUERY = (CHART / "files" / "open_requests.sql").read_text("utf-8").strip()
OF_POOL = " AND deployment IN ('crash', 'team-a/qwen')"


@pytest.mark.deploy
def test_the_chart_asks_just_this() -> None:
    """For all deployments, or for those of a pool."""
    values = ("worker.autoscaling.by=keda", "keda.host=db.internal")
    for more, asked in (((), QUERY), (("workers.default.deployments={crash,team-a/qwen}",), QUERY + OF_POOL)):
        (trigger,) = one(rendered(*values, *more), "ScaledObject", "-worker-default")["spec"]["triggers"]
        assert trigger["metadata"]["query"] == asked


@pytest.mark.postgresql
@pytest.mark.timeout(120)
def test_what_is_open_is_counted_and_nothing_else(tmp_path: Path, postgresql: Databases) -> None:
    """From the end of validation on, less with each result, none of a batch that is paused or of another pool. The role that
    asks may read this table and no other."""
    address = postgresql.new(template="template1")
    with CountingBackend(latency=0.0) as backend, Cluster(tmp_path, address, backend) as cluster:
        cluster.config.write_text(
            cluster.config.read_text().replace('name = "crash"', 'name = "other"')
            + f'[[deployments]]\nname = "crash"\n[[deployments.backends]]\nurl = "{backend.url}"\n'
        )
        server = cluster.start("--no-sending")
        with psycopg.connect(address, autocommit=True) as scaler:
            scaler.execute("CREATE ROLE slackwater_scaler")
            scaler.execute("GRANT SELECT ON batch TO slackwater_scaler")
            scaler.execute("SET ROLE slackwater_scaler")

            def open_requests(query: str = QUERY) -> object:
                row = scaler.execute(query.encode()).fetchone()
                assert row is not None
                return row[0]

            assert open_requests() == open_requests(QUERY + OF_POOL) == 0
            batches = [made(server, name, count) for name, count in (("crash", 30), ("crash", 40), ("other", 500))]
            until(lambda: open_requests() == 570)
            assert open_requests(QUERY + OF_POOL) == 70
            server.call("POST", f"/batches/{batches[1]}/pause")
            assert open_requests(QUERY + OF_POOL) == 30
            cluster.worker("--deployments", "crash")
            until(lambda: ended(server, batches[0]))
            assert (open_requests(), open_requests(QUERY + OF_POOL)) == (500, 0)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                scaler.execute("SELECT * FROM file")
            scaler.execute("RESET ROLE")
            scaler.execute("DROP OWNED BY slackwater_scaler")
            scaler.execute("DROP ROLE slackwater_scaler")


def made(server: Server, deployment: str, count: int) -> str:
    """A batch of so many requests for a deployment."""
    lines = [json.loads(line) for line in input_lines(f"{deployment}{count}", count).splitlines()]
    for line in lines:
        line["body"]["model"] = deployment
    return server.create_batch(server.upload("in.jsonl", b"\n".join(json.dumps(line).encode() for line in lines)))
