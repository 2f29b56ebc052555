"""The metrics page of a real vLLM is read: every counter is there, is what an engine can be, and grows by what was done."""

import json
import random
import urllib.request
from typing import Any

import msgspec
import pytest
from benchmarks.vllm.engine import BLOCK_TOKENS, MODEL, Engine
from benchmarks.vllm.rounds import empty, look

from slackwater.core.sending.engine_counters import between, credible, restarted

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]


def ask(engine: Engine, prompt: list[int], tokens: int) -> Any:
    """A completion of a prompt of token numbers; returns the usage."""
    body = {"model": MODEL, "prompt": prompt, "max_tokens": tokens, "ignore_eos": True}
    request = urllib.request.Request(
        f"{engine.base_url}/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    return json.load(urllib.request.urlopen(request, timeout=60))["usage"]


def test_every_counter_is_there(engine: Engine) -> None:
    """None is missing, and all can be true of an engine that nobody uses."""
    ask(engine, [400, 401, 402], 4)
    empty(engine)
    found = look(engine)
    assert [name for name, value in msgspec.structs.asdict(found).items() if value is None] == []
    assert credible(found)
    assert (found.running, found.waiting) == (0, 0)
    assert found.block_tokens == BLOCK_TOKENS
    assert found.kv_tokens is not None
    assert found.kv_tokens % BLOCK_TOKENS == 0


def test_counters_grow_by_what_was_done(engine: Engine) -> None:
    """Prompts, answers, steps, time, and what is found in the cache when the same prompt comes again."""
    empty(engine)
    chance = random.Random()
    prompt = [chance.randrange(300, 4000) for _ in range(10 * BLOCK_TOKENS)]
    first = look(engine)
    ask(engine, prompt, 30)
    empty(engine)
    second = look(engine)
    ask(engine, prompt, 30)
    empty(engine)
    third = look(engine)
    once, again = between(first, second, 1.0), between(second, third, 1.0)
    assert not restarted(first, second, 1.0)
    assert (once.generated, once.looked_up, once.found) == (30, len(prompt), 0)
    assert once.prefilled == len(prompt)
    # The last block is computed again: its answer is needed.
    assert (again.generated, again.looked_up) == (30, len(prompt))
    assert len(prompt) - 2 * BLOCK_TOKENS <= again.found < len(prompt)
    assert second.steps is not None
    assert first.steps is not None
    assert 30 <= second.steps - first.steps <= 32
    assert second.token_gaps is not None
    assert first.token_gaps is not None
    assert second.token_gaps - first.token_gaps == 29
