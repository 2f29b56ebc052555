"""Workers on a Ray cluster: placed, drained, taken away and refused. One cluster for all of it: its start takes a minute."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cluster.cluster import until
from tests.crash.rounds import input_lines
from tests.on_ray.nodes import RayCluster, listening
from tests.on_ray.rig import Rig, rigged

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]
DRAIN = ("--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "test", "--deadline-remaining-seconds", "60")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Two nodes and a head."""
    with rigged(tmp_path_factory.mktemp("ray"), nodes=2, slots=8, shortest=0.05, longest=0.1) as made:
        yield made


@pytest.fixture
def placed(rig: Rig) -> Iterator[Rig]:
    """With workers, which are gone afterwards."""
    done = rig.up()
    assert done.returncode == 0, done.stderr
    yield rig
    rig.told("down", "--now")
    until(lambda: not rig.members())


def ended(process: psutil.Process) -> bool:
    """Whether nothing runs there any more."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_what_listens_is_on_loopback(rig: Rig) -> None:
    """Ray listens on all addresses of this machine; so it is on a network that has no other."""
    heard = {
        each for node in [rig.ray.head, *rig.ray.nodes] if node for process in node.all() for each in listening(process)
    }
    assert heard & {"0.0.0.0", "::"}
    if os.geteuid() == 0:
        assert set(psutil.net_if_addrs()) == {"lo"}


def test_who_is_refused(rig: Rig) -> None:
    """One line each, and nothing is started."""
    for environment, said in (
        ({"RAY_AUTH_TOKEN": "", "HOME": str(rig.crew.folder)}, "Ray asks for a token"),
        ({"RAY_AUTH_TOKEN": "another"}, "RAY_AUTH_TOKEN has to be that of the cluster"),
        ({"RAY_AUTH_MODE": "disabled"}, "the cluster lets everybody in who reaches it"),
    ):
        done = rig.told("up", "--status", environment=environment)
        assert done.returncode == 1
        assert said in done.stderr.splitlines()[-1]
    done = rig.up("--resource", "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no node of the cluster has the resource nowhere" in done.stderr
    done = rig.told("up", "--status", address="127.0.0.2:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nobody listens at 127.0.0.2:1" in done.stderr
    assert "no workers were placed" in rig.told("down").stderr
    assert not rig.members()


def test_a_cluster_that_lets_everybody_in_is_refused(rig: Rig, tmp_path: Path) -> None:
    """Whatever token somebody shows who comes in. Nothing of ours stays there."""
    cluster = RayCluster(tmp_path, guarded=False)
    try:
        cluster.start_head()
        cluster.start_node({})
        for _ in range(2):
            done = rig.told("up", "-c", str(rig.config), address=cluster.address)
            assert (done.returncode, done.stdout) == (1, "")
            assert "start all its nodes with RAY_AUTH_MODE=token" in done.stderr
        assert "no workers were placed" in rig.told("up", "--status", address=cluster.address).stderr
    finally:
        cluster.close()


def test_a_worker_on_each_node_but_the_head(placed: Rig) -> None:
    """With what the environment of its node has, but for what is Ray's. To ask for the same again changes nothing."""
    workers = placed.all_work()
    assert {each.address for each in workers} == {"127.0.0.3", "127.0.0.4"}
    for each in workers:
        environment = each.process.environ()
        assert environment["SLACKWATER_TEST_ENGINE_KEY"] == each.address
        assert [name for name in environment if name.startswith("RAY_")] == []
    head = placed.ray.head
    assert head is not None
    assert placed.coordinator() not in head.all()
    assert placed.up().returncode == 0
    assert placed.all_work() == workers
    done = placed.up("--", "--deployments", "crash")
    assert done.returncode == 1
    assert "workers were placed there with other words" in done.stderr


def test_no_secret_goes_through_ray(placed: Rig) -> None:
    """Neither what the head keeps nor what anybody has logged has the database's address, a key or the token."""
    secrets = [placed.ray.token, placed.crew.address]
    kept = placed.crew.folder / "appendonlydir"
    files = [
        each
        for each in [*kept.rglob("*"), *placed.ray.temporary.rglob("*")]
        if each.is_file() and not each.is_symlink()
    ]
    assert len(files) > 20
    text = {each: each.read_bytes() for each in files}
    assert [str(each) for each, data in text.items() for secret in secrets if secret.encode() in data] == []
    assert any(str(placed.config).encode() in data for each, data in text.items() if kept in each.parents)


def test_a_node_that_is_drained_lets_its_worker_end(placed: Rig) -> None:
    """Gently, and it gets no other one: once by Ray's own notice, once by ours."""
    first, second = placed.all_work()
    processes = [first.process, second.process]
    drain = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", placed.ray.address]
    surroundings = {**os.environ, **placed.ray.environment}
    command = [*drain, "--node-id", first.node, *DRAIN]
    try:
        subprocess.run(command, check=True, timeout=60, capture_output=True, env=surroundings)
        until(lambda: ended(processes[0]))
        until(lambda: placed.members() == {second.name})
        done = placed.told("down", "--node", second.address)
        assert done.returncode == 0, done.stderr
        assert ended(processes[1])
        assert not placed.members()
        assert placed.status()["workers"] == []
    finally:
        # A node that was once drained stays so; whoever keeps the machine starts it anew.
        node = placed.node_of(first)
        node.kill()
        node.start()


def test_all_end_gently(placed: Rig) -> None:
    """With requests in flight: none is sent twice, and the coordinator goes, too."""
    (server,) = placed.crew.servers()
    workers = [each.process for each in placed.all_work()]
    batch = server.create_batch(server.upload("in.jsonl", input_lines("gentle", 4000)))
    until(lambda: placed.engine.out > 4 and placed.engine.answered > 50)
    coordinator = placed.coordinator()
    done = placed.told("down")
    assert done.returncode == 0, done.stderr
    assert all(ended(each) for each in workers)
    until(lambda: ended(coordinator))
    assert not placed.members()
    assert placed.engine.broken_off == 0
    assert set(placed.engine.asked.values()) == {1}
    assert placed.up().returncode == 0
    until(lambda: server.batch(batch)["status"] == "completed", seconds=240)
    assert set(placed.engine.asked.values()) == {1}


def test_a_worker_that_is_stopped_is_asked_and_buried(placed: Rig) -> None:
    """Its actor is killed and it goes along, so it is a machine that stands still that shows it: Ray says so, the ledger asks."""
    workers, coordinator = placed.all_work(), placed.coordinator()
    # Of whoever stands still with it the coordinator would know nothing when it is started elsewhere.
    victim, other = sorted(workers, key=lambda each: coordinator in placed.node_of(each).all())
    node = placed.node_of(victim)
    there = node.all()
    for each in there:
        each.suspend()
    try:
        until(lambda: placed.members() == {other.name})
        until(lambda: json.loads(placed.told("up", "--status", "--json").stdout)["doubted"] >= 1)
    finally:
        for each in there:
            if each.is_running():
                os.kill(each.pid, signal.SIGCONT)
    node.process.wait(120)
    node.kill()
    node.start()
    assert len(placed.all_work()) == 2
