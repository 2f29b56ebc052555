"""What `gentle` may do to the online users of a real vLLM. Skipped, with the reason, where this machine is too busy to say."""

import asyncio
import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from benchmarks.vllm.arms import ARMS
from benchmarks.vllm.engine import Engine
from benchmarks.vllm.figures import ratios
from benchmarks.vllm.online import asks
from benchmarks.vllm.pairs import SHARE
from benchmarks.vllm.rounds import FELT_FROM, FELT_SECONDS, LATE_SHARE, TooBusy, calm, capacity, play_round

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]
PAIRS = 3
# What is held, by the share of long prompts in the batch, and how much more a few rounds of half a minute may show.
LONG = 0.25
BARS = [(0.0, "ttft_p50", 1.25), (0.0, "tpot_p50", 1.25), (LONG, "ttft_p95", 1.25), (LONG, "itl_p99", 1.25)]
TOLERANCE = 1.15


class Played(NamedTuple):
    """Rounds without a batch and beside one, and the share of long prompts in that."""

    long: float
    pairs: list[tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture(scope="module", params=[0.0, LONG], ids=["short", "long"])
def played(request: pytest.FixtureRequest, engine: Engine, model: Path) -> Played:
    """Rounds with the same users, without a batch and beside one at `gentle`, with that share of long prompts."""

    async def story() -> Played:
        words = json.loads((model / "words.json").read_text())
        rate = SHARE * await capacity(engine, words)
        played = Played(request.param, [])
        for number in range(PAIRS):
            coming = asks(words, rate=rate, seconds=FELT_FROM + FELT_SECONDS, seed=100 + number)
            without = await play_round(engine, coming, words, None)
            beside = await play_round(engine, coming, words, ARMS["gentle"], long=request.param)
            played.pairs.append((without, beside))
        return played

    try:
        calm()
        played = asyncio.run(story())
    except TooBusy as reason:
        pytest.skip(str(reason))
    late = statistics.median(round_["late_steps"] for pair in played.pairs for round_ in pair)
    if late > LATE_SHARE:
        pytest.skip(f"this machine is too busy: {late:.0%} of the engine's steps were late themselves")
    return played


def test_users_beside_a_gentle_batch(played: Played) -> None:
    """What they feel is at most a quarter longer than without the batch."""
    row = ratios(played.pairs)
    felt = {name: (row[name]["x"], bar) for long, name, bar in BARS if long == played.long}
    assert all(times <= bar * TOLERANCE for times, bar in felt.values()), row


def test_nobody_is_refused_and_the_batch_gets_on(played: Played) -> None:
    """Every user is served in every round, and the batch has some of what they leave."""
    for without, beside in played.pairs:
        assert (without["failed"], beside["failed"]) == (0, 0)
        assert beside["batch_tokens_per_second"] > 0.1 * beside["online_tokens_per_second"]
