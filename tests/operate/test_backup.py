"""Back-ups: made while a server works, whole or not there, and good enough to go on from after the worst day."""

import base64
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from slackwater.adapters.backup.checking import verify
from slackwater.adapters.backup.making import make_backup
from tests.api.calls import Caller, chat
from tests.api.conftest import CONFIG
from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import input_lines
from tests.odd_engine import answered, odd_engine
from tests.server import Server


def slackwater(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a command that is expected to end by itself."""
    command = [sys.executable, "-m", "slackwater", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90)


def served(root: Path, data: str = "data", *, config: str = CONFIG) -> tuple[Server, Caller]:
    """A server on a data directory below `root`."""
    (root / "slackwater.toml").write_text(config)
    server = Server(root / "slackwater.toml", root / data, root / "server.log")
    return server, Caller(server, "openai")


def ended_batch(caller: Caller, *, count: int = 3) -> tuple[str, bytes]:
    """The id of the output file of a batch that has completed, and its bytes."""
    output: str = caller.ended(caller.create(chat(count)).json["id"])["output_file_id"]
    return output, caller("GET", f"/files/{output}/content").body


def blob_of(root: Path, file_id: str) -> str:
    """The key of a file's bytes."""
    ledger = sqlite3.connect(f"{(root / 'data' / 'ledger.sqlite').as_uri()}?mode=ro", uri=True)
    (key,) = ledger.execute("SELECT blob FROM file WHERE id = ?", (file_id,)).fetchone()
    ledger.close()
    return str(key)


def backed_up(root: Path, *more: str) -> Path:
    """Backs `data` up and returns the directory of the back-up."""
    made = slackwater("backup", "--data", root / "data", "--output", root / "store", *more)
    assert made.returncode == 0, made.stderr
    return Path(made.stdout.split(": ")[0])


def test_a_batch_at_work_goes_on_from_a_back_up(tmp_path: Path) -> None:
    """What was committed at the back-up is not asked for again; after kill -9 and a restore each custom_id is there once."""
    with CountingBackend(latency=0.05) as backend:
        config = f'[[deployments]]\nname = "crash"\n[[deployments.backends]]\nurl = "{backend.url}"\nconcurrency = 16\n'
        server, _ = served(tmp_path, config=config)
        batch_id = server.create_batch(server.upload("in.jsonl", input_lines("task", 2_000)))
        while server.batch(batch_id)["request_counts"]["completed"] < 300:
            signal.sigtimedwait([], 0.01)
        backup = backed_up(tmp_path)
        server.kill()
        assert slackwater("backup", "--verify", backup).returncode == 0
        assert slackwater("restore", tmp_path / "store", "--data", tmp_path / "new").returncode == 0
        asked_before = sum(map(len, backend.received.values()))
        server, _ = served(tmp_path, "new", config=config)
        restored = server.batch(batch_id)["request_counts"]["completed"]
        assert restored >= 300, "what the ledger had at the back-up is there"
        while (batch := server.batch(batch_id))["status"] != "completed":
            signal.sigtimedwait([], 0.02)
        lines = server.raw("GET", f"/files/{batch['output_file_id']}/content").splitlines()
        assert sorted(json.loads(line)["custom_id"] for line in lines) == sorted(f"task-{n}" for n in range(2_000))
        asked_again = sum(map(len, backend.received.values())) - asked_before
        assert asked_again <= 2_000 - 300, "results of the back-up are not asked for again"
        assert server.terminate() == 0


def test_a_second_back_up_copies_what_is_new(tmp_path: Path) -> None:
    """Bytes that are in the store are not copied again, and each back-up restores its own moment."""
    server, caller = served(tmp_path)
    first_file, first_bytes = ended_batch(caller)
    first = backed_up(tmp_path)
    blob = tmp_path / "store" / "blobs" / blob_of(tmp_path, first_file)
    before = (blob.stat().st_ino, blob.stat().st_mtime_ns)
    second_file, second_bytes = ended_batch(caller, count=4)
    second = backed_up(tmp_path)
    server.kill()
    assert (blob.stat().st_ino, blob.stat().st_mtime_ns) == before
    assert slackwater("restore", tmp_path / "store", "--at", first.name, "--data", tmp_path / "one").returncode == 0
    assert slackwater("restore", second, "--data", tmp_path / "two").returncode == 0
    server, caller = served(tmp_path, "one")
    assert caller("GET", f"/files/{first_file}/content").body == first_bytes
    assert caller("GET", f"/files/{second_file}").status == 404
    server.kill()
    server, caller = served(tmp_path, "two")
    assert caller("GET", f"/files/{second_file}/content").body == second_bytes
    server.kill()


def test_old_back_ups_go_with_bytes_that_only_they_need(tmp_path: Path) -> None:
    """`--keep` takes back-ups away, never bytes that another one names."""
    server, caller = served(tmp_path)
    gone, _ = ended_batch(caller)
    kept, _ = ended_batch(caller)
    first = backed_up(tmp_path)
    keys = [blob_of(tmp_path, gone), blob_of(tmp_path, kept)]
    blobs = tmp_path / "store" / "blobs"
    assert [(blobs / key).exists() for key in keys] == [True, True]
    assert caller("DELETE", f"/files/{gone}").status == 200
    second = backed_up(tmp_path, "--keep", "1")
    server.kill()
    assert (first.exists(), second.exists()) == (False, True)
    assert [(blobs / key).exists() for key in keys] == [False, True]
    assert slackwater("backup", "--verify", tmp_path / "store").returncode == 0


def test_a_back_up_is_as_secret_as_the_data(tmp_path: Path) -> None:
    """Whatever the umask, nobody but the owner can read a back-up, or what is restored from it."""
    server, caller = served(tmp_path)
    ended_batch(caller)
    before = os.umask(0)
    try:
        backed_up(tmp_path)
        assert slackwater("restore", tmp_path / "store", "--data", tmp_path / "new").returncode == 0
    finally:
        os.umask(before)
        server.kill()
    paths = [each for top in ("store", "new") for each in (tmp_path / top, *(tmp_path / top).rglob("*"))]
    open_to_others = [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_to_others == []


def test_damage_is_found_and_not_restored(tmp_path: Path) -> None:
    """A flipped byte, a missing blob and a damaged ledger are each named by --verify; a restore of them is refused."""
    server, caller = served(tmp_path)
    flipped, _ = ended_batch(caller)
    missing, _ = ended_batch(caller)
    server.kill()
    backup = backed_up(tmp_path)
    blobs = tmp_path / "store" / "blobs"
    flipped, missing = blob_of(tmp_path, flipped), blob_of(tmp_path, missing)
    content = bytearray((blobs / flipped).read_bytes())
    content[7] ^= 1
    (blobs / flipped).write_bytes(content)
    refused = slackwater("restore", backup, "--data", tmp_path / "new")
    assert refused.returncode == 2
    assert "is not what was backed up" in refused.stderr
    (blobs / missing).unlink()
    ledger = bytearray((backup / "ledger.sqlite").read_bytes())
    ledger[5000] ^= 0xFF
    (backup / "ledger.sqlite").write_bytes(ledger)
    checked = slackwater("backup", "--verify", tmp_path / "store")
    assert checked.returncode == 1
    assert f"{flipped} is not what was backed up" in checked.stderr
    assert f"{missing} is missing" in checked.stderr
    assert "the ledger is not what was backed up" in checked.stderr


def flip(path: Path) -> bytes:
    """Changes a bit, and returns what there was."""
    content = path.read_bytes()
    path.write_bytes(content[:7] + bytes([content[7] ^ 1]) + content[8:])
    return content


def test_what_was_damaged_before_is_named(tmp_path: Path) -> None:
    """A file that is not what was written is backed up as it is, and nobody calls that whole. Put back, it mends the store."""
    server, caller = served(tmp_path)
    kept, content = ended_batch(caller)
    damaged, _ = ended_batch(caller)
    server.kill()
    key = blob_of(tmp_path, damaged)
    path = tmp_path / "data" / "blobs" / key
    written = flip(path)
    for _ in range(2):
        made = slackwater("backup", "--data", tmp_path / "data", "--output", tmp_path / "store")
        assert (made.returncode, f"{key} is not what was written" in made.stderr) == (1, True), made.stderr
    checked = slackwater("backup", "--verify", tmp_path / "store")
    assert (checked.returncode, checked.stdout) == (1, "")
    assert f"{key} is not what was written: it was damaged before" in checked.stderr
    restored = slackwater("restore", tmp_path / "store", "--data", tmp_path / "new")
    assert (restored.returncode, f"{key} was damaged before" in restored.stderr) == (0, True)
    server, caller = served(tmp_path, "new")
    assert caller("GET", f"/files/{kept}/content").body == content
    assert caller("GET", f"/files/{damaged}/content").error["code"] == "file_unreadable"
    server.kill()
    path.write_bytes(written)
    backed_up(tmp_path)
    assert (tmp_path / "store" / "blobs" / key).read_bytes() == written
    assert slackwater("backup", "--verify", tmp_path / "store").returncode == 0


@pytest.mark.parametrize("source", ["whole", "gone", "damaged"])
def test_a_back_up_into_a_damaged_store(tmp_path: Path, source: str) -> None:
    """What is in the store already is compared. It is copied again where the data directory has better, and else named."""
    server, caller = served(tmp_path)
    file_id, _ = ended_batch(caller)
    server.kill()
    backed_up(tmp_path)
    key = blob_of(tmp_path, file_id)
    written = flip(tmp_path / "store" / "blobs" / key)
    path = tmp_path / "data" / "blobs" / key
    if source == "gone":
        path.unlink()
    if source == "damaged":
        path.write_bytes(written[:-9] + bytes(9))
    made = slackwater("backup", "--data", tmp_path / "data", "--output", tmp_path / "store")
    assert made.returncode == (0 if source == "whole" else 1)
    assert (f"{key} is not what was written" in made.stderr) == (source != "whole")
    assert slackwater("backup", "--verify", tmp_path / "store").returncode == made.returncode


def test_half_a_restore_is_not_served(tmp_path: Path) -> None:
    """A server that started on it would take what is missing for deleted. Repeating the restore is the way out."""
    server, caller = served(tmp_path)
    file_id, content = ended_batch(caller)
    server.kill()
    backed_up(tmp_path)
    blob = tmp_path / "store" / "blobs" / blob_of(tmp_path, file_id)
    blob.unlink()
    assert slackwater("restore", tmp_path / "store", "--data", tmp_path / "new").returncode == 2
    refused = slackwater("serve", "--data", tmp_path / "new", "--port", "0")
    assert refused.returncode == 2
    assert "a restore into" in refused.stderr
    blob.write_bytes(content)
    assert slackwater("restore", tmp_path / "store", "--data", tmp_path / "new").returncode == 0
    server, caller = served(tmp_path, "new")
    assert caller("GET", f"/files/{file_id}/content").body == content
    server.kill()


def test_nothing_is_restored_over_data(tmp_path: Path) -> None:
    """Neither over what somebody keeps there, nor under a running server."""
    server, caller = served(tmp_path)
    ended_batch(caller)
    backed_up(tmp_path)
    under = slackwater("restore", tmp_path / "store", "--data", tmp_path / "data")
    assert (under.returncode, "in use by another slackwater" in under.stderr) == (2, True)
    server.kill()
    over = slackwater("restore", tmp_path / "store", "--data", tmp_path / "data")
    assert (over.returncode, "is not empty" in over.stderr) == (2, True)


def test_what_the_data_directory_has_lost_is_said(tmp_path: Path) -> None:
    """Bytes that the ledger names and nobody has do not stop a back-up of everything else, and are named."""
    server, caller = served(tmp_path)
    lost, _ = ended_batch(caller)
    kept, content = ended_batch(caller)
    server.kill()
    lost = blob_of(tmp_path, lost)
    (tmp_path / "data" / "blobs" / lost).unlink()
    made = slackwater("backup", "--data", tmp_path / "data", "--output", tmp_path / "store")
    assert made.returncode == 1
    assert f"{lost} is named by the ledger" in made.stderr
    checked = slackwater("backup", "--verify", tmp_path / "store")
    assert (checked.returncode, f"{lost} was lost before" in checked.stderr) == (1, True)
    assert slackwater("restore", tmp_path / "store", "--data", tmp_path / "new").returncode == 0
    server, caller = served(tmp_path, "new")
    assert caller("GET", f"/files/{kept}/content").body == content
    server.kill()


def test_a_file_that_goes_while_it_is_copied(tmp_path: Path) -> None:
    """It is not in the back-up, and nothing is lost: the ledger is taken again, and names it no more."""
    server, caller = served(tmp_path)
    ended_batch(caller)
    gone, _ = ended_batch(caller)
    key, deleted = blob_of(tmp_path, gone), []

    def delete_once(done: int, total: int) -> None:
        """Called after the first piece of the first file."""
        if not deleted:
            deleted.append(caller("DELETE", f"/files/{gone}").status)

    made = make_backup(tmp_path / "data", tmp_path / "store", now=1_760_000_000, keep=0, show=delete_once)
    server.kill()
    assert (deleted, made.lost) == ([200], [])
    assert not (tmp_path / "store" / "blobs" / key).exists()
    manifest = json.loads((made.path / "manifest.json").read_bytes())
    assert key not in {blob[0] if isinstance(blob, list) else blob["key"] for blob in manifest["blobs"]}
    assert [faults for _, _, faults in verify(tmp_path / "store", show=lambda done, total: None)] == [[]]


def test_an_interrupted_back_up_is_none(tmp_path: Path) -> None:
    """What it has copied stays and is not copied again; there is no back-up of its name; the next one is whole."""
    server, caller = served(tmp_path)
    ended_batch(caller)
    server.kill()

    def interrupt(done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_backup(tmp_path / "data", tmp_path / "store", now=1_760_000_000, keep=0, show=interrupt)
    nothing = slackwater("backup", "--verify", tmp_path / "store")
    assert (nothing.returncode, "has no finished back-up" in nothing.stderr) == (2, True)
    backed_up(tmp_path)
    assert slackwater("backup", "--verify", tmp_path / "store").returncode == 0
    assert list((tmp_path / "store").rglob("*.unfinished")) == []


def test_an_older_ledger_can_be_backed_up(tmp_path: Path) -> None:
    """Before an upgrade is when a back-up is wanted most: schema 1 is taken as it is, and not migrated by it."""
    scripts = Path(__file__).parents[2] / "src" / "slackwater" / "adapters" / "sql" / "migrations"
    (tmp_path / "data").mkdir()
    ledger = sqlite3.connect(tmp_path / "data" / "ledger.sqlite")
    ledger.executescript((scripts / "0001_first.sql").read_text("utf-8") + "PRAGMA user_version = 1;")
    ledger.close()
    backup = backed_up(tmp_path)
    assert slackwater("backup", "--verify", backup).stdout.endswith("schema 1\n")


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """A wrong --output does not mix back-ups into somebody's files."""
    server, _ = served(tmp_path)
    server.kill()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").touch()
    refused = slackwater("backup", "--data", tmp_path / "data", "--output", tmp_path / "home")
    assert (refused.returncode, "has something else in it" in refused.stderr) == (2, True)
    inside = slackwater("backup", "--data", tmp_path / "data", "--output", tmp_path / "data" / "store")
    assert (inside.returncode, "inside the data directory" in inside.stderr) == (2, True)


def test_keys_of_engines_are_in_no_back_up(tmp_path: Path) -> None:
    """Not even sealed, nor what is left of one that was removed. A restore says whose they were, and they are given anew."""
    (tmp_path / "secrets.key").write_text(base64.b64encode(b"k" * 32).decode() + "\n")
    config = f'[server]\nsecrets_key_file = "secrets.key"\n{CONFIG}'
    with odd_engine(answered("m", key="sk-secret")) as engine:
        server, caller = served(tmp_path, config=config)
        new = {"url": engine.url, "api_key": "sk-secret"}
        for name in ("kept", "removed"):
            assert caller("PUT", f"/connections/{name}", new).status == 201
        body = {"properties": {"backends": [{"connection": "kept", "model": "m"}]}}
        assert caller("PUT", "/deployments/on-it", body).status == 201
        ledger = sqlite3.connect(f"{(tmp_path / 'data' / 'ledger.sqlite').as_uri()}?mode=ro", uri=True)
        sealed = [row[0].encode() for row in ledger.execute("SELECT sealed FROM connection_secret")]
        ledger.close()
        assert len(sealed) == 2
        caller("DELETE", "/connections/removed")
        backed_up(tmp_path)
        server.kill()
        held = [each.read_bytes() for each in (tmp_path / "store").rglob("*") if each.is_file()]
        # Their beginnings, and pieces from within.
        assert not any(part in data for data in held for each in sealed for part in (each[:30], each[20:60]))
        restored = slackwater("restore", tmp_path / "store", "--data", tmp_path / "new")
        assert restored.returncode == 0
        assert "the key of the connection default/kept is not in back-ups" in restored.stderr
        server, caller = served(tmp_path, "new", config=config)
        assert "give it anew" in caller("GET", "/connections/kept").json["fault"]
        asked = len(engine.asked)
        assert caller("POST", "/connections/kept/test", {}).status == 409
        assert len(engine.asked) == asked
        assert caller("PATCH", "/connections/kept", {"api_key": "sk-secret"}).json["fault"] is None
        assert caller.ended(caller.create(chat(1, model="on-it")).json["id"])["status"] == "completed"
        server.kill()
