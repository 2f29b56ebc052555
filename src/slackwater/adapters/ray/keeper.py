"""Keeps one worker running on this machine: a process of its own, which ends with this one, as this one does with its parent.

A process of its own, because a worker goes by signals, limits and an event loop that Ray's processes have for themselves.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from slackwater.adapters.ray import tied
from slackwater.core.placement import LASTING_SECONDS, Ended, again_seconds

# What a worker says once it works, at the end of that line.
MEMBER = re.compile(r", member ([0-9a-f]+)$")
# What belongs to Ray, its token among it, is nothing that a worker should have.
RAYS = "RAY_"
# How often it looks whether its parent is there. Ray's own look takes one to three seconds.
PARENT_SECONDS = 0.2


class State(Struct, frozen=True, kw_only=True):
    """A worker, as its keeper sees it."""

    pid: int = 0
    """0 while there is no process."""
    member: str = ""
    """Who of the ledger's members it is; empty until it works."""
    starts: int = 0
    said: str = ""
    """The last line of one that has ended by itself."""
    over: bool = False
    """It was told to end, and has."""


class Keeper:
    """The worker of one machine. Its methods may be called on any thread."""

    def __init__(self, program: Sequence[str], *, said: Callable[[str], None] | None = None) -> None:
        """`program` is what comes after the interpreter. `said` gets each line that the worker says; else standard error does."""
        self._program = tuple(program)
        self._said = said or (lambda line: print(line, file=sys.stderr, flush=True))
        self._news = threading.Condition()
        self._state = State()
        self._ending = False
        self._process: subprocess.Popen[str] | None = None
        # It is the parent of the worker for the kernel, too, so it stays: see `tied`.
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._thread.start()
        threading.Thread(target=_end_with, args=(os.getppid(),), name="parent", daemon=True).start()

    def changed(self, known: State | None = None) -> State:
        """Its state, once that is another one than what is known."""
        with self._news:
            self._news.wait_for(lambda: self._state != known)
            return self._state

    def drain(self) -> None:
        """Lets it end gently. How long that may take is its own affair, `[worker] grace_seconds`."""
        with self._news:
            if self._ending:
                # A second signal would end it at once.
                return
            self._ending = True
            self._news.notify_all()
            if self._process is not None:
                self._process.send_signal(signal.SIGTERM)

    def _run(self) -> None:
        ends, starts = 0, 0
        while True:
            with self._news:
                if self._ending:
                    break
                # Under the lock: who tells it to end finds a process to tell it, or none is begun.
                process = self._process = self._begin()
                starts += 1
                self._state = State(pid=process.pid, starts=starts)
                self._news.notify_all()
            began = time.monotonic()
            last = self._listen(process, starts)
            code, lasted = process.wait(), time.monotonic() - began
            ends = 0 if lasted >= LASTING_SECONDS or code == Ended.WELL else ends + 1
            with self._news:
                self._process = None
                self._state = State(starts=starts, said="" if self._ending else last or f"it ended with {code}")
                self._news.notify_all()
                self._news.wait_for(lambda: self._ending, again_seconds(code, lasted, max(0, ends - 1)))
        with self._news:
            self._state = State(starts=starts, over=True)
            self._news.notify_all()

    def _begin(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-IS", tied.__file__, str(os.getpid()), sys.executable, *self._program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={name: value for name, value in os.environ.items() if not name.startswith(RAYS)},
        )

    def _listen(self, process: subprocess.Popen[str], starts: int) -> str:
        """Passes on what it says until it says nothing more; returns the last line."""
        last = ""
        assert process.stdout is not None
        with process.stdout, contextlib.suppress(ValueError):
            for line in process.stdout:
                last = line.rstrip("\n")
                self._said(last)
                found = MEMBER.search(last)
                if found:
                    with self._news:
                        self._state = State(pid=process.pid, member=found[1], starts=starts)
                        self._news.notify_all()
        return last


def _end_with(parent: int) -> None:
    """Ends this process once its parent has ended, that of the node: without that nobody would keep it, either."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(1)
