"""Words of servers in the folder that they have together: a lock on each, and answers to each other."""

import asyncio
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slackwater.adapters.disk.announcements import Announcements
from slackwater.wiring import acquaintance
from slackwater.wiring.acquaintance import Acquaintance

HOLDER = """
import sys
from pathlib import Path
from slackwater.adapters.disk.announcements import Announcements
words = Announcements(Path(sys.argv[1]))
assert words.announce("other")
print("announced", flush=True)
sys.stdin.read()
"""


def test_a_word_is_locked_for_as_long_as_its_server_lives(tmp_path: Path) -> None:
    """Another process sees the lock, and sees it gone when the process was killed. The word stays, for others to find."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "announced\n"
        mine = Announcements(tmp_path)
        assert mine.announced() == {"other"}
        assert mine.locked("other") is True
        assert mine.locked("other") is True
        # A copy of the folder has the word, and not the lock.
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path / "members", copy / "members")
        assert Announcements(copy).locked("other") is False
        process.kill()
    assert mine.locked("other") is False
    assert mine.announced() == {"other"}


def test_of_a_version_before_nothing_is_expected(tmp_path: Path) -> None:
    """Its word is empty: no lock, and no answer. Nor is anything said of one that is not there."""
    words = Announcements(tmp_path)
    (words.folder / "old").touch()
    assert words.locked("old") is None
    assert words.locked("nobody") is None
    assert words.answer("me", "old") is False
    assert words.answer("me", "nobody") is None
    assert words.announced() == {"old"}


def test_a_nonce_is_given_back(tmp_path: Path) -> None:
    """By the file's own name, and no other answer counts: neither one of before nor one to somebody else."""
    one, two = Announcements(tmp_path), Announcements(tmp_path)
    assert one.announce("one")
    assert two.announce("two")
    assert not one.answered("one", "two")
    assert two.answer("two", "one") is True
    assert one.answered("one", "two")
    assert not two.answered("two", "one")
    (one.folder / "one.two").write_text("what another one had asked")
    assert not one.answered("one", "two")
    assert one.announced() == {"one", "two"}
    assert one.strays({"two"}) == set() | {"one"}
    two.forget("two")
    assert {path.name for path in one.folder.iterdir()} == {"one"}
    for each in (one, two):
        each.close()


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    """Whoever has the lock has the name."""
    one, two = Announcements(tmp_path), Announcements(tmp_path)
    assert one.announce("one")
    assert not two.announce("one")


def run(*stages: Acquaintance, times: int = 1) -> None:
    async def story() -> None:
        for _ in range(times):
            for stage in stages:
                await stage.step()

    asyncio.run(story())


def test_members_that_see_each_other_say_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever was there first; and once they have met, nobody looks again."""
    words = {name: Announcements(tmp_path) for name in ("one", "two", "three")}
    there: set[str] = set()
    stages = {
        name: Acquaintance(each, name, lambda name=name: frozenset(there - {name})) for name, each in words.items()
    }
    for name in words:
        words[name].announce(name)
        there.add(name)
        run(*(stages[each] for each in there), times=2)
    answers = {path.name for path in words["one"].folder.iterdir() if "." in path.name}
    assert answers == {f"{one}.{other}" for one in there for other in there - {one}}
    shutil.rmtree(tmp_path / "members")
    run(*stages.values(), times=2)
    assert not (tmp_path / "members").exists()
    assert caplog.records == []


def test_one_that_is_elsewhere_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, with what to do: one whose word is not seen, and one that has not answered."""
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(acquaintance, "APART_SECONDS", 0.0)
    here, elsewhere = Announcements(tmp_path / "a"), Announcements(tmp_path / "b")
    for words, name in ((here, "one"), (elsewhere, "two")):
        (tmp_path / "ab"[name == "two"]).mkdir()
        words.announce(name)
    stage = Acquaintance(here, "one", lambda: frozenset({"two"}))
    run(stage, times=5)
    assert [each.message.split()[0] for each in caplog.records] == ["member_apart"]
    assert "fix=name one folder for all servers" in caplog.text
    caplog.clear()
    shutil.copy(tmp_path / "b/members/two", tmp_path / "a/members/two")
    stage = Acquaintance(here, "one", lambda: frozenset({"two"}))
    run(stage, times=5)
    assert [each.message.split()[0] for each in caplog.records] == ["member_unanswered"]


def test_a_folder_that_cannot_be_read_ends_no_stage(tmp_path: Path) -> None:
    """What is wrong with it is said by those who need it."""
    words = Announcements(tmp_path)
    words.announce("one")
    (words.folder / "two").mkdir()
    run(Acquaintance(words, "one", lambda: frozenset({"two"})), times=3)
    assert os.path.isdir(words.folder / "two")
