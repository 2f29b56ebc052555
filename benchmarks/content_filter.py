"""What a content filter costs a request: `python benchmarks/content_filter.py`.

A plain dispatcher and filtered ones over a backend that answers at once, in memory; interleaved rounds, medians. Terms and
texts are random words of Latin, Cyrillic, Arabic and Chinese; each request has 2 KB of text.
"""

import argparse
import asyncio
import json
import random
import time
from typing import Any

from harness import median, table

from slackwater.adapters.system_clock import SystemClock
from slackwater.core.filtering.blocklists import Blocklists
from slackwater.core.filtering.breaker import Breaker
from slackwater.core.filtering.content_filter import Blocklist, Policy
from slackwater.core.filtering.filtered_bodies import prompts_of
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.core.sending.request import Outcome, Reply, Request, Result
from slackwater.pipeline.filtering.content_filter import ContentFilter
from slackwater.pipeline.filtering.filtered_dispatcher import FilteredDispatcher
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.lease import Item, Lease
from slackwater.ports import Shard

# An alphabet, and how long its words are.
SCRIPTS = (
    ("abcdefghijklmnopqrstuvwxyz", 4, 10),
    ("абвгдежзиклмнопрстуфхцчшэюя", 4, 9),
    ("ابتثجحخدذرزسشصضطظعغفقكلمنهوي", 4, 8),
    ("".join(map(chr, range(0x4E00, 0x5200))), 2, 4),
)
ANSWER = b'{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"All is calm."}}],"model":"m"}'
CLOCK = SystemClock()
SHARD = Shard(
    batch_id="b", index=0, epoch=1, places=(), lines=1, done=b"", endpoint="/chat/completions", deployment="d"
)


class Instant:
    """A backend that answers before it is asked."""

    async def send(self, path: str, body: bytes) -> Reply:
        return Reply(200, ANSWER)

    async def close(self) -> None:
        """Nothing to close."""


def word(chance: random.Random, scripts: int) -> str:
    """A random word of one of the first scripts."""
    letters, least, most = chance.choice(SCRIPTS[:scripts])
    return "".join(chance.choice(letters) for _ in range(chance.randint(least, most)))


def requests(chance: random.Random, scripts: int, count: int, size: int) -> list[Request]:
    """Chat requests with about `size` bytes of text in each, some words with a capital."""
    made = []
    for number in range(count):
        words: list[str] = []
        while sum(len(each.encode()) + 1 for each in words) < size:
            words.append(word(chance, scripts) if chance.random() < 0.9 else word(chance, scripts).capitalize())
        messages = [{"role": "system", "content": "Be calm."}, {"role": "user", "content": " ".join(words)}]
        body = json.dumps({"model": "m", "messages": messages}, ensure_ascii=False)
        made.append(Request(number, f"r-{number}", body.encode()))
    return made


def filtered(blocklists: Blocklists, *, completions: bool) -> Dispatcher:
    """A dispatcher with a policy that has nothing but these lists."""
    policy = Policy(name="p", thresholds={}, completions=completions)
    made = ContentFilter(
        policy,
        blocklists=blocklists,
        classifier=None,
        breaker=Breaker(),
        clock=CLOCK,
        retry=RetryPolicy(),
        chance=random.random,
    )
    return FilteredDispatcher("b", Instant(), content_filter=made, **plain())


def plain() -> dict[str, Any]:
    """What every dispatcher needs; each has an engine of its own."""
    engine = Engine("http://e", CLOCK, slots=1)
    door = engine.door("", "", slots=1)
    return {
        "engine": engine,
        "door": door,
        "concurrency": 1,
        "model": None,
        "retry": RetryPolicy(),
        "clock": CLOCK,
    }


def looking(blocklists: Blocklists, work: list[Request]) -> float:
    """Microseconds per request for finding its texts and looking through them."""
    started = time.perf_counter()
    for request in work:
        for texts in prompts_of("/chat/completions", request.body) or []:
            blocklists.tripped(texts)
    return (time.perf_counter() - started) / len(work) * 1e6


async def cost(dispatcher: Dispatcher, work: list[Request]) -> float:
    """Microseconds per attempt."""
    lease = Lease(SHARD, b"")
    started = time.perf_counter()
    passed = 0
    for request in work:
        item = Item(lease, request.line, 0, 0, len(request.body), request)
        outcome = await dispatcher.attempt(item, request, 0.0)
        passed += isinstance(outcome, Result) and outcome.outcome is Outcome.COMPLETED
    spent = (time.perf_counter() - started) / len(work) * 1e6
    assert passed > len(work) * 0.9, "nearly all are to pass, or the backend's part would not be measured"
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--terms", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=2_000)
    args = parser.parse_args()
    chance = random.Random(1)
    # Longer than what texts have, so that hardly anything is blocked.
    terms = tuple({word(chance, 4) + word(chance, 4) for _ in range(args.terms)})
    started = time.perf_counter()
    blocklists = Blocklists([Blocklist(name="a", terms=terms)])
    print(f"{len(terms):,} terms, ready in {(time.perf_counter() - started) * 1e3:.0f} ms")
    contenders = {
        "dispatch without a policy": Dispatcher("b", Instant(), **plain()),
        "dispatch, prompts": filtered(blocklists, completions=False),
        "dispatch, prompts and completions": filtered(blocklists, completions=True),
    }
    texts = {
        "ASCII": requests(chance, 1, args.requests, args.size),
        "mixed": requests(chance, 4, args.requests, args.size),
    }
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(args.rounds):
        for kind, work in texts.items():
            found.setdefault((kind, "looking alone"), []).append(looking(blocklists, work))
            for name, dispatcher in contenders.items():
                found.setdefault((kind, name), []).append(asyncio.run(cost(dispatcher, work)))
    rows = []
    for (kind, name), costs in found.items():
        bar = "" if name != "looking alone" else "met" if median(costs) < 30 else "SHORT"
        rows.append((kind, name, f"{median(costs):.1f}", bar))
    print(table(("text", "what", "us/request", "bar: under 30 us"), rows))


if __name__ == "__main__":
    main()
