"""Two servers over one ledger and one data directory: they share the work; one goes on where the other died or was stopped."""

import json
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from slackwater.core.members import YOUNG_SECONDS
from tests.cluster.cluster import Cluster, answers, ended, until, whole
from tests.cluster.gate import Gate
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Databases, running
from tests.server import NotStarted, Server

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(600)]

# Longer than a member is believed after it has said that it lives.
STOPPED_SECONDS = 20.0
ROUNDS = 20


@pytest.fixture
def address(postgresql: Databases) -> str:
    """A database that nothing is in, not even a schema."""
    return postgresql.new(template="template1")


def test_two_share_a_batch(tmp_path: Path, address: str) -> None:
    """Both send its lines; each line is asked for once and ends once, whichever of them is asked for the results."""
    with CountingBackend(latency=0.05) as backend, Cluster(tmp_path, address, backend) as cluster:
        first, second = cluster.start(), cluster.start()
        batch_id = first.create_batch(second.upload("in.jsonl", input_lines("line", 8000)))
        until(lambda: len(cluster.holding()) == 2)
        until(lambda: ended(second, batch_id))
        whole(first, batch_id, 8000)
        assert {len(times) for times in backend.received.values()} == {1}
        assert [each.terminate() for each in (first, second)] == [0, 0]
        assert cluster.asked("SELECT count(*) FROM member") == [(0,)]
        assert cluster.asked("SELECT count(*) FROM duty") == [(0,)]


@pytest.mark.parametrize("watcher", [True, False], ids=["the one that watches", "another one"])
def test_the_next_claim_comes_soon(tmp_path: Path, address: str, watcher: bool) -> None:
    """kill -9 of the one that has a shard: the other one has it a moment later, and nothing is lost or there twice."""
    took = []
    with CountingBackend(latency=0.2) as backend, Cluster(tmp_path, address, backend, concurrency=4) as cluster:
        survivor = cluster.start()
        # Of a database that has just been started nobody knows who has lost what.
        up = f"SELECT clock_timestamp() - pg_postmaster_start_time() > interval '{YOUNG_SECONDS} s'"
        until(lambda: cluster.asked(up) == [(True,)])
        for number in range(ROUNDS):
            if watcher:
                # It has watched for longer.
                victim, survivor = survivor, cluster.start()
            else:
                victim = cluster.start()
            lines, prefix, holder = 60, "", ""
            while holder != cluster.name(victim):
                # The other one may have been quicker.
                prefix += f"round{number}-"
                batch_id = victim.create_batch(victim.upload("in.jsonl", input_lines(prefix, lines)))
                until(lambda: len(cluster.holding()) == 1, gap=0.002)
                (holder,) = cluster.holding()
                if holder != cluster.name(victim):
                    until(lambda survivor=survivor, batch_id=batch_id: ended(survivor, batch_id))
            until(
                lambda survivor=survivor, batch_id=batch_id: survivor.batch(batch_id)["request_counts"]["completed"] > 4
            )
            killed = time.monotonic()
            victim.kill()
            until(lambda survivor=survivor: cluster.holding() == {cluster.name(survivor)}, gap=0.002)
            took.append(time.monotonic() - killed)
            until(lambda survivor=survivor, batch_id=batch_id: ended(survivor, batch_id))
            whole(survivor, batch_id, lines, prefix, account=False)
            # In flight, and what was answered in the last moment before.
            assert (
                sum(len(times) for text, times in backend.received.items() if text.startswith(f"{prefix} "))
                <= lines + 4 + 8
            )
    print(json.dumps({"median": round(statistics.median(took), 3), "worst": round(max(took), 3)}))
    assert max(took) < 1.5


@pytest.mark.parametrize("duty", ["validate", "finalize"])
def test_killed_while_it_does_what_only_one_does(tmp_path: Path, address: str, duty: str) -> None:
    """The other one does it, and the batch ends as if nothing had been."""
    lines = 6000
    with CountingBackend(latency=0.0) as backend, Cluster(tmp_path, address, backend, concurrency=64) as cluster:
        first, second = cluster.start(), cluster.start()
        batch_id = first.create_batch(second.upload("in.jsonl", input_lines("line", lines)))
        until(lambda: cluster.holding(duty), seconds=110, gap=0.001)
        (name,) = cluster.holding(duty)
        victim = cluster.server_of(name)
        victim.kill()
        survivor = second if victim is first else first
        until(lambda: ended(survivor, batch_id), seconds=110)
        whole(survivor, batch_id, lines)
        until(lambda: cluster.asked("SELECT id FROM member") == [(cluster.name(survivor),)])
        assert "member_buried" in cluster.log(survivor)


@pytest.mark.parametrize("watcher", [True, False], ids=["the one that watches", "another one"])
def test_one_that_is_stopped_and_wakes(tmp_path: Path, address: str, watcher: bool) -> None:
    """Others go on with what it had. When it wakes it finds that out, sends nothing more, and ends, to be started again."""
    lines = 1500
    with CountingBackend(latency=0.3) as backend, Cluster(tmp_path, address, backend, concurrency=8) as cluster:
        first, second = cluster.start(), cluster.start()
        zombie, survivor = (first, second) if watcher else (second, first)
        batch_id = zombie.create_batch(zombie.upload("in.jsonl", input_lines("line", lines)))
        until(lambda: len(cluster.holding()) == 2)
        zombie.process.send_signal(signal.SIGSTOP)
        stopped, mine = time.monotonic(), cluster.name(zombie)
        until(lambda: mine not in cluster.holding())
        assert cluster.asked(f"SELECT * FROM member WHERE id = '{mine}'") == []
        until(lambda: time.monotonic() - stopped > STOPPED_SECONDS)
        zombie.process.send_signal(signal.SIGCONT)
        assert zombie.process.wait(10) == 1
        assert "took this one for dead" in cluster.log(zombie)
        # Its supervisor starts it again.
        again = cluster.start()
        until(lambda: ended(again, batch_id), seconds=110)
        whole(survivor, batch_id, lines)
        # What it had in flight, and what it may have sent in the moment before it knew.
        assert sum(len(times) - 1 for times in backend.received.values()) <= 8 + 8 + 8


def test_the_slots_of_one_that_was_killed(tmp_path: Path, address: str) -> None:
    """Its kernel has closed its connections, so they are the others' a moment later. Those of one that is stopped are not."""
    out = "SELECT gone, until - extract(epoch FROM clock_timestamp()) FROM engine_slots WHERE engine != '' AND member = '{}'"
    with CountingBackend(latency=0.3) as backend, Cluster(tmp_path, address, backend, concurrency=8) as cluster:
        survivor, killed, stopped = cluster.start(), cluster.start(), cluster.start()
        up = f"SELECT clock_timestamp() - pg_postmaster_start_time() > interval '{YOUNG_SECONDS} s'"
        until(lambda: cluster.asked(up) == [(True,)])
        survivor.create_batch(survivor.upload("in.jsonl", input_lines("line", 8000)))
        slots = "SELECT count(*) FROM engine_slots WHERE engine != '' AND slots > 0"
        until(lambda: cluster.asked(slots) == [(3,)])
        for victim, number, gone in ((killed, signal.SIGKILL, 1), (stopped, signal.SIGSTOP, 0)):
            name = cluster.name(victim)
            victim.process.send_signal(number)
            until(lambda name=name: name not in cluster.member_names())
            ((said, left),) = cluster.asked(out.format(name))
            assert said == gone
            assert not gone or float(str(left)) <= 1.0
        until(lambda: cluster.asked(out.format(cluster.name(survivor))))


def test_one_that_is_cut_off_from_the_database(tmp_path: Path, address: str) -> None:
    """Others go on with what it had. Once it reaches the database again, nothing that it brings counts, and it ends."""
    lines = 1500
    gate = Gate(Path(address.partition("host=")[2]))
    with CountingBackend(latency=0.3) as backend, Cluster(tmp_path, address, backend, concurrency=8) as cluster:
        survivor, lost = cluster.start(), cluster.start(port=gate.port)
        batch_id = survivor.create_batch(lost.upload("in.jsonl", input_lines("line", lines)))
        until(lambda: len(cluster.holding()) == 2)
        name = cluster.name(lost)
        gate.cut()
        until(lambda: name not in cluster.holding())
        gate.mend()
        assert lost.process.wait(30) == 1
        assert "took this one for dead" in cluster.log(lost)
        until(lambda: ended(survivor, batch_id), seconds=110)
        whole(survivor, batch_id, lines)
    gate.close()


def test_one_that_loses_its_connection_again_and_again(tmp_path: Path, address: str) -> None:
    """It lives, as its lock in the data directory shows: nobody buries it, and nothing is asked for twice."""
    with CountingBackend(latency=0.05) as backend, Cluster(tmp_path, address, backend, concurrency=8) as cluster:
        first, second = cluster.start(), cluster.start()
        names = {cluster.name(first), cluster.name(second)}
        # Who has just come buries nobody for that.
        signal.sigtimedwait([], YOUNG_SECONDS + 1.0)
        batch_id = first.create_batch(first.upload("in.jsonl", input_lines("line", 1000)))
        until(lambda: len(backend.answered) > 50)
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'slackwater member % {}'"
        limit = time.monotonic() + 2.0
        while time.monotonic() < limit:
            cluster.asked(cut.format(cluster.name(second)))
        until(lambda: ended(first, batch_id))
        whole(first, batch_id, 1000)
        assert {len(times) for times in backend.received.values()} == {1}
        assert cluster.member_names() == names
        assert "member_buried" not in cluster.log(first)
        assert [each.terminate() for each in (first, second)] == [0, 0]


def test_a_machine_of_its_own_kind_is_refused(tmp_path: Path, address: str) -> None:
    """A directory whose ledger is a shared one has no place for a server with a ledger of its own."""
    with CountingBackend(latency=0.0) as backend, Cluster(tmp_path, address, backend) as cluster:
        cluster.start()
        embedded = tmp_path / "embedded.toml"
        embedded.write_text('[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {}\n')
        with pytest.raises(NotStarted):
            Server(embedded, cluster.data, tmp_path / "embedded.log")
        assert "is in use by another slackwater" in (tmp_path / "embedded.log").read_text()


def test_many_start_at_once(tmp_path: Path, address: str) -> None:
    """None of them is refused: neither for the lock of the others, nor for the mark that one of them is just raising."""
    with CountingBackend(latency=0.0) as backend, Cluster(tmp_path, address, backend) as cluster:
        for _ in range(2):
            starting = [threading.Thread(target=cluster.start) for _ in range(3)]
            for each in starting:
                each.start()
            for each in starting:
                each.join()
        assert len(cluster.servers) == 6
        assert len(cluster.asked("SELECT id FROM member")) == 6
        doctor = [
            sys.executable,
            "-m",
            "slackwater",
            "doctor",
            "--config",
            str(cluster.config),
            "--data",
            str(cluster.data),
        ]
        said = subprocess.run([*doctor, "--json"], capture_output=True, text=True, timeout=60).stdout
        (found,) = (each for each in json.loads(said)["findings"] if each["about"] == "members")
        assert found["level"] == "ok"
        assert found["message"].startswith("6 servers and workers work with the ledger")
        cluster.servers[0].kill()
        until(lambda: len(cluster.asked("SELECT id FROM member")) == 5)


def test_a_killed_database_buries_nobody(tmp_path: Path) -> None:
    """All members have lost their locks, and their time is over: whoever is back first waits for the others."""
    lines = 1500
    with running(careless=False) as mortal, CountingBackend(latency=0.05) as backend:
        with Cluster(tmp_path, mortal.address("postgres"), backend, concurrency=8) as cluster:
            first, second = cluster.start(), cluster.start()
            batch_id = first.create_batch(second.upload("in.jsonl", input_lines("line", lines)))
            until(lambda: len(cluster.holding()) == 2)
            mortal.kill()
            away = time.monotonic()
            until(lambda: time.monotonic() - away > STOPPED_SECONDS)
            mortal.start()
            cluster.connect()
            # Each of a server's connections is back in its own time, and calls are refused meanwhile.
            until(lambda: cluster.asked("SELECT stage FROM batch") == [("ended",)], seconds=110)
            until(lambda: answers(second))
            whole(second, batch_id, lines)
            assert [each.process.poll() for each in (first, second)] == [None, None]
            assert len(cluster.asked("SELECT id FROM member")) == 2
            assert not any("member_buried" in cluster.log(each) for each in (first, second))
