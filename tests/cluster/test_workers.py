"""Processes of their own kinds over one ledger: servers that send nothing, and workers that nobody calls."""

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from slackwater.core.members import UNTIL_SECONDS
from tests.cluster.cluster import Cluster, ended, until, whole
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Databases
from tests.server import Server

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(600)]


@pytest.fixture
def address(postgresql: Databases) -> str:
    """A database that nothing is in, not even a schema."""
    return postgresql.new(template="template1")


def probed(process: Server, path: str, method: str = "GET", body: object = None) -> str:
    """What a process says where it listens."""
    asked = urllib.request.Request(
        f"http://{process.address}{path}",
        None if body is None else json.dumps(body).encode(),
        {"api-key": "any", "content-type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def waiting_on(server: Server, name: str = "crash") -> dict[str, object] | None:
    """What keeps all batches of a deployment waiting."""
    (found,) = (each for each in server.call("GET", "/deployment_status")["data"] if each["name"] == name)
    waits: dict[str, object] | None = found["waiting_on"]
    assert (found["health"] == "down") == (waits is not None)
    return waits


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
        first, last = (cluster.log(each).splitlines()[-1] for each in workers)
        assert first == "stopped; others go on where this ended"
        assert last == "stopped; the next server or worker that is started goes on where this ended"


def test_a_worker_that_ends_gently_resends_nothing(tmp_path: Path, address: str) -> None:
    """SIGTERM in mid-flight, of one after the other: what is out comes back, the rest is the other's. No line is sent twice."""
    with CountingBackend(latency=0.3) as backend, Cluster(tmp_path, address, backend, concurrency=16) as cluster:
        server = cluster.start("--no-sending")
        worker = cluster.worker()
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", 1500)))
        for _ in range(3):
            answered = len(backend.answered)
            until(lambda answered=answered: backend.in_flight > 4 and len(backend.answered) > answered + 100)
            leaving, worker = worker, cluster.worker()
            assert leaving.terminate() == 0
            assert cluster.name(leaving) not in cluster.holding()
            assert cluster.asked("SELECT count(*) FROM member WHERE kind = 'worker'") == [(1,)]
        until(lambda: ended(server, batch_id))
        whole(server, batch_id, 1500)
        assert {len(times) for times in backend.received.values()} == {1}


def test_a_worker_that_is_killed(tmp_path: Path, address: str) -> None:
    """Another one goes on, and each line ends once; what was in flight is asked for again."""
    with CountingBackend(latency=0.1) as backend, Cluster(tmp_path, address, backend) as cluster:
        server, worker = cluster.start("--no-sending"), cluster.worker()
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", 2000)))
        until(lambda: len(backend.answered) > 200)
        cluster.worker()
        worker.kill()
        until(lambda: ended(server, batch_id))
        whole(server, batch_id, 2000)


def test_the_second_signal_ends_it_at_once(tmp_path: Path, address: str) -> None:
    """However long answers take; another one goes on with what its journal has."""
    with CountingBackend(latency=5.0) as backend, Cluster(tmp_path, address, backend) as cluster:
        server, worker = cluster.start("--no-sending"), cluster.worker()
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", 10)))
        until(lambda: backend.in_flight == 10)
        worker.process.terminate()
        until(lambda: "stopping: 10 calls are out" in cluster.log(worker))
        worker.process.terminate()
        assert worker.process.wait(3) == 130
        cluster.worker()
        until(lambda: ended(server, batch_id))
        whole(server, batch_id, 10)


def test_workers_of_different_deployments(tmp_path: Path, address: str) -> None:
    """Each sends for those that it names; one that none of them names waits and says so, until somebody sends for it."""
    with (
        CountingBackend(latency=0.01) as backend,
        CountingBackend(latency=0.01) as other,
        CountingBackend(latency=0.01) as third,
        Cluster(tmp_path, address, backend) as cluster,
    ):
        text = cluster.config.read_text()
        for name, engine in (("second", other), ("third", third)):
            text += f'[[deployments]]\nname = "{name}"\n[[deployments.backends]]\nurl = "{engine.url}"\n'
        cluster.config.write_text(text)
        server = cluster.start("--no-sending")
        cluster.worker("--deployments", "crash")
        cluster.worker("--deployments", "second")
        batches = {
            name: server.create_batch(
                server.upload("in.jsonl", input_lines(name, 50).replace(b'"crash"', b'"%b"' % name.encode()))
            )
            for name in ("crash", "second", "third")
        }
        for name in ("crash", "second"):
            until(lambda name=name: ended(server, batches[name]))
            # Who sends is looked at once a second.
            until(lambda name=name: waiting_on(server, name) is None)
        until(lambda: waiting_on(server, "third") is not None)
        assert "slackwater worker" in str(waiting_on(server, "third"))
        until(lambda: any("nobody_sends deployment=third" in cluster.log(each) for each in cluster.servers))
        # Nobody has looked for its metrics page either.
        assert not third.connections
        assert "third 0" not in backend.received | other.received
        progress = server.call("GET", f"/batches/{batches['third']}/progress")
        assert progress["waiting_on"]["what"] == "deployment"
        cluster.worker("--deployments", "crash, third")
        until(lambda: ended(server, batches["third"]))
        until(lambda: waiting_on(server, "third") is None)
        until(lambda: any("somebody_sends deployment=third" in cluster.log(each) for each in cluster.servers))


def test_all_workers_are_gone(tmp_path: Path, address: str) -> None:
    """Batches wait, are taken and validated; why is said; they go on with the next worker, which may be a server that sends."""
    with CountingBackend(latency=0.02) as backend, Cluster(tmp_path, address, backend, concurrency=2) as cluster:
        server, worker = cluster.start("--no-sending"), cluster.worker()
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", 1000)))
        until(lambda: len(backend.answered) > 50)
        worker.kill()
        until(lambda: waiting_on(server) is not None, seconds=UNTIL_SECONDS + 90)
        later = server.create_batch(server.upload("in.jsonl", input_lines("later", 20)))
        until(lambda: server.batch(later)["status"] == "in_progress")
        assert "No living server or worker" in str(server.call("GET", f"/batches/{later}/progress")["waiting_on"])
        assert json.loads(probed(server, "/readyz"))["status"] == "ready"
        cluster.start()
        until(lambda: ended(server, batch_id) and ended(server, later))
        until(lambda: waiting_on(server) is None)


def test_a_worker_says_how_it_is(tmp_path: Path, address: str) -> None:
    """Health, readiness and metrics on an address of its own; the figures at the server are the worker's."""
    with CountingBackend(latency=0.2) as backend, Cluster(tmp_path, address, backend, concurrency=8) as cluster:
        server, worker = cluster.start("--no-sending"), cluster.worker()
        assert json.loads(probed(worker, "/healthz"))
        assert json.loads(probed(worker, "/readyz"))["backends"] == {"ok": 1}
        assert json.loads(probed(server, "/readyz"))["backends"] == {"ok": 1}
        server.create_batch(server.upload("in.jsonl", input_lines("line", 400)))

        def seen() -> bool:
            (found,) = server.call("GET", "/deployment_status")["data"]
            (engine,) = json.loads(probed(server, "/openai/v1/engines"))["data"]
            (one,) = found["backends"]
            return bool(one["in_flight"] and one["tokens_per_second"] and engine["in_flight"])

        until(seen)
        at_worker, at_server = probed(worker, "/metrics"), probed(server, "/metrics")
        ours = f'slackwater_engine_in_flight{{engine="{backend.url.removesuffix("/v1")}'
        # What one process does is on its own page; what the ledger knows is on both.
        assert ours in at_worker
        assert ours not in at_server
        assert sum('slackwater_batches{status="in_progress"} 1.0' in page for page in (at_worker, at_server)) == 1


def test_what_operators_say_reaches_workers(tmp_path: Path, address: str) -> None:
    """A pause at the server stops the worker; after a resume it goes on."""
    with CountingBackend(latency=0.02) as backend, Cluster(tmp_path, address, backend, concurrency=2) as cluster:
        server, _ = cluster.start("--no-sending"), cluster.worker()
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", 600)))
        until(lambda: len(backend.answered) > 20)
        probed(server, "/openai/v1/deployments/crash/pause", "POST")
        # What is out ends by itself; each call takes a fiftieth of a second.
        until(lambda: not backend.in_flight)
        until(lambda: cluster.asked("SELECT count(*) FROM pause") == [(1,)])
        signal.sigtimedwait([], 1.5)
        sent = sum(len(times) for times in backend.received.values())
        signal.sigtimedwait([], 1.0)
        assert sum(len(times) for times in backend.received.values()) == sent < 600
        probed(server, "/openai/v1/deployments/crash/resume", "POST")
        until(lambda: ended(server, batch_id))


def test_a_worker_hears_of_keys_and_deployments(tmp_path: Path, address: str) -> None:
    """SIGHUP reads key files again; a deployment that is made over the API is sent for, and one that is deleted no more."""
    body = {
        "sku": {"name": "GlobalBatch", "capacity": 100},
        "properties": {"model": {"format": "OpenAI", "name": "m", "version": "1"}, "backendsOf": "crash"},
    }
    sent_for = "SELECT sends_for FROM member WHERE kind = 'worker'"
    with CountingBackend(latency=0.01) as backend, Cluster(tmp_path, address, backend) as cluster:
        (tmp_path / "key").write_text("one")
        text = cluster.config.read_text().replace("concurrency", f'api_key_file = "{tmp_path / "key"}"\nconcurrency')
        cluster.config.write_text(text)
        server, worker = cluster.start("--no-sending"), cluster.worker()
        (tmp_path / "key").write_text("two")
        worker.process.send_signal(signal.SIGHUP)
        until(lambda: "backend_key_changed" in cluster.log(worker))
        probed(server, "/openai/v1/deployments/made", "PUT", body)
        until(lambda: cluster.asked(sent_for) == [('["crash","made"]',)])
        data = input_lines("made", 50).replace(b'"crash"', b'"made"')
        batch_id = server.create_batch(server.upload("in.jsonl", data))
        until(lambda: ended(server, batch_id))
        probed(server, "/openai/v1/deployments/made", "DELETE")
        until(lambda: cluster.asked(sent_for) == [('["crash"]',)])
        assert worker.terminate() == 0


def test_a_deployment_that_is_not_there(tmp_path: Path, address: str) -> None:
    """One line says which there are, those of the API included, and nobody stays a member."""
    with CountingBackend(latency=0.01) as backend, Cluster(tmp_path, address, backend) as cluster:
        words = [sys.executable, "-m", "slackwater", "worker", "--config", cluster.config, "--data", cluster.data]
        done = subprocess.run(
            [*words, "--deployments", "crash,nowhere"], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 2
        (line,) = (each for each in done.stderr.splitlines() if each.startswith("error"))
        assert line == "error: --deployments names nowhere, and no deployment is called so; there are crash"
        assert cluster.asked("SELECT count(*) FROM member") == [(0,)]
