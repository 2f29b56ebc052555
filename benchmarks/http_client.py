"""What one call costs in the HTTP client alone, beside the bare protocol and aiohttp: `python benchmarks/http_client.py`.

The mock backend has core 0, each client a process of its own on core 1. Rounds are interleaved; CPU is user and system time
between the first and the last of the measured calls, so connections and imports are not in it.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import httptools
import uvloop
from harness import median, mock_backend, table

BODY = json.dumps({"model": "mock", "messages": [{"role": "user", "content": "slack water " * 36}]}).encode()
PATH = "/chat/completions"
Call = Callable[[], Awaitable[object]]


class Bare(asyncio.Protocol):
    """A connection and a parser, and nothing that goes wrong: the least that a call can cost."""

    future: asyncio.Future[bytes]
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body = body

    def on_message_complete(self) -> None:
        self.future.set_result(self.body)


async def bare(url: str, concurrency: int) -> Call:
    """One connection per lane, taken in turn."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    idle = [(await loop.create_connection(Bare, parts.hostname, parts.port))[1] for _ in range(concurrency)]
    head = f"POST {parts.path}{PATH} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: %d\r\n\r\n".encode()

    async def call() -> bytes:
        connection = idle.pop()
        connection.future = loop.create_future()
        connection.transport.write(head % len(BODY) + BODY)
        answer = await connection.future
        idle.append(connection)
        return answer

    return call


async def slackwater(url: str, concurrency: int) -> Call:
    """The client under test."""
    from slackwater.adapters.upstream.http_backend import HttpBackend

    backend = HttpBackend(url, connections_max=concurrency)

    async def call() -> object:
        reply = await backend.send(PATH, BODY)
        assert reply.status == 200
        return reply

    return call


async def aiohttp(url: str, concurrency: int) -> Call:
    """The conservative choice."""
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency))

    async def call() -> bytes:
        async with session.post(url + PATH, data=BODY, headers={"Content-Type": "application/json"}) as response:
            assert response.status == 200
            return await response.read()

    return call


CLIENTS = {"bare": bare, "slackwater": slackwater, "aiohttp": aiohttp}


async def drive(name: str, url: str, concurrency: int, requests: int) -> None:
    """Prints CPU and wall seconds of `requests` calls, after two per lane that open the connections."""
    call = await CLIENTS[name](url, concurrency)

    async def lane(calls: int) -> None:
        for _ in range(calls):
            await call()

    await asyncio.gather(*(lane(2) for _ in range(concurrency)))
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(lane(requests // concurrency) for _ in range(concurrency)))
    print(time.process_time() - cpu, time.perf_counter() - wall, flush=True)
    # The measurement is over: nobody closes hundreds of connections politely.
    os._exit(0)


def client_process(name: str, url: str, args: argparse.Namespace) -> tuple[float, float]:
    """Runs one client on core 1."""
    command = [sys.executable, str(Path(__file__)), "--client", name, "--url", url, "--loop", args.loop]
    command += ["--concurrency", str(args.concurrency), "--requests", str(args.requests)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    cpu, wall = output.split()
    return float(cpu), float(wall)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=25_600)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--latency-ms", type=int, default=0)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--only", nargs="+", default=list(CLIENTS), choices=CLIENTS)
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.client:
        os.sched_setaffinity(0, {1})
        runner = uvloop.run if args.loop == "uvloop" else asyncio.run
        runner(drive(args.client, args.url, args.concurrency, args.requests))
    requests = args.requests // args.concurrency * args.concurrency
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in args.only}
    with mock_backend(latency_ms=args.latency_ms) as url:
        for _ in range(args.rounds):
            for name in args.only:
                found[name].append(client_process(name, url, args))
    rows = []
    for name, costs in found.items():
        each = [cpu / requests * 1e6 for cpu, _ in costs]
        rate = requests / median([wall for _, wall in costs])
        rows.append((name, f"{median(each):.1f}", f"{min(each):.1f}-{max(each):.1f}", f"{rate:,.0f}"))
    print(table(("client", "us CPU/call", "range", "calls/s"), rows))


if __name__ == "__main__":
    main()
