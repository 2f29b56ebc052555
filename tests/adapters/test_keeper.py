"""What keeps a worker running, with programs in its place that end as workers do; Ray is not needed for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from slackwater.adapters.ray.keeper import Keeper, State

WORKS = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("stopped", flush=True), sys.exit(0)))
print(f"slackwater worker sends, token {os.environ.get('RAY_AUTH_TOKEN')}, member 0af{os.getpid():x}", flush=True)
while True:
    signal.pause()
"""
KEEPS = """
import signal, sys
from slackwater.adapters.ray.keeper import Keeper
keeper = Keeper(["-c", sys.argv[1]])
state = None
while state is None or not state.member:
    state = keeper.changed(state)
print(state.pid, flush=True)
signal.pause()
"""


def until(keeper: Keeper, true: Callable[[State], bool]) -> State:
    """Its state, once it is so."""
    state = keeper.changed()
    while not true(state):
        state = keeper.changed(state)
    return state


def ended(pid: int) -> bool:
    """Whether nothing runs there any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_who_it_is_is_read_from_its_greeting() -> None:
    """And it has none of what Ray has for itself."""
    said: list[str] = []
    os.environ["RAY_AUTH_TOKEN"] = "nobody-else-s"
    try:
        keeper = Keeper(["-c", WORKS], said=said.append)
        state = until(keeper, lambda state: bool(state.member))
    finally:
        del os.environ["RAY_AUTH_TOKEN"]
    assert state == State(pid=state.pid, member=f"0af{state.pid:x}", starts=1)
    assert "token None" in said[0]
    keeper.drain()
    assert until(keeper, lambda state: state.over) == State(starts=1, over=True)
    assert said[1:] == ["stopped"]


def test_who_is_killed_is_started_again() -> None:
    """As another member."""
    keeper = Keeper(["-c", WORKS], said=lambda line: None)
    first = until(keeper, lambda state: bool(state.member))
    os.kill(first.pid, signal.SIGKILL)
    second = until(keeper, lambda state: bool(state.member) and state.member != first.member)
    assert second.starts == 2
    keeper.drain()
    until(keeper, lambda state: state.over)
    assert ended(second.pid)


def test_who_cannot_start_says_why_and_is_not_started_all_the_time() -> None:
    """It can be told to end while it waits, and then is never started again."""
    keeper = Keeper(
        ["-c", "import sys; print('error: no such file', file=sys.stderr); sys.exit(2)"], said=lambda line: None
    )
    assert until(keeper, lambda state: bool(state.said)) == State(starts=1, said="error: no such file")
    keeper.drain()
    assert until(keeper, lambda state: state.over) == State(starts=1, over=True)


def test_whoever_keeps_it_goes_with_its_own_parent() -> None:
    """As Ray's process of a node is: Ray takes its time, and nobody places workers there any more."""
    begins = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
    node = subprocess.Popen(
        [sys.executable, "-c", begins, KEEPS, WORKS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert node.stdout is not None
    pid = int(node.stdout.readline())
    assert not ended(pid)
    node.kill()
    node.wait(10)
    limit = time.monotonic() + 30
    while not ended(pid):
        assert time.monotonic() < limit
        signal.sigtimedwait([], 0.01)
    node.stdout.close()


def test_it_goes_with_whoever_keeps_it() -> None:
    """However that one ends: here by SIGKILL, which nobody can do anything about."""
    keeping = subprocess.Popen([sys.executable, "-c", KEEPS, WORKS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert keeping.stdout is not None
    pid = int(keeping.stdout.readline())
    assert not ended(pid)
    keeping.kill()
    keeping.wait(10)
    limit = time.monotonic() + 30
    while not ended(pid):
        assert time.monotonic() < limit
        signal.sigtimedwait([], 0.01)
    keeping.stdout.close()
