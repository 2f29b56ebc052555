"""What the real engine of `make test-vllm` is slowed down by, and what is made of its figures: without any vLLM."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from benchmarks.vllm.arms import ARMS
from benchmarks.vllm.engine import PROFILE
from benchmarks.vllm.figures import fixed_at, ratios
from benchmarks.vllm.online import asks
from benchmarks.vllm.slow_steps import contents, seconds
from benchmarks.vllm.step_times import write_step_times

from slackwater.adapters.modelled_engine.shipped import profile_named
from slackwater.config import load


def scheduled(new: dict[str, tuple[int, int]], running: dict[str, tuple[int, int]]) -> Any:
    """What vLLM's scheduler hands to its worker: of each request, tokens that are computed already, and those of this step."""
    return SimpleNamespace(
        scheduled_new_reqs=[
            SimpleNamespace(req_id=name, num_computed_tokens=before) for name, (before, _) in new.items()
        ],
        scheduled_cached_reqs=SimpleNamespace(
            req_ids=list(running), num_computed_tokens=[before for before, _ in running.values()]
        ),
        num_scheduled_tokens={name: tokens for name, (_, tokens) in {**new, **running}.items()},
        total_num_scheduled_tokens=sum(tokens for _, tokens in {**new, **running}.values()),
    )


def test_a_step_takes_as_long_as_the_engine_model_says(tmp_path: Path) -> None:
    """With two that decode, a new prompt of which half is in the cache, and one that goes on; everything as often slower."""
    step = scheduled({"new": (32, 40)}, {"decoding": (100, 1), "also": (7, 1), "reading": (512, 200)})
    tokens, context, pairs, sequences, prompts = contents(step)
    assert (tokens, context, sequences, prompts) == (242, 107, 4, 240)
    assert pairs == 40 * (32 + 20) + 200 * (512 + 100)
    model = profile_named(PROFILE).step_time
    write_step_times(profile_named(PROFILE), tmp_path / "times.json", slower=2.0)
    written = json.loads((tmp_path / "times.json").read_text())
    for count in (tokens, 10_000):
        expected = 2.0 * model.seconds(tokens=count, context=context, pairs=pairs, sequences=sequences)
        assert seconds(written, tokens=count, context=context, pairs=pairs, sequences=sequences) == pytest.approx(
            expected
        )


def test_the_same_users_come_each_time() -> None:
    """With one seed; as many as they should be, in order, and no longer than the round."""
    words = ["tide", "moon"]
    coming = asks(words, rate=50.0, seconds=100.0, seed=1)
    assert coming == asks(words, rate=50.0, seconds=100.0, seed=1)
    assert coming != asks(words, rate=50.0, seconds=100.0, seed=2)
    assert 4700 < len(coming) < 5300
    assert all(0 < before.at < after.at < 100 for before, after in zip(coming, coming[1:], strict=False))


def test_ratios_are_those_of_pairs() -> None:
    """Each round is compared with the one that had the same users, and the middle one counts."""
    felt = ("ttft_p50", "ttft_p95", "tpot_p50", "itl_p99")
    pairs = [
        (dict.fromkeys(felt, without), dict.fromkeys(felt, beside) | {"batch_tokens_per_second": rate})
        for without, beside, rate in ((1.0, 2.0, 10.0), (2.0, 2.2, 20.0), (4.0, 5.0, 60.0))
    ]
    row = ratios(pairs)
    assert row["tpot_p50"] == {"x": 1.25, "least": 1.1, "most": 2.0}
    assert (row["pairs"], row["batch_tokens_per_second"]) == (3, 30.0)


def test_the_fixed_window_that_does_as_much() -> None:
    """Between those that were tried, below the smallest, and beyond the largest, on straight lines; none does nothing."""
    tried = [(1.6, 1000.0), (1.2, 400.0)]
    assert [fixed_at(ratio, tried) for ratio in (1.0, 1.1, 1.2, 1.4, 1.6, 1.8)] == pytest.approx(
        [0.0, 200.0, 400.0, 700.0, 1000.0, 1300.0]
    )
    assert fixed_at(0.9, tried) == 0.0


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_is_configuration(name: str, tmp_path: Path) -> None:
    """Its lines are read as those of an engine, and say at which pace."""
    path = tmp_path / "c.toml"
    about = '[[deployments]]\nname = "d"\n[[deployments.backends]]\nurl = "http://a/v1"\n'
    path.write_text(f'{about}[[engines]]\nurl = "http://a"\n{ARMS[name]}\n')
    [engine] = load(path, {}).engines
    assert engine.pace is not None
