"""What the command line says of processes that send, and of servers that leave it to them, where that cannot be."""

import subprocess

import pytest

from tests.cli.conftest import Terminal

DEPLOYMENT = '[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {}\n'
DATABASE = '[server]\ndatabase = "postgresql://slackwater@127.0.0.1:1/none"\n'


def config(terminal: Terminal, text: str) -> str:
    """A configuration, by its name."""
    (terminal.directory / "slackwater.toml").write_text(text + DEPLOYMENT)
    return "slackwater.toml"


def ended(terminal: Terminal, code: int, *words: str) -> subprocess.CompletedProcess[str]:
    """A command that must end with this code."""
    done = terminal(*words)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (("worker",), "or run 'slackwater serve', which sends by itself"),
        (("serve", "--no-sending", "--port", "0"), "or leave --no-sending out"),
    ],
)
def test_an_embedded_ledger_is_refused(offline: Terminal, words: tuple[str, ...], fix: str) -> None:
    """On one line, with the fix, before anything is made."""
    for given in ((), ("--config", config(offline, "[server]\n"))):
        done = ended(offline, 2, *words, *given)
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert "name [server] database" in line
        assert fix in line
        assert done.stdout == ""
    assert not (offline.directory / "slackwater-data").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--deployments", " , "), "--deployments names none"),
        (("--listen", "9091"), "--listen '9091' must look like 127.0.0.1:9090"),
        (("--listen", "192.0.2.1:9091"), "cannot listen on 192.0.2.1:9091"),
    ],
)
def test_options_that_cannot_be(offline: Terminal, options: tuple[str, ...], said: str) -> None:
    """Each is named, on one line."""
    done = ended(offline, 2, "worker", "--config", config(offline, DATABASE), *options)
    (line,) = done.stderr.splitlines()
    assert said in line


def test_a_database_that_is_away(offline: Terminal) -> None:
    """Exit code 1: whoever starts it again should, because a database comes back by itself."""
    done = ended(offline, 1, "worker", "--config", config(offline, DATABASE))
    assert "error: " in done.stderr
    assert "127.0.0.1" in done.stderr


def test_the_help_teaches(offline: Terminal) -> None:
    """With whole lines that can be typed, of both commands."""
    worker, serve = offline.well("worker", "--help"), offline.well("serve", "--help")
    assert "slackwater worker --config slackwater.toml --deployments" in worker
    assert "slackwater serve --config slackwater.toml --no-sending" in worker
    assert "--no-sending" in serve
