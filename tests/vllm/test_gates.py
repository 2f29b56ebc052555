"""What each pace may do to the online users of a real vLLM. Skipped, with the reason, where this machine is too busy to say."""

import asyncio
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from benchmarks.vllm.arms import ARMS, SLO_SECONDS
from benchmarks.vllm.engine import Engine
from benchmarks.vllm.figures import ratios
from benchmarks.vllm.online import asks
from benchmarks.vllm.pairs import SHARE
from benchmarks.vllm.rounds import FELT_FROM, FELT_SECONDS, LATE_SHARE, TooBusy, calm, capacity, play_round

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]
PAIRS = 3
# The share of long prompts in a batch, where it has any: those go in slices.
LONG = 0.25
# How much more a few rounds of half a minute may show than what is promised.
TOLERANCE = 1.15


class Cell(NamedTuple):
    """A pace beside a batch with that share of long prompts, and its promise: times by figure, or seconds of a slow token."""

    arm: str
    long: float = 0.0
    bars: Mapping[str, float] = {}
    seconds: float | None = None


GENTLE, STRICT = 1.25, 1.05
CELLS = [
    Cell("gentle", bars={"ttft_p50": GENTLE, "ttft_p95": GENTLE, "tpot_p50": GENTLE}),
    Cell("gentle", LONG, {"ttft_p95": GENTLE, "itl_p99": GENTLE}),
    Cell("strict", bars={"ttft_p50": STRICT, "ttft_p95": STRICT, "tpot_p50": STRICT}),
    Cell("slo", seconds=SLO_SECONDS),
    Cell("full"),
    Cell("fixed-4"),
    Cell("fixed-16"),
]


class Played(NamedTuple):
    """Rounds without a batch and beside one."""

    cell: Cell
    pairs: list[tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture(scope="module")
def rate(engine: Engine, model: Path) -> float:
    """How many users come a second: always the same share of what the engine can do."""
    try:
        calm()
    except TooBusy as reason:
        pytest.skip(str(reason))
    return SHARE * asyncio.run(capacity(engine, json.loads((model / "words.json").read_text())))


@pytest.fixture(scope="module", params=CELLS, ids=lambda cell: f"{cell.arm}-long" if cell.long else cell.arm)
def played(request: pytest.FixtureRequest, engine: Engine, model: Path, rate: float) -> Played:
    """Rounds with the same users, without a batch and beside one of the cell."""
    words = json.loads((model / "words.json").read_text())
    played = Played(request.param, [])

    async def story() -> None:
        for number in range(PAIRS):
            coming = asks(words, rate=rate, seconds=FELT_FROM + FELT_SECONDS, seed=100 + number)
            without = await play_round(engine, coming, words, None)
            beside = await play_round(engine, coming, words, ARMS[played.cell.arm], long=played.cell.long)
            played.pairs.append((without, beside))

    try:
        calm()
        asyncio.run(story())
    except TooBusy as reason:
        pytest.skip(str(reason))
    late = statistics.median(round_["late_steps"] for pair in played.pairs for round_ in pair)
    if late > LATE_SHARE:
        pytest.skip(f"this machine is too busy: {late:.0%} of the engine's steps were late themselves")
    row = ratios(played.pairs)
    felt = ", ".join(f"{name} {row[name]['x']:.2f}" for name in ("ttft_p50", "ttft_p95", "tpot_p50", "itl_p99"))
    name = request.param.arm + (" with long prompts" if request.param.long else "")
    print(f"\n{name}: {felt}; batch {row['batch_tokens_per_second']:.0f} tokens/s")
    return played


def test_users_beside_a_batch(played: Played) -> None:
    """What they feel is at most what the pace promises: times what it is without the batch, or a time."""
    row = ratios(played.pairs)
    felt = {name: (row[name]["x"], bar) for name, bar in played.cell.bars.items()}
    if (seconds := played.cell.seconds) is not None:
        took = statistics.median(beside["tpot_p95"] for _, beside in played.pairs)
        alone = statistics.median(without["tpot_p95"] for without, _ in played.pairs)
        felt["tpot_p95"] = (took, max(seconds, GENTLE * alone))
    assert all(times <= bar * TOLERANCE for times, bar in felt.values()), row


def test_nobody_is_refused_and_the_batch_gets_on(played: Played) -> None:
    """Every user is served in every round, and the batch has some of what they leave."""
    for without, beside in played.pairs:
        assert (without["failed"], beside["failed"]) == (0, 0)
        assert beside["batch_tokens_per_second"] > 0.1 * beside["online_tokens_per_second"]
