"""The processes of the chart's pods, started here with the words that Helm renders, are a cluster that its probes find well."""

import http.client
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, ended, until
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.deploy.haproxy import free_port
from tests.deploy.helm import pods, rendered
from tests.postgresql import Databases
from tests.server import Server

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(120)]


def status(port: int, path: str) -> int:
    """The answer to a probe."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_server_and_a_worker(tmp_path: Path, postgresql: Databases) -> None:
    """On this machine's addresses. Probes are answered where they ask; a batch that one takes is ended by the other."""
    started: dict[str, Server] = {}
    with (
        CountingBackend(latency=0.0) as backend,
        Cluster(tmp_path, postgresql.new(template="template1"), backend) as cluster,
    ):
        for name, pod in pods(rendered("worker.replicas=1")).items():
            (container,) = pod["spec"]["containers"]
            (port,) = container["ports"]
            here = free_port()
            replaced = {
                "--config=/etc/slackwater/slackwater.toml": "",
                "--data=/data/slackwater": "",
                "--host=0.0.0.0": "--host=127.0.0.1",
                f"--port={port['containerPort']}": f"--port={here}",
                f"--listen=0.0.0.0:{port['containerPort']}": f"--listen=127.0.0.1:{here}",
            }
            command, *options = container["args"]
            assert replaced.keys() & {*options} == {each for each in options if each != "--no-sending"}
            words = [word for each in options if (word := replaced.get(each, each))]
            started[name] = cluster.start(module=("slackwater", command), listens=words)
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert status(here, container[probe]["httpGet"]["path"]) == 200
        server = started["batch-slackwater-server"]
        batch = server.create_batch(server.upload("in.jsonl", input_lines("line", 10)))
        until(lambda: ended(server, batch))
        assert [each.terminate() for each in started.values()] == [0, 0]
