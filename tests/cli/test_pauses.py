"""`pause`, `resume` and `try` as an operator types them, and what the other commands say meanwhile."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.api.calls import chat
from tests.cli.conftest import Terminal

ENGINE = "built-in-1-of-slow-batch"


def begun(terminal: Terminal) -> str:
    """A batch on the slow deployment."""
    path: Path = terminal.directory / "in.jsonl"
    path.write_bytes(chat(100, model="slow-batch"))
    return terminal.well("batches", "submit", "in.jsonl")


@pytest.mark.parametrize("kind", ["engines", "deployments", "batches"])
def test_pause_and_resume(terminal: Terminal, kind: str) -> None:
    """Standard output stays empty, standard error says how the thing is; `try` is refused meanwhile."""
    batch = begun(terminal)
    name = {"engines": ENGINE, "deployments": "slow-batch", "batches": batch}[kind]
    try:
        paused = terminal(kind, "pause", name, "--reason", "new driver")
        assert (paused.returncode, paused.stdout) == (0, "")
        assert "paused by an operator (service): new driver" in paused.stderr
        assert "until it is resumed" in paused.stderr
        shown = dict(line.split("\t") for line in terminal.well("batches", "show", batch).splitlines())
        assert "paused by an operator (service): new driver" in shown["waiting on"]
        listed = {
            cells[0]: cells[8] for line in terminal.well("batches", "list").splitlines() if (cells := line.split("\t"))
        }
        assert "paused by an operator (service): new driver" in listed[batch]
        tried = terminal(kind, "try", name)
        assert tried.returncode == 1
        assert "resume it first" in tried.stderr
        rows = {line.split("\t")[0]: line.split("\t")[-1] for line in terminal.well("deployments", "list").splitlines()}
        assert rows["demo-batch"] == "ok"
        assert (rows["slow-batch"] != "ok") == (kind != "batches")
    finally:
        resumed = terminal(kind, "resume", name, "--json")
    assert resumed.returncode == 0
    assert "paused" not in json.dumps({**json.loads(resumed.stdout), "reason": None})
    assert terminal(kind, "try", name).returncode == 0
    terminal.well("batches", "cancel", batch, "--wait")


def test_watching_what_is_paused(terminal: Terminal) -> None:
    """A log has one line for why it waits, and it ends as any other."""
    batch = begun(terminal)
    terminal.well("batches", "pause", batch, "--reason", "later")
    with subprocess.Popen(
        terminal.command("batches", "watch", batch),
        cwd=terminal.directory,
        env=terminal.environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stderr is not None
        for line in watching.stderr:
            if "the batch is paused by an operator" in line:
                break
        terminal.well("batches", "cancel", batch)
        rest = watching.stderr.read()
        assert watching.wait(60) == 1
    assert f"{batch} cancelled" in rest


def test_deployments_are_watched(terminal: Terminal) -> None:
    """Each is said once, and again when it changes; Ctrl-C ends that without a word. What is not there is said at once."""
    with subprocess.Popen(
        terminal.command("deployments", "watch"),
        cwd=terminal.directory,
        env=terminal.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        first = [watching.stdout.readline().rstrip("\n").split("\t")[1:] for _ in range(4)]
        # Nobody paces what is built in: out and window are all that is known of it, and what came back.
        assert ["demo-batch", "ok", "none", "0/64", "", "", "", "", "", "0.0", "0.0", ""] in first
        assert sorted(name for name, *_ in first) == ["demo-batch", "failing-batch", "slow-batch", "stuck-batch"]
        try:
            terminal.well("deployments", "pause", "slow-batch", "--reason", "new weights")
            _, name, now, *_ = watching.stdout.readline().split("\t")
            assert name == "slow-batch"
            assert now.startswith("paused by an operator (service): new weights")
        finally:
            terminal.well("deployments", "resume", "slow-batch")
        assert watching.stdout.readline().split("\t")[1] == "slow-batch"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
        assert watching.stderr is not None
        assert watching.stderr.read() == ""
    with subprocess.Popen(
        terminal.command("deployments", "watch", "demo-batch", "--json", "--every", "2"),
        cwd=terminal.directory,
        env=terminal.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        # Nothing changes, and there are lines all the same.
        for _ in range(2):
            state = json.loads(watching.stdout.readline())
            assert (state["name"], state["backends"][0]["pacing"]["state"]) == ("demo-batch", "absent")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
    assert terminal("deployments", "watch", "--every", "1").returncode == 2
    missing = terminal("deployments", "watch", "slow-bacht")
    assert missing.returncode == 1
    assert "there is no deployment 'slow-bacht'; there are demo-batch, failing-batch" in missing.stderr


def test_engines_are_listed_and_named_by_url(terminal: Terminal) -> None:
    """An id, or the URL of something behind it; what is not there is said in one line."""
    rows = [line.split("\t") for line in terminal.well("engines", "list").splitlines()]
    assert [ENGINE, "ok", "ok"] in [[row[0], row[1], row[4]] for row in rows]
    assert f"id\t{ENGINE}" in terminal.well("engines", "show", ENGINE)
    assert f"{ENGINE}: fixed (by command; configured: gentle)" in terminal("engines", "pace", ENGINE, "fixed").stderr
    try:
        for verb in (("list",), ("show", ENGINE)):
            assert "fixed (by command; configured: gentle)" in terminal.well("engines", *verb)
    finally:
        assert "by command" not in terminal("engines", "pace", ENGINE, "configured").stderr
    missing = terminal("engines", "pause", "http://127.0.0.1:9/v1")
    assert missing.returncode == 1
    assert "There is no engine 'http:127.0.0.1:9'" in missing.stderr
    assert terminal("engines", "pause", "http://127.0.0.1:x/v1").returncode == 1
