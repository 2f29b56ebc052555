"""Who works with a ledger, as each of several servers says it, and what of their metrics only one says: real processes."""

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from slackwater.telemetry.names import METRICS
from tests.cluster.cluster import Cluster, until
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Databases
from tests.server import Server

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]
OF_LEDGER = {each.name for each in METRICS if each.of_ledger}


@pytest.fixture
def address(postgresql: Databases) -> str:
    """A database that nothing is in, not even a schema."""
    return postgresql.new(template="template1")


def asked(server: Server) -> Any:
    """The list of members that a server gives."""
    with urllib.request.urlopen(f"http://{server.address}/v1/members", timeout=30) as answer:
        return json.load(answer)


def members(server: Server) -> dict[str, Any]:
    """The members by their names."""
    return {each["id"]: each for each in asked(server)["data"]}


def test_each_says_the_same_of_all(tmp_path: Path, address: str) -> None:
    """What each holds, wherever it is asked for: shards, calls, slots of the engine that they divide, and how quickly they go."""
    with CountingBackend(latency=0.1) as backend, Cluster(tmp_path, address, backend, concurrency=8) as cluster:
        first, second = cluster.start(), cluster.start()
        names = [cluster.name(each) for each in (first, second)]
        first.create_batch(second.upload("in.jsonl", input_lines("line", 8000)))
        held = ("shards", "requests_out", "engines", "tokens_per_second")
        for server in (first, second):
            until(lambda server=server: all(each[what] for each in members(server).values() for what in held))
            seen = members(server)
            assert list(seen) == names
            assert [each["here"] for each in seen.values()] == [server is first, server is second]
            assert [each["watching"] for each in seen.values()].count(True) == 1
            assert {each["state"] for each in seen.values()} == {"ok"}
            assert {each["kind"] for each in seen.values()} == {"server"}
            assert all(each["lag_seconds"] < 9 for each in seen.values())
            # Both are on one machine, and so is the database.
            assert all(abs(each["clock_ahead_seconds"]) < 1 for each in seen.values())
            assert all(shards["deployment"] == "crash" for each in seen.values() for shards in each["shards"])
            slots = [engine["slots"] for each in seen.values() for engine in each["engines"]]
            assert len(slots) == 2
            assert sum(slots) <= 8
        answer = asked(first)
        assert answer["warnings"] == []
        assert answer["shared"] is True


def test_one_that_is_stopped_and_one_that_leaves(tmp_path: Path, address: str) -> None:
    """Whoever says nothing is late first; whoever ends gently says so until its calls are back; who is gone is in no list."""
    with CountingBackend(latency=8.0) as backend, Cluster(tmp_path, address, backend, concurrency=4) as cluster:
        first, second = cluster.start(), cluster.start()
        stopped, leaving = cluster.name(second), cluster.name(first)
        until(lambda: len(members(first)) == 2)
        second.process.send_signal(signal.SIGSTOP)
        until(lambda: members(first)[stopped]["state"] == "late")
        [warning] = [each for each in asked(first)["warnings"] if each["kind"] == "member_late"]
        assert stopped in warning["message"]
        assert "15 s" in warning["message"]
        until(lambda: stopped not in members(first))
        third = cluster.start()
        first.create_batch(first.upload("in.jsonl", input_lines("line", 40)))
        until(lambda: members(third)[leaving]["requests_out"])
        first.process.send_signal(signal.SIGTERM)
        until(lambda: members(third)[leaving]["state"] == "leaving")
        assert members(third)[leaving]["requests_out"]
        until(lambda: leaving not in members(third))
        assert first.process.wait(30) == 0


def test_a_configuration_that_differs_is_told(tmp_path: Path, address: str) -> None:
    """By its section, without anything that is in it."""
    with CountingBackend(latency=0.1) as backend, Cluster(tmp_path, address, backend) as cluster:
        first = cluster.start()
        cluster.config.write_text(cluster.config.read_text() + 'headers = { x-secret = "hunter2hunter2" }\n')
        second = cluster.start()
        until(lambda: asked(first)["warnings"])
        [warning] = asked(first)["warnings"]
        assert warning["kind"] == "configurations_differ"
        assert "[deployments]" in warning["message"]
        assert all(cluster.name(each) in warning["message"] for each in (first, second))
        said = cluster.asked("SELECT facts FROM standing")
        assert said
        assert "hunter2" not in str(said)


def page(server: Server) -> dict[str, float]:
    """The series of a metrics page that are the same for all servers of a ledger."""
    with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    series = dict(each.rsplit(" ", 1) for each in lines if not each.startswith("#"))
    return {name: float(value) for name, value in series.items() if name.partition("{")[0] in OF_LEDGER}


def test_what_is_the_same_for_all_is_shown_by_one(tmp_path: Path, address: str) -> None:
    """So that the sum over all pages is right. When that one is gone, another one has it."""
    with CountingBackend(latency=0.1) as backend, Cluster(tmp_path, address, backend) as cluster:
        first, second = cluster.start(), cluster.start()
        first.create_batch(second.upload("in.jsonl", input_lines("line", 8000)))
        until(lambda: len(cluster.holding()) == 2)
        alone = page(first)
        assert alone['slackwater_members{kind="server"}'] == 2
        assert alone['slackwater_batches{status="in_progress"}'] == 1
        assert alone["slackwater_ledger_read"] == 1
        # All are asked in turn, as a collector does it; a page is the same for a second.
        until(lambda: [set(page(each)) for each in (first, second)] == [set(alone), set()], gap=1.1)
        first.kill()
        until(lambda: page(second).get('slackwater_members{kind="server"}') == 1, gap=1.1)
        assert set(page(second)) == set(alone)


def slackwater(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "slackwater", *words], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def examined(cluster: Cluster, about: str) -> list[tuple[str, str]]:
    """What the doctor says of something: how bad it is, and the words."""
    done = slackwater(
        "doctor", "--config", str(cluster.config), "--data", str(cluster.data), "--json", cwd=cluster.folder
    )
    return [(each["level"], each["message"]) for each in json.loads(done.stdout)["findings"] if each["about"] == about]


def test_the_doctor_and_the_command(tmp_path: Path, address: str) -> None:
    """Both know who there is and what they hold, without a server; and what is wrong with them together."""
    with CountingBackend(latency=0.2) as backend, Cluster(tmp_path, address, backend, concurrency=4) as cluster:
        first, second = cluster.start(), cluster.start()
        first.create_batch(second.upload("in.jsonl", input_lines("line", 4000)))
        until(lambda: all(each["shards"] and each["requests_out"] for each in members(first).values()))
        [(level, said)] = examined(cluster, "members")
        assert level == "ok"
        assert said.startswith("2 servers and workers work with the ledger")
        for server in (first, second):
            assert f"{cluster.name(server)} on " in said
        assert said.count("server of version") == 2
        assert said.count("the one that watches") == 1
        assert said.count(" shards in hand") == 2
        [(level, said)] = examined(cluster, "connections")
        assert "2 servers and workers and one more may need 27, 9 each" in said
        # The command, of the database and of a server, says the same.
        options = (("--config", str(cluster.config)), ("--server", f"http://{first.address}"))
        for words in options:
            done = slackwater("members", "--json", *words, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            found = json.loads(done.stdout)
            assert [each["id"] for each in found["data"]] == [cluster.name(each) for each in (first, second)]
            assert found["warnings"] == []
            listed = slackwater("members", *words, cwd=tmp_path).stdout.splitlines()
            rows = [line.split("\t") for line in listed]
            assert [row[0] for row in rows] == [cluster.name(each) for each in (first, second)]
            assert all("shard" in row[6] for row in rows)
            assert [row[4] for row in rows] == ["ok", "ok"]
            assert [row[6].startswith("watch over the others, ") for row in rows].count(True) == 1
        both = slackwater("members", *options[0], *options[1], cwd=tmp_path)
        assert both.returncode == 2
        # Another configuration, and another directory, than those that the members have.
        cluster.config.write_text(cluster.config.read_text() + "attempts = 3\n")
        (cluster.data / "members" / cluster.name(second)).unlink()
        warned = [said for level, said in examined(cluster, "members") if level == "warning"]
        assert [each for each in warned if "[deployments]" in each and cluster.name(first) in each]
        [apart] = [each for each in warned if "is not the data directory of" in each]
        assert cluster.name(second) in apart
        assert cluster.name(first) not in apart
