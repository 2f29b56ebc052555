"""Back-ups of a ledger on PostgreSQL and its files, made as docs/postgresql.md has it while batches run, and put back."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.cluster.cluster import Cluster, ended, until, whole
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import Postgresql, running
from tests.server import Server

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

LINES = 3000


def lines_of(name: str) -> int:
    """How long a batch is."""
    return 300 if name == "short" else LINES


@pytest.fixture
def server() -> Iterator[Postgresql]:
    """A PostgreSQL that keeps what it is told."""
    with running(careless=False) as started:
        yield started


@pytest.fixture
def archive() -> Iterator[Path]:
    """A folder for PostgreSQL's log, to which its user may write."""
    with tempfile.TemporaryDirectory(prefix="slackwater-pg-", ignore_cleanup_errors=True) as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "archive"
        folder.mkdir()
        folder.chmod(0o777)
        yield folder


def tool(server: Postgresql, name: str, *arguments: str | Path) -> None:
    """One of PostgreSQL's programs, as whoever makes back-ups."""
    done = subprocess.run([server.program(name), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def recovered(folder: Path, address: str, config: Path) -> tuple[Path, str]:
    """The configuration of what was put back, once `slackwater recover` has said that it counts, and what that has said."""
    copy = folder / "restored.toml"
    lines = config.read_text().splitlines()
    copy.write_text("\n".join(f'database = "{address}"' if line.startswith("database") else line for line in lines))
    command = ["recover", "--config", str(copy), "--data", str(folder / "restored"), "--yes"]
    done = subprocess.run([sys.executable, "-m", "slackwater", *command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return copy, done.stdout


@pytest.mark.parametrize("twice", [True, False], ids=["copied twice", "copied once"])
def test_a_dump_and_the_files(tmp_path: Path, server: Postgresql, twice: bool) -> None:
    """While one batch runs, one waits and one ends between dump and copy. All of them end there, each line once.

    The results of the one that has ended are missing where they were not copied before the dump, too: that is told, and those
    lines have failed.
    """
    with psycopg.connect(server.address("postgres"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE first")
        admin.execute("CREATE DATABASE second ENCODING 'UTF8' TEMPLATE template0")
    with (
        CountingBackend(latency=0.05) as backend,
        Cluster(tmp_path, server.address("first"), backend, concurrency=16) as cluster,
    ):
        first = cluster.start()
        names = ("long", "short", "later")
        files = {name: first.upload(f"{name}.jsonl", input_lines(name, lines_of(name))) for name in names}
        batches = {}
        for name in ("long", "short"):
            batches[name] = first.create_batch(files[name])
            until(lambda name=name: first.batch(batches[name])["request_counts"]["completed"] > 50)
        batches["later"] = first.create_batch(files["later"])
        if twice:
            shutil.copytree(cluster.data, tmp_path / "restored")
        tool(server, "pg_dump", "--format=custom", f"--file={tmp_path / 'ledger.dump'}", server.address("first"))
        until(lambda: ended(first, batches["short"]))
        until(lambda: not list((cluster.data / "blobs" / "logs" / batches["short"]).glob("*")))
        shutil.copytree(cluster.data, tmp_path / "restored", dirs_exist_ok=True)
        missed = first.upload("missed.jsonl", input_lines("missed", 3))
        tool(server, "pg_restore", "--no-owner", f"--dbname={server.address('second')}", tmp_path / "ledger.dump")
        with psycopg.connect(server.address("second")) as looked:
            assert looked.execute("SELECT count(*) FROM batch WHERE stage != 'ended'").fetchone() == (3,)
        config, said = recovered(tmp_path, server.address("second"), cluster.config)
        assert ("that it names are missing" in said) == (not twice)
        restored = Server(config, tmp_path / "restored", tmp_path / "restored.log")
        try:
            for name, batch_id in batches.items():
                until(lambda batch_id=batch_id: ended(restored, batch_id), seconds=120)
                if twice or name != "short":
                    whole(restored, batch_id, lines_of(name), name, account=False)
            counts = restored.batch(batches["short"])["request_counts"]
            assert (counts["completed"] + counts["failed"], counts["failed"] > 0) == (lines_of("short"), not twice)
            with pytest.raises(AssertionError, match="404"):
                restored.call("GET", f"/files/{missed}")
        finally:
            restored.terminate()
        # Those of the original go on beside it.
        for name, batch_id in batches.items():
            until(lambda batch_id=batch_id: ended(first, batch_id), seconds=120)
            whole(first, batch_id, lines_of(name), name, account=False)


def test_a_moment_of_the_past(tmp_path: Path, archive: Path) -> None:
    """Point-in-time recovery: a base backup, the log that was archived since up to a moment, and files copied around it."""
    keeping = {"archive_mode": "on", "archive_command": f"cp %p {archive}/%f"}
    with (
        running(careless=False, settings=keeping) as server,
        CountingBackend(latency=0.05) as backend,
        Cluster(tmp_path, server.address("postgres"), backend, concurrency=16) as cluster,
    ):
        copy = server.copy(archive.parent / "copy")
        first = cluster.start()
        batch_id = first.create_batch(first.upload("in.jsonl", input_lines("line", LINES)))
        until(lambda: first.batch(batch_id)["request_counts"]["completed"] > 100)
        shutil.copytree(cluster.data, tmp_path / "restored")
        ((moment,),) = cluster.asked("SELECT now()::text")
        known = first.batch(batch_id)["request_counts"]["completed"]
        until(lambda: first.batch(batch_id)["request_counts"]["completed"] > known + 100)
        lost = first.upload("lost.jsonl", input_lines("lost", 3))
        shutil.copytree(cluster.data, tmp_path / "restored", dirs_exist_ok=True)
        ((segment,),) = cluster.asked("SELECT pg_walfile_name(pg_switch_wal())")
        until(lambda: (archive / str(segment)).exists())
        first.kill()
        server.kill()
        copy.settings |= {
            "restore_command": f"cp {archive}/%f %p",
            "recovery_target_time": str(moment),
            "recovery_target_action": "promote",
        }
        copy.touch("recovery.signal")
        copy.start()
        try:
            with psycopg.connect(copy.address("postgres"), autocommit=True) as db:
                until(lambda: db.execute("SELECT NOT pg_is_in_recovery()").fetchone() == (True,))
            config, _ = recovered(tmp_path, copy.address("postgres"), cluster.config)
            restored = Server(config, tmp_path / "restored", tmp_path / "restored.log")
            try:
                until(lambda: ended(restored, batch_id), seconds=120)
                whole(restored, batch_id, LINES)
                with pytest.raises(AssertionError, match="404"):
                    restored.call("GET", f"/files/{lost}")
            finally:
                restored.terminate()
        finally:
            copy.stop()
