"""The data directory: one owner at a time, whose death frees it, and errors that say what to do."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.core.errors import DataDirectoryError

HOLDER = """
    import sys
    from pathlib import Path
    from slackwater.adapters.disk.data_directory import DataDirectory
    held = DataDirectory.open(Path(sys.argv[1]))
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> "subprocess.Popen[str]":
    """Another process that has opened the directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_new_directory_is_ours_alone(tmp_path: Path) -> None:
    """The directory is made, with those above it, and nobody else may look into it."""
    path = tmp_path / "deep" / "data"
    with DataDirectory.open(path) as data:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert data.ledger_path.parent == data.blobs_path.parent == path
        assert data.ledger_path != data.blobs_path


def test_a_second_opener_is_told_who_has_it(tmp_path: Path) -> None:
    """While another process has the directory, opening fails with one line that names it and says what to do."""
    process = holder(tmp_path)
    with process, pytest.raises(DataDirectoryError) as caught:
        DataDirectory.open(tmp_path)
    assert str(caught.value) == (
        f"data directory {tmp_path} is in use by another slackwater (pid {process.pid}): "
        "stop it first, or give this one its own --data directory"
    )


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("before", [None, (), ("notes.txt",), ("members/other", "slackwater.lock")])
def test_who_leaves_nothing_leaves_nothing(tmp_path: Path, before: tuple[str, ...] | None, shared: bool) -> None:
    """What was made for the lock goes with it; what was there before stays, and so does all where something has come."""
    path = tmp_path / "deep" / "data"
    for name in before or ():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    if before == ():
        path.mkdir(parents=True)
    there = set(tmp_path.rglob("*"))
    with DataDirectory.open(path, shared=shared) as data:
        assert data.announcements.folder.is_dir()
    assert set(tmp_path.rglob("*")) == there
    with contextlib.suppress(RuntimeError), DataDirectory.open(path, shared=shared):
        (path / "blobs").mkdir()
        raise RuntimeError
    assert set(tmp_path.rglob("*")) >= {*there, path / "slackwater.lock", path / "blobs"}


def test_the_last_of_those_who_share_it_takes_the_lock_away(tmp_path: Path) -> None:
    """And no other: whoever has it keeps out those who would have it alone."""
    first, second = DataDirectory.open(tmp_path, shared=True), DataDirectory.open(tmp_path, shared=True)
    first.close()
    with pytest.raises(DataDirectoryError, match="is in use by another slackwater"):
        DataDirectory.open(tmp_path)
    second.close()
    with DataDirectory.open(tmp_path):
        pass


def test_a_lock_that_comes_and_goes_is_one_lock(tmp_path: Path) -> None:
    """Whoever opens the file while its owner takes it away has nothing, and begins again: never have two the directory."""
    path, having, most, had = tmp_path / "data", [], [], []
    guard, ends = threading.Lock(), threading.Barrier(4)

    def work() -> None:
        ends.wait(60)
        for _ in range(300):
            with contextlib.suppress(DataDirectoryError), DataDirectory.open(path):
                with guard:
                    having.append(1)
                    most.append(len(having))
                had.append(1)
                with guard:
                    having.pop()

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(work) for _ in range(4)]:
            each.result()
    assert max(most) == 1
    assert had


def test_the_same_process_cannot_open_it_twice(tmp_path: Path) -> None:
    """The lock is per opener, and closing gives it back; closing twice closes nobody else's file."""
    data = DataDirectory.open(tmp_path)
    with pytest.raises(DataDirectoryError, match=f"pid {os.getpid()}"):
        DataDirectory.open(tmp_path)
    data.close()
    with DataDirectory.open(tmp_path):
        data.close()
        with pytest.raises(DataDirectoryError):
            DataDirectory.open(tmp_path)


def test_those_who_share_a_ledger_share_the_directory(tmp_path: Path) -> None:
    """Each keeps out whoever would have it alone, until the last of them has gone; and that one keeps them out."""
    first, second = DataDirectory.open(tmp_path, shared=True), DataDirectory.open(tmp_path, shared=True)
    first.close()
    with pytest.raises(DataDirectoryError, match="is in use by another slackwater"):
        DataDirectory.open(tmp_path)
    second.close()
    with DataDirectory.open(tmp_path), pytest.raises(DataDirectoryError, match="is in use by another slackwater"):
        DataDirectory.open(tmp_path, shared=True)


def test_the_mark_is_changed_by_one_at_a_time(tmp_path: Path) -> None:
    """Another one that shares the directory leaves it for now; whoever has it alone asks nobody."""
    with DataDirectory.open(tmp_path, shared=True) as first, DataDirectory.open(tmp_path, shared=True) as second:
        with first.marking() as mine:
            assert mine
            with second.marking() as theirs:
                assert not theirs
        with second.marking() as mine:
            assert mine
    (tmp_path / "slackwater.marking").unlink()
    with DataDirectory.open(tmp_path) as alone, alone.marking() as mine:
        assert mine
        assert not (tmp_path / "slackwater.marking").exists()


def test_several_that_begin_at_once_note_the_same(tmp_path: Path) -> None:
    """Each of them writes it, as none has found it; what is there is whole at every moment, and nothing is left beside it."""
    writers, rounds, place = 4, 50, "postgresql://a-host/slackwater " * 100
    together = threading.Barrier(writers)
    note, faults = tmp_path / "ledger.elsewhere", []

    def begin() -> None:
        with DataDirectory.open(tmp_path, shared=True) as data:
            for _ in range(rounds):
                together.wait(60)
                note.unlink(missing_ok=True)
                together.wait(60)
                try:
                    data.note_ledger(place)
                    assert note.read_text().strip() == place.strip()
                except Exception as fault:
                    faults.append(fault)

    with ThreadPoolExecutor(writers) as threads:
        for each in [threads.submit(begin) for _ in range(writers)]:
            each.result()
    assert not faults
    assert {each.name for each in tmp_path.iterdir()} == {"slackwater.lock", note.name}


def test_a_killed_owner_lets_go(tmp_path: Path) -> None:
    """After kill -9 the next start needs no cleaning up."""
    with holder(tmp_path) as process:
        process.kill()
        process.wait(20)
        DataDirectory.open(tmp_path).close()


def test_children_do_not_keep_the_lock(tmp_path: Path) -> None:
    """A child process that outlives the owner does not hold the directory."""
    data = DataDirectory.open(tmp_path)
    script = "print('runs', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"runs\n"
        data.close()
        DataDirectory.open(tmp_path).close()
        child.communicate(b"\n", timeout=20)


@pytest.mark.parametrize("below", ["", "data"])
def test_a_file_in_its_place(tmp_path: Path, below: str) -> None:
    """A path that is a file, or leads through one, is refused in words."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataDirectoryError, match="is not a directory"):
        DataDirectory.open(tmp_path / "file" / below)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("place", ["closed/data", "closed"])
@pytest.mark.parametrize("locked_before", [False, True])
def test_no_permission(tmp_path: Path, place: str, locked_before: bool) -> None:
    """Where we may not write, opening says so at once, also if an old lock file could still be opened."""
    script = """
        import os, sys
        from pathlib import Path
        from slackwater.adapters.disk.data_directory import DataDirectory
        from slackwater.core.errors import DataDirectoryError
        # First, because the way to here may be closed to others; and permissions do not bind root.
        os.chdir(sys.argv[1])
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            DataDirectory.open(Path(sys.argv[2]))
        except DataDirectoryError as error:
            print(error)
    """
    closed = tmp_path / "closed"
    closed.mkdir()
    lock = closed / "slackwater.lock"
    if locked_before:
        lock.touch(0o666)
        lock.chmod(0o666)
    closed.chmod(0o555)
    try:
        tmp_path.chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(tmp_path), place],
            capture_output=True,
            text=True,
            timeout=20,
        )
    finally:
        closed.chmod(0o755)
    assert done.stderr == ""
    assert done.stdout == (
        f"data directory {place} cannot be used: Permission denied; correct its permissions, or name another one\n"
    )


ANNOUNCING = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from slackwater.adapters.disk.data_directory import DataDirectory
data = DataDirectory.open(Path(sys.argv[1]), shared=True)
data.announcements.announce("other")
print("there", flush=True)
time.sleep(600)
"""


def test_whose_process_lives(tmp_path: Path) -> None:
    """The kernel tells it, and nothing else: who stands still lives, and of who is not known nobody knows."""
    with DataDirectory.open(tmp_path, shared=True) as data:
        assert data.announcements.announce("me")
        assert data.announcements.lives("me") is True
        assert data.announcements.lives("nobody") is None
        # One of an earlier version has left a word, and nothing is locked.
        (tmp_path / "members" / "older").touch()
        assert data.announcements.lives("older") is None
        other = subprocess.Popen([sys.executable, "-c", ANNOUNCING, tmp_path], stdout=subprocess.PIPE)
        assert other.stdout is not None
        assert other.stdout.readline() == b"there\n"
        assert data.announcements.lives("other") is True
        other.send_signal(signal.SIGSTOP)
        assert data.announcements.lives("other") is True
        other.kill()
        other.wait(10)
        assert data.announcements.lives("other") is False


def test_many_who_start_at_once_say_where_the_ledger_is(tmp_path: Path) -> None:
    """Each writes it, none is in the way of another, whoever reads it finds the whole of it, and nothing else is left."""
    place = "postgresql://db.internal/slackwater"
    with DataDirectory.open(tmp_path / "data", shared=True) as data:
        for _ in range(20):
            with ThreadPoolExecutor(8) as starting:
                list(starting.map(lambda _: data.note_ledger(place), range(8)))
            (note,) = data.path.glob("ledger.elsewhere*")
            assert note.read_text().strip() == place
            data.note_ledger("")
