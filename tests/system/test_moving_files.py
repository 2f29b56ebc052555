"""`slackwater migrate-data --files`, as an operator uses it: real servers, batches under way, a folder, stores, and death."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.object_store.blobs import ObjectBlobs
from slackwater.adapters.object_store.place import CloudPlace
from slackwater.adapters.sql.identity import find
from slackwater.core.errors import DataDirectoryError, SlackwaterError
from slackwater.core.files.belonging import Fit, Mark
from slackwater.core.files.object_address import read_address
from slackwater.ports import BlobRange
from slackwater.wiring import moving_files
from slackwater.wiring.belonging import look
from slackwater.wiring.files import fault_in_store, fault_without_store
from slackwater.wiring.moving import files_move, move_files
from slackwater.wiring.moving_files import FilesArrived
from tests.adapters.test_object_blobs import LocalPlace
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.server import NotStarted, Server
from tests.system.test_postgresql import completed, ended, until, whole

pytestmark = pytest.mark.timeout(600)
LINES = 1200
A, B = "s3://box/a", "s3://box/b"
SERVE = ("tests.system.local_stores", "serve")


class Desk:
    """A data directory and its configurations, on a machine whose stores are folders."""

    def __init__(self, scratch: Path, url: str = "http://127.0.0.1:9/v1", *, database: str = "") -> None:
        self.scratch = scratch
        self.data = scratch / "data"
        self.log = scratch / "server.log"
        self.database = database
        self.environment = {"LOCAL_STORES": str(scratch / "stores")}
        self._url = url

    def config(self, files: str = "", *, database: bool = False) -> Path:
        """The configuration that names that place for files; and the database, where it is to."""
        path = self.scratch / f"{files.rpartition('/')[2] or 'folder'}{'-postgresql' if database else ''}.toml"
        named = f'files = "{files}"\n' if files else ""
        named += f'database = "{self.database}"\n' if database else ""
        path.write_text(
            f'[server]\ndata = "{self.data}"\n{named}[[deployments]]\nname = "crash"\n'
            f'[[deployments.backends]]\nurl = "{self._url}"\nconcurrency = 32\n'
        )
        return path

    def serve(self, files: str = "", *, database: bool = False) -> Server:
        """A server that serves it."""
        return Server(self.config(files, database=database), self.data, self.log, self.environment, module=SERVE)

    def refused(self, files: str = "", *, database: bool = False) -> str:
        """What a server says that does not start."""
        with pytest.raises(NotStarted):
            self.serve(files, database=database).terminate()
        said = self.log.read_text().splitlines()[-1]
        assert said.startswith("error: ")
        return said

    def migrate(
        self, config: Path, *options: str, die: str = "", data: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """The command; `die` is after what it dies."""
        words = ["migrate-data", "--config", str(config), *options]
        if data is not None:
            words += ["--data", str(data)]
        environment = os.environ | self.environment | ({"LOCAL_STORES_DIE": die} if die else {})
        asked = [sys.executable, "-m", "tests.system.local_stores", *words]
        return subprocess.run(asked, capture_output=True, text=True, timeout=120, env=environment)

    def store(self, address: str) -> ObjectBlobs:
        """A store, looked at from here."""
        return ObjectBlobs(LocalPlace(self.objects(address)))

    def objects(self, address: str) -> Path:
        """Where its objects lie."""
        return self.scratch / "stores" / address.partition("://")[2]

    def move(self, old: str, new: str) -> FilesArrived:
        """What the command does, here; no address is the folder."""
        with DataDirectory.open(self.data) as directory:
            source, target = (ObjectBlobs(Named(self.objects(each), each)) if each else None for each in (old, new))
            files = files_move(directory, source, target, database="", show=lambda done, total: None, now=time.time())
            return move_files(directory, "", files)

    def usable(self, *places: str) -> set[str]:
        """With which of these places for files a server would start; empty: the folder."""
        return {place for place in places if self._fits(place)}

    def _fits(self, files: str) -> bool:
        try:
            fit, found, _ = look(self.data, files=files)
        except SlackwaterError:
            return False
        if fit is not Fit.FITS or found.empty:
            return False
        if not files:
            return fault_without_store(self.data) is None
        self.objects(files).mkdir(parents=True, exist_ok=True)
        store = ObjectBlobs(Named(self.objects(files), files))
        return asyncio.run(fault_in_store(store, found, self.data, "")) is None


class Named(LocalPlace):
    """A folder that goes by the address of a store."""

    def __init__(self, path: Path, shown: str) -> None:
        super().__init__(path)
        self.shown = shown


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but locks, what SQLite notes of its readers, and what trials leave."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("slackwater.lock", "probe", "ledger.sqlite-shm")
    }


@pytest.fixture(scope="module")
def backend() -> Iterator[CountingBackend]:
    """What all servers send to."""
    with CountingBackend(latency=0.05) as counting:
        yield counting


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, backend: CountingBackend) -> Path:
    """What a server has left that was killed: a batch that has ended, one under way, files, and parts of an upload."""
    desk = Desk(tmp_path_factory.mktemp("served"), backend.url)
    server = desk.serve()
    first = server.create_batch(server.upload("first.jsonl", input_lines("first", 20)))
    until(ended(server, first))
    upload = server.call(
        "POST",
        "/uploads",
        json.dumps({"filename": "u", "purpose": "batch", "bytes": 8, "mime_type": "application/jsonl"}).encode(),
        Content_Type="application/json",
    )
    mark = "boundary"
    part = f'--{mark}\r\nContent-Disposition: form-data; name="data"; filename="x"\r\n\r\n1234\r\n--{mark}--\r\n'
    server.raw(
        "POST",
        f"/uploads/{upload['id']}/parts",
        part.encode(),
        Content_Type=f"multipart/form-data; boundary={mark}",
    )
    second = server.create_batch(server.upload("second.jsonl", input_lines("second", LINES)))
    completed(server, second, 60)
    server.kill()
    return desk.scratch


@pytest.fixture
def desk(served: Path, tmp_path: Path, backend: CountingBackend) -> Desk:
    """A copy of that, of its own."""
    shutil.copytree(served / "data", tmp_path / "data")
    return Desk(tmp_path, backend.url)


def named(data: Path) -> list[tuple[str, int]]:
    """What the ledger names: keys and bytes."""
    with contextlib.closing(sqlite3.connect(data / "ledger.sqlite")) as db:
        return db.execute(
            "SELECT blob, size FROM file WHERE status = 'processed' UNION SELECT blob, size FROM upload_part UNION "
            "SELECT output_key, max(output_offset + output_length) FROM segment WHERE output_key IS NOT NULL GROUP BY 1"
        ).fetchall()


def test_a_batch_goes_on_in_a_store_in_another_one_and_back(tmp_path: Path) -> None:
    """Past four killed servers. Each line is there once, and what is in each place is what the ledger names."""
    with CountingBackend(latency=0.05) as backend:
        desk = Desk(tmp_path, backend.url)
        server = desk.serve()
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("line", LINES)))
        done = 0

        def on(place: str, share: int) -> None:
            nonlocal server, done
            server.kill()
            moved = desk.migrate(*place_words(desk, place))
            assert moved.returncode == 0, moved.stderr
            assert "what has arrived is what was sent" in moved.stdout
            server = desk.serve(place)
            assert server.batch(batch_id)["request_counts"]["completed"] >= done
            completed(server, batch_id, share)
            done = share

        completed(server, batch_id, 100)
        on(A, 350)
        on(B, 600)
        on("", 850)
        server.kill()
        server = desk.serve()
        try:
            until(ended(server, batch_id))
            whole(server, batch_id, LINES)
        finally:
            server.terminate()
        # Only what was out, and what was not committed yet, when a server was killed was asked for again.
        assert sum(len(times) - 1 for times in backend.answered.values()) < 600
    assert "Traceback" not in desk.log.read_text()


def place_words(desk: Desk, place: str) -> list:  # type: ignore[type-arg]
    """What the command is given to move to a place: from the folder to A, from A to B, and from B to the folder."""
    if place == B:
        return [desk.config(B), "--files", "store", "--files-from", str(desk.config(A))]
    return [desk.config(A), "--files", "store"] if place else [desk.config(B), "--files", "folder"]


def test_what_lies_where(desk: Desk) -> None:
    """Every byte that the ledger names, and no other; the old side keeps all of its own, under another name."""
    before, wanted = bytes_of(desk.data), named(desk.data)
    assert {key.partition("/")[0] for key, _ in wanted} == {"files", "outputs", "uploads", "logs"}
    (desk.data / "blobs" / "files" / "file-nobodys").write_bytes(b"x")
    moved = desk.migrate(desk.config(A), "--files", "store")
    assert moved.returncode == 0, moved.stderr
    (aside,) = desk.data.glob("blobs-moved-*")
    assert f"the files are in {A}; the old ones are kept in {aside}" in moved.stdout
    # Nothing is changed there.
    assert bytes_of(aside) == {
        key.removeprefix("blobs/"): data for key, data in before.items() if key.startswith("blobs/")
    } | {"files/file-nobodys": b"x"}
    store = desk.store(A)
    contents = asyncio.run(store.contents())
    assert contents == dict(wanted)
    for key, size in wanted:
        assert asyncio.run(_content(store, key)) == before[f"blobs/{key}"][:size], key
    with contextlib.closing(sqlite3.connect(desk.data / "ledger.sqlite")) as db:
        ranges = db.execute("SELECT output_key, output_offset, output_length FROM segment").fetchall()
    assert ranges
    for key, offset, length in ranges:
        found = asyncio.run(store.read(BlobRange(key=key, offset=offset, length=length)))
        assert found == before[f"blobs/{key}"][offset : offset + length]
    # What was done is said, and changes nothing.
    again = desk.migrate(desk.config(A), "--files", "store")
    assert (again.returncode, again.stdout) == (0, f"the files are in {A} already\n")
    # And back, into a folder that is new.
    moved = desk.migrate(desk.config(A), "--files", "folder", "--quiet")
    assert (moved.returncode, moved.stdout, moved.stderr) == (0, "", "")
    assert {key: len(data) for key, data in bytes_of(desk.data / "blobs").items()} == dict(wanted)
    assert all(data == before[f"blobs/{key}"][: len(data)] for key, data in bytes_of(desk.data / "blobs").items())
    assert {path.stat().st_mode & 0o777 for path in (desk.data / "blobs").rglob("*") if path.is_file()} == {0o600}
    assert asyncio.run(store.contents()) == contents


async def _content(store: ObjectBlobs, key: str) -> bytes:
    return b"".join([piece async for piece in store.stream(key)])


MOVE = "slackwater.wiring.moving_files FilesMove"
DATA = "slackwater.adapters.disk.data_directory DataDirectory"
STORE = "slackwater.adapters.object_store.blobs ObjectBlobs"
CONTENT = "slackwater.pipeline.files.moving _Move"
# After which steps a process dies; those alone that decide or come next to that are tried in a normal run.
DEATHS = {
    "there": [
        f"{STORE} write_mark",
        f"{CONTENT} _one",
        f"{MOVE} copy",
        f"{DATA} _write",
        f"{MOVE} decide",
        f"{DATA} put_blobs_aside",
        f"{MOVE} _mark",
    ],
    "back": [f"{DATA} claim_folder", f"{CONTENT} _compare", f"{MOVE} decide", f"{MOVE} _mark"],
    "across": [f"{STORE} write_mark", f"{CONTENT} _compare", f"{MOVE} decide", f"{MOVE} _mark"],
}
MORE_DEATHS = [
    f"{STORE} try_out",
    f"{CONTENT} _one",
    f"{CONTENT} _compare",
    f"{DATA} _write",
    f"{MOVE} copy",
    f"{MOVE} finish",
]
WAYS = {"there": ("", A), "back": (A, ""), "across": (A, B)}
TRIED = [
    *((way, die) for way, places in DEATHS.items() for die in places),
    *(
        pytest.param(way, die, marks=pytest.mark.long)
        for way, places in DEATHS.items()
        for die in MORE_DEATHS
        if die not in places
    ),
]


@pytest.mark.parametrize(("way", "die"), TRIED)
def test_death_leaves_one_of_both(desk: Desk, way: str, die: str) -> None:
    """kill -9 after each step: a server would start on the old place or the new one, never on both. Then it is done again."""
    old, new = WAYS[way]
    if old:
        desk.move("", old)
    wanted = named(desk.data)
    words = ["--files", "store" if new else "folder"]
    if old and new:
        words += ["--files-from", str(desk.config(old))]
    killed = desk.migrate(desk.config(new or old), *words, die=die)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(desk.usable(old, new)) == 1
    desk.move(old, new)
    assert desk.usable("", A, B) == {new}
    here = {key: len(data) for key, data in bytes_of(desk.data / "blobs").items()}
    assert (asyncio.run(desk.store(new).contents()) if new else here) == dict(wanted)
    assert not list(desk.data.glob("files.arriving"))


def test_who_starts_on_the_folder_is_told(desk: Desk, tmp_path: Path) -> None:
    """In one line, with where the files are and what to do; so is whoever starts on a place to which they are on their way."""
    assert "move them there with 'slackwater migrate-data --files store'" in desk.refused(A)
    dying = desk.migrate(desk.config(A), "--files", "store", die=f"{CONTENT} _compare")
    assert dying.returncode == -signal.SIGKILL
    assert "has files in it" in desk.refused(A)
    # The old side goes on as if nothing had been.
    desk.serve().kill()
    desk.move("", A)
    said = desk.refused()
    assert f"the files of {desk.data} moved to {A} at " in said
    assert "or bring them back with 'slackwater migrate-data --files folder'" in said
    done = subprocess.run(
        [sys.executable, "-m", "slackwater", "recover", "--config", str(desk.config())],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, f"the files are in {A}" in done.stderr) == (2, True)
    desk.serve(A).kill()
    assert "Traceback" not in desk.log.read_text()


def test_who_starts_on_a_store_is_told(desk: Desk, tmp_path: Path) -> None:
    """The same where they have gone from there; and what was left there is no target of a move."""
    desk.move("", A)
    dying = desk.migrate(
        desk.config(B), "--files", "store", "--files-from", str(desk.config(A)), die=f"{CONTENT} _compare"
    )
    assert dying.returncode == -signal.SIGKILL
    assert f"files are on their way to {B}, and that has not ended" in desk.refused(B)
    desk.move(A, B)
    assert f"moved from {A} to {B} at " in desk.refused(A)
    desk.move(B, "")
    said = desk.refused(B)
    assert f"moved from {B} to that folder at " in said
    assert "take files out of [server] in the configuration" in said
    # Whoever has the ledger, and not this note.
    (desk.data / "files.elsewhere").unlink()
    shutil.move(desk.data / "blobs", tmp_path / "blobs")
    said = desk.refused(B)
    assert f"the files that were in {B} moved to the data directory {desk.data} at " in said
    shutil.move(tmp_path / "blobs", desk.data / "blobs")
    with pytest.raises(DataDirectoryError, match="has what was left of files that moved to the data directory"):
        desk.move("", B)
    shutil.rmtree(desk.objects(B))
    desk.move("", B)
    # Neither is a folder with files that nobody has brought.
    (desk.data / "blobs" / "files").mkdir(parents=True)
    (desk.data / "blobs" / "files" / "mine").write_bytes(b"x")
    with pytest.raises(DataDirectoryError, match="has files in it that no move has brought there"):
        desk.move(B, "")
    assert "Traceback" not in desk.log.read_text()


def mark(desk: Desk, place: str, mark: Mark) -> None:
    """Puts a mark into a store."""
    asyncio.run(
        desk.store(place).write_mark(json.dumps({"identity": mark.identity, "generation": mark.generation}).encode())
    )


def test_what_is_refused(desk: Desk, tmp_path: Path) -> None:
    """A server at work, words that do not go together, a key that is not there: nothing is changed by it."""
    before = bytes_of(desk.data)

    def refused(*words: str, config: Path | None = None) -> str:
        done = desk.migrate(config or desk.config(A), *words)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    with DataDirectory.open(desk.data):
        assert "is in use by another slackwater" in refused("--files", "store")
    assert "say what is to move" in refused()
    assert "no store is named" in refused("--files", "store", config=desk.config())
    assert "--files-from is for --files store" in refused("--files", "folder", "--files-from", str(desk.config(B)))
    assert f"both configurations name {A}" in refused("--files", "store", "--files-from", str(desk.config(A)))
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(f'[server]\ndata = "{desk.data}"\nfiles = "{A}"\nfiles_key_env = "NOWHERE_TO_BE_FOUND"\n')
    assert "variable NOWHERE_TO_BE_FOUND is not set" in refused("--files", "store", config=wrong)
    assert bytes_of(desk.data) == before


def test_places_that_are_somebody_elses(desk: Desk) -> None:
    """Objects that are no files of ours, another ledger's files, and this one's: nothing is changed there."""
    before, objects = bytes_of(desk.data), desk.objects(A)

    def refused(old: str, new: str) -> str:
        with pytest.raises(DataDirectoryError) as error:
            desk.move(old, new)
        return str(error.value)

    for name in ("photos/me.jpg", "slackwater.mark", "lost/20260101T000000Z/files/file-1"):
        (objects / name).parent.mkdir(parents=True, exist_ok=True)
        (objects / name).write_bytes(b"x")
        assert f"{A} has something in it already, such as {name}" in refused("", A)
        assert bytes_of(objects) == {name: b"x"}
        shutil.rmtree(objects)
    mine = find(desk.data / "ledger.sqlite").mark
    assert mine is not None
    mark(desk, A, Mark("other", 3))
    assert f"{A} has the files of another ledger already" in refused("", A)
    mark(desk, A, Mark("arriving for other", 3))
    assert f"{A} has the files of another ledger already" in refused("", A)
    mark(desk, A, mine)
    assert f"{A} has the files of this ledger already" in refused("", A)
    shutil.rmtree(objects)
    # Nothing is in that store, and the files of the ledger are in the folder.
    assert "has files in it" in refused(A, "")
    assert bytes_of(desk.data) == before


def test_what_is_not_what_was_written(desk: Desk) -> None:
    """It is named in one line, and everything stays where it was; put right, the same command goes on."""
    files = [key for key, _ in named(desk.data) if key.startswith("files/")]
    gone, odd = (desk.data / "blobs" / key for key in files[:2])
    kept = gone.read_bytes(), odd.read_bytes()
    gone.unlink()
    odd.write_bytes(kept[1][:-1] + b"!")
    done = desk.migrate(desk.config(A), "--files", "store")
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert f"{files[0]} is missing" in said
    assert f"{files[1]} is not what was written (its checksum differs)" in said
    assert desk.usable("", A) == {""}
    gone.write_bytes(kept[0])
    odd.write_bytes(kept[1])
    desk.move("", A)
    assert desk.usable("", A) == {A}


def test_a_disk_without_room(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said before anything is copied."""
    desk.move("", A)
    monkeypatch.setattr(moving_files, "SPARE_BYTES", 1 << 60)
    with pytest.raises(DataDirectoryError, match=r"has room for .* bytes, and the files are .*: free some space"):
        desk.move(A, "")
    assert not (desk.data / "blobs").exists()
    assert desk.usable("", A) == {A}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_nobody_may_write_to(desk: Desk) -> None:
    """One line that says so, before anything is sent."""
    desk.objects(A).mkdir(parents=True)
    desk.objects(A).chmod(0o500)
    done = desk.migrate(desk.config(A), "--files", "store")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "give its user the rights" in done.stderr
    assert desk.usable("") == {""}


def test_the_address_of_a_store_is_read_as_a_server_does() -> None:
    """What the tests here call a store is one to the server, too."""
    assert CloudPlace(read_address(A)).shown == A


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
            assert (busy.returncode, "is in use by another slackwater" in busy.stderr) == (2, True)
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
        assert (busy.returncode, "the ledger is in use by another slackwater" in busy.stderr) == (1, True), busy.stderr
        server.kill()
        moved = desk.migrate(config, "--files", "folder")
        assert moved.returncode == 0, moved.stderr
        assert f"the files of {desk.data}" in desk.refused(A, database=True)
        desk.serve(database=True).kill()


def _elsewhere(desk: Desk) -> Path:
    other = desk.scratch / "other"
    shutil.copytree(desk.data, other)
    return other
