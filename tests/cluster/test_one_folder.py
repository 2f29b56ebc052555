"""The data directory of several servers is one folder, on a file system whose locks hold over all of them; real processes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, until
from tests.crash.counting_backend import CountingBackend
from tests.postgresql import Databases
from tests.server import NotStarted, Server

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

ELSEWHERE = ("tests.cluster.other_machine", "serve")


@pytest.fixture
def cluster(tmp_path: Path, postgresql: Databases) -> Any:
    """One with no server yet."""
    address = postgresql.new(template="template1")
    with CountingBackend(latency=0.0) as backend, Cluster(tmp_path, address, backend) as made:
        yield made


def told(cluster: Cluster, data: Path, about: str, *, kind: str = "copy") -> list[dict[str, str]]:
    """What the doctor finds of that, on a machine of that kind."""
    words = ["doctor", "--config", str(cluster.config), "--data", str(data), "--json"]
    said = subprocess.run(
        [sys.executable, "-m", ELSEWHERE[0], *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"SLACKWATER_TEST_MACHINE": kind},
    )
    return [each for each in json.loads(said.stdout)["findings"] if each["about"] == about]


def refused(cluster: Cluster, kind: str) -> str:
    """The last line of a server that does not start."""
    with pytest.raises(NotStarted):
        cluster.start(module=ELSEWHERE, environment={"SLACKWATER_TEST_MACHINE": kind})
    said = cluster.last_log()
    assert "Traceback" not in said
    return said.splitlines()[-1]


def test_servers_see_each_other(cluster: Cluster) -> None:
    """Each answers what the other one has written, and nobody has anything to say of it. The doctor sees both."""
    first, second = cluster.start(), cluster.start()
    one, two = cluster.name(first), cluster.name(second)
    members = cluster.data / "members"
    until(lambda: {path.name for path in members.iterdir()} == {one, two, f"{one}.{two}", f"{two}.{one}"})
    assert {each["level"] for each in told(cluster, cluster.data, "shared directory")} == {"ok"}
    assert [each.terminate() for each in (first, second)] == [0, 0]
    assert list(members.iterdir()) == []
    assert not any(
        word in cluster.log(each) for each in (first, second) for word in ("apart", "unanswered", "doubtful")
    )


def test_one_that_does_not_see_the_others_locks(cluster: Cluster) -> None:
    """As on NFS with nolock: each alone is fine, and both together are not. Before it works with anything it is refused."""
    first = cluster.start()
    # Alone on its machine it keeps every promise.
    said = refused(cluster, "own-locks")
    assert (
        f"is not seen in {cluster.data}: this is a copy of its data directory, or each machine there has locks" in said
    )
    until(lambda: cluster.asked("SELECT id FROM member") == [(cluster.name(first),)])


def test_no_locks_at_all(cluster: Cluster) -> None:
    """One line, with what it is."""
    said = refused(cluster, "no-locks")
    assert said.startswith(
        f"error: data directory {cluster.data} is on a file system without locks (flock: No locks available)"
    )


def test_how_it_is_mounted(cluster: Cluster) -> None:
    """What cannot work is refused before anything is tried; what is doubtful is said, by a start and by the doctor."""
    said = refused(cluster, "nolock")
    assert said.startswith(
        f"error: data directory {cluster.data} is on NFS with nolock: servers on other machines do not see"
    )
    assert "mount it with vers=4.1 or later, hard" in said
    doubtful = cluster.start(module=ELSEWHERE, environment={"SLACKWATER_TEST_MACHINE": "memory"})
    assert "data_directory_doubtful" in cluster.log(doubtful)
    assert "is in memory (tmpfs): all of it is gone when this machine starts again fix=use a disk" in cluster.log(
        doubtful
    )
    for kind, level in (("nolock", "fault"), ("memory", "warning"), ("copy", "ok")):
        assert level in {each["level"] for each in told(cluster, cluster.data, "data directory", kind=kind)}


def test_a_copy_of_the_directory(cluster: Cluster, tmp_path: Path) -> None:
    """It has the words of the others, and not their locks: a disk that was cloned, or a folder that is synchronized."""
    first = cluster.start()
    copy = tmp_path / "copy"
    shutil.copytree(cluster.data, copy)
    (found,) = (each for each in told(cluster, copy, "shared directory") if each["level"] == "fault")
    assert "is not seen" in found["message"]
    log = tmp_path / "copy.log"
    with pytest.raises(NotStarted):
        Server(cluster.config, copy, log, {"SLACKWATER_TEST_MACHINE": "copy"}, module=ELSEWHERE)
    said = log.read_text().splitlines()[-1]
    assert (
        f"is not seen in {copy}: this is a copy of its data directory, or each machine there has locks of its own"
        in said
    )
    until(lambda: cluster.asked("SELECT id FROM member") == [(cluster.name(first),)])
    # Nor has it left anything there, or anybody been disturbed.
    assert first.process.poll() is None
    assert {path.name for path in (copy / "members").iterdir()} == {cluster.name(first)}


def test_one_of_the_version_before(cluster: Cluster) -> None:
    """It locks nothing and answers nothing: nobody expects that, and an upgrade goes on beside it."""
    old = cluster.start(module=ELSEWHERE, environment={"SLACKWATER_TEST_MACHINE": "older"})
    assert (cluster.data / "members" / cluster.name(old)).read_bytes() == b""
    new = cluster.start()
    until(lambda: len(cluster.asked("SELECT id FROM member")) == 2)
    assert old.terminate() == new.terminate() == 0
    assert not any(word in cluster.log(new) for word in ("member_apart", "member_unanswered"))


def test_one_that_has_died_keeps_nobody_out(cluster: Cluster) -> None:
    """Its word is there, its lock is not, and the ledger has it as a member until somebody notices: the next one waits."""
    first = cluster.start()
    name = cluster.name(first)
    first.kill()
    second = cluster.start()
    assert cluster.asked("SELECT id FROM member") == [(cluster.name(second),)]
    assert name in {path.name for path in (cluster.data / "members").iterdir()}
