"""What `gentle` may do to the online users of a real vLLM. Skipped, with the reason, where this machine is too busy to say."""

import asyncio
import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from benchmarks.vllm.arms import ARMS
from benchmarks.vllm.engine import Engine
from benchmarks.vllm.figures import ratios
from benchmarks.vllm.online import asks
from benchmarks.vllm.pairs import SHARE
from benchmarks.vllm.rounds import FELT_FROM, FELT_SECONDS, LATE_SHARE, TooBusy, calm, capacity, play_round

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]
PAIRS = 3
# What is held, and how much more a few rounds of half a minute may show.
BARS, TOLERANCE = {"ttft_p50": 1.25, "tpot_p50": 1.25}, 1.15
Pairs = list[tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture(scope="module")
def pairs(engine: Engine, model: Path) -> Pairs:
    """Rounds with the same users, without a batch and beside one at `gentle`."""

    async def story() -> Pairs:
        words = json.loads((model / "words.json").read_text())
        rate = SHARE * await capacity(engine, words)
        played = []
        for number in range(PAIRS):
            coming = asks(words, rate=rate, seconds=FELT_FROM + FELT_SECONDS, seed=100 + number)
            without = await play_round(engine, coming, words, None)
            played.append((without, await play_round(engine, coming, words, ARMS["gentle"])))
        return played

    try:
        calm()
        played = asyncio.run(story())
    except TooBusy as reason:
        pytest.skip(str(reason))
    late = statistics.median(round_["late_steps"] for pair in played for round_ in pair)
    if late > LATE_SHARE:
        pytest.skip(f"this machine is too busy: {late:.0%} of the engine's steps were late themselves")
    return played


@pytest.mark.parametrize("name", BARS)
def test_users_beside_a_gentle_batch(pairs: Pairs, name: str) -> None:
    """The median of what they feel is at most a quarter longer than without the batch."""
    row = ratios(pairs)
    assert row[name]["x"] <= BARS[name] * TOLERANCE, row


def test_nobody_is_refused_and_the_batch_gets_on(pairs: Pairs) -> None:
    """Every user is served in every round, and the batch has some of what they leave."""
    for without, beside in pairs:
        assert (without["failed"], beside["failed"]) == (0, 0)
        assert beside["batch_tokens_per_second"] > 0.1 * beside["online_tokens_per_second"]
