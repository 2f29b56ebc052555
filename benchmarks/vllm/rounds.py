"""One round: online users at the engine for some seconds, without a batch or beside one, and what of it counts."""

import asyncio
import json
import os
import random
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.service import Service
from benchmarks.vllm.arms import serving, write_batch
from benchmarks.vllm.engine import Engine
from benchmarks.vllm.figures import quantile
from benchmarks.vllm.online import ANSWER, PROMPT, Ask, length, open_session, play, served, text_of

from slackwater.core.sending.engine_counters import Counters
from slackwater.core.sending.metrics_page import counters_in

# The batch begins so long after the users; what they feel counts after so long, for so long.
BATCH_AT, FELT_FROM, FELT_SECONDS = 2.0, 10.0, 16.0
CAPACITY_SECONDS, CAPACITY_USERS = 10.0, 96
# How late a sleep of 5 ms may wake, at its 99th percentile: a third of a step. And which part of the engine's steps may be late.
WAKE_SECONDS, LATE_SHARE = 0.015, 0.10


class TooBusy(Exception):
    """The machine has no time for this now, and how that shows."""


def look(engine: Engine) -> Counters:
    """The engine's metrics page, as Slackwater reads it."""
    with urllib.request.urlopen(f"{engine.url}/metrics", timeout=10) as answer:
        found = counters_in(answer.read())
    assert found is not None, "the page is vLLM's"
    return found


def calm(seconds: float = 3.0) -> float:
    """How late short sleeps wake here, at the 99th percentile. Raises TooBusy where others use the machine."""
    late, until = [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        time.sleep(0.005)
        late.append(time.perf_counter() - began - 0.005)
    worst = quantile(late, 0.99)
    if worst > WAKE_SECONDS:
        raise TooBusy(
            f"this machine is too busy: a sleep of 5 ms wakes {worst * 1e3:.1f} ms late (p99; bar "
            f"{WAKE_SECONDS * 1e3:.0f} ms, load {os.getloadavg()[0]:.1f})"
        )
    return worst


def empty(engine: Engine) -> None:
    """Waits until nobody is at the engine."""
    while (found := look(engine)).running + found.waiting:
        time.sleep(0.1)


async def capacity(engine: Engine, words: Sequence[str]) -> float:
    """How many online requests a second it serves when there are always more."""
    chance, salt, done = random.Random(0), time.time_ns(), 0
    began = time.perf_counter()

    async def user(number: int) -> None:
        nonlocal done
        while (now := time.perf_counter() - began) < CAPACITY_SECONDS + 4.0:
            text = text_of(chance, words, length(chance, PROMPT))
            await served(session, engine.base_url, f"{salt}-{number}-{now} {text}", length(chance, ANSWER))
            # While it fills it is not at its capacity.
            done += 4.0 <= time.perf_counter() - began < CAPACITY_SECONDS + 4.0

    async with open_session() as session, asyncio.TaskGroup() as tasks:
        for number in range(CAPACITY_USERS):
            tasks.create_task(user(number))
    return done / CAPACITY_SECONDS


async def play_round(
    engine: Engine,
    coming: Sequence[Ask],
    words: Sequence[str],
    lines: str | None,
    *,
    long: float = 0.0,
    felt_from: float = FELT_FROM,
) -> dict[str, Any]:
    """What these users feel beside a batch, with these lines about the engine; None: without one. Seconds, tokens a second."""
    salt = f"{time.time_ns()}"
    await asyncio.to_thread(empty, engine)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = file_id = None
        if lines is not None:
            server = stack.enter_context(serving(scratch, engine, lines))
            batch = write_batch(scratch / "in.jsonl", words, seed=time.time_ns(), long=long, salt=salt)
            file_id = server.upload(batch)
        async with open_session() as session:
            playing = asyncio.ensure_future(play(session, engine.base_url, coming, salt=salt, felt_from=felt_from))
            await asyncio.sleep(BATCH_AT)
            if server is not None and file_id is not None:
                await asyncio.to_thread(server.create, file_id)
            await asyncio.sleep(felt_from - BATCH_AT)
            wall = time.time()
            before, since = await asyncio.to_thread(look, engine), time.perf_counter()
            states = await _watched(server, FELT_SECONDS)
            after, until = await asyncio.to_thread(look, engine), time.perf_counter()
            late = engine.late(wall, time.time())
            done = await playing
        if server is not None:
            # Nobody waits for what is out: the engine drops it.
            server.process.kill()
    if not done.felt:
        raise TooBusy(f"no user was served: {done.failed[:3]}")
    seconds = until - since
    online = sum(tokens for at, tokens in done.written if since <= at < until)
    return {
        "users": len(done.felt),
        "failed": len(done.failed),
        "ttft_p50": quantile([felt.ttft for felt in done.felt], 0.5),
        "ttft_p95": quantile([felt.ttft for felt in done.felt], 0.95),
        "tpot_p50": quantile([felt.tpot for felt in done.felt], 0.5),
        "tpot_p95": quantile([felt.tpot for felt in done.felt], 0.95),
        "itl_p99": quantile([gap for felt in done.felt for gap in felt.gaps], 0.99),
        "step": seconds / max(1.0, _grown(before.steps, after.steps)),
        "online_tokens_per_second": online / seconds,
        "batch_tokens_per_second": (
            0.0 if lines is None else (_grown(before.step_tokens, after.step_tokens) - online) / seconds
        ),
        "late_steps": late,
        "states": states,
    }


async def _watched(server: Service | None, seconds: float) -> list[dict[str, Any]]:
    """How the engine was paced, twice a second."""
    states, until = [], time.perf_counter() + seconds
    while (now := time.perf_counter()) < until:
        if server is not None:
            states.append(await asyncio.to_thread(_pacing, server))
        await asyncio.sleep(min(0.5, max(0.0, until - now)))
    return states


def _pacing(server: Service) -> dict[str, Any]:
    request = urllib.request.Request(f"http://{server.address}/openai/v1/engines", headers={"api-key": "benchmark"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        [engine] = json.load(answer)["data"]
    return {"in_flight": engine["in_flight"], **(engine["pacing"] or {})}


def _grown(before: float | None, after: float | None) -> float:
    assert before is not None, "vLLM counts it"
    assert after is not None, "vLLM counts it"
    return after - before
