"""A data directory that is not mounted, or misspelt, beside a ledger on PostgreSQL: refused before a batch suffers."""

import functools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slackwater.adapters.disk.data_directory import MARK, mark_in
from tests.cluster.cluster import Cluster, ended, until, whole
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Databases
from tests.server import NotStarted

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

LINES = 50


@pytest.fixture
def cluster(tmp_path: Path, postgresql: Databases) -> Iterator[Cluster]:
    """One with no server yet, on a database that nothing is in."""
    address = postgresql.new(template="template1")
    with CountingBackend(latency=0.0) as backend, Cluster(tmp_path, address, backend) as made:
        yield made


def waiting(cluster: Cluster) -> str:
    """A batch that nobody has sent yet; whoever took it has ended."""
    server = cluster.start("--no-sending")
    batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", LINES)))
    until(lambda: server.batch(batch_id)["status"] == "in_progress")
    assert server.terminate() == 0
    return batch_id


def command(cluster: Cluster, *words: str) -> "subprocess.CompletedProcess[str]":
    """What another command says of the directory."""
    line = [sys.executable, "-m", "slackwater", *words, "--config", str(cluster.config), "--data", str(cluster.data)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("below", ["nothing", "an empty folder", "other things"])
@pytest.mark.parametrize("starts", [1, 2])
def test_it_is_refused_until_it_is_back(cluster: Cluster, below: str, starts: int) -> None:
    """By servers, workers and all who look, in one line, also after the first start; then the batch is done, each line once."""
    for _ in range(starts - 1):
        assert cluster.start("--no-sending").terminate() == 0
    batch_id = waiting(cluster)
    away = cluster.folder / "away"
    cluster.data.rename(away)
    if below != "nothing":
        cluster.data.mkdir(mode=0o700)
    if below == "other things":
        (cluster.data / "lost+found").mkdir()
        (cluster.data / "members").mkdir()

    def there() -> set[Path] | None:
        return set(cluster.data.rglob("*")) if cluster.data.exists() else None

    before = there()
    for start in (cluster.start, functools.partial(cluster.start, "--no-sending"), cluster.worker):
        with pytest.raises(NotStarted):
            start()
        said = cluster.last_log().splitlines()
        assert "Traceback" not in cluster.last_log()
        assert said[-1].startswith("error: ")
        assert f"nothing in {cluster.data} belongs to the ledger" in said[-1]
        assert "mounted" in said[-1]
        assert "slackwater recover --config" in said[-1]
        assert there() == before
    keys = command(cluster, "keys", "create")
    assert (keys.returncode, "mounted" in keys.stderr) == (2, True), keys.stderr
    looked = command(cluster, "doctor")
    assert (looked.returncode, "mounted" in looked.stdout) == (1, True), looked.stdout
    recovered, moved = command(cluster, "recover"), command(cluster, "migrate-data", "--to", "embedded")
    assert (recovered.returncode, "nothing was changed" in recovered.stdout) == (0, True), recovered.stderr
    assert (moved.returncode, "mounted" in moved.stderr) == (2, before is not None), moved.stderr
    assert there() == before
    assert mark_in(cluster.data) is None
    assert cluster.asked("SELECT status FROM batch") == [("in_progress",)]
    shutil.rmtree(cluster.data, ignore_errors=True)
    away.rename(cluster.data)
    server = cluster.start()
    until(lambda: ended(server, batch_id))
    whole(server, batch_id, LINES)


@pytest.mark.parametrize("left", ["the mark", "an older copy"])
def test_one_that_has_its_mark_and_not_its_files(cluster: Cluster, left: str) -> None:
    """Emptied but for it, or a copy from before: refused in one line, and no line ends for it; then the batch is done."""
    assert cluster.start("--no-sending").terminate() == 0
    early = cluster.folder / "early"
    shutil.copytree(cluster.data, early)
    batch_id = waiting(cluster)
    away = cluster.folder / "away"
    cluster.data.rename(away)
    if left == "the mark":
        cluster.data.mkdir(mode=0o700)
    else:
        early.rename(cluster.data)
    shutil.copy(away / MARK, cluster.data / MARK)
    for start in (cluster.start, cluster.worker):
        with pytest.raises(NotStarted):
            start()
        said = cluster.last_log().splitlines()
        assert said[-1].startswith("error: ")
        assert f"{cluster.data} has the mark of the ledger" in said[-1]
        assert "slackwater recover --config" in said[-1]
    looked = command(cluster, "doctor")
    assert (looked.returncode, "lacks files that it needs" in looked.stdout) == (1, True), looked.stdout
    assert cluster.asked("SELECT status, failed FROM batch") == [("in_progress", 0)]
    shutil.copytree(away / "blobs", cluster.data / "blobs", dirs_exist_ok=True)
    server = cluster.start()
    until(lambda: ended(server, batch_id))
    whole(server, batch_id, LINES)


def test_files_that_are_gone_for_good(cluster: Cluster) -> None:
    """Whoever knows that says so, after hearing what it means; what a batch cannot do without them is said of its lines."""
    batch_id = waiting(cluster)
    shutil.rmtree(cluster.data)
    with pytest.raises(NotStarted):
        cluster.start()
    said = command(cluster, "recover")
    assert said.returncode == 0
    assert "that it names are missing or cut off and stay so" in said.stdout
    assert not (cluster.data / MARK).exists()
    done = command(cluster, "recover", "--yes")
    assert (done.returncode, "done" in done.stdout) == (0, True), done.stderr
    server = cluster.start()
    until(lambda: server.batch(batch_id)["status"] == "completed")
    assert server.batch(batch_id)["request_counts"]["failed"] == LINES


def test_a_ledger_that_is_new(cluster: Cluster) -> None:
    """It takes any directory that is empty; so does one whose first start has died before it came to the mark."""
    assert cluster.start().terminate() == 0
    mark = mark_in(cluster.data)
    assert mark is not None
    assert mark.generation == 1
    shutil.rmtree(cluster.data)
    assert cluster.start().terminate() == 0
