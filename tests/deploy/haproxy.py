"""HAProxy as deploy/proxy/haproxy.cfg has it, before servers of a test."""

import csv
import io
import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.cluster import until

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "proxy" / "haproxy.cfg"


def free_port() -> int:
    """One that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Haproxy:
    """`servers` are the addresses (host:port) of those that the file names."""

    def __init__(self, folder: Path, servers: Mapping[str, str]) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._socket = folder / "haproxy.sock"
        text = CONFIGURATION.read_text("utf-8")
        named = set(re.findall(r"^    server \S+ (\S+)$", text, re.MULTILINE))
        assert named == {f"{name}:8080" for name in servers}
        for name, address in servers.items():
            text = text.replace(f"{name}:8080", address)
        text = text.replace("bind :8080", f"bind {self.address}").replace("/tmp/haproxy.sock", str(self._socket))
        file = folder / "haproxy.cfg"
        file.write_text(text)
        self._log = (folder / "haproxy.log").open("wb")
        self._process = subprocess.Popen(["haproxy", "-db", "-f", str(file)], stdout=self._log, stderr=self._log)

    def __enter__(self) -> "Haproxy":
        until(self._socket.exists)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        self._log.close()

    def say(self, command: str) -> str:
        """A command at its socket, and the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            connection.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def status(self, server: str, backend: str = "slackwater") -> dict[str, str]:
        """The row of a server: `status` (UP, DOWN, DRAIN), `scur` (calls at the moment), `check_status`, `check_code`."""
        table = csv.DictReader(io.StringIO(self.say("show stat").lstrip("# ")))
        return next(row for row in table if (row["pxname"], row["svname"]) == (backend, server))

    def is_up(self, server: str) -> bool:
        """Whether a check has found it so, and nobody has only supposed it."""
        row = self.status(server)
        return row["status"] == "UP" and row["check_status"] == "L7OK"
