"""Servers on one host hear each other: who is there, who is gone, and files that nobody of us has written."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slackwater.adapters.shared_memory.peer_board import FORM, SILENT_SECONDS, HostBoard, why_unusable
from slackwater.core.sending.peers import Word

ENGINE = "http://engine.local:8000"
NOBODY = 65534


class Hand:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


def boards(folder: Path, *names: str) -> tuple[Hand, list[HostBoard]]:
    clock = Hand()
    return clock, [HostBoard(folder / "board", clock, name=name) for name in names]


def test_each_hears_the_others(tmp_path: Path) -> None:
    """From their second word on, as they are now; of this engine alone, and nobody hears himself."""
    _, (one, two, three) = boards(tmp_path, "one", "two", "three")
    seats = [board.seat(ENGINE) for board in (one, two, three)]
    elsewhere = one.seat("http://engine.local:8001")
    for round_ in range(2):
        for number, seat in enumerate(seats):
            seat.say(Word(out=10 * round_ + number, window=4.0))
        elsewhere.say(Word(out=99, window=4.0))
        heard = seats[0].hear()
    assert sorted(word.out for word in heard.values()) == [11, 12]
    word = Word(
        out=1, window=2.5, seconds=3.0, wants=True, reading=2, reading_tokens=9.0, sent=4.0, looked_up=5.0, found=6.0
    )
    seats[1].say(word)
    assert word in seats[0].hear().values()


def test_two_names_of_this_host(tmp_path: Path) -> None:
    """`localhost` of one server is `127.0.0.1` of another, and in one process as well."""
    _, (one, two) = boards(tmp_path, "one", "two")
    first, second, third = (
        one.seat("http://localhost:8000"),
        two.seat("http://127.0.0.1:8000"),
        one.seat("http://[::1]:8000"),
    )
    for _ in range(2):
        for seat in (first, second, third):
            seat.say(Word(out=1, window=4.0))
        heard = first.hear()
    assert len(heard) == 2


def test_who_says_nothing_is_not_there(tmp_path: Path) -> None:
    """After some seconds, and again as soon as something is said; its file stays while it lives."""
    clock, (one, two) = boards(tmp_path, "one", "two")
    here, there = one.seat(ENGINE), two.seat(ENGINE)
    here.say(Word(out=1, window=4.0))
    assert not there.hear()
    here.say(Word(out=1, window=4.0))
    assert len(there.hear()) == 1
    clock.at += SILENT_SECONDS
    assert not there.hear()
    assert not there.hear()
    here.say(Word(out=2, window=4.0))
    assert [word.out for word in there.hear().values()] == [2]


def test_who_says_goodbye_is_gone_at_once(tmp_path: Path) -> None:
    """And leaves no file."""
    _, (one, two) = boards(tmp_path, "one", "two")
    here, there = one.seat(ENGINE), two.seat(ENGINE)
    for _ in range(2):
        here.say(Word(out=1, window=4.0))
        heard = there.hear()
    assert len(heard) == 1
    one.close()
    assert not there.hear()
    assert not list((tmp_path / "board").iterdir())


def test_a_process_that_is_killed(tmp_path: Path) -> None:
    """Its file is removed by whoever finds it; another one, of a process that lives and is silent, is not."""
    script = (
        "import os, sys; from pathlib import Path; "
        "from slackwater.adapters.shared_memory.peer_board import HostBoard; "
        "from slackwater.adapters.system_clock import SystemClock; "
        "from slackwater.core.sending.peers import Word; "
        f"seat = HostBoard(Path(sys.argv[1]), SystemClock(), name='dead').seat('{ENGINE}'); "
        "seat.say(Word(out=1, window=4.0)); os._exit(9)"
    )
    died = subprocess.run([sys.executable, "-c", script, str(tmp_path / "board")], check=False)
    assert died.returncode == 9
    clock, (one, two) = boards(tmp_path, "one", "two")
    here, there = one.seat(ENGINE), two.seat(ENGINE)
    here.say(Word(out=1, window=4.0))
    assert len(list((tmp_path / "board").iterdir())) == 2
    for _ in range(3):
        assert not there.hear()
        clock.at += SILENT_SECONDS
    assert len(list((tmp_path / "board").iterdir())) == 1


@pytest.mark.parametrize("data", [b"", b"x" * 7, b"x" * FORM.size, b"\xff" * 4096])
def test_a_file_of_somebody_else(tmp_path: Path, data: bytes) -> None:
    """It is read over."""
    _, (one, two) = boards(tmp_path, "one", "two")
    here, there = one.seat(ENGINE), two.seat(ENGINE)
    here.say(Word(out=1, window=4.0))
    (name,) = (tmp_path / "board").iterdir()
    (tmp_path / "board" / f"{name.name}x").write_bytes(data)
    os.mkfifo(tmp_path / "board" / f"{name.name}y")
    (tmp_path / "board" / f"{name.name}z").symlink_to("/etc/passwd")
    for _ in range(2):
        here.say(Word(out=1, window=4.0))
        heard = there.hear()
    assert len(heard) == 1


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """A link that somebody has laid, or a file: nobody is heard, and nothing else happens."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "board").symlink_to(tmp_path / "elsewhere")
    _, (one, two) = boards(tmp_path, "one", "two")
    for seat in (one.seat(ENGINE), two.seat(ENGINE)):
        seat.say(Word(out=1, window=4.0))
        seat.say(Word(out=1, window=4.0))
        assert not seat.hear()
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("a file", "no directory of this user"),
        ("a link", "no directory of this user"),
        ("below/nothing", "there is no folder"),
        ("a file/board", "there is no folder"),
    ],
)
def test_a_directory_that_was_named_and_cannot_be_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str, why: str
) -> None:
    """It is said before anybody relies on it, with the reason, and once: not by each engine again."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "a file").write_bytes(b"")
    meeting = tmp_path / place
    assert why in why_unusable(meeting)
    board = HostBoard(meeting, Hand(), name="one")
    board.try_out()
    for _ in range(2):
        board.seat(ENGINE).say(Word(out=1, window=4.0))
    (said,) = [each.getMessage() for each in caplog.records if each.getMessage().startswith("peers_unheard")]
    assert str(meeting) in said
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.fixture
def _not_root() -> Iterator[None]:
    """Root may write everywhere: where it runs the tests, what may be written is asked for somebody else."""
    if os.getuid() != 0:
        yield
        return
    os.setreuid(NOBODY, 0)
    try:
        yield
    finally:
        os.setreuid(0, 0)


@pytest.mark.usefixtures("_not_root")
def test_a_directory_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither itself, nor the folder that it would be in."""
    # From here, because the folders above may be closed to others.
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    for name, mode in (("shut", 0o500), ("open", 0o777)):
        Path(name).mkdir()
        Path(name).chmod(mode)
    for meeting in (Path("shut"), Path("shut/board")):
        assert "cannot write" in why_unusable(meeting)
    assert not why_unusable(Path("open"))
    assert not why_unusable(Path("open/board"))


def test_a_directory_that_was_named_and_can_be_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is said, and nothing of the trial is left; looking alone makes nothing."""
    meeting = tmp_path / "board"
    assert not why_unusable(meeting)
    assert not meeting.exists()
    board = HostBoard(meeting, Hand(), name="one")
    board.try_out()
    assert not why_unusable(meeting)
    assert not list(meeting.iterdir())
    assert not caplog.records
