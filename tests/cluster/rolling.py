"""An upgrade beside the version before, under load: `python -m tests.cluster.rolling` runs it with the version that was before.

Two old servers work on a ledger; a new one starts and brings the schema up to date while they do; the old ones are stopped
gently, and one that is started again is refused. All the time users ask every server that is there, upload files and run
small batches. With `--old COMMIT` the old servers are of that state of the repository; without it, of the last one before
the newest step of the schema.
"""

import argparse
import io
import itertools
import json
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from tests.cluster.cluster import Cluster, ended, until, whole
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.postgresql import running
from tests.server import NotStarted, Server

MIGRATIONS = "src/slackwater/adapters/sql/migrations"
SMALL, USERS = 20, 3
Start = Callable[[Cluster], Server]


class Found(Struct, kw_only=True):
    """What users met with, and how long the slowest of their calls took."""

    calls: int = 0
    small_batches: int = 0
    errors: list[str] = []
    slowest_seconds: float = 0.0
    slowest_call: str = ""
    migrated_seconds: float = 0.0
    """From the start of the new server to its greeting."""
    waits: list[str] = []
    """Whom the step had to wait for."""


class Users:
    """Some who ask, one call after the other, whichever server is next; those that are to stop are asked no more."""

    def __init__(self) -> None:
        self.serving: list[Server] = []
        self.batches: dict[str, str] = {}
        """Small ones, and what their lines are called."""
        self.found = Found()
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._turns = itertools.count()
        self._busy: dict[Server, int] = {}
        self._threads = [threading.Thread(target=self._use, args=(number,)) for number in range(USERS)]

    def __enter__(self) -> "Users":
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for each in self._threads:
            each.join()

    def leave(self, server: Server) -> None:
        """As a load balancer does it: nobody new is sent there, and who is there is waited for."""
        self.serving.remove(server)
        until(lambda: not self._busy.get(server))

    def _use(self, user: int) -> None:
        for number in itertools.count():
            if self._done.is_set():
                return
            name = f"user{user}-{number}"
            file_id = self._call(
                "upload", lambda server, name=name: server.upload("in.jsonl", input_lines(name, SMALL))
            )
            if file_id is None:
                continue
            batch_id = self._call("create", lambda server, file_id=file_id: server.create_batch(file_id))
            if batch_id is None:
                continue
            self.batches[batch_id] = name
            for path in (
                "/batches",
                "/files",
                f"/batches/{batch_id}",
                f"/files/{file_id}",
                f"/files/{file_id}/content",
            ):
                self._call(path.split("/")[1], lambda server, path=path: server.raw("GET", path))
            self._done.wait(0.05)

    def _call(self, what: str, call: Callable[[Server], object]) -> object:
        with self._lock:
            server = self.serving[next(self._turns) % len(self.serving)]
            self._busy[server] = self._busy.get(server, 0) + 1
        began = time.monotonic()
        try:
            return call(server)
        except (AssertionError, OSError) as error:
            self.found.errors.append(f"{what}: {error!r}")
            return None
        finally:
            seconds = time.monotonic() - began
            with self._lock:
                self._busy[server] -= 1
                self.found.calls += 1
                if seconds > self.found.slowest_seconds:
                    self.found.slowest_seconds, self.found.slowest_call = round(seconds, 3), what


def names_of(cluster: Cluster) -> str:
    """All members, as a statement has them."""
    return ", ".join(f"'{row[0]}'" for row in cluster.asked("SELECT id FROM member"))


def upgraded(cluster: Cluster, backend: CountingBackend, *, old: Start, new: Start, lines: int = 3000) -> Found:
    """The story. Fails where anything is lost, doubled, asked twice or refused."""
    before = [old(cluster), old(cluster)]
    schema = lambda: cluster.asked("SELECT version FROM schema_version")[0][0]  # noqa: E731
    was = schema()
    big = before[0].create_batch(before[1].upload("in.jsonl", input_lines("line", lines)))
    users = Users()
    users.serving += before
    with users:
        until(lambda: len(users.batches) > 4 and len(cluster.holding()) == 2)
        began = time.monotonic()
        after = new(cluster)
        users.found.migrated_seconds = round(time.monotonic() - began, 3)
        users.found.waits = [each for each in cluster.log(after).splitlines() if "schema_waits" in each]
        users.serving.append(after)
        now = schema()
        assert now != was, "the new server has brought the schema up to date"
        versions = {str(row[0]) for row in cluster.asked("SELECT version FROM member")}
        reached = len(users.batches) + 6
        # Everybody loses every connection, and the old ones make new ones to a ledger that is newer than they are.
        of_servers = f"datname = current_database() AND split_part(application_name, ' ', 4) IN ({names_of(cluster)})"
        assert len(cluster.asked(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {of_servers}")) > 6
        until(lambda: len(users.batches) > reached)
        try:
            old(cluster)
            raise AssertionError("an old server has started on a newer ledger")
        except NotStarted:
            said = cluster.last_log().splitlines()[-1]
            assert f"(schema {now}; this version knows {was})" in said, said
        for each in before:
            users.leave(each)
            assert each.terminate() == 0, cluster.log(each)
            reached = len(users.batches) + 2
            until(lambda reached=reached: len(users.batches) > reached)
    for batch_id, name in users.batches.items():
        until(lambda batch_id=batch_id: ended(after, batch_id))
        whole(after, batch_id, SMALL, name, account=False)
    until(lambda: ended(after, big), seconds=240)
    whole(after, big, lines, account=False)
    users.found.small_batches = len(users.batches)
    asked = [text for text, times in backend.received.items() if len(times) != 1]
    assert not asked, f"{len(asked)} lines were asked for more than once: {asked[:5]}"
    logs = [each for server in cluster.servers for each in cluster.log(server).splitlines() if "Traceback" in each]
    assert not logs, logs
    assert not users.found.errors, users.found.errors[:5]
    print(json.dumps({"versions": sorted(versions), "schema": [was, now]} | {
        name: getattr(users.found, name) for name in Found.__struct_fields__
    }))  # fmt: skip
    return users.found


def commit_before_last_step(root: Path) -> str:
    """The last state of the repository that did not have the newest step of the schema."""
    newest = max((root / MIGRATIONS).glob("**/[0-9]*.sql"), key=lambda path: path.name[:4]).name[:4]
    paths = [f"{MIGRATIONS}/{newest}_*.sql", f"{MIGRATIONS}/postgresql/{newest}_*.sql"]
    command = ["git", "log", "-m", "--first-parent", "--diff-filter=A", "--format=%H", "--", *paths]
    made = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if made.returncode or not made.stdout.split():
        raise SystemExit(
            f"error: the version before step {newest} of the schema is not here ({made.stderr.strip() or 'no such history'}): "
            "run this in a clone with its whole history, or name a commit with --old; tests/cluster/test_rolling.py needs none"
        )
    return made.stdout.split()[-1] + "~1"


def laid_out(root: Path, commit: str, place: Path) -> Path:
    """The package as it was at that commit."""
    packed = subprocess.run(["git", "archive", commit, "src"], cwd=root, capture_output=True)
    if packed.returncode:
        raise SystemExit(f"error: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(place, filter="data")
    return place / "src"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", default="")
    parser.add_argument("--lines", type=int, default=6000)
    arguments = parser.parse_args()
    root = Path(__file__).parents[2]
    commit = arguments.old or commit_before_last_step(root)
    with tempfile.TemporaryDirectory(prefix="slackwater-rolling-") as scratch, running(careless=False) as database:
        path = laid_out(root, commit, Path(scratch) / "old")
        (Path(scratch) / "cluster").mkdir()
        with (
            CountingBackend(latency=0.05) as backend,
            Cluster(Path(scratch) / "cluster", database.address("postgres"), backend) as cluster,
        ):
            upgraded(
                cluster,
                backend,
                old=lambda cluster: cluster.start(environment={"PYTHONPATH": str(path)}),
                new=lambda cluster: cluster.start(),
                lines=arguments.lines,
            )


if __name__ == "__main__":
    sys.exit(main())
