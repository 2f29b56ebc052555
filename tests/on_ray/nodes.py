"""A Ray cluster of one machine: a head and further nodes, each on an address of its own, all of whose processes are known.

Ray rewrites 127.0.0.1 to the outer address of the machine, so the nodes are 127.0.0.2 and up. They are started one after the
other: three at once time out on a small machine. Nobody calls `ray stop`, which ends whatever is called like Ray's.
"""

import contextlib
import ctypes
import fcntl
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

START_SECONDS, TRIES = 120.0, 6
CLONE_NEWNET, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x8914, 1
# A lost node is noticed after some seconds; by Ray's own settings it may take a minute. A head may be away for a while.
SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "300",
}


def free_port(host: str) -> int:
    """One that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])


def listening(process: psutil.Process) -> set[str]:
    """The addresses that it listens on."""
    return {each.laddr.ip for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN}


def alone_on_loopback() -> bool:
    """Gives this process, and all that it starts from here on, a network that has nothing but loopback: Ray listens everywhere.

    False where that is not allowed. To be called by the only thread that there is.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        return False
    with socket.socket() as any_socket:
        request = struct.pack("16sH14x", b"lo", IFF_UP)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
    return True


class Node:
    """`ray start --block`, and all that it has started."""

    def __init__(self, host: str, log: Path, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.host, self.log = host, log
        self._arguments, self._environment = arguments, environment
        self.seen: set[psutil.Process] = set()
        self.start()

    def start(self) -> None:
        """Returns once Ray says that it runs. Raises AssertionError with its last words.

        A machine that has much else to do may take longer than the half minute after which Ray gives up.
        """
        for _ in range(TRIES):
            if self._started():
                return
        raise AssertionError(f"ended with {self.process.returncode}: {self.said()}")

    def _started(self) -> bool:
        with self.log.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env={**os.environ, **SETTINGS, **self._environment},
                start_new_session=True,
            )
        limit = time.monotonic() + START_SECONDS
        while b"Ray runtime started" not in self.log.read_bytes():
            self.all()
            if self.process.poll() is not None:
                # Ray leaves some of it behind.
                self.kill()
                return False
            assert time.monotonic() < limit, f"did not start: {self.said()}"
            signal.sigtimedwait([], 0.5)
        self.all()
        return True

    def said(self) -> str:
        return self.log.read_text()[-3000:]

    def all(self) -> list[psutil.Process]:
        """It and its processes, however deep, also those that were seen before and whose parents have ended since."""
        for each in [psutil.Process(self.process.pid), *self.seen] if self.process.poll() is None else [*self.seen]:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.seen.update([each, *each.children(recursive=True)])
        self.seen = {each for each in self.seen if each.is_running()}
        return sorted(self.seen, key=lambda each: each.pid)

    def called(self, name: str) -> psutil.Process:
        """The one of its processes that is called so."""
        (found,) = (each for each in self.all() if each.name() == name)
        return found

    def strike(self, there: list[psutil.Process]) -> None:
        """Kills these of its processes, all at once."""
        for each in there:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()

    def kill(self) -> None:
        """All of them, as a machine that is lost; and nobody is left."""
        there = self.all()
        self.strike(there)
        self.process.wait(30)
        self.seen.clear()
        _, left = psutil.wait_procs(there, timeout=30)
        assert not left, left


class RayCluster:
    """A head that does no work, and other nodes."""

    def __init__(self, folder: Path, *, redis: str = "", guarded: bool = True) -> None:
        """`redis` is the server that keeps what the head knows. Where it is not `guarded`, nodes ask nobody for a token."""
        self.folder = folder
        # Sockets have to have short names.
        self.temporary = Path(f"/tmp/swr{secrets.token_hex(3)}")
        self.token = secrets.token_hex(16)
        self.address = f"127.0.0.2:{free_port('127.0.0.2')}"
        self._redis = redis
        self._settings = {"RAY_AUTH_TOKEN": self.token} if guarded else {"RAY_AUTH_MODE": "disabled"}
        self.nodes: list[Node] = []
        self.head: Node | None = None

    @property
    def environment(self) -> dict[str, str]:
        """For whoever calls it."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "RAY_USAGE_STATS_ENABLED": "0"}

    def start_head(self) -> Node:
        self.head = self._node(
            "127.0.0.2",
            [
                "--head",
                f"--port={self.address.partition(':')[2]}",
                "--num-cpus=0",
                "--include-dashboard=false",
                f"--temp-dir={self.temporary}",
            ],
            {"RAY_REDIS_ADDRESS": self._redis} if self._redis else {},
        )
        return self.head

    def start_node(self, environment: Mapping[str, str]) -> Node:
        """One more."""
        host = f"127.0.0.{3 + len(self.nodes)}"
        node = self._node(host, [f"--address={self.address}", "--num-cpus=1"], environment)
        self.nodes.append(node)
        return node

    def _node(self, host: str, arguments: list[str], environment: Mapping[str, str]) -> Node:
        common = [f"--node-ip-address={host}", "--object-store-memory=80000000", "--disable-usage-stats"]
        common += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
        log = self.folder / f"ray-{host}.log"
        return Node(host, log, [*arguments, *common], {**self._settings, **environment})

    def close(self) -> None:
        for each in [*self.nodes, *([self.head] if self.head else [])]:
            each.kill()
        shutil.rmtree(self.temporary, ignore_errors=True)


@contextlib.contextmanager
def redis_running(folder: Path, program: str) -> Iterator[str]:
    """A Redis server of one's own, on loopback, that keeps what it is told through a kill; gives its address."""
    port = free_port("127.0.0.1")
    with (folder / "redis.log").open("wb") as said:
        process = subprocess.Popen(
            [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--appendonly", "yes"],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        limit = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None, (folder / "redis.log").read_text()
            assert time.monotonic() < limit
            signal.sigtimedwait([], 0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
