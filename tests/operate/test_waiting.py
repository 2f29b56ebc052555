"""Whoever waits for a start, or for the doctor, is told for what: nobody there who answers is the usual reason."""

import contextlib
import queue
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slackwater.wiring.waiting import Waiting

DEPLOYMENT = '[[deployments]]\nname = "d"\n[[deployments.backends]]\n'


@pytest.fixture
def silent() -> Iterator[int]:
    """A port at which somebody is who says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def test_each_thing_is_told_once_and_what_is_over_is_not() -> None:
    """Also where it ends with an error."""
    told: queue.Queue[str] = queue.Queue()
    waiting = Waiting(told.put, seconds=0.01)
    waiting.at("one")
    assert told.get(timeout=30) == "one"
    waiting.at("two")
    assert told.get(timeout=30) == "two"
    slow = Waiting(told.put, seconds=3600.0)
    with contextlib.suppress(OSError), slow:
        slow.at("three")
        slow.at("four")
        raise OSError
    assert told.empty()


def begun(folder: Path, config: str, *words: str) -> subprocess.Popen[str]:
    """A command on that configuration."""
    (folder / "slackwater.toml").write_text(config)
    command = [sys.executable, "-m", "slackwater", *words, "--config", "slackwater.toml"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """The first line that it says with these; then it need not go on."""
    assert process.stderr is not None
    try:
        return next(line for line in process.stderr if words in line)
    finally:
        process.kill()
        process.communicate(timeout=60)


@pytest.mark.timeout(120)
def test_the_doctor_says_what_keeps_it(tmp_path: Path, silent: int) -> None:
    """Long before it has found that nobody answers; its findings are on the other channel. With --json it says nothing else."""
    config = f'{DEPLOYMENT}url = "http://127.0.0.1:{silent}/v1"\n'
    assert line_with(begun(tmp_path, config, "doctor"), "looking at") == "looking at the engines ...\n"
    found, said = begun(tmp_path, config, "doctor", "--json").communicate(timeout=100)
    assert "no answer within" in found
    assert said == ""


@pytest.mark.timeout(120)
def test_a_start_says_that_it_waits_for_its_database(tmp_path: Path, silent: int) -> None:
    """Without the password that may be in its address."""
    database = f"postgresql://slackwater:hunter2@127.0.0.1:{silent}/slackwater"
    pytest.importorskip("psycopg")
    server = begun(tmp_path, f'[server]\ndatabase = "{database}"\nport = 0\n{DEPLOYMENT}echo = {{}}\n', "serve")
    line = line_with(server, "start_waits")
    assert "the ledger in postgresql://" in line
    assert "hunter2" not in line


@pytest.mark.timeout(120)
def test_a_start_and_the_doctor_say_that_they_wait_for_the_store(
    tmp_path: Path, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is away is tried for half a minute: they say so before that."""
    pytest.importorskip("obstore")
    monkeypatch.setenv("FILES_KEY", "a:b")
    store = f'files = "s3://box/place"\nfiles_endpoint = "http://127.0.0.1:{silent}"\nfiles_key_env = "FILES_KEY"\n'
    config = f"[server]\nport = 0\n{store}{DEPLOYMENT}echo = {{}}\n"
    assert "the object store s3://box/place" in line_with(begun(tmp_path, config, "serve"), "start_waits")
    assert "the files in s3://box/place" in line_with(begun(tmp_path, config, "doctor"), "looking at")
