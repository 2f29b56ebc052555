"""What `slackwater migrate-data --files` does not do, and says so."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.object_store.place import CloudPlace
from slackwater.adapters.sql.identity import find
from slackwater.cli import main
from slackwater.core.errors import DataDirectoryError
from slackwater.core.files.belonging import Mark
from slackwater.core.files.object_address import read_address
from slackwater.wiring import moving_files
from tests.system.moving_files.desk import A, B, Desk, bytes_of, mark, named
from tests.system.test_postgresql import ended, until

pytestmark = pytest.mark.timeout(600)
NOTHING = "<IsTruncated>false</IsTruncated>"


def test_what_is_refused(desk: Desk, tmp_path: Path) -> None:
    """A server at work, words that do not go together, a key that is not there: nothing is changed by it."""
    before = bytes_of(desk.data)

    def refused(*words: str, config: Path | None = None) -> str:
        done = desk.migrate(config or desk.config(A), *words)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    with DataDirectory.open(desk.data):
        assert f"is in use by another slackwater (pid {os.getpid()}): stop it first\n" in refused("--files", "store")
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
    with contextlib.closing(sqlite3.connect(desk.data / "ledger.sqlite")) as db:
        open_ones = {key for (key,) in db.execute("SELECT input_blob FROM batch WHERE status = 'in_progress'")}
    files = [key for key, _ in named(desk.data) if key.startswith(("files/", "outputs/")) and key not in open_ones]
    # Of one that is empty the size would be another, too.
    files = [key for key in files if (desk.data / "blobs" / key).stat().st_size]
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


class ReadOnly(BaseHTTPRequestHandler):
    """A store of which a key may read everything, which is nothing, and write nothing."""

    def do_GET(self) -> None:
        found = "list-type" in self.path
        self._say(200 if found else 404, f"<ListBucketResult>{NOTHING}</ListBucketResult>" if found else "")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._say(403, "<Error><Code>AccessDenied</Code></Error>")

    do_HEAD = do_GET
    do_POST = do_DELETE = do_PUT

    def _say(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        pass


def test_a_store_that_nobody_may_write_to(desk: Desk) -> None:
    """One line that says so, before anything is sent."""
    before = bytes_of(desk.data)
    with ThreadingHTTPServer(("127.0.0.1", 0), ReadOnly) as store:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        config = desk.scratch / "read-only.toml"
        config.write_text(
            f'[server]\ndata = "{desk.data}"\nfiles = "{A}"\nfiles_key_env = "STORE"\n'
            f'files_endpoint = "http://127.0.0.1:{store.server_port}"\n'
        )
        done = subprocess.run(
            [sys.executable, "-m", "slackwater", "migrate-data", "--config", str(config), "--files", "store"],
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | {"STORE": "id:secret"},
        )
        store.shutdown()
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "the credential may not do that: give it the rights that docs/object-stores.md lists" in done.stderr
    assert bytes_of(desk.data) == before
    assert desk.usable("") == {""}


def test_the_address_of_a_store_is_read_as_a_server_does() -> None:
    """What the tests here call a store is one to the server, too."""
    assert CloudPlace(read_address(A)).shown == A


def test_what_an_operator_has_given_up(desk: Desk) -> None:
    """A move is refused with the name of what is gone. Known to be gone it keeps nobody, and who asks for it hears the same."""
    with contextlib.closing(sqlite3.connect(desk.data / "ledger.sqlite")) as db:
        ((key, batch, file),) = db.execute(
            "SELECT input_blob, id, input_file_id FROM batch WHERE status = 'in_progress'"
        ).fetchall()
    (desk.data / "blobs" / key).unlink()
    refused = desk.migrate(desk.config(A), "--files", "store")
    assert (refused.returncode, f"needs, such as {key} (1 of " in refused.stderr) == (2, True), refused.stderr
    assert "'slackwater doctor --data " in refused.stderr
    recovered = CliRunner().invoke(main, ["recover", "--data", str(desk.data), "--yes"])
    assert recovered.exit_code == 0, recovered.output

    def asked(place: str) -> str:
        server = desk.serve(place)
        try:
            until(ended(server, batch))
            with pytest.raises(AssertionError) as caught:
                server.raw("GET", f"/files/{file}/content")
            return str(caught.value)
        finally:
            server.kill()

    before = asked("")
    moved = desk.migrate(desk.config(A), "--files", "store")
    assert moved.returncode == 0, moved.stderr
    assert f"1 that were given up ('slackwater recover') are gone or cut off, and stay so: {key}\n" in moved.stdout
    assert asked(A) == before
    moved = desk.migrate(desk.config(A), "--files", "folder")
    assert (moved.returncode, key in moved.stdout) == (0, True), moved.stderr
    assert asked("") == before


def test_a_store_that_lets_nobody_in_after_the_move(desk: Desk) -> None:
    """Nothing is undone by it: a warning, of the store that it is about, and the word that goes with it."""
    desk.move("", A)
    odd = desk.objects(A) / "slackwater.mark"
    odd.unlink()
    # Nobody can read that, and it is not nothing.
    odd.symlink_to(odd)
    done = desk.migrate(desk.config(A), "--files", "store")
    assert (done.returncode, done.stdout) == (0, f"the files are in {A} already\n")
    (said,) = done.stderr.splitlines()
    assert said.startswith("warning: the store in which the files are now did not answer as it should (")
    assert "see to it before a server is started" in said
    assert desk.usable("") == set()
