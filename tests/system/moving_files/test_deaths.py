"""`slackwater migrate-data --files` that is killed, and what is said to whoever starts on the wrong place."""

import asyncio
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slackwater.core.errors import DataDirectoryError
from tests.system.moving_files.desk import CONTENT, DATA, MOVE, STORE, A, B, Desk, bytes_of, named

pytestmark = pytest.mark.timeout(600)

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
