"""Online users of an engine: they come by themselves, read their answers as they are written, and feel each token.

An open loop: arrivals are Poisson and do not wait for answers. One seed has the same arrivals, prompts and lengths every time, so
that the same users can be watched without a batch and beside one; a salt of each round keeps prompts out of the prefix cache.
"""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import aiohttp
from benchmarks.vllm.engine import MODEL

# Lengths are log-normal, in tokens: median, spread, least, most. Answers are as long as they are asked to be.
PROMPT, ANSWER = (160, 0.6, 20, 600), (32, 0.5, 4, 96)
# A word of the tokenizer with its blank is about so many tokens.
TOKENS_OF_WORD = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """How one request was served. Seconds."""

    ttft: float
    tpot: float
    """Mean time between two of its tokens."""
    gaps: Sequence[float]
    """Time between two of its tokens, each."""
    written: Sequence[tuple[float, int]]
    """Tokens of its prompt and its answer, and when the engine had computed them."""


@dataclass(slots=True, kw_only=True)
class Round:
    """What was felt in one round."""

    felt: list[Felt] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    written: list[tuple[float, int]] = field(default_factory=list)
    """Tokens, and when (`time.perf_counter`) the engine had computed them: of all who came, with their prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request, and when it comes. Seconds from the beginning of the round, tokens."""

    at: float
    text: str
    answer: int


def length(chance: random.Random, kind: tuple[float, float, int, int]) -> int:
    """One of these lengths."""
    median, spread, least, most = kind
    return int(min(most, max(least, chance.lognormvariate(0, spread) * median)))


def text_of(chance: random.Random, words: Sequence[str], tokens: int) -> str:
    """About so many tokens."""
    return " ".join(chance.choices(words, k=max(1, int(tokens / TOKENS_OF_WORD))))


def asks(words: Sequence[str], *, rate: float, seconds: float, seed: int) -> list[Ask]:
    """Everybody who comes, `rate` a second."""
    chance = random.Random(seed)
    coming, at = [], chance.expovariate(rate)
    while at < seconds:
        text = text_of(chance, words, length(chance, PROMPT))
        coming.append(Ask(at=at, text=text, answer=length(chance, ANSWER)))
        at += chance.expovariate(rate)
    return coming


def body_of(text: str, answer: int, *, stream: bool) -> dict[str, object]:
    """A chat of one message, with an answer of exactly so many tokens."""
    body: dict[str, object] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": answer,
        "ignore_eos": True,
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    return body


async def served(session: aiohttp.ClientSession, base_url: str, text: str, answer: int) -> Felt:
    """One request, streamed. Raises what goes wrong."""
    began, prompt_tokens = time.perf_counter(), 0
    moments: list[tuple[float, int]] = []
    async with session.post(f"{base_url}/chat/completions", json=body_of(text, answer, stream=True)) as reply:
        reply.raise_for_status()
        async for line in reply.content:
            if not line.startswith(b"data: {"):
                continue
            now, chunk = time.perf_counter(), json.loads(line[6:])
            if "error" in chunk:
                raise RuntimeError(str(chunk["error"])[:200])
            usage = chunk.get("usage") or {}
            prompt_tokens = usage.get("prompt_tokens", prompt_tokens)
            written = usage.get("completion_tokens", 0)
            if written > (moments[-1][1] if moments else 0):
                moments.append((now, written))
    (first, _), (last, written) = moments[0], moments[-1]
    return Felt(
        ttft=first - began,
        tpot=(last - first) / max(1, written - 1),
        gaps=[(after[0] - before[0]) / (after[1] - before[1]) for before, after in pairwise(moments)],
        written=[
            (first, prompt_tokens + moments[0][1]),
            *((after[0], after[1] - before[1]) for before, after in pairwise(moments)),
        ],
    )


async def play(
    session: aiohttp.ClientSession, base_url: str, coming: Sequence[Ask], *, salt: str, felt_from: float
) -> Round:
    """Lets them all come, and waits for the last. What those felt who came before `felt_from` is not kept."""
    done = Round()
    began = time.perf_counter()

    async def one(ask: Ask) -> None:
        try:
            felt = await served(session, base_url, f"{salt} {ask.text}", ask.answer)
        except (aiohttp.ClientError, RuntimeError, IndexError) as error:
            done.failed.append(repr(error))
            return
        done.written += felt.written
        if ask.at >= felt_from:
            done.felt.append(felt)

    async with asyncio.TaskGroup() as tasks:
        for ask in coming:
            await asyncio.sleep(max(0.0, began + ask.at - time.perf_counter()))
            tasks.create_task(one(ask))
    return done


def open_session() -> aiohttp.ClientSession:
    """For as many users as there are."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None))
