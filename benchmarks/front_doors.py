"""Which server stands before everybody else: `python benchmarks/front_doors.py [NAME ...]`, for docs/decisions/front-door.md.

One small application behind each (contenders/front_doors.py): what a small GET and a megabyte up and down cost in CPU, by
interleaved rounds; then one connection that sends without end, and what that does to memory and to a newcomer. `hypercorn` and
`granian` have to be installed first.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from harness import HERE, free_port, median, table
from transfer import cpu, memory

NAMES = ("ours", "uvicorn", "hypercorn", "granian")
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
LINES = b"X-Y: aaaaaaaaaaaaaaaaaaaa\r\n" * 40
ENDLESS = {
    "endless value": (HEAD + b"X: ", b"a" * 1000, 4_000_000),
    "header lines": (HEAD, LINES, 20_000_000),
    "trailers": (CHUNKED, LINES, 20_000_000),
    "pipeline": (b"", (HEAD + b"\r\n") * 40, 20_000_000),
}
SIZE = 20_000_000
SMALL = b"GET /healthz HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: client\r\nAccept: application/json\r\napi-key: k\r\n\r\n"


def family(pid: int) -> list[int]:
    """A process and those that it has started."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [pid, *(each for child in children for each in family(child))]


class Contender:
    """A running server."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "contenders" / "front_doors.py"), name, str(self.port)]
        )
        for _ in range(200):
            try:
                self.connect().close()
                break
            except OSError:
                time.sleep(0.1)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def ask(self, head: bytes, body: bytes = b"", times: int = 1) -> None:
        """The same request again and again on one connection; answers have a length."""
        with self.connect() as connection:
            for _ in range(times):
                connection.sendall(head + body)
                answer = b""
                while b"\r\n\r\n" not in answer:
                    piece = connection.recv(1 << 16)
                    assert piece, "closed"
                    answer += piece
                lines, _, rest = answer.partition(b"\r\n\r\n")
                length = next(
                    int(line[15:]) for line in lines.lower().split(b"\r\n") if line.startswith(b"content-length")
                )
                left = length - len(rest)
                while left:
                    left -= len(connection.recv(min(left, 1 << 20)))

    def cost(self, what: Callable[[], None]) -> float:
        """Seconds of CPU."""
        before = sum(map(cpu, family(self.process.pid)))
        what()
        return sum(map(cpu, family(self.process.pid))) - before

    def memory(self) -> int:
        return sum(memory(pid, "VmRSS") for pid in family(self.process.pid))

    def endless(self, first: bytes, piece: bytes, total: int) -> tuple[int, int, float]:
        """Sends on one connection as long as it goes, for 20 s: bytes sent, growth, and the longest that a newcomer waited."""
        before, sent, worst, growth = self.memory(), 0, 0.0, 0
        until = look = time.monotonic()
        with self.connect() as connection:
            connection.sendall(first)
            connection.setblocking(False)
            while sent < total and look < until + 20:
                try:
                    sent += connection.send(piece)
                except BlockingIOError:
                    time.sleep(0.001)
                except OSError:
                    break
                if time.monotonic() > look + 0.5:
                    started = time.perf_counter()
                    self.ask(SMALL)
                    worst = max(worst, time.perf_counter() - started)
                    growth, look = max(growth, self.memory() - before), time.monotonic()
            started = time.perf_counter()
            self.ask(SMALL)
            worst = max(worst, time.perf_counter() - started)
            growth = max(growth, self.memory() - before)
        return sent, growth, worst


def main() -> None:
    contenders = [Contender(name) for name in sys.argv[1:] or NAMES]
    upload = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE
    body = bytes(SIZE)
    found: dict[tuple[str, int], list[float]] = {}
    try:
        for _ in range(5):
            for each in contenders:
                for number, (what, units) in enumerate(
                    (
                        (lambda each=each: each.ask(SMALL, times=2000), 2000 / 1e6),
                        (lambda each=each: each.ask(upload, body), SIZE / 1e9),
                        (lambda each=each: each.ask(SMALL.replace(b"/healthz", b"/large")), SIZE / 1e9),
                    )
                ):
                    found.setdefault((each.name, number), []).append(each.cost(what) / units)
        rows = [(each.name, *(f"{median(found[each.name, number]):.2f}" for number in range(3))) for each in contenders]
        print(table(("server", "us CPU / GET", "ms / MB up", "ms / MB down"), rows))
        rows = []
        for each in contenders:
            for kind, (first, piece, total) in ENDLESS.items():
                sent, growth, worst = each.endless(first, piece, total)
                rows.append((each.name, kind, f"{sent / 1e6:.1f}", f"{growth / 2**20:.0f}", f"{1e3 * worst:.0f}"))
        print(table(("server", "endless", "MB taken", "growth MiB", "newcomer ms"), rows))
    finally:
        for each in contenders:
            each.process.terminate()
            each.process.wait()


if __name__ == "__main__":
    main()
