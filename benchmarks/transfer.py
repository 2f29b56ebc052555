"""How fast 200 MB go up and come down: `python benchmarks/transfer.py`.

Upload: a real `slackwater serve` beside the same server framework that throws the body away. Download: beside nginx with
sendfile. One client for all of them: a blocking socket that sends a prepared body with sendfile(2), and reads into one
buffer of a mebibyte. Rounds are interleaved; a ratio compares medians of one run.
"""

import argparse
import hashlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from harness import HERE, big_input, free_port, median, table
from service import BOUNDARY, Service, service

NGINX = """
daemon off; master_process off; worker_processes 1; pid {scratch}/nginx.pid; error_log stderr error;
events {{ worker_connections 64; }}
http {{
    access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
    client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy; fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi; scgi_temp_path {scratch}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


class Peer(NamedTuple):
    """A server that is measured: its address, and the process that does the work."""

    address: tuple[str, int]
    pid: int


def peer_of(server: Service) -> Peer:
    """A running `slackwater serve` as a peer."""
    host, _, port = server.address.rpartition(":")
    return Peer((host, int(port)), server.process.pid)


class Cost(NamedTuple):
    """One transfer: seconds as the client sees them, CPU seconds of the server, and its peak growth in bytes."""

    wall: float
    cpu: float
    growth: int


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, threads included."""
    total = sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())
    return total / 1e9


def memory(pid: int, name: str) -> int:
    """A field of a process's status page, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def costs(peer: Peer, transfer: Callable[[], object]) -> Cost:
    """Measures one transfer. The server's memory is that above what it had just before."""
    Path(f"/proc/{peer.pid}/clear_refs").write_text("5")
    before, used = memory(peer.pid, "VmRSS"), cpu(peer.pid)
    started = time.perf_counter()
    transfer()
    wall = time.perf_counter() - started
    return Cost(wall, cpu(peer.pid) - used, memory(peer.pid, "VmHWM") - before)


def call(peer: Peer, head: str, body: Path | None, take: Callable[[memoryview], object]) -> None:
    """One request on a connection of its own; `take` gets the body of the answer, piece by piece."""
    with socket.create_connection(peer.address) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(f"{head}Host: localhost\r\nConnection: close\r\n\r\n".encode())
        if body is not None:
            with body.open("rb") as file:
                connection.sendfile(file)
        buffer = memoryview(bytearray(1 << 20))
        headers = b""
        while b"\r\n\r\n" not in headers:
            got = connection.recv_into(buffer)
            assert got, f"no answer: {headers!r}"
            headers += buffer[:got]
        headers, _, rest = headers.partition(b"\r\n\r\n")
        assert headers.split()[1] == b"200", headers + rest
        take(memoryview(rest))
        while got := connection.recv_into(buffer):
            take(buffer[:got])


def upload(peer: Peer, body: Path) -> str:
    """Sends a prepared multipart body; returns the file's id, or nothing where the server keeps nothing."""
    answer = bytearray()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    head = f"POST /v1/files HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {body.stat().st_size}\r\n"
    call(peer, head, body, answer.extend)
    return json.loads(answer)["id"] if answer else ""


def download(peer: Peer, path: str, size: int) -> None:
    """Reads a file and throws it away. Fails if it has another size."""
    left = size

    def take(piece: memoryview) -> None:
        nonlocal left
        left -= len(piece)

    call(peer, f"GET {path} HTTP/1.1\r\n", None, take)
    assert left == 0, f"{left} bytes are missing"


def digest(peer: Peer, path: str) -> str:
    """The SHA-256 of what a server sends."""
    seen = hashlib.sha256()
    call(peer, f"GET {path} HTTP/1.1\r\n", None, seen.update)
    return seen.hexdigest()


def multipart(source: Path, target: Path) -> Path:
    """The body of an upload, as it goes over the wire."""
    with target.open("wb") as body, source.open("rb") as file:
        body.write(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{BOUNDARY}\r\n'
            f'Content-Disposition: form-data; name="file"; filename="{source.name}"\r\n\r\n'.encode()
        )
        shutil.copyfileobj(file, body)
        body.write(f"\r\n--{BOUNDARY}--\r\n".encode())
    return target


@contextmanager
def running(command: list[str], port: int) -> Iterator[Peer]:
    """Runs a server until the end of the block; waits until it listens."""
    process = subprocess.Popen(command)
    address = ("127.0.0.1", port)
    try:
        for _ in range(500):
            try:
                socket.create_connection(address).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
                time.sleep(0.01)
        yield Peer(address, process.pid)
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def discarding() -> Iterator[Peer]:
    """The framework without us."""
    port = free_port()
    with running([sys.executable, str(HERE / "contenders" / "discard.py"), str(port)], port) as peer:
        yield peer


@contextmanager
def nginx(root: Path, scratch: Path) -> Iterator[Peer]:
    """Nginx on a directory, one process, with nothing of the machine's own configuration."""
    binary = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if binary is None:
        sys.exit("the download is compared with nginx, which is not installed: apt-get install nginx-light")
    port, config = free_port(), scratch / "nginx.conf"
    config.write_text(NGINX.format(scratch=scratch, port=port, root=root))
    with running([binary, "-e", "stderr", "-p", str(scratch), "-c", str(config)], port) as peer:
        yield peer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    source = big_input()
    size = source.stat().st_size
    names = ("upload, discarded", "upload, slackwater", "download, nginx", "download, slackwater")
    found: dict[str, list[Cost]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        scratch = Path(folder)
        body = multipart(source, scratch / "body")
        # No batch is made here, so nobody calls the backend.
        unused = f"http://127.0.0.1:{free_port()}/v1"
        with service(scratch, unused) as server, discarding() as floor, nginx(source.parent, scratch) as static:
            ours = peer_of(server)
            kept = upload(ours, body)
            paths = {static: f"/{source.name}", ours: f"/v1/files/{kept}/content"}
            expected = hashlib.sha256(source.read_bytes()).hexdigest()
            assert {digest(peer, path) for peer, path in paths.items()} == {expected}
            upload(floor, body)
            made: list[str] = []
            for _ in range(rounds):
                found[names[0]].append(costs(floor, lambda: upload(floor, body)))
                found[names[1]].append(costs(ours, lambda: made.append(upload(ours, body))))
                server.call("DELETE", f"/files/{made.pop()}")
                found[names[2]].append(costs(static, lambda: download(static, paths[static], size)))
                found[names[3]].append(costs(ours, lambda: download(ours, paths[ours], size)))
    rows = []
    for name, transfers in found.items():
        wall = median([each.wall for each in transfers])
        used = median([each.cpu for each in transfers])
        growth = max(each.growth for each in transfers)
        rows.append(
            (name, f"{size / wall / 1e6:,.0f}", f"{wall * 1e3:.0f}", f"{used * 1e3:.0f}", f"{growth / 2**20:.1f}")
        )
    print(f"{size:,} bytes, medians of {rounds} rounds")
    print(table(("transfer", "MB/s", "ms", "server CPU ms", "peak growth MiB"), rows))
    for theirs, mine, bar in ((names[0], names[1], "0.5"), (names[2], names[3], "0.5")):
        ratio = median([each.wall for each in found[theirs]]) / median([each.wall for each in found[mine]])
        print(f"{mine}: {ratio:.2f}x the speed of {theirs.rpartition(' ')[2]} (at least {bar})")


if __name__ == "__main__":
    main()
