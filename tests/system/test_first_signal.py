"""A signal that comes while `serve` or `worker` starts: whoever sent it wanted an end, and nothing has failed."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from slackwater.cli import LASTING

SIGNALS = (signal.SIGTERM, signal.SIGINT)
CONFIG = '[server]\nport = 0\ndatabase = "{}"\n[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {{}}\n'
NOWHERE = "postgresql://127.0.0.1:9/nothing"


def begin(command: str, config: Path, *options: str, data: str = "data") -> "subprocess.Popen[bytes]":
    """A process that has just begun."""
    words = [
        sys.executable,
        *options,
        "-m",
        "slackwater",
        command,
        "--config",
        str(config),
        "--data",
        str(config.parent / data),
    ]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("command", LASTING)
@pytest.mark.parametrize("number", SIGNALS)
def test_while_its_modules_are_read(tmp_path: Path, command: str, number: signal.Signals) -> None:
    """Most of the first second. Nothing has been opened, and nothing is left."""
    config = tmp_path / "slackwater.toml"
    config.write_text(CONFIG.format(NOWHERE))
    process = begin(command, config, "-X", "importtime")
    assert process.stderr is not None
    # Modules are named as they have been read: the command's own are next.
    for line in process.stderr:
        if line.split(b"|")[-1].strip().startswith(b"slackwater.adapters"):
            break
    process.send_signal(number)
    process.stderr.read()
    assert process.wait(30) == 0
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", LASTING)
def test_while_its_configuration_is_read(tmp_path: Path, command: str) -> None:
    """The last moment at which nothing has been opened."""
    config = tmp_path / "slackwater.toml"
    os.mkfifo(config)
    process = begin(command, config)
    # It is opened once somebody reads it, who waits for what is in it.
    with config.open("wb"):
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert process.communicate()[1] == b""


@pytest.mark.long
@pytest.mark.parametrize("command", LASTING)
def test_while_its_database_is_waited_for(tmp_path: Path, command: str) -> None:
    """It never comes, which is said; the end is what was asked for. Without a signal it is a failure, to be tried again."""
    config = tmp_path / "slackwater.toml"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config.write_text(
            CONFIG.format(f"postgresql://127.0.0.1:{listener.getsockname()[1]}/nothing?connect_timeout=2")
        )
        process = begin(command, config)
        connection, _ = listener.accept()
        connection.close()
        process.send_signal(signal.SIGTERM)
        other = begin(command, config, data="other")
        assert process.wait(60) == 0
        assert other.wait(60) == 1
    assert all(b"the ledger cannot be reached" in each.communicate()[1] for each in (process, other))
