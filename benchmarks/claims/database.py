"""A PostgreSQL of our own for a measurement, with the settings that it has by default, and what its processes cost."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.postgresql import Postgresql, running

TICKS = os.sysconf("SC_CLK_TCK")
# Where the fields of /proc/PID/stat behind the name of the program begin: from `state` on, which is the third.
PARENT, CHILDREN_USER, CHILDREN_SYSTEM = 1, 13, 14


def _fields(process: int | str) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _own_seconds(process: int | str) -> float:
    """Of all its threads, to the nanosecond."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def processor_seconds(process: int) -> float:
    """User and system time of a process, of those children that live, and of those that have ended."""
    fields = _fields(process)
    seconds = _own_seconds(process) + (int(fields[CHILDREN_USER]) + int(fields[CHILDREN_SYSTEM])) / TICKS
    for name in os.listdir("/proc"):
        if name.isdigit():
            # One that ends in between is counted with its parent, or not at all.
            with contextlib.suppress(OSError):
                if int(_fields(name)[PARENT]) == process:
                    seconds += _own_seconds(name)
    return seconds


def seconds_of(server: Postgresql) -> float:
    """What PostgreSQL has used of the processors, in seconds: all of its processes."""
    assert server.process is not None
    return processor_seconds(server.process.pid)


@contextlib.contextmanager
def database() -> Iterator[Postgresql]:
    """One that syncs what it commits, with room for the connections of fifty members."""
    with running(careless=False, settings={"max_connections": "600"}) as server:
        yield server
