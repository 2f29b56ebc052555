"""`slackwater migrate-data --to ... --files ...`: ledger and files at once."""

import asyncio
import contextlib
import shutil
import signal
from pathlib import Path

import pytest

from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.server import NotStarted
from tests.system.moving_files.desk import DATA, LINES, MOVE, A, Desk, named
from tests.system.test_postgresql import completed, ended, until, whole

pytestmark = pytest.mark.timeout(600)

# With the ledger: after which steps a process dies; those next to the one that decides are tried in a normal run.
TOGETHER = {
    "postgresql": [f"{MOVE} decide", f"{DATA} let_ledger_go"],
    "embedded": [f"{MOVE} decide", f"{DATA} let_ledger_in"],
}
MORE_TOGETHER = [f"{MOVE} copy", f"{DATA} settle_files", f"{MOVE} _mark"]
TRIED_TOGETHER = [
    *((to, die) for to, places in TOGETHER.items() for die in places),
    *(pytest.param(to, die, marks=pytest.mark.long) for to in TOGETHER for die in MORE_TOGETHER),
]


@pytest.mark.postgresql
class TestWithTheLedger:
    """Ledger and files at once, to PostgreSQL and a store, and back."""

    def test_a_batch_goes_to_a_cloud_and_back(self, tmp_path: Path, postgresql) -> None:  # type: ignore[no-untyped-def]
        """Each line is there once."""
        with CountingBackend(latency=0.05) as backend:
            desk = Desk(tmp_path, backend.url, database=postgresql.new(template="template1"))
            server = desk.serve()
            batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", LINES)))
            completed(server, batch_id, 100)
            cloud = desk.config(A, database=True)
            busy = desk.migrate(cloud, "--to", "postgresql", "--files", "store")
            assert (busy.returncode, "is in use by another slackwater" in busy.stderr) == (2, True)
            server.kill()
            moved = desk.migrate(cloud, "--to", "postgresql", "--files", "store")
            assert moved.returncode == 0, moved.stderr
            assert f"the files are in {A}; the old ones are kept in {desk.data}/blobs-moved-" in moved.stdout
            assert "the ledger is in postgresql://" in moved.stdout
            assert f"the ledger of {desk.data} moved to postgresql://" in desk.refused()
            server = desk.serve(A, database=True)
            assert server.batch(batch_id)["request_counts"]["completed"] >= 100
            completed(server, batch_id, 600)
            busy = desk.migrate(cloud, "--to", "embedded", "--files", "folder")
            assert (busy.returncode, "the ledger is in use by 1 server or worker (server " in busy.stderr) == (2, True)
            server.kill()
            moved = desk.migrate(cloud, "--to", "embedded", "--files", "folder")
            assert moved.returncode == 0, moved.stderr
            said = desk.refused(A, database=True)
            assert "has a ledger of its own" in said or "moved to the data directory" in said
            server = desk.serve()
            try:
                assert server.batch(batch_id)["request_counts"]["completed"] >= 600
                until(ended(server, batch_id))
                whole(server, batch_id, LINES)
            finally:
                server.terminate()
        assert "Traceback" not in desk.log.read_text()

    @pytest.mark.parametrize(("to", "die"), TRIED_TOGETHER)
    def test_death_leaves_one_of_both(self, desk: Desk, postgresql, to: str, die: str) -> None:  # type: ignore[no-untyped-def]
        """One step decides for ledger and files: a server starts with the old configuration or the new one, never with both."""
        desk.database = postgresql.new(template="template1")
        cloud, there, back = desk.config(A, database=True), ("postgresql", "store"), ("embedded", "folder")
        ledger, files = there if to == "postgresql" else back
        if to == "embedded":
            assert desk.migrate(cloud, "--to", "postgresql", "--files", "store").returncode == 0
        killed = desk.migrate(cloud, "--to", ledger, "--files", files, die=die)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        starts = []
        for name, place, database in (("embedded", "", False), ("postgresql", A, True)):
            copy = Desk(desk.scratch, database=desk.database)
            with contextlib.suppress(NotStarted):
                copy.serve(place, database=database).kill()
                starts.append(name)
        assert len(starts) == 1
        if starts != [to]:
            again = desk.migrate(cloud, "--to", ledger, "--files", files)
            assert again.returncode == 0, again.stderr
        again = desk.migrate(cloud, "--to", ledger, "--files", files)
        assert again.returncode == 0, again.stderr
        assert "already" in again.stdout
        server = desk.serve(A if to == "postgresql" else "", database=to == "postgresql")
        assert [each["status"] for each in server.call("GET", "/batches")["data"]][-1] == "completed"
        server.kill()

    def test_the_files_alone_where_the_ledger_is_a_database(self, desk: Desk, postgresql) -> None:  # type: ignore[no-untyped-def]
        """There and back, with the ledger where it is."""
        desk.database = postgresql.new(template="template1")
        wanted = dict(named(desk.data))
        config = desk.config(A, database=True)
        assert desk.migrate(config, "--to", "postgresql").returncode == 0
        moved = desk.migrate(config, "--files", "store")
        assert moved.returncode == 0, moved.stderr
        assert asyncio.run(desk.store(A).contents()) == wanted
        server = desk.serve(A, database=True)
        # Nobody else has the folder: the server is found at its database.
        busy = desk.migrate(config, "--files", "folder", data=_elsewhere(desk))
        assert (busy.returncode, "the ledger is in use by 1 server or worker (server " in busy.stderr) == (1, True), (
            busy.stderr
        )
        server.kill()
        moved = desk.migrate(config, "--files", "folder")
        assert moved.returncode == 0, moved.stderr
        assert f"the files of {desk.data}" in desk.refused(A, database=True)
        desk.serve(database=True).kill()


def _elsewhere(desk: Desk) -> Path:
    other = desk.scratch / "other"
    shutil.copytree(desk.data, other)
    return other
