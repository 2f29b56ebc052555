"""Loses a server's connection to PostgreSQL after any message of a short batch's life: `python -m tests.crash.cut_points`.

One server works through a proxy that lets the n-th message of either side through and cuts its connection then, for every n from
the upload of a batch to its end. The client's calls are all answered; each line of each batch ends once, and is charged once.
"""

import argparse
import contextlib
import json
import socket
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

from msgspec import Struct

from tests.crash.counting_backend import CountingBackend
from tests.crash.rounds import Report, check_account, check_files, input_lines
from tests.postgresql import Databases, Postgresql, with_template
from tests.server import Server

LINES = 5
# A batch that ends before its n-th message, so often in a row: there are no later ones.
ENDS_BEFORE = 5
PATIENCE_SECONDS = 60.0


class CountingProxy:
    """Stands on a port before a server that listens on a socket in a folder. Counts the messages of both sides."""

    def __init__(self, folder: Path) -> None:
        self._server = str(next(folder.glob(".s.PGSQL.*[0-9]")))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._left = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, number: int) -> None:
        """The message with that number from now on is a connection's last one; 0: none is."""
        with self._lock:
            self._left = number

    @property
    def has_cut(self) -> bool:
        """Whether that message has come."""
        return not self._left

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                for source, target, begun in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pass_on, args=(source, target, begun), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, begun: bool) -> None:
        data = b""
        with contextlib.suppress(OSError):
            while more := source.recv(65536):
                data += more
                # The first message of a client has no kind before its length.
                while len(data) >= (head := 5 if begun else 4):
                    size = head - 4 + struct.unpack_from("!i", data, head - 4)[0]
                    if len(data) < size:
                        break
                    target.sendall(data[:size])
                    data, begun = data[size:], True
                    if self._is_last():
                        data = b""
                        target.shutdown(socket.SHUT_RDWR)
                        source.shutdown(socket.SHUT_RDWR)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _is_last(self) -> bool:
        with self._lock:
            last = self._left == 1
            self._left = max(0, self._left - 1)
        return last


class Cuts(Struct):
    """What was cut, and what came of it. `slowest` is a batch's life in seconds."""

    batches: int = 0
    cuts: int = 0
    slowest: float = 0.0
    lost: int = 0
    doubled: int = 0
    torn: int = 0
    miscounted: int = 0


def cut_everywhere(folder: Path, postgresql: Postgresql, *, step: int = 1, tell: bool = False) -> Cuts:
    """Runs a batch for every `step`-th message of one, and checks all of them. Raises AssertionError where one does not end."""
    database = Databases(postgresql.address("postgres")).new()
    proxy = CountingProxy(postgresql.place / "socket")
    place = f"host=127.0.0.1&port={proxy.port}&sslmode=disable&gssencmode=disable"
    cuts, report, early = Cuts(), Report(), 0
    with CountingBackend(latency=0.01) as backend:
        config = folder / "slackwater.toml"
        config.write_text(
            f'[server]\ndatabase = "{database.partition("host=")[0]}{place}"\n[[deployments]]\nname = "crash"\n'
            f'[[deployments.backends]]\nurl = "{backend.url}"\nconcurrency = 8\n'
        )
        server = Server(config, folder / "data", folder / "server.log")
        try:
            number = 1
            while early < ENDS_BEFORE:
                begun = time.monotonic()
                proxy.arm(number)
                batch_id = server.create_batch(server.upload("in.jsonl", input_lines(f"cut{number}", LINES)))
                while (batch := server.batch(batch_id))["status"] != "completed":
                    assert time.monotonic() < begun + PATIENCE_SECONDS, f"after message {number}: {batch['status']}"
                    time.sleep(0.02)
                early = 0 if proxy.has_cut else early + 1
                cuts.cuts += proxy.has_cut
                cuts.slowest = max(cuts.slowest, round(time.monotonic() - begun, 2))
                proxy.arm(0)
                report.batches += 1
                check_files(report, server, batch, f"cut{number}", LINES)
                number += step
                if tell and report.batches % 50 == 0:
                    print(f"message {number}, slowest {cuts.slowest} s", file=sys.stderr)
            check_account(report, server)
        finally:
            server.kill()
    for name in ("batches", "lost", "doubled", "torn", "miscounted"):
        setattr(cuts, name, getattr(report, name))
    return cuts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=1, help="only every so many messages")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slackwater-cuts-") as folder, with_template() as postgresql:
        cuts = cut_everywhere(Path(folder), postgresql, step=arguments.step, tell=True)
        failed = [line for line in (Path(folder) / "server.log").read_text().splitlines() if " ERROR " in line]
    print(json.dumps({name: getattr(cuts, name) for name in cuts.__struct_fields__} | {"errors": failed}, indent=2))
    sys.exit(1 if cuts.lost or cuts.doubled or cuts.torn or cuts.miscounted or failed else 0)


if __name__ == "__main__":
    main()
