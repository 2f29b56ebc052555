"""What is put beside online users: Slackwater's server with a batch, whose engine is configured in one way or another.

An arm is a name and lines of `[[engines]]`. Another one needs no change here: `pairs.py --arm 'NAME=LINES'`.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from benchmarks.service import Service, service
from benchmarks.vllm.engine import SLOWER, Engine
from benchmarks.vllm.online import body_of, length, text_of

OFF = "off"
DEPLOYMENT = "bench"
# 50 ms of the accelerator.
SLO_SECONDS = 0.05 * SLOWER
ARMS: Mapping[str, str] = MappingProxyType(
    {
        "gentle": 'pace = "gentle"',
        "strict": 'pace = "strict"',
        "slo": f'pace = "{1000 * SLO_SECONDS:.0f}ms"',
        "full": 'pace = "full"',
        "fixed-4": 'pace = "fixed"\nconcurrency = 4',
        "fixed-16": 'pace = "fixed"\nconcurrency = 16',
    }
)
# Lengths of a batch's requests, in tokens: median, spread, least, most; and of a long prompt.
PROMPT, ANSWER, LONG = (200, 0.6, 30, 800), (48, 0.6, 8, 160), 1600
LINES = 3000


def fixed(window: int) -> str:
    """The lines of an arm that has so many requests in flight, whatever happens."""
    return f'pace = "fixed"\nconcurrency = {window}'


def write_batch(
    path: Path,
    words: Sequence[str],
    *,
    seed: int,
    lines: int = LINES,
    long: float = 0.0,
    salt: str = "",
    model: str = DEPLOYMENT,
) -> Path:
    """A batch's input file. `long` is the share of its prompts that have `LONG` tokens; `salt` begins each."""
    chance = random.Random(seed)
    with path.open("w") as file:
        for number in range(lines):
            tokens = LONG if chance.random() < long else length(chance, PROMPT)
            text = f"{salt}{number} {text_of(chance, words, tokens)}"
            body = body_of(text, length(chance, ANSWER), stream=False)
            line = {"custom_id": f"r-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line | {"body": body | {"model": model}}) + "\n")
    return path


@contextmanager
def serving(scratch: Path, engine: Engine, lines: str) -> Iterator[Service]:
    """A server in front of the engine, with these lines about it."""
    more = f'model = "tiny"\n[[engines]]\nurl = "{engine.url}"\n{lines}\n'
    with service(scratch, engine.base_url, name=DEPLOYMENT, more=more) as server:
        yield server
