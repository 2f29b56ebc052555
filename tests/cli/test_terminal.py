"""What a person at a terminal sees: a bar that moves, tables, colours unless they are unwanted."""

import fcntl
import json
import os
import pty
import re
import subprocess
import termios
from collections.abc import Callable

from slackwater.cli.deployment_figures import COLUMNS
from tests.api.calls import chat
from tests.cli.conftest import Terminal

CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def at_a_terminal(
    terminal: Terminal, *words: str, until: Callable[[bytes], bool] = lambda seen: False, **more: str
) -> tuple[int, bytes]:
    """Runs a command whose input and outputs are one terminal, 100 columns wide; returns its exit code and all it drew.

    Ctrl-C is pressed as soon as `until` is true of what is on the screen.
    """
    ours, theirs = pty.openpty()
    environment = terminal.environment | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"} | more
    process = subprocess.Popen(
        terminal.command(*words),
        cwd=terminal.directory,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        # Its controlling terminal, so that the key Ctrl-C is a signal to it.
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    seen, pressed = b"", False
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:
            # What Linux says where the last one who had the terminal has gone.
            break
        if not data:
            break
        seen += data
        if not pressed and until(seen):
            os.write(ours, b"\x03")
            pressed = True
    os.close(ours)
    return process.wait(30), seen


def test_a_bar_till_the_end(terminal: Terminal) -> None:
    """Submit --wait draws a bar with counts, rate, tokens and time left, and says at the end how it went."""
    (terminal.directory / "in.jsonl").write_bytes(chat(12, model="slow-batch"))
    code, seen = at_a_terminal(terminal, "batches", "submit", "in.jsonl", "-o", "out.jsonl")
    text = CONTROL.sub(b"", seen).decode()
    assert code == 0, text
    assert "━" in text
    assert re.search(r"in_progress \d+ of 12, \d+ s left, 0 failed, \d+\.\d/s, \d+ tokens", text), text
    assert "100%" in text
    assert "12 of 12 answered, 0 failed" in text


def test_deployments_are_followed_at_a_terminal(terminal: Terminal) -> None:
    """One table that is drawn anew, with what batches get; Ctrl-C leaves it there with the cursor, and ends with 130."""
    code, seen = at_a_terminal(
        terminal, "deployments", "watch", until=lambda seen: seen.count(b"slow-batch") > 1, COLUMNS="140"
    )
    assert code == 130
    assert seen.rfind(b"\x1b[?25h") > seen.rfind(b"\x1b[?25l")
    text = CONTROL.sub(b"", seen).decode()
    heading, *rows = text[text.rindex("deployment ") :].splitlines()
    assert heading.split() == ["deployment", *COLUMNS, "now"]
    assert [row.split()[0] for row in rows if row.split()] == [
        "demo-batch",
        "failing-batch",
        "slow-batch",
        "stuck-batch",
    ]
    assert "Traceback" not in text


def test_ctrl_c_at_the_terminal(terminal: Terminal) -> None:
    """The key ends the waiting with 130, leaves the cursor visible, and says how to go on."""
    (terminal.directory / "in.jsonl").write_bytes(chat(2, model="stuck-batch"))
    code, seen = at_a_terminal(
        terminal, "batches", "submit", "in.jsonl", "--wait", until=lambda seen: b"in_progress" in seen
    )
    assert code == 130
    assert seen.rfind(b"\x1b[?25h") > seen.rfind(b"\x1b[?25l")
    told = CONTROL.sub(b"", seen).decode()
    batch_id = re.search(r"slackwater batches watch (batch_\S+)", told)
    assert batch_id is not None, told
    batch = json.loads(terminal.well("batches", "cancel", batch_id[1], "--json"))
    assert batch["status"] in ("cancelling", "cancelled")


def test_tables_and_colours(terminal: Terminal) -> None:
    """A table has a heading and whole ids; NO_COLOR and --no-color take the colours away, and nothing else."""
    (terminal.directory / "in.jsonl").write_bytes(chat(1))
    batch_id = terminal.well("batches", "submit", "in.jsonl", "--wait", "--json")
    batch_id = json.loads(batch_id)["id"]
    _, coloured = at_a_terminal(terminal, "batches", "list")
    _, plain = at_a_terminal(terminal, "batches", "list", "--no-color")
    _, asked = at_a_terminal(terminal, "batches", "list", NO_COLOR="1")
    assert b"\x1b[32m" in coloured
    assert b"\x1b[32m" not in plain + asked
    for seen in (coloured, plain, asked):
        text = CONTROL.sub(b"", seen).decode()
        assert text.split()[:3] == ["id", "job", "status"]
        assert batch_id in text


def test_faults_are_marked(offline: Terminal) -> None:
    """Validation shows each wrong line with the place in it underlined."""
    (offline.directory / "in.jsonl").write_bytes(
        chat(1) + b'{"custom_id": "b", "method": "GET", "url": "/v1/chat/completions", "body": {}}\n'
    )
    code, seen = at_a_terminal(offline, "validate", "in.jsonl")
    assert code == 1
    marked = re.search(rb"\x1b\[[0-9;]*4[0-9;]*m([^\x1b]+)\x1b\[0m", seen)
    assert marked is not None, seen
    assert marked[1] == b'"GET"'
