"""What very large answers cost the service in memory, and others in time: `python benchmarks/large_answers.py`.

32 lines of one batch, each answered with 60 MB, all at once, by a mock engine in a process of its own. While they come, somebody
asks `GET /healthz` 20 times a second, of this server and of an idle one beside it, which says what the machine itself adds.
RSS is that of the server's process, sampled every 20 ms.
"""

import argparse
import asyncio
import gzip
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import RESULTS, chat_input, free_port, median, table
from memory import Sampler
from service import Service, service

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bTransfer-Encoding: chunked\r\n\r\n"
PIECE = 1 << 16
ANSWER_BYTES = 60_000_000
# More than an answer may have, in less than a megabyte.
BOMB_BYTES = 300_000_000
KINDS = {
    "floats": "chunked, embeddings",
    "text": "chunked, one long text",
    "pretty": "chunked, with line breaks, beyond ASCII",
    "gzip": "gzip, embeddings",
    "bomb": "gzip, 300 MB of zeros",
}


def floats() -> bytes:
    """Like the embeddings of many inputs."""
    chance = random.Random(3)
    one = json.dumps({"object": "embedding", "embedding": [chance.uniform(-1, 1) for _ in range(1536)]}).encode()
    return _answer(b'{"data":[' + b",".join([one] * (ANSWER_BYTES // len(one))) + b"]")


def _answer(beginning: bytes) -> bytes:
    return beginning + b',"model":"mock","usage":{"prompt_tokens":8,"completion_tokens":1}}'


def body_of(kind: str) -> bytes:
    """What the engine answers, as it goes over the wire before it is cut into chunks."""
    if kind == "floats":
        return floats()
    if kind == "gzip":
        return gzip.compress(floats(), 1)
    if kind == "bomb":
        return gzip.compress(_answer(b'{"text":"' + b"0" * BOMB_BYTES + b'"'), 6)
    if kind == "pretty":
        line = '  "Ebbe, Flut und Stauwasser: \u6f6e\u6c50",\n'.encode()
        return _answer(b'{\n"lines": [\n' + line * (ANSWER_BYTES // len(line)) + b'""]')
    return _answer(b'{"text":"' + b"slack water " * (ANSWER_BYTES // 12) + b'"')


async def engine(port: int, kind: str) -> None:
    """Answers every request with the same body, without saying how long it is."""
    body = body_of(kind)
    head = HEAD % (b"Content-Encoding: gzip\r\n" if kind in ("gzip", "bomb") else b"")
    view = memoryview(body)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in request.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                )
                await reader.readexactly(length)
                writer.write(head)
                for start in range(0, len(view), PIECE):
                    piece = view[start : start + PIECE]
                    writer.writelines((b"%x\r\n" % len(piece), piece, b"\r\n"))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


@contextmanager
def engine_process(kind: str) -> Iterator[str]:
    """The engine, once it listens."""
    port = free_port()
    process = subprocess.Popen([sys.executable, str(Path(__file__)), "--engine", kind, "--port", str(port)])
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "the engine did not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def healthz(server: Service, ended: threading.Event, times: list[float]) -> None:
    """Milliseconds of a health check, 20 times a second over one kept connection."""
    connection = http.client.HTTPConnection(server.address, timeout=60)
    while not ended.is_set():
        begun = time.perf_counter()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        times.append((time.perf_counter() - begun) * 1e3)
        time.sleep(max(0.0, 0.05 - times[-1] / 1e3))
    connection.close()


def one(kind: str, requests: int) -> tuple[str, ...]:
    """A batch from its creation to its end; a row of figures."""
    RESULTS.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=RESULTS) as scratch,
        tempfile.TemporaryDirectory(dir=RESULTS) as other,
        engine_process(kind) as backend,
        service(Path(other), backend) as idler,
    ):
        # What is refused is refused once: how often it is asked for again is not the question here.
        with service(Path(scratch), backend, concurrency=requests, attempts=1) as server:
            file_id = server.upload(chat_input(Path(scratch) / "input.jsonl", requests, model="bench"))
            time.sleep(1.5)
            sampler = Sampler(server.process.pid)
            idle, _ = sampler.sample()
            sampler.start()
            ended, times, calm = threading.Event(), list[float](), list[float]()
            polls = [
                threading.Thread(target=healthz, args=(server, ended, times)),
                threading.Thread(target=healthz, args=(idler, ended, calm)),
            ]
            for each in polls:
                each.start()
            begun = time.monotonic()
            batch = server.wait(server.create(file_id), seconds=600)
            took = time.monotonic() - begun
            ended.set()
            for each in polls:
                each.join()
            sampler.ended.set()
            sampler.join()
            metrics = http.client.HTTPConnection(server.address, timeout=60)
            metrics.request("GET", "/metrics", headers={"api-key": "benchmark"})
            page = metrics.getresponse().read().decode()
    most = next(
        (float(line.split()[1]) for line in page.splitlines() if line.startswith("slackwater_memory_held_most_bytes ")),
        0.0,
    )
    counts = batch["request_counts"]
    assert counts["completed"] + counts["failed"] == requests, batch
    return (
        KINDS[kind],
        f"{counts['completed']}/{counts['failed']}",
        f"{took:.1f}",
        f"{(sampler.rss - idle) / 2**20:.0f}",
        f"{most / 2**20:.0f}",
        _percentiles(times),
        _percentiles(calm),
    )


def _percentiles(times: list[float]) -> str:
    ordered = sorted(times)
    return f"{median(ordered):.1f} / {ordered[int(len(ordered) * 0.99)]:.0f} / {ordered[-1]:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--engine", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.engine:
        os.nice(5)
        asyncio.run(engine(args.port, args.engine))
    header = ("answers", "ok/failed", "s", "RSS over idle, MiB (at most 185)", "counted, MiB")
    times = ("healthz ms p50 / p99 (under 50) / max (under 250)", "of an idle server")
    rows = []
    for kind in args.kinds:
        rows.append(one(kind, args.requests))
        print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    print(table((*header, *times), rows))


if __name__ == "__main__":
    main()
