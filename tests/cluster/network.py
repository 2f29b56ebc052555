"""A second network on this machine, with a wire between it and the first one that can be cut: nobody is told."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

# Of a range that is for measuring networks, and that nobody routes.
HERE, THERE, BITS = "198.18.77.1", "198.18.77.2", 30


def refusal() -> str:
    """Why this machine has no such network for us; empty where it has."""
    if shutil.which("ip") is None:
        return "there is no ip (iproute2)"
    try:
        with wired() as wire:
            wire.cut()
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd)}: {error.stderr.decode().strip()}"
    return ""


class Wire:
    """The wire, and the network behind it."""

    def __init__(self, name: str) -> None:
        self.name = name
        # What is to be run there is run by this.
        self.inside = ["ip", "netns", "exec", name]

    def cut(self) -> None:
        """Nothing comes through any more, and no connection ends."""
        _ip("link", "set", self.name, "down")

    def mend(self) -> None:
        """It does again."""
        _ip("link", "set", self.name, "up")


@contextlib.contextmanager
def wired() -> Iterator[Wire]:
    """Another network, until the end of the block. Raises subprocess.CalledProcessError where that is not allowed."""
    wire = Wire(f"swm{os.getpid()}")
    _ip("netns", "add", wire.name)
    try:
        _ip("link", "add", wire.name, "type", "veth", "peer", "name", "there", "netns", wire.name)
        _ip("addr", "add", f"{HERE}/{BITS}", "dev", wire.name)
        _ip("link", "set", wire.name, "up")
        _ip("-n", wire.name, "addr", "add", f"{THERE}/{BITS}", "dev", "there")
        for each in ("there", "lo"):
            _ip("-n", wire.name, "link", "set", each, "up")
        yield wire
    finally:
        # At once: with its network it would go some time later, and the next one has its name and its address.
        subprocess.run(["ip", "link", "del", wire.name], check=False, capture_output=True, timeout=20)
        _ip("netns", "del", wire.name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)
