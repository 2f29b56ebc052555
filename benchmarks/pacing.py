"""What pacing costs us: `python benchmarks/pacing.py [--rounds 5]`.

Two questions. At 1,000 requests a second through one engine, what does a request cost more where the engine is paced: lanes that
ask, prompts that are being read, chunks of the one call that is listened to, and two looks a second? And what does an engine
cost with work that may not be sent, of which there is nothing but the looks? Both with a metrics page of 200 KB over HTTP from a
process of its own. A figure is this process' user and system time; `fixed`, where nobody looks, is played in turn in each
round and taken off.
"""

import argparse
import asyncio
import multiprocessing
import socket
import time
from collections import deque
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import uvloop
from harness import median, table

from slackwater.adapters.modelled_engine.metrics_page import page as page_of
from slackwater.adapters.modelled_engine.shipped import profile_named
from slackwater.adapters.system_clock import SystemClock
from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.core.engine_model import EngineModel
from slackwater.core.sending.pace import EnginePace
from slackwater.core.sending.reach import Reach
from slackwater.core.sending.step_target import Point
from slackwater.pipeline.sending.engine_pacing import Pacing, State

PAGE_BYTES = 200_000
RATE, PASS_SECONDS, GAP_SECONDS = 1_000, 0.01, 0.02
# Slots, and how many are out.
SLOTS, OUT = 256, 64
BAR_MICROSECONDS, GOAL_MICROSECONDS, BAR_IDLE = 8.0, 3.0, 0.01


def serve_page(listener: socket.socket) -> None:
    """Answers every request on a connection with a page like vLLM's, on which one of others runs and steps are counted."""
    begun = time.monotonic()
    filler = "".join(f'other_bucket{{le="{number}",engine="0",model_name="m"}} {number}.0\n' for number in range(4_000))

    def page() -> bytes:
        steps = (time.monotonic() - begun) / 0.02
        said = {
            "iteration_tokens_total_count": steps,
            "iteration_tokens_total_sum": 2 * steps,
            "generation_tokens_total": steps,
        }
        counted = "".join(f"vllm:{name} {value}\n" for name, value in said.items())
        return (usual + counted + "vllm:num_requests_running 80\n" + filler)[:PAGE_BYTES].encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                body = page()
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body)
                writer.write(head + body)
                await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, sock=listener)
        await server.serve_forever()

    dropped = ("vllm:iteration_tokens", "vllm:generation_tokens", "vllm:num_requests_running")
    text = page_of(EngineModel(profile_named("a100-8b")), name="m")
    usual = "".join(line + "\n" for line in text.splitlines() if not line.startswith(dropped))
    asyncio.run(serve())


class Engine:
    """What a pacing knows of an engine: one use, with work."""

    def __init__(self, backend: HttpBackend) -> None:
        self.name, self.slots, self.in_flight, self.held, self.together = "engine", SLOTS, 0, None, None
        self.reach: Reach[Any] = Reach()
        self.uses: list[Any] = [SimpleNamespace(metered=True, in_flight=1, has_work=True, metrics=backend.metrics)]

    def call_where_open(self, now: float) -> None:
        """A lane that is called asks once more; here they ask all the time."""

    def pacing_changed(self) -> None:
        """Nothing here depends on it."""


class Line:
    """A line of a batch, which has about 750 tokens."""

    size, lease = 3_000, SimpleNamespace(shard=SimpleNamespace(tokens=0), size=0)


async def play(url: str, point: Point, *, rate: int, seconds: float) -> float:
    """Processor seconds of so many seconds."""
    backend = HttpBackend(url + "/v1", connections_max=4)
    engine = Engine(backend)
    pacing = Pacing(engine, SystemClock(), EnginePace(point))  # type: ignore[arg-type]
    pacing.attached(engine.uses[0])
    watching = asyncio.create_task(pacing.watch())
    await asyncio.sleep(1.2)
    assert pacing.state is (State.OFF if point is Point.FIXED else State.PACED), pacing.state
    item: Any = Line()
    out: deque[Any] = deque()
    owed, heard_at = 0.0, 0.0
    begun, used = time.monotonic(), time.process_time()
    while (now := time.monotonic()) - begun < seconds:
        owed += rate * PASS_SECONDS
        while owed >= 1.0:
            owed -= 1.0
            if pacing.limits:
                pacing.admits(engine.in_flight, now)
            out.append(pacing.sent(item, now))
            engine.in_flight = len(out)
            # Each answer makes room, and the lane that has it asks again.
            if len(out) > OUT and (reading := out.popleft()) is not None:
                reading.over()
                pacing.moved()
        if rate and now - heard_at >= GAP_SECONDS and point is not Point.FIXED:
            pacing._gap(now - heard_at, 1, now)
            heard_at = now
        await asyncio.sleep(PASS_SECONDS)
    used = time.process_time() - used
    watching.cancel()
    await backend.close()
    return used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=serve_page, args=(listener,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    busy, idle = [], []
    try:
        for _ in range(options.rounds):
            used = {
                (point, rate): uvloop.run(play(url, point, rate=rate, seconds=options.seconds))
                for rate in (RATE, 0)
                for point in (Point.FIXED, Point.GENTLE)
            }
            busy.append((used[Point.GENTLE, RATE] - used[Point.FIXED, RATE]) / (RATE * options.seconds) * 1e6)
            idle.append((used[Point.GENTLE, 0] - used[Point.FIXED, 0]) / options.seconds)
    finally:
        server.terminate()
    print(
        table(
            ["", "median", "of all rounds", "bar", "goal"],
            [
                [
                    "us a request at 1,000 a second",
                    f"{median(busy):.1f}",
                    _span(busy),
                    BAR_MICROSECONDS,
                    GOAL_MICROSECONDS,
                ],
                [
                    "of a core, an engine with work that waits",
                    f"{median(idle):.2%}",
                    _span(idle, "%"),
                    f"{BAR_IDLE:.0%}",
                    "",
                ],
            ],
        )
    )


def _span(values: list[float], unit: str = "") -> str:
    texts = [f"{value:.2%}" if unit else f"{value:.1f}" for value in (min(values), max(values))]
    return " to ".join(texts)


if __name__ == "__main__":
    main()
